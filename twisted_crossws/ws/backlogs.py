"""
How much may wait for one client, and for how long it may take nothing of it.

Three numbers of the configuration: above C{max_queued_bytes} a client is watched, and closed with 4008 when it has
taken nothing for C{slow_timeout} seconds; above C{max_queued_hard} it is closed with 4008 at once, after its socket was
offered what waits. In both cases what waited before the close frame stays in order, and is sent as long as the client
takes it.

Only the watched ones are looked at, by one timer for all. Before one is closed its socket is offered what waits: after
a pause of the whole process, who has read meanwhile takes something then, and is not closed for what this process did.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from twisted_crossws.config import WebSocketConfig
from twisted_crossws.state.counters import Counters
from twisted_crossws.ws.transport import offer, progress, unsentBytes

#: How often a watched client is looked at within C{slow_timeout}.
LOOKS = 5


class Backlogged(Protocol):
    """
    A client for which bytes may wait.

    @ivar transport: what they wait in.
    @ivar queued: how many bytes wait, or more.
    @ivar bound: how many may wait before L{Backlogs} is to be asked.
    """

    transport: Any
    queued: int
    bound: float

    def isOpen(self) -> bool:
        """Whether neither side has begun to close."""

    def closeSlow(self) -> None:
        """Begin the closing handshake, with 4008."""


@dataclass(slots=True)
class _Watched:
    """
    @ivar progress: what the transport said at the last look.
    @ivar since: when it said so first.
    """

    progress: object
    since: float


class Backlogs:
    """
    The clients of one node for which much waits.
    """

    def __init__(self, clock: IReactorTime, options: WebSocketConfig, counters: Counters) -> None:
        self._soft = options.max_queued_bytes
        self._hard = max(options.max_queued_hard, options.max_queued_bytes)
        self._timeout = options.slow_timeout
        self._counters = counters
        self._clock = clock
        self._watched: dict[Backlogged, _Watched] = {}
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def mayQueue(self, client: Backlogged, size: int) -> bool:
        """
        Decide about one more write to a client, which is above its L{bound<Backlogged.bound>}. What really waits is
        asked for only now.

        @param size: of what is to be written. C{client.queued} counts it already.
        @return: C{False} if there is no room for it. Then the client has been closed.
        """
        self._measure(client, size)
        if client.queued > self._hard:
            offer(client.transport)
            self._measure(client, size)
            if client.queued > self._hard:
                self._close(client)
                return False
        if client.queued > self._soft:
            self._watch(client)
        return True

    def filled(self, client: Backlogged) -> None:
        """Note that one write, in which C{client} must not be closed, has brought it above its bound."""
        self._watch(client)
        if client.queued > self._hard:
            self._clock.callLater(0, self._checkFilled, client)

    def forget(self, client: Backlogged) -> None:
        """Watch a client no more: it has taken all, or is gone."""
        if self._watched.pop(client, None) is not None:
            client.bound = self._soft
            if not self._watched:
                self._loop.stop()

    def _watch(self, client: Backlogged) -> None:
        if client not in self._watched:
            self._watched[client] = _Watched(progress(client.transport), self._clock.seconds())
            client.bound = self._hard
            if not self._loop.running:
                self._loop.start(self._timeout / LOOKS, now=False)

    def _checkFilled(self, client: Backlogged) -> None:
        if client in self._watched:
            self.mayQueue(client, 0)

    def _look(self) -> None:
        for client, watched in list(self._watched.items()):
            self._measure(client, 0)
            if client.queued <= self._soft or not client.isOpen():
                self.forget(client)
                continue
            before, watched.progress = watched.progress, progress(client.transport)
            now = self._clock.seconds()
            if watched.progress != before:
                watched.since = now
            elif now - watched.since >= self._timeout and not offer(client.transport):
                self._close(client)

    def _measure(self, client: Backlogged, size: int) -> None:
        unsent = unsentBytes(client.transport)
        if unsent is not None:
            client.queued = unsent + size

    def _close(self, client: Backlogged) -> None:
        self.forget(client)
        # The close frame comes through here too, and is always sent.
        client.bound = sys.maxsize
        if client.isOpen():
            self._counters["clients_slow"] += 1
            client.closeSlow()
