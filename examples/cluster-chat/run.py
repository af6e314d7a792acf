"""
A chat on five nodes, with fifty clients: each node a process of its own, and a Redis between them.

    python examples/cluster-chat/run.py [FIRST_PORT]      9000, unless you say otherwise, and the four after it
"""

import signal
import subprocess
import sys
from pathlib import Path

from twisted_crossws.redisserver import RedisServer


def start(script, *args):
    return subprocess.Popen([sys.executable, Path(__file__).with_name(script), *map(str, args)])


def onInterrupt(do):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, do)


def main(first="9000"):
    ports = range(int(first), int(first) + 5)
    onInterrupt(signal.SIG_IGN)  # The others inherit it: a Ctrl-C is for this process, which then ends them.
    with RedisServer() as redis:
        running = [start("server.py", f"server{port}", port, redis.url) for port in ports]
        running.append(start("crowd.py", redis.url, *ports))
        try:
            onInterrupt(signal.default_int_handler)
            return running[-1].wait()
        except KeyboardInterrupt:
            return 0
        finally:
            onInterrupt(signal.SIG_IGN)
            for each in running:
                each.kill()
                each.wait()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
