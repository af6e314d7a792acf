"""
One server of the cluster file on this machine: its process, or its processes, which share their ports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from twisted_crossws.machine.control import ANSWER_TIMEOUT, List
from twisted_crossws.machine.rows import Row
from twisted_crossws.machine.shares import Shares
from twisted_crossws.machine.supervised import Supervised
from twisted_crossws.services.ports import ListenError

_log = Logger()

#: Seconds in which processes that are there already have to come to a new master. They look five times a second.
FIND_TIMEOUT = 2.0


class Server:
    """
    @ivar name: as the file says.
    @ivar kind: of server, or empty.
    @ivar processes: what runs it, by name.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        processes: Iterable[Supervised],
        shares: Shares | None,
        clock: IReactorTime,
    ) -> None:
        """
        @param shares: the ports that the processes share, or C{None}.
        """
        self.name = name
        self.kind = kind
        self.processes = {process.name: process for process in processes}
        self._shares = shares
        self._clock = clock
        self._expected: set[str] = set()
        self._late: set[str] = set()
        self._find: Callable[[str], int | None] = lambda name: None
        self._toStart: set[str] = set()
        self._offered: dict[str, Any] = {}
        self._timer: IDelayedCall | None = None

    def start(self, names: Iterable[str], find: Callable[[str], int | None]) -> None:
        """
        Start some of the processes, or find them.

        @param find: the number of the process of this name if one runs already, whoever has started it; 0 if it is not
            known. Those that run will register by themselves; the others are started when there is a port for them.
        """
        wanted = {name for name in names if self.processes[name].pid is None}
        self._find = find
        self._expected |= {name for name in sorted(wanted) if self._isThere(name)}
        self._toStart |= wanted - self._expected
        if not self._expected:
            self._open()
        elif self._timer is None:
            self._timer = self._clock.callLater(FIND_TIMEOUT, self._foundEnough)
        self._goOn()

    def openPorts(self, find: Callable[[str], int | None]) -> None:
        """
        Listen on the shared ports while this process may, unless a process that runs already has them. What fails now
        is tried again, and reported, by L{start}.

        @param find: as for L{start}.
        """
        if self._shares is not None and all(find(name) is None for name in self.processes):
            with suppress(ListenError):
                self._shares.open()

    def registered(self, name: str, pid: int, keys: Sequence[str], agent: Any) -> None:
        """
        One of the processes has come.

        @param keys: of the listening sockets that it has.
        @raise Refused: it is running already.
        """
        self.processes[name].registered(pid, agent)
        self._expected.discard(name)
        self._late.discard(name)
        if self._shares is not None:
            self._shares.take(keys, agent).addCallback(lambda _: self._goOn())

    def unregistered(self, name: str, agent: Any) -> None:
        """The connection to one of the processes was lost."""
        if self._offered.get(name) is agent:
            del self._offered[name]
        self.processes[name].unregistered(agent)

    def ready(self, name: str) -> None:
        """One of the processes serves."""
        self.processes[name].ready()

    def stop(self, name: str) -> Deferred[None]:
        """
        Stop one process: it gets no new connections, and is told to drain and end.

        @return: fires when it is gone.
        """
        if self._shares is not None:
            self._shares.pause(name)
        return self.processes[name].stop()

    def pause(self, name: str) -> None:
        """One of the processes is to get no new connections."""
        if self._shares is not None:
            self._shares.pause(name)

    def restart(self, name: str) -> Deferred[bool]:
        """
        Stop one process, and start it again.

        @return: fires with whether it serves again.
        """

        def again(_: object) -> Deferred[bool]:
            process = self.processes[name]
            process.start()
            return process.whenReady()

        return self.stop(name).addCallback(again)

    def forget(self) -> None:
        """They run on without us."""
        self._cancel()
        for process in self.processes.values():
            process.forget()
        self.close()

    def close(self) -> None:
        """Nothing is accepted here any more."""
        self._cancel()
        if self._shares is not None:
            self._shares.close()

    def row(self, name: str) -> Deferred[Row]:
        """
        @return: fires with what one of the processes says of itself, or what is known of it if it does not answer.
        """
        process = self.processes[name]
        state = "unreachable" if process.isSilent else process.state
        known = Row(name=name, kind=self.kind, state=state, pid=process.pid)
        if process.agent is None:
            return succeed(known)

        def told(answer: dict[str, Any]) -> Row:
            row = Row(**answer["rows"][0])
            return row if process.state == "running" else row.but(state=process.state)

        def silent(_: object) -> Row:
            return known.but(state="unreachable")

        asked: Deferred[Any] = process.agent.callRemote(List, start=0)
        return asked.addTimeout(ANSWER_TIMEOUT, self._clock).addCallbacks(told, silent)

    def _foundEnough(self) -> None:
        self._timer = None
        # A process that is known to run is not started a second time beside itself, however long it takes to come: the
        # machine may be busy. If it ends, that is seen.
        missing = {name for name in sorted(self._expected) if not self._isThere(name)}
        if missing:
            says = "{missing} did not come to its master, and has ended; it is started again"
            _log.warn(says, missing=", ".join(sorted(missing)))
        self._toStart |= missing
        self._expected -= missing
        late = ", ".join(sorted(self._expected - self._late))
        if late:
            _log.warn("{late} runs, and has not come to its master yet", late=late)
        self._late |= self._expected
        if self._expected:
            self._timer = self._clock.callLater(FIND_TIMEOUT, self._foundEnough)
        if self._expected and self._shares is not None and not self._shares.isOpen:
            return  # Its processes hold the ports.
        self._open()
        self._goOn()

    def _isThere(self, name: str) -> bool:
        """Whether a process of that name runs, whoever has started it."""
        process = self.processes[name]
        if process.pid is None:
            pid = self._find(name)
            if pid:
                process.found(pid)
            return pid is not None
        return process.isSilent

    def _open(self) -> None:
        if self._shares is None or self._shares.isOpen:
            return
        try:
            self._shares.open()
        except ListenError as fault:
            says = "{name} cannot run: {fault} Start it later by: crossws-ctl add {name}"
            _log.error(says, name=self.name, fault=fault)
            names, self._toStart = self._toStart, set()
            for name in names:
                self.processes[name].giveUp(str(fault))

    def _goOn(self) -> None:
        """As soon as there are ports: start who is to be started, and let all take part."""
        if self._shares is not None and not self._shares.isOpen:
            return
        starting, self._toStart = self._toStart, set()
        for name in sorted(starting):
            self.processes[name].start()
        if self._shares is not None:
            for name, process in self.processes.items():
                if process.agent is not None and self._offered.get(name) is not process.agent:
                    self._offered[name] = process.agent
                    self._shares.offer(name, process.agent)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
