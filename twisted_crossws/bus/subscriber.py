"""
The connection that packets come in by.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from twisted_crossws.bus.connection import Asked, ConnectionOver, ErrorReply, packed
from twisted_crossws.bus.line import Line, delay
from twisted_crossws.bus.watch import Watch
from twisted_crossws.errors import BusUnavailable

#: Channels of one command, when all are subscribed again.
BATCH = 512

#: Probes whose times are remembered until they come back. More are under way only if none comes at all.
MAX_PROBES = 16


class Listener(Protocol):
    """Whoever a subscriber belongs to."""

    def deliveryBegins(self) -> None:
        """All packets come that were read at once."""

    def deliveryEnds(self) -> None:
        """These were all."""

    def deliver(self, channel: str, packet: bytes) -> None:
        """A packet came on a channel that is wanted. Must not raise."""

    def subscriberChanged(self, reason: str, gap: float | None) -> None:
        """
        C{isHealthy} has changed, or an attempt to connect failed.

        @param gap: if it is healthy again, the seconds in which it may have missed something.
        """

    def confirmed(self, channel: bytes) -> None:
        """It is subscribed."""

    def refused(self, channel: bytes, error: Exception) -> None:
        """The Redis does not allow it; it is tried again. Said once, until it is allowed."""

    def foreignProbe(self, server: str) -> None:
        """A probe came that was published on another Redis."""


class _Change:
    """
    Stands in C{awaited} for a C{SUBSCRIBE} or C{UNSUBSCRIBE}.

    @ivar kind: the command as its confirmations name it.
    @ivar left: the channels that are not confirmed yet.
    """

    __slots__ = ("kind", "left")

    def __init__(self, kind: bytes, channels: Iterable[bytes]) -> None:
        self.kind = kind
        self.left = set(channels)


class Subscriber:
    """
    Keeps a Redis subscribed to what is wanted.

    It is healthy once everything that is wanted is confirmed, but for what the Redis refuses; a Redis that refuses
    everything is none to listen to.

    @ivar isHealthy: see above.
    @ivar heardUntil: the time by the clock until which it has certainly heard everything: when the last probe was sent
        that came back, or the subscriptions were asked for, if that was later. What has come says nothing of this: it
        may have lain in the socket while this process stood still, and the Redis have cut the connection since.
    @ivar hears: the channels that are confirmed.
    @ivar refused: those that this Redis does not allow.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        greeting: list[tuple[str, ...]],
        *,
        listener: Listener,
        wanted: Mapping[bytes, str],
        probe: bytes,
        server: str,
        clock: IReactorTime,
        timeout: float,
        random: Random,
        counters: dict[str, int],
    ) -> None:
        """
        @param wanted: the channels, with their names. Whoever adds one calls L{subscribe}, too.
        @param probe: one more channel, to see whether anything comes.
        @param server: which Redis it is.
        """
        self.isHealthy = False
        self.heardUntil = clock.seconds()
        self.hears: set[bytes] = set()
        self.refused: set[bytes] = set()
        self._listener = listener
        self._wanted = wanted
        self._probe = probe
        self._server = server
        self._clock = clock
        self._random = random
        self._counters = counters
        self._line = Line(endpoint, greeting, user=self, clock=clock, timeout=timeout, random=random)
        self._deaf = Watch(clock, timeout, self._misses, self._hearsNothing)
        self._probeDue = 0
        self._probeCame = 0
        self._probesSent: dict[int, float] = {}
        self._mayProbe = True
        self._hasHeard = False
        self._restoring: set[bytes] = set()
        self._latest: dict[bytes, _Change] = {}
        self._reported: set[bytes] = set()
        self._refusals = 0
        self._asking: IDelayedCall | None = None
        self._wasReady = False
        self._wasHealthy = False
        self._askedAt = 0.0

    @property
    def hearsAll(self) -> bool:
        """Whether it is healthy, and nothing that is wanted is refused."""
        return self.isHealthy and self.refused <= {self._probe}

    def start(self) -> None:
        """Begin to connect."""
        self._wasReady = self._wasHealthy = False
        self._line.start()

    def stop(self) -> Deferred[None]:
        """
        @return: fires when nothing is left of it.
        """
        return self._line.stop()

    def retryNow(self) -> None:
        """Connect at once: there is reason to believe that it succeeds."""
        self._line.retryNow()

    def subscribe(self, channel: bytes) -> None:
        """It is wanted now."""
        latest = self._latest.get(channel)
        isAsked = latest is not None and latest.kind == b"subscribe"
        if self._line.isReady and channel not in self.hears and not isAsked:
            self._send(b"subscribe", (channel,))
            if not self.isHealthy:
                self._restoring.add(channel)

    def unsubscribe(self, channel: bytes) -> None:
        """It is wanted no more."""
        self.hears.discard(channel)
        self.refused.discard(channel)
        self._reported.discard(channel)
        if self._line.isReady:
            self._send(b"unsubscribe", (channel,))
            self._restored(channel)

    def ping(self, always: bool) -> None:
        """
        See whether the connection is alive.

        @param always: also if something has come since the last call.
        """
        if self._line.isReady and (always or not self._hasHeard or not self._isProbed):
            # What is wrong with the Redis, its publisher will be told; here any answer will do.
            self._line.connection.command("PING").addBoth(self._pinged, self._clock.seconds())
        self._hasHeard = False

    def probe(self, number: int) -> bytes:
        """What to publish on the probe channel now; the numbers rise."""
        if len(self._probesSent) >= MAX_PROBES:
            del self._probesSent[next(iter(self._probesSent))]
        self._probesSent[number] = self._clock.seconds()
        return f"{number} {self._server}".encode()

    def cannotProbe(self) -> None:
        """The Redis does not let this node publish probes, so that the answers to pings have to do."""
        self._mayProbe = False

    def expectProbe(self, number: int) -> None:
        """The Redis has sent this probe to whoever is subscribed. It may have come already."""
        if self._probe in self.hears:
            self._probeDue = number
            self._deaf.begin()

    def ready(self) -> None:
        if self._wasReady:
            self._counters["bus_reconnects"] += 1
        self._wasReady = True
        self._askedAt = self._clock.seconds()
        channels = [self._probe, *self._wanted]
        self._restoring = set(channels)
        rest = iter(channels)
        while batch := tuple(islice(rest, BATCH)):
            self._send(b"subscribe", batch)

    def received(self, replies: list[Any]) -> None:
        self._hasHeard = True
        wanted, deliver = self._wanted, self._listener.deliver
        hasMessages = False
        self._listener.deliveryBegins()
        try:
            for reply in replies:
                if reply.__class__ is list and len(reply) == 3 and reply[0] == b"message":
                    hasMessages = True
                    name = wanted.get(reply[1])
                    if name is not None:
                        deliver(name, reply[2])
                    elif reply[1] == self._probe:
                        self._probed(reply[2])
                elif self._line.isReady:
                    self._answered(reply)
        finally:
            self._listener.deliveryEnds()
        if hasMessages:
            self._deaf.heard = True

    def writable(self) -> None:
        pass

    def lost(self, reason: str, unanswered: list[Any]) -> None:
        self._deaf.end()
        self._probeDue = 0
        self._probesSent.clear()
        self._mayProbe = True
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        self.isHealthy = False
        for channels in (self.hears, self.refused, self._restoring, self._latest):
            channels.clear()
        self._listener.subscriberChanged(reason, None)

    def _send(self, kind: bytes, channels: Collection[bytes]) -> None:
        change = _Change(kind, channels)
        self._latest.update(dict.fromkeys(channels, change))
        self._line.connection.send(packed(kind.upper(), *channels), (change,))

    def _answered(self, reply: Any) -> None:
        """To the oldest command that is not answered."""
        awaited = self._line.connection.awaited
        mark = awaited[0] if awaited else None
        if mark.__class__ is Asked:
            awaited.popleft()
            mark.answered(reply)
        elif isinstance(mark, _Change) and isinstance(reply, ErrorReply):
            awaited.popleft()
            self._notChanged(mark, reply)
        elif isinstance(mark, _Change) and _confirms(reply, mark):
            mark.left.remove(reply[1])
            if not mark.left:
                awaited.popleft()
            self._changed(mark, reply[1])
        else:
            self._line.cut("it is no Redis: it says something else than it is asked")

    def _changed(self, change: _Change, channel: bytes) -> None:
        # What was asked for later is what counts.
        if self._latest.get(channel) is change:
            del self._latest[channel]
            if change.kind == b"subscribe":
                self.hears.add(channel)
                self.refused.discard(channel)
                self._reported.discard(channel)
                if not self.refused:
                    self._refusals = 0
                self._restored(channel)
                self._listener.confirmed(channel)

    def _notChanged(self, change: _Change, error: ErrorReply) -> None:
        if error.code != "NOPERM":
            self._line.cut(f"it answers {change.kind.decode().upper()} with {error.shown}")
        elif len(change.left) > 1:
            # It is about one of them, and does not say which.
            for channel in change.left:
                if self._latest.get(channel) is change:
                    self._send(b"subscribe", (channel,))
        else:
            (channel,) = change.left
            if self._latest.get(channel) is change:
                del self._latest[channel]
                if change.kind == b"subscribe":
                    self._isRefused(channel, error)

    def _isRefused(self, channel: bytes, error: ErrorReply) -> None:
        self.refused.add(channel)
        if self._asking is None:
            self._refusals += 1
            self._asking = self._clock.callLater(delay(self._refusals, self._random), self._askAgain)
        if channel not in self._reported:
            self._reported.add(channel)
            self._listener.refused(channel, BusUnavailable(f"A Redis refuses the subscription: {error.shown}."))
        self._restored(channel, error)

    def _askAgain(self) -> None:
        self._asking = None
        for channel in self.refused:
            self._send(b"subscribe", (channel,))

    def _restored(self, channel: bytes, error: ErrorReply | None = None) -> None:
        """One less to wait for."""
        self._restoring.discard(channel)
        if self.isHealthy or self._restoring or not self._line.isReady:
            return
        if not self.hears:
            if error is not None:
                self._listener.subscriberChanged(f"it answers SUBSCRIBE with {error.shown}", None)
            return
        self.isHealthy = True
        gap = self._clock.seconds() - self.heardUntil if self._wasHealthy else None
        self._counters["bus_gaps"] += self._wasHealthy
        self._wasHealthy = True
        self.heardUntil = self._askedAt
        self._listener.subscriberChanged("connected", gap)

    def _probed(self, payload: bytes) -> None:
        number, _, server = payload.decode("utf-8", "replace").partition(" ")
        if server != self._server:
            self._listener.foreignProbe(server)
        elif number.isdecimal():
            self._probeCame = int(number)
            self._cameBack(self._probeCame)

    def _cameBack(self, number: int) -> None:
        sent = self._probesSent.get(number)
        if sent is not None:
            self._probesSent = {later: at for later, at in self._probesSent.items() if later > number}
            self._hearsSince(sent)

    @property
    def _isProbed(self) -> bool:
        return self._mayProbe and self._probe not in self.refused

    def _pinged(self, answer: object, sent: float) -> None:
        # A Redis that answers pings may be deaf all the same; only where it cannot be probed, they have to do.
        if not self._isProbed and not (isinstance(answer, Failure) and answer.check(ConnectionOver)):
            self._hearsSince(sent)

    def _hearsSince(self, sent: float) -> None:
        if self.isHealthy:
            self.heardUntil = max(self.heardUntil, sent)

    def _misses(self) -> bool:
        return self._probeCame < self._probeDue

    def _hearsNothing(self) -> None:
        self._counters["bus_deaf"] += 1
        self._line.cut("it is connected, but nothing comes")


def _confirms(reply: Any, change: _Change) -> bool:
    return isinstance(reply, list) and len(reply) == 3 and reply[0] == change.kind and reply[1] in change.left
