"""
Starting the processes of servers, as children of the master.

A child writes its log where the master writes its own, and not through the master, which may be gone one day. Only what
it says on its standard error while it starts comes here: the sentence of one that cannot run stands in the master's
log, with its name. A server that runs has let go of that (L{letGo}).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.machine.supervised import NO_PORT
from twisted_crossws.services.ports import CANNOT_LISTEN

_log = Logger()

#: Bytes of a line that has no end.
MAX_LINE = 4096


class Children:
    """
    Launches processes for L{Supervised<twisted_crossws.machine.supervised.Supervised>}.
    """

    def __init__(self, argv: Callable[[str], Sequence[str]], environment: Mapping[str, str], reactor: Any) -> None:
        """
        @param argv: the command line of a process, by its name.
        @param environment: what their environment has beside ours.
        """
        self._argv = argv
        self._environment = environment
        self._reactor = reactor

    def launch(self, name: str, ended: Callable[[str], None]) -> ChildProcess:
        """
        @raise OSError: the system does not let us.
        """
        child = ChildProcess(name, ended)
        argv = self._argv(name)
        environment = {**os.environ, **self._environment}
        self._reactor.spawnProcess(child, argv[0], argv, env=environment, childFDs={0: 0, 1: 1, 2: "r"})
        return child


class ChildProcess(ProcessProtocol):
    """One of them."""

    transport: Any

    def __init__(self, name: str, ended: Callable[[str], None]) -> None:
        self._name = name
        self._ended = ended
        self._line = b""

    @property
    def pid(self) -> int:
        return int(self.transport.pid)

    def signal(self, name: str) -> None:
        try:
            self.transport.signalProcess(name)
        except ProcessExitedAlready:
            pass

    def errReceived(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._say(line)
        if len(self._line) > MAX_LINE:
            self._say(self._line)
            self._line = b""

    def errConnectionLost(self) -> None:
        self._say(self._line)
        self._line = b""

    def processExited(self, reason: Failure) -> None:
        # Not processEnded: that also waits for whoever has inherited the child's standard error.
        self._ended(_words(reason.value))

    def _say(self, line: bytes) -> None:
        if text := line.decode("utf-8", "replace").rstrip():
            _log.error("{name}: {text}", name=self._name, text=text)


def letGo() -> None:
    """For a child that runs: from now on its standard error goes where its standard output goes."""
    os.dup2(1, 2)


def _words(ended: Any) -> str:
    if isinstance(ended, ProcessTerminated) and ended.signal is not None:
        return f"killed by {signal.Signals(ended.signal).name}"
    return NO_PORT if ended.exitCode == CANNOT_LISTEN else f"exit status {ended.exitCode}"
