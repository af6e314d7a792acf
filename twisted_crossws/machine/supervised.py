"""
One process that is to run: started, watched, and started again.

    stopped ──start──▶ starting ──ready──▶ running
       ▲                  │  ▲                │
       │              ended  │ time       ended (at once again)
       │                  ▼  │                │
       │               waiting ◀──────────────┘
       │                  │ too often
       │                  ▼
       └── ended ──    given up          stop: from each of them to stopping, and to stopped when the process is gone

A process that a master before this one has started is not its child, and comes in by registering: from then on it is
one like all others, except that nobody tells when it ends; so it is looked for, as soon as its connection is lost.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from msgspec import Struct
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from twisted_crossws.machine.control import Refused

_log = Logger()

#: Who ends sooner after having been ready has died at once, and so has who ends before.
STEADY = 1.0

#: Seconds between two looks for a process that is not a child, after its connection was lost.
LOOK_INTERVAL = 0.1

#: Why a process has ended that cannot listen.
NO_PORT = "a port cannot be listened on"


class Child(Protocol):
    """A process that was launched."""

    @property
    def pid(self) -> int: ...

    def signal(self, name: str) -> None:
        """Send it a signal (C{"TERM"}, C{"KILL"}), if it is still there."""


#: Starts a process: its name, and what to call with a reason, for people, when it has ended.
Launch = Callable[[str, Callable[[str], None]], Child]


class Patience(Struct, frozen=True):
    """
    How often, and how soon, a process that dies is started again.

    @ivar first: seconds before it is started again after it has died at once; they double each time.
    @ivar longest: seconds, never to wait longer.
    @ivar deaths: so many in a row are enough.
    @ivar stop: seconds that it has for stopping, before it is killed.
    """

    first: float = 0.2
    longest: float = 30.0
    deaths: int = 10
    stop: float = 20.0


class Supervised:
    """
    @ivar name: of the process, unique in the cluster.
    @ivar state: as in the picture above.
    @ivar pid: of the process, while there is one.
    @ivar agent: the connection to it, while there is one.
    @ivar portFault: why it was given up, if that is a port that cannot be listened on; for people.
    @ivar onGivenUp: called when it was given up.
    """

    def __init__(
        self,
        name: str,
        launch: Launch,
        clock: IReactorTime,
        patience: Patience,
        *,
        kill: Callable[[int, str], None],
        isThere: Callable[[int], bool],
    ) -> None:
        """
        @param kill: sends a signal to a process that is not our child.
        @param isThere: whether there is a process of this number.
        """
        self.name = name
        self.state = "stopped"
        self.pid: int | None = None
        self.agent: Any = None
        self.portFault = ""
        self.onGivenUp: Callable[[], None] = lambda: None
        self._launch = launch
        self._clock = clock
        self._patience = patience
        self._kill = kill
        self._isThere = isThere
        self._child: Child | None = None
        self._deaths = 0
        self._readySince: float | None = None
        self._timer: IDelayedCall | None = None
        self._whenReady: list[Deferred[bool]] = []
        self._whenStopped: list[Deferred[None]] = []

    @property
    def isSilent(self) -> bool:
        """Whether it runs, was started by somebody else, and has not registered yet."""
        return self.state == "starting" and self.pid is not None and self._child is None and self.agent is None

    def start(self) -> None:
        """It is to run. One that was given up gets another ten lives."""
        if self.state == "waiting":
            self._cancelTimer()
        elif self.state not in ("stopped", "given up"):
            return
        self._deaths = 0
        self.portFault = ""
        self._begin()

    def found(self, pid: int) -> None:
        """
        Supervise a process that runs already, whoever has started it. It is expected to register.

        @param pid: its number.
        """
        if self.pid is None:
            self._cancelTimer()
            self._adopt(pid)
            self._look(pid)

    def giveUp(self, portFault: str = "") -> None:
        """
        Do not try to start it again by itself.

        @param portFault: why a port of it cannot be listened on, if that is the reason.
        """
        self._cancelTimer()
        self.state = "given up"
        self.portFault = portFault
        self._tell(False)
        self.onGivenUp()

    def stop(self) -> Deferred[None]:
        """
        It is not to run any more: it is asked, and killed if it does not end in time.

        @return: fires when it is gone.
        """
        if self.pid is None:
            self._cancelTimer()
            self._stopped()
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._whenStopped.append(gone)
        if self.state != "stopping":
            self.state = "stopping"
            self._cancelTimer()
            # By a signal, not by its connection: one that is still starting has none, and one that is stuck does not
            # read what comes.
            self._signal("TERM")
            self._timer = self._clock.callLater(self._patience.stop, self._stopTimedOut)
        return gone

    def whenReady(self) -> Deferred[bool]:
        """
        @return: fires with whether it runs: C{True} when it does, C{False} when it has stopped or was given up.
        """
        if self.state in ("running", "stopped", "given up"):
            return succeed(self.state == "running")
        ready: Deferred[bool] = Deferred()
        self._whenReady.append(ready)
        return ready

    def registered(self, pid: int, agent: Any) -> None:
        """
        The process is there, and can be spoken to.

        @raise Refused: another process of this name is there already.
        """
        if self.pid not in (None, pid):
            raise Refused(f"{self.name} is running already, as process {self.pid}")
        self.pid = pid
        self.agent = agent
        if self._child is None and self.state != "starting":
            if self.state == "stopping":
                return
            self._cancelTimer()
            self._adopt(pid)

    def ready(self) -> None:
        """It has said that it serves."""
        if self.state == "starting":
            self.state = "running"
            self._readySince = self._clock.seconds()
            self._tell(True)

    def unregistered(self, agent: Any) -> None:
        """The connection to it was lost."""
        if agent is not self.agent:
            return
        self.agent = None
        if self._child is None and self.pid is not None:
            self._look(self.pid)

    def forget(self) -> None:
        """It runs on without us."""
        self._cancelTimer()

    def _adopt(self, pid: int) -> None:
        self.pid = pid
        self.state = "starting"
        self._readySince = None
        _log.info("{name} is there already, as process {pid}", name=self.name, pid=pid)

    def _begin(self) -> None:
        self._timer = None
        self.state = "starting"
        self._readySince = None
        try:
            self._child = self._launch(self.name, self._ended)
        except OSError as fault:
            self._ended(f"it could not be started: {fault.strerror or fault}")
        else:
            self.pid = self._child.pid
            _log.info("{name} is started, as process {pid}", name=self.name, pid=self.pid)

    def _ended(self, reason: str) -> None:
        self._child = self.pid = None
        if self.state == "stopping":
            self._cancelTimer()
            self._stopped()
            return
        isAtOnce = self._readySince is None or self._clock.seconds() - self._readySince < STEADY
        self._deaths = self._deaths + 1 if isAtOnce else 0
        if self._deaths >= self._patience.deaths:
            says = (
                "{name} has ended ({reason}), {deaths} times in a row as soon as it was started: it is given up. Mend "
            )
            says += "what the log says of it, and start it by: crossws-ctl add {name}"
            _log.error(says, name=self.name, reason=reason, deaths=self._deaths)
            self.giveUp(f"{self.name}: {reason}." if reason == NO_PORT else "")
            return
        delay = min(self._patience.first * 2.0 ** (self._deaths - 1), self._patience.longest) if self._deaths else 0.0
        self.state = "waiting"
        _log.warn(
            "{name} has ended ({reason}); it is started again in {delay:.1f} s",
            name=self.name,
            reason=reason,
            delay=delay,
        )
        self._timer = self._clock.callLater(delay, self._begin)

    def _stopped(self) -> None:
        self.state = "stopped"
        # Whoever waits for its end may start it again, and wait for that.
        self._tell(False)
        waiting, self._whenStopped = self._whenStopped, []
        for each in waiting:
            each.callback(None)

    def _tell(self, isRunning: bool) -> None:
        waiting, self._whenReady = self._whenReady, []
        for each in waiting:
            each.callback(isRunning)

    def _stopTimedOut(self) -> None:
        self._timer = None
        _log.warn("{name} did not stop in {seconds:g} s; it is killed", name=self.name, seconds=self._patience.stop)
        self._signal("KILL")

    def _signal(self, name: str) -> None:
        if self._child is not None:
            self._child.signal(name)
        elif self.pid is not None:
            self._kill(self.pid, name)

    def _look(self, pid: int) -> None:
        """Is a process there that is not our child? A new connection of it ends the question."""
        if self.agent is not None or self._child is not None or self.pid != pid:
            return
        if self._isThere(pid):
            self._clock.callLater(LOOK_INTERVAL, self._look, pid)
        else:
            self._ended("its process is gone")

    def _cancelTimer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


def kill(pid: int, name: str) -> None:
    """Send a signal (C{"TERM"}, C{"KILL"}) to any process of ours, if it is still there."""
    with suppress(ProcessLookupError):
        os.kill(pid, getattr(signal, f"SIG{name}"))


def isThere(pid: int) -> bool:
    """Whether a process of this number runs. One that has ended, and that nobody has asked about yet, does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True  # A system without /proc.
