"""
Connections that carry plain HTTP on a node's own ports: few, short, and without anything that has to be kept.

What is answered here needs no body, so a request that has one is refused at its head. A request has
C{handshake_timeout} seconds to arrive, however it drips; an answer goes on as long as the client takes it. The next
request of a connection is read when the answers before it have left. There are C{max_plain_connections} of these
connections at a time; when one more comes, the one that has waited longest for a request is closed (a server may do
that at any time, RFC 9112 section 9.5). More than that they never take of the descriptors that WebSockets need.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.internet.task import LoopingCall
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from twisted_crossws.state.counters import Counters
from twisted_crossws.wire.http import response
from twisted_crossws.ws.transport import isBehind, progress

#: Seconds that an idle connection is kept for the next request.
IDLE_TIMEOUT = 30

#: Bytes of a refused body that are read and thrown away. Who sends no more than that reads the answer; otherwise it
#: would find its connection reset while it sends (RFC 9112 section 9.6).
MAX_DISCARDED = 1_048_576

#: Bytes of later requests that are kept while the answer to one is being sent.
_MAX_AHEAD = 16384

_METHODS = (b"GET", b"HEAD", b"OPTIONS")


class PlainConnections:
    """
    All of one node.

    @ivar requestTimeout: seconds for a request to arrive.
    """

    def __init__(self, clock: IReactorTime, counters: Counters, *, limit: int, requestTimeout: float) -> None:
        """
        @param limit: how many there may be; 0 is no limit.
        """
        self.requestTimeout = requestTimeout
        self.counters = counters
        self._limit = limit
        self._waiting: dict[PlainChannel, None] = {}
        self._answered: dict[PlainChannel, object] = {}
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def add(self, channel: PlainChannel) -> bool:
        """
        Take one more in, in the place of the one that has waited longest for a request, if need be.

        @return: C{False} if there are too many, and all of them are being answered.
        """
        if 0 < self._limit <= len(self._waiting) + len(self._answered):
            if not self._waiting:
                self.counters["http_over_limit"] += 1
                return False
            longest = next(iter(self._waiting))
            self.discard(longest)
            longest.retire()
        self._waiting[channel] = None
        return True

    def discard(self, channel: PlainChannel) -> None:
        """Forget one that is gone, or carries no plain HTTP any more."""
        self._waiting.pop(channel, None)
        self._answered.pop(channel, None)
        if not self._answered and self._loop.running:
            self._loop.stop()

    def begin(self, channel: PlainChannel) -> None:
        """Note that a request has arrived, and is being answered."""
        del self._waiting[channel]
        self._answered[channel] = None
        if not self._loop.running:
            self._loop.start(self.requestTimeout, now=False)

    def end(self, channel: PlainChannel) -> None:
        """Note that one may carry another request."""
        self.discard(channel)
        self._waiting[channel] = None

    def _look(self) -> None:
        """Cut who takes nothing of its answer."""
        for channel, before in list(self._answered.items()):
            now = self._answered[channel] = progress(channel.transport)
            if now == before and isBehind(channel.transport):
                self.counters["http_timed_out"] += 1
                self.discard(channel)
                channel.transport.abortConnection()


class PlainChannel(HTTPChannel):
    """
    One of them. Its factory is a L{NodeSite<twisted_crossws.ws.site.NodeSite>}.
    """

    factory: Any
    transport: Any
    _discarded: int | None = None
    _progress: object = None
    _isReceiving = False

    def connectionMade(self) -> None:
        super().connectionMade()
        self._connections: PlainConnections = self.factory.connections
        if not self._connections.add(self):
            self._refuse(503, "The server has as many connections as it may have.", ("Retry-After", "5"))
            self.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.leave()
        super().connectionLost(reason)

    def leave(self) -> None:
        """Carry no plain HTTP any more."""
        self._connections.discard(self)

    def retire(self) -> None:
        """End between two requests. What was not read so far of an answer is lost."""
        self._discarded = 0
        if isBehind(self.transport):
            self.transport.abortConnection()
        else:
            self.loseConnection()

    def timeoutConnection(self) -> None:
        """A request has not arrived in time, or there was none for long."""
        before, self._progress = self._progress, progress(self.transport)
        if self._isReceiving and self._discarded is None:
            self._connections.counters["http_timed_out"] += 1
            self.transport.abortConnection()
        elif isBehind(self.transport) and self._progress != before:
            # It is still taking the last answer.
            self.setTimeout(self._connections.requestTimeout)
        else:
            self.retire()

    def dataReceived(self, data: bytes) -> None:
        if self._discarded is None:
            self._read(data)
        else:
            self._discard(data)

    def rawDataReceived(self, data: bytes) -> None:
        if self._discarded is not None:
            self._discard(data)
        else:
            super().rawDataReceived(data)

    def allHeadersReceived(self) -> None:
        if self.length == 0:
            super().allHeadersReceived()
            return
        self._connections.counters["http_bodies"] += 1
        if self._command in _METHODS:
            self._refuse(413, "Requests have no body here.")
        else:
            self._refuse(405, "Nothing can be sent here.", ("Allow", "GET, HEAD, OPTIONS"))

    def allContentReceived(self) -> None:
        self._isReceiving = False
        self._connections.begin(self)
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        self._savedTimeOut = IDLE_TIMEOUT
        if self.persistent:
            self._connections.end(self)
        super().requestDone(request)

    def pauseProducing(self) -> None:
        # What was read already is not taken for the next request either.
        self.paused = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self.paused = False
        self._read(b"")

    def _read(self, data: bytes) -> None:
        LineReceiver.dataReceived(self, data)
        if self.paused:
            if len(self._buffer) > _MAX_AHEAD:
                self._networkProducer.pauseProducing()
        elif (self._buffer or self.requests) and not (self._isReceiving or self._handlingRequest):
            # A request has begun. Its time is not counted anew for each piece of it, as HTTPChannel would.
            self._isReceiving = True
            self.setTimeout(self._connections.requestTimeout)

    def _refuse(self, status: int, reason: str, *headers: tuple[str, str]) -> None:
        """Answer, and read nothing more. The other side is to close, in the time that it has for a request."""
        self._discarded = 0
        self.setTimeout(self._connections.requestTimeout)
        self.transport.write(response(status, reason, headers))

    def _discard(self, data: bytes) -> None:
        self._discarded = (self._discarded or 0) + len(data)
        if self._discarded > MAX_DISCARDED:
            self.loseConnection()
