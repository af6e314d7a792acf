"""
What this node misses of what others publish.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from twisted_crossws.cluster.links import Links
from twisted_crossws.cluster.membership import DEPARTED_FOR
from twisted_crossws.cluster.outbox import Outbox
from twisted_crossws.cluster.tails import Tails
from twisted_crossws.config import NodeConfig
from twisted_crossws.interfaces import Gap, HealthChange, IBusLink
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.members import processOf
from twisted_crossws.state.numbers import HeardNumbers, Missed
from twisted_crossws.wire.packets import Presence
from twisted_crossws.wire.text import shown

_log = Logger()

#: Seconds that packets may be late which others have overtaken, on their ways over several Redis servers: as long as a
#: Redis may hang before it is left, with the default of C{ping_timeout}, and half a second more.
GRACE = 2.5

#: Seconds between two looks for senders that are gone.
FORGET_INTERVAL = 30.0


class GapWatch:
    """
    Follows the numbers of what comes, counts and tells what does not. Subscriptions pass through it, so that it knows
    what is heard.

    @ivar numbers: what has come, and what has not.
    @ivar tails: what this node itself tells of its numbers.
    """

    def __init__(
        self,
        link: IBusLink,
        links: Links,
        outbox: Outbox,
        clock: IReactorTime,
        counters: Counters,
        options: NodeConfig,
    ) -> None:
        """
        @param links: what tells the application.
        """
        self.numbers = HeardNumbers(GRACE, clock.seconds, self._watch)
        self.tails = Tails(outbox.numbers, clock, options.announce_interval)
        self._serverName = outbox.serverName
        self._link = link
        self._clock = clock
        self._counters = counters
        self._forgetAfter = options.lost_after * DEPARTED_FOR
        self._tell = links.missed
        self._forgotAt = clock.seconds()
        self._reporting: IDelayedCall | None = None
        links.onHealthChange(self._healthChanged)

    def subscribe(self, channel: str) -> Deferred[None]:
        """As L{IBusLink.subscribe}. What is published after it has fired should not be missed."""

        def listen(result: None) -> None:
            self.numbers.listen(channel)

        subscribed: Deferred[None] = self._link.subscribe(channel)
        return subscribed.addCallback(listen)

    def unsubscribe(self, channel: str) -> Deferred[None]:
        """As L{IBusLink.unsubscribe}."""
        self.numbers.leave(channel)
        unsubscribed: Deferred[None] = self._link.unsubscribe(channel)
        return unsubscribed

    def said(self, channel: str, presence: Presence) -> None:
        """Another server has said something of itself."""
        now = self._clock.seconds()
        self.tails.heard(presence)
        self.numbers.heardUntil = self._link.heardUntil
        if presence.number == 1:
            self.numbers.met(presence.incarnation)
        if presence.number.__class__ is int:
            # The numbers go on when a process that was away begins another life.
            process = processOf(presence.incarnation)
            self.numbers.received(channel, presence.senderServer, process, presence.number)
            self.numbers.told(presence.senderServer, process, presence.tails, isLast=presence.kind == "bye")
        if now - self._forgotAt >= FORGET_INTERVAL:
            self._forgotAt = now
            self.numbers.forget(now - self._forgetAfter)

    def stop(self) -> None:
        """This node hears nothing more."""
        self.tails.stop()
        self.numbers.clear()
        if self._reporting is not None:
            self._reporting.cancel()
            self._reporting = None

    def _healthChanged(self, change: HealthChange) -> None:
        """If this node hears again, it may have missed what has no numbers."""
        self.tails.healthChanged(change)
        if change.role == "subscriber" and change.gap is not None:
            self._tell(Gap("", "", None, change.gap))

    def _watch(self) -> None:
        if self._reporting is None:
            due = self.numbers.due()
            if due is not None:
                self._reporting = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._report)

    def _report(self) -> None:
        self._reporting = None
        missed = self.numbers.missed()
        self._watch()
        if missed:
            self._log(missed)
            now = self._clock.seconds()
            for each in missed:
                self._counters["bus_missed"] += each.count
                self._tell(Gap(each.channel, each.sender, each.count, now - each.since))

    def _log(self, missed: list[Missed]) -> None:
        worst = max(missed, key=lambda each: each.count)
        _log.warn(
            "{server}: missed {count} packets of other servers within {seconds:.1f} seconds (servers: {senders}, "
            "channels: {channels}); {worst} of {sender} on {channel}",
            server=self._serverName,
            count=sum(each.count for each in missed),
            senders=len({each.sender for each in missed}),
            channels=len({each.channel for each in missed}),
            seconds=self._clock.seconds() - min(each.since for each in missed),
            worst=worst.count,
            sender=shown(worst.sender),
            channel=shown(worst.channel),
        )
