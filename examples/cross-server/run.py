"""
Servers that ask each other: three that answer and one that asks, each a process of its own, and a Redis between them.

    python examples/cross-server/run.py
"""

import signal
import subprocess
import sys
from pathlib import Path

from twisted_crossws.redisserver import RedisServer


def start(script, *args):
    return subprocess.Popen([sys.executable, Path(__file__).with_name(script), *args])


def onInterrupt(do):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, do)


def main():
    onInterrupt(signal.SIG_IGN)  # The others inherit it: a Ctrl-C is for this process, which then ends them.
    with RedisServer() as redis:
        running = [start("responder.py", name, redis.url) for name in ("gameServer", "shopServer", "mailServer")]
        running.append(start("sender.py", redis.url))
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
    sys.exit(main())
