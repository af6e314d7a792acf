"""
A process that has imported what a node imports, and forks into what it is told to be. To start Python and import all of
that anew takes most of a second of a core; the suite starts hundreds of nodes.

An order is one packet on the socket that is standard input: JSON C{{code, args, cwd, env, files}} and three
descriptors: standard output, standard error, and where the status goes when the process ends. It is answered with the
pid. The end of the socket ends all.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

#: Bytes of an order: the environment is in it.
_ORDER = 1 << 20


def awaitOrders(orders: socket.socket) -> str:
    """
    Fork for every order.

    @return: in a process that has been forked: the code that it is to run.
    @raise SystemExit: in the one that forks, when nobody is left who orders.
    """
    poll = select.poll()
    poll.register(orders, select.POLLIN)
    living: dict[int, tuple[int, int]] = {}
    while True:
        for number, _ in poll.poll():
            if number != orders.fileno():
                poll.unregister(number)
                _tellStatus(number, *living.pop(number))
                continue
            data, descriptors, _, _ = socket.recv_fds(orders, _ORDER, 3)
            if not data:
                for pid, _ in living.values():
                    os.kill(pid, signal.SIGKILL)
                raise SystemExit(0)
            pid = os.fork()
            if pid == 0:
                orders.detach()
                return _become(json.loads(data), descriptors)
            ended = os.pidfd_open(pid)
            living[ended] = pid, descriptors[2]
            poll.register(ended, select.POLLIN)
            for descriptor in descriptors[:2]:
                os.close(descriptor)
            orders.send(str(pid).encode())


def _tellStatus(ended: int, pid: int, teller: int) -> None:
    _, status = os.waitpid(pid, 0)
    with suppress(BrokenPipeError):
        os.write(teller, str(status).encode())
    os.close(teller)
    os.close(ended)


def _become(order: dict[str, Any], descriptors: list[int]) -> str:
    """Take on all that a process has from whoever starts it."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, *descriptors[:2])):
        os.dup2(descriptor, number)
    resource.setrlimit(resource.RLIMIT_NOFILE, order["files"])
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv[:] = ["-c", *order["args"]]
    sys.path[0] = ""  # The folder that it is in, as for any C{python -c}.
    code: str = order["code"]
    return code


if __name__ == "__main__":
    import twisted.internet.epollreactor  # noqa: F401
    import twisted.scripts.twistd  # noqa: F401

    import twisted_crossws.tap  # noqa: F401

    assert "twisted.internet.reactor" not in sys.modules
    exec(awaitOrders(socket.socket(fileno=0)), {"__name__": "__main__"})
