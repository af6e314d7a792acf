"""
Processes by a fork of one that is L{prepared<tests.integration.prepared>}.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.process import ProcessReader
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

reactor: Any = _reactor

_ROOT = Path(__file__).resolve().parents[2]

#: Where the status of a process comes from, beside its standard output and standard error, which are 1 and 2.
_STATUS = 3


class Forked:
    """
    The transport of a C{ProcessProtocol}, whose process has nothing on its standard input.

    @ivar pid: of the process.
    """

    def __init__(self, protocol: ProcessProtocol, cwd: str, env: dict[str, str], code: str, *args: str) -> None:
        """Start what C{python -c code args} would start."""
        self._protocol = protocol
        self._reason = Failure(ProcessDone(0))
        pipes = {name: os.pipe() for name in (1, 2, _STATUS)}
        files = resource.getrlimit(resource.RLIMIT_NOFILE)
        order = json.dumps({"code": code, "args": args, "cwd": cwd, "env": env, "files": files}).encode()
        orders = _prepared()
        socket.send_fds(orders, [order], [writing for _, writing in pipes.values()])
        self.pid = int(orders.recv(99))
        for _, writing in pipes.values():
            os.close(writing)
        protocol.makeConnection(self)
        self._readers = {name: ProcessReader(reactor, self, name, reading) for name, (reading, _) in pipes.items()}

    def childDataReceived(self, name: int, data: bytes) -> None:
        if name != _STATUS:
            self._protocol.childDataReceived(name, data)
            return
        status = int(data)
        code = os.waitstatus_to_exitcode(status)
        if code:
            self._reason = Failure(ProcessTerminated(max(code, 0) or None, max(-code, 0) or None, status))
        self._protocol.processExited(self._reason)

    def childConnectionLost(self, name: int, reason: Failure) -> None:
        del self._readers[name]
        if not self._readers:
            self._protocol.processEnded(self._reason)


@cache
def _prepared() -> socket.socket:
    """The one of this process of the suite. Kept from signals of the terminal, it ends with the socket."""
    orders, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.integration.prepared"]
    process = subprocess.Popen(command, stdin=other.fileno(), cwd=_ROOT, start_new_session=True)
    other.close()

    def end() -> None:
        orders.close()
        process.wait()

    atexit.register(end)
    return orders
