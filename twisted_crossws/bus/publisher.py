"""
The connection that packets leave by.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from twisted_crossws.bus.connection import Asked, ErrorReply, messageCommand
from twisted_crossws.bus.line import HARMLESS, Line
from twisted_crossws.bus.waiting import Entry, Mark
from twisted_crossws.errors import BusUnavailable

#: Bytes of packets that wait while the Redis does not read. Much more than any pause of one that is well, and no more
#: memory than a node has to spare.
MAX_UNSENT = 8_388_608

#: Seconds that a Redis has, when the node stops, to confirm what was published.
DRAIN_TIMEOUT = 0.5

#: The share of a new measurement in the latency.
_SMOOTHING = 0.25

#: Errors by which a Redis says that it can carry nothing now, whatever it is.
_UNFIT = frozenset(("LOADING", "MASTERDOWN", "READONLY", "CLUSTERDOWN", "NOAUTH", "BUSY"))


class Publisher:
    """
    Publishes on one Redis: all packets of one turn in one write, in the order in which they were given.

    @ivar server: which Redis it is, the same text on every node.
    @ivar isReady: it can publish.
    @ivar latency: seconds that the Redis took to answer pings, smoothed; infinite before it has answered one.
    """

    def __init__(
        self,
        server: str,
        endpoint: IStreamClientEndpoint,
        greeting: list[tuple[str, ...]],
        *,
        clock: IReactorTime,
        timeout: float,
        random: Random,
        counters: dict[str, int],
        changed: Callable[[str, list[Entry]], None],
    ) -> None:
        """
        @param changed: called when L{isReady} has changed, or an attempt to connect failed, with why, and with what was
            given to it and never sent.
        """
        self.server = server
        self.latency = inf
        self._clock = clock
        self._counters = counters
        self._changed = changed
        self._line = Line(endpoint, greeting, user=self, clock=clock, timeout=timeout, random=random)
        self._unsent: list[Entry] = []
        self._unsentBytes = 0
        self._flushing: IDelayedCall | None = None
        self._isHeld = False
        self._wasReady = False
        self._drained: Deferred[None] | None = None

    @property
    def isReady(self) -> bool:
        return self._line.isReady

    def start(self) -> None:
        """Begin to connect."""
        self._wasReady = False
        self._drained = None
        self._line.start()

    def stop(self) -> Deferred[None]:
        """
        Send what was given, and wait for its confirmation, but not long.

        @return: fires when nothing is left of it.
        """
        if self.isReady:
            self._flushNow()
        if not self._owes():
            return self._line.stop()
        self._line.connection.hurry()
        self._drained = Deferred()
        self._drained.addTimeout(DRAIN_TIMEOUT, self._clock)
        return self._drained.addBoth(lambda _: self._line.stop())

    def retryNow(self) -> None:
        """Connect at once: there is reason to believe that it succeeds."""
        self._line.retryNow()

    def publish(self, entry: Entry) -> bool:
        """
        Only while L{isReady}.

        @return: whether it was taken; if not, too much waits already.
        """
        if self._unsentBytes > MAX_UNSENT and self._line.connection.isFull:
            return False
        self._unsent.append(entry)
        self._unsentBytes += len(entry[1])
        if self._flushing is None and not self._isHeld:
            self._flushing = self._clock.callLater(0, self._flush)
        return True

    def hold(self) -> None:
        """Until L{release} is called, in the same turn, it collects what is published."""
        self._isHeld = True

    def release(self) -> None:
        """What was collected leaves now, and need not wait for the end of the turn."""
        self._isHeld = False
        if self._unsent and not self._line.connection.isFull:
            self._flushNow()

    def ping(self) -> None:
        """See whether the Redis is alive, and how fast it answers. Only while L{isReady}."""
        self._pinged(self.ask("PING"), self._clock.seconds())

    def ask(self, *words: str | bytes) -> Deferred[Any]:
        """
        Any command. Only while L{isReady}.

        @return: fires with the reply; fails with L{ErrorReply} or L{ConnectionOver}.
        """
        return self._line.connection.command(*words)

    def ready(self) -> None:
        if self._wasReady:
            self._counters["bus_reconnects"] += 1
        self._wasReady = True
        self._changed("connected", [])
        if self.isReady:
            self.ping()

    def received(self, replies: list[Any]) -> None:
        awaited = self._line.connection.awaited
        confirmed = unheard = 0
        unfit: ErrorReply | None = None
        asking: list[tuple[Any, Any]] = []
        for reply in replies:
            if not awaited:
                self._line.cut("it is no Redis: it says more than it is asked")
                break
            mark = awaited.popleft()
            if mark.__class__ is Asked:
                asking.append((mark.answered, reply))
            elif reply.__class__ is int:
                confirmed += 1
                if mark.__class__ is not int:
                    asking.append((mark.callback, reply))
                elif reply < mark:
                    unheard += mark - reply
            else:
                self._counters["bus_rejected"] += 1
                unfit = _unfit(reply) or unfit
                if mark.__class__ is not int:
                    asking.append((mark.errback, BusUnavailable(f"A Redis refused the packet: {_said(reply)}.")))
        self._counters["bus_confirmed"] += confirmed
        self._counters["bus_unheard"] += unheard
        if unfit is not None:
            self._line.cut(f"it answers PUBLISH with {unfit.shown}")
        # Whoever is told may publish, or stop everything.
        for tell, reply in asking:
            tell(reply)
        self._seeWhetherDrained()

    def writable(self) -> None:
        self._flushNow()

    def lost(self, reason: str, unanswered: list[Mark]) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        unsent, self._unsent, self._unsentBytes = self._unsent, [], 0
        self._counters["bus_unconfirmed"] += len(unanswered)
        self._changed(reason, unsent)
        for mark in unanswered:
            if not isinstance(mark, int):
                mark.errback(BusUnavailable("The connection to the Redis broke: perhaps it was delivered."))
        self._seeWhetherDrained()

    def _flush(self) -> None:
        self._flushing = None
        if not self._line.connection.isFull:
            self._flushNow()

    def _flushNow(self) -> None:
        if self._unsent:
            entries, self._unsent, self._unsentBytes = self._unsent, [], 0
            data = [messageCommand(entry[0], entry[1]) for entry in entries]
            marks = [entry[2] for entry in entries]
            connection = self._line.connection
            connection.send(b"".join(data), marks)
            if all(mark.__class__ is int for mark in marks):
                connection.postpone()
            else:
                connection.hurry()

    def _owes(self) -> bool:
        return self.isReady and bool(self._line.connection.awaited)

    def _seeWhetherDrained(self) -> None:
        if self._drained is not None and not self._drained.called and not self._owes():
            self._drained.callback(None)

    def _pinged(self, answered: Deferred[Any], asked: float) -> None:
        def pong(_: object) -> None:
            seconds = self._clock.seconds() - asked
            self.latency = seconds if self.latency == inf else self.latency + _SMOOTHING * (seconds - self.latency)

        def noPong(failure: Failure) -> None:
            error = failure.value
            if isinstance(error, ErrorReply) and error.code not in HARMLESS:
                self._line.cut(f"it answers PING with {error.shown}")

        answered.addCallbacks(pong, noPong)


def _unfit(reply: Any) -> ErrorReply | None:
    return reply if isinstance(reply, ErrorReply) and reply.code in _UNFIT else None


def _said(reply: Any) -> str:
    return reply.shown if isinstance(reply, ErrorReply) else "it answers with no number"
