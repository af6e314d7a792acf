"""
What C{twistd} runs, as a command: what it cannot do it says in a sentence, and ends with status 1.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from twisted.application.service import IService, MultiService
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_crossws.errors import NameTaken
from twisted_crossws.node import Node
from twisted_crossws.services.causes import causeOf, isOfApplication
from twisted_crossws.services.ports import CANNOT_LISTEN, ListenError
from twisted_crossws.services.stopping import drainAndStop

_log = Logger()

#: Seconds for which a process under a master that is told to stop takes a Ctrl-C for the same one.
GRACE = 1.0


class CannotStart(Exception):
    """A service of the application failed when it was to start; the message is a sentence."""


@implementer(IService)
class Command(MultiService):
    """
    What cannot start ends the process with a sentence and no traceback, and a second signal while it stops ends it at
    once.
    """

    def __init__(
        self,
        options: Any,
        reactor: Any,
        expected: tuple[type[Exception], ...] = (ListenError,),
        *,
        isChild: bool = False,
    ) -> None:
        """
        @param options: those of the command; their C{parent} is what C{twistd} was told.
        @param expected: what starting may raise with a sentence for people.
        @param isChild: a master has started this process, and stops it.
        """
        super().__init__()
        self._isChild = isChild
        self._options = options
        self._reactor = reactor
        self._expected = expected

    def privilegedStartService(self) -> None:
        self._start(super().privilegedStartService)

    def startService(self) -> None:
        self._start(super().startService)
        self._reactor.addSystemEventTrigger("before", "shutdown", self._letSignalsKill)

    def _start(self, start: Callable[[], Any]) -> None:
        try:
            start()
        except self._expected as fault:
            self._cannotStart(fault)
        except Exception as fault:
            if not isOfApplication(fault):
                raise
            self._cannotStart(CannotStart(f"A service could not be started: {causeOf(fault)}."))

    def _letSignalsKill(self) -> None:
        """From now on the signals that stop a process do what they do by default: end it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)

    def _cannotStart(self, fault: Exception) -> None:
        parent: Any = self._options.parent or {}
        if not parent.get("nodaemon", True):
            raise fault  # The daemon tells it to who started it, and to the log.
        pidFile = parent.get("pidfile")
        if pidFile and os.path.exists(pidFile):
            os.remove(pidFile)
        refuse([str(fault)], CANNOT_LISTEN if self._isChild and isinstance(fault, ListenError) else 1)

    def fail(self, fault: str) -> None:
        """
        End this process, which runs or is about to, with status 1.

        @param fault: a sentence for people.
        """
        print(fault, file=sys.__stderr__)
        # twistd has no other way to end a running process with a status of one's own.
        atexit.register(_exitWithFailure)
        self._reactor.callWhenRunning(self._reactor.stop)


class CommandService(Command):
    """
    A node as a command: it is drained before it stops, and one whose name is taken ends.
    """

    def __init__(self, node: Node, options: Any, reactor: Any, *, isChild: bool = False) -> None:
        super().__init__(options, reactor, isChild=isChild)
        self.node = node
        node.setServiceParent(self)

    def startService(self) -> None:
        super().startService()
        self._reactor.callWhenRunning(_log.info, "{server} is ready", server=self.node.serverName)
        self._reactor.callWhenRunning(self._whenJoined)

    def stopService(self) -> Deferred[None]:
        return drainAndStop(self.node, super().stopService, self._reactor)

    def _letSignalsKill(self) -> None:
        if not self._isChild:
            super()._letSignalsKill()
            return
        # A terminal or systemd tells every process to stop, and the master tells it, too, in whatever order these come:
        # nobody is impatient yet. A second Ctrl-C some time later is meant.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._reactor.callLater(GRACE, signal.signal, signal.SIGINT, signal.SIG_DFL)

    def _whenJoined(self) -> None:
        node = self.node
        joining = node.whenJoined().addCallback(lambda _: _log.info("{server} has joined", server=node.serverName))
        joining.addErrback(self._refused)

    def _refused(self, failure: Failure) -> None:
        failure.trap(NameTaken, CancelledError)
        if failure.check(NameTaken):
            self.fail(failure.getErrorMessage())


def refuse(faults: list[str], status: int = 1) -> NoReturn:
    """End this process, with a line for each fault."""
    # Once twistd logs, sys.stderr is its log.
    for fault in faults:
        print(fault, file=sys.__stderr__)
    raise SystemExit(status)


def _exitWithFailure() -> NoReturn:
    sys.stdout.flush()
    os._exit(1)
