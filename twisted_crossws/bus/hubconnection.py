"""
One process, as the hub sees it: what it says, what it is to be told, and how much of that waits.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol as BaseProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_crossws.bus.writing import writeNow
from twisted_crossws.wire import hubframes
from twisted_crossws.wire.hubframes import KIND, MESSAGE, BadFrame, frame, numbers, readMessage
from twisted_crossws.wire.text import shown

_log = Logger()

#: Seconds in which a connection must say who it is.
HELLO_TIMEOUT = 2.0

#: Bytes of one write to a process that reads slowly.
PORTION = 262_144

_MOST = 0xFFFFFFFF


class Board(Protocol):
    """
    What the connections of a hub have in common.

    @ivar clock: for timers.
    @ivar counters: those that start with C{bus_hub_} are counted up.
    @ivar maxQueuedBytes: that wait for one process.
    @ivar subscribers: who hears a channel.
    """

    clock: IReactorTime
    counters: dict[str, int]
    maxQueuedBytes: int
    subscribers: dict[bytes, dict[HubConnection, None]]

    def maySpeak(self) -> bool:
        """Whether this still is the hub."""

    def isDue(self, connection: HubConnection) -> None:
        """At the end of this turn something is to be written to it."""

    def added(self, connection: HubConnection) -> None:
        """It is there."""

    def greeted(self, connection: HubConnection) -> None:
        """It has said who it is."""

    def isReady(self, connection: HubConnection) -> None:
        """It hears what it wants to hear."""

    def saidBye(self) -> None:
        """Somebody has nothing more to say."""

    def removed(self, connection: HubConnection) -> None:
        """It is gone."""


@implementer(IPushProducer)
class HubConnection(BaseProtocol):
    """
    One process, seen from the hub.

    @ivar name: of its node; empty until it has said it.
    @ivar isReady: it has said that it hears what it wants.
    @ivar isDone: it says nothing more, or never began.
    """

    def __init__(self, hub: Board) -> None:
        self.name = ""
        self.isReady = False
        self.isDone = True
        self._hub = hub
        self._splitter = hubframes.FrameSplitter()
        self._channels: set[bytes] = set()
        self._queue: deque[bytes] = deque()
        self._size = 0
        self._isDue = False
        self._isFull = False
        self._isOver = False
        self._isLast = False
        self._isWriting = False
        self._greeting: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self._hub.added(self)
        self._greeting = self._hub.clock.callLater(HELLO_TIMEOUT, self._saysNothing)
        transport: Any = self.transport
        transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        if self._isOver or not self._hub.maySpeak() or self._isOver:
            return
        try:
            self._read(self._splitter.feed(data))
        except BadFrame as fault:
            self._hub.counters["bus_hub_faulty"] += 1
            self._cut("{who} broke the protocol: {fault}", fault=fault)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end()
        self._hub.removed(self)

    def send(self, data: bytes) -> None:
        """This is to be written at the end of this turn."""
        if self._isOver:
            return
        self._queue.append(data)
        self._size += len(data)
        if not self._isDue:
            self._isDue = True
            self._hub.isDue(self)

    def flush(self) -> None:
        """Write what waits. Whoever lets too much of it wait is cut off."""
        self._isDue = False
        if self._isOver:
            return
        if not self._isFull:
            self._write()
        if self._isFull and self._size > self._hub.maxQueuedBytes:
            self._hub.counters["bus_hub_slow"] += 1
            self._cut("{who} does not read: {size} bytes wait for it", size=self._size)

    def sayLeaving(self) -> None:
        """This hub ends."""
        if self.name:
            self.send(frame(hubframes.LEAVING))
        else:
            self.abort()

    def finish(self) -> None:
        """End this when all that waits was written."""
        self._isLast = True
        if not self._isOver and not self._queue:
            transport: Any = self.transport
            transport.loseConnection()

    def abort(self) -> None:
        """End this at once."""
        if not self._isOver:
            self._end()
            transport: Any = self.transport
            transport.abortConnection()

    def pauseProducing(self) -> None:
        self._isFull = True

    def resumeProducing(self) -> None:
        self._isFull = False
        if not self._isWriting:
            self._write()

    def stopProducing(self) -> None:
        pass

    def _saysNothing(self) -> None:
        self._greeting = None
        self._hub.counters["bus_hub_faulty"] += 1
        self._cut("{who} has not said who it is for {timeout:g} seconds", timeout=HELLO_TIMEOUT)

    def _read(self, frames: list[bytes]) -> None:
        subscribers, count, missing = self._hub.subscribers, 0, 0
        for data in frames:
            if data[KIND] != MESSAGE or not self.name:
                self._control(data)
                continue
            channel, expected, number = readMessage(data)
            count += 1
            hearing = subscribers.get(channel)
            heard = 0
            if hearing is not None:
                heard = len(hearing)
                for each in hearing:
                    each.send(data)
            if heard < expected:
                missing += expected - heard
            if number:
                self.send(numbers(hubframes.COUNTED, number, heard))
        if count:
            self.send(numbers(hubframes.CONFIRMED, count, min(missing, _MOST)))

    def _control(self, data: bytes) -> None:
        kind = data[KIND]
        if not self.name:
            self._greet(hubframes.readHello(data))
        elif kind == hubframes.PING:
            self.send(frame(hubframes.PONG))
        elif kind == hubframes.SUBSCRIBE:
            channel = hubframes.readName(data)
            self._channels.add(channel)
            self._hub.subscribers.setdefault(channel, {})[self] = None
            self.send(frame(hubframes.SUBSCRIBED, channel))
        elif kind == hubframes.UNSUBSCRIBE:
            self._unsubscribe(hubframes.readName(data))
        elif kind == hubframes.READY and not self.isReady:
            self.isReady = True
            self._hub.isReady(self)
        elif kind == hubframes.BYE:
            self.isDone = True
            self._hub.saidBye()
        else:
            raise BadFrame(f"There is no frame of kind {kind} to a hub.")

    def _greet(self, name: str) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
            self._greeting = None
        self.name = name
        self.isDone = False
        self._hub.greeted(self)

    def _unsubscribe(self, channel: bytes) -> None:
        self._channels.discard(channel)
        hearing = self._hub.subscribers.get(channel)
        if hearing is not None:
            hearing.pop(self, None)
            if not hearing:
                del self._hub.subscribers[channel]

    def _write(self) -> None:
        """As much as the transport likes."""
        self._isWriting = True
        while self._queue and not self._isFull and not self._isOver:
            if self._size <= PORTION:
                data = b"".join(self._queue)
                self._queue.clear()
                self._size = 0
            else:
                data = self._portion()
            writeNow(self.transport, data)
        self._isWriting = False
        if self._isLast:
            self.finish()

    def _portion(self) -> bytes:
        parts, size = [], 0
        while self._queue and size < PORTION:
            parts.append(self._queue.popleft())
            size += len(parts[-1])
        self._size -= size
        return b"".join(parts)

    def _cut(self, why: str, **about: object) -> None:
        _log.warn(f"the hub cuts a process off: {why}", who=shown(self.name or "somebody unknown"), **about)
        self.abort()

    def _end(self) -> None:
        self._isOver = True
        if self._greeting is not None:
            self._greeting.cancel()
            self._greeting = None
        for channel in list(self._channels):
            self._unsubscribe(channel)
        self._queue.clear()
        self._size = 0
