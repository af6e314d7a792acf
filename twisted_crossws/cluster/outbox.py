"""
What this node puts on the bus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_crossws.errors import OverLimit
from twisted_crossws.interfaces import IBusLink
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.numbers import SentNumbers
from twisted_crossws.wire.packets import MAX_PACKET_SIZE, Packet, PacketCodec, Presence


class _Question:
    """What is to be done when it is known who has heard a question."""

    __slots__ = ("_about", "_counters", "_expected", "_heard", "_lost")

    def __init__(
        self,
        counters: Counters,
        expected: int,
        heard: Callable[[int, str], Any],
        lost: Callable[[Failure, str], Any],
        about: str,
    ) -> None:
        self._counters = counters
        self._expected = expected
        self._heard = heard
        self._lost = lost
        self._about = about

    def callback(self, count: int) -> None:
        if count < self._expected:
            self._counters["bus_unheard"] += self._expected - count
        self._heard(count, self._about)

    def errback(self, fault: Exception) -> None:
        self._lost(Failure(fault), self._about)


class Outbox:
    """
    Encodes packets and publishes them.

    @ivar serverName: what this node signs its packets with.
    @ivar incarnation: what tells this life of it from earlier ones of the same name.
    @ivar numbers: of what was published, by channel.
    """

    def __init__(
        self,
        serverName: str,
        incarnation: str,
        link: IBusLink,
        codec: PacketCodec,
        counters: Counters,
        forAll: Iterable[str],
    ) -> None:
        """
        @param incarnation: what tells this life of the server from earlier ones of the same name.
        @param forAll: the channels that every server hears.
        """
        self.serverName = serverName
        self.codec = codec
        self.numbers = SentNumbers()
        self._fresh = self.numbers.fresh
        self.incarnation = incarnation
        self._encode = codec.encodeValue
        self._link = link
        self._counters = counters
        self._forAll = frozenset(forAll)
        self._audience: Callable[[], int] = lambda: 0

    @property
    def isAlone(self) -> bool:
        """Whether it is certain that nobody else would hear a packet, so that none need be made."""
        return bool(self._link.isAlone)

    def serverNames(self) -> frozenset[str] | None:
        """Who is on the bus, or C{None} where the bus cannot tell."""
        return self._link.serverNames()  # type: ignore[no-any-return]

    @property
    def refusesNames(self) -> bool:
        """Whether no two servers of one name can be on the bus."""
        return bool(self._link.refusesNames)

    @property
    def isHealthy(self) -> bool:
        """Whether this node hears everything that others publish, and can publish itself."""
        return bool(self._link.isHealthy)

    def countAudience(self, audience: Callable[[], int]) -> None:
        """
        @param audience: how many servers must hear what is on the cluster's own channels, this one included, as far as
            it knows.
        """
        self._audience = audience

    def publish(self, channel: str, packet: Packet, expected: int = 0) -> bool:
        """
        @param expected: how many must hear it, if that is not one of the channels that every server hears.
        @return: whether the bus has taken it.
        @raise TypeError: a payload holds something that the bus has no form for, or is nested too deep, or is too large
            (L{OverLimit}).
        """
        encoded = self._encoded(channel, packet)
        self._counters["bus_packets_published"] += 1
        return bool(self._link.publish(channel, encoded, self._audience() if channel in self._forAll else expected))

    def publishQuestion(
        self,
        channel: str,
        packet: Packet,
        heard: Callable[[int, str], Any],
        lost: Callable[[Failure, str], Any],
        about: str,
    ) -> None:
        """
        As L{publish}, of what one server at least must hear.

        @param heard: called with the number of those that got it, and with C{about}.
        @param lost: called with the failure and with C{about} if it was dropped, or nobody can tell.
        @raise TypeError: as L{publish}.
        """
        encoded = self._encoded(channel, packet)
        self._counters["bus_packets_published"] += 1
        expected = self._audience() if channel in self._forAll else 1
        self._link.publishTold(channel, encoded, _Question(self._counters, expected, heard, lost, about))

    def hasOtherSubscribers(self, channel: str, known: list[str]) -> Deferred[bool]:
        """
        As L{IBusLink.hasOtherSubscribers<twisted_crossws.interfaces.IBusLink.hasOtherSubscribers>}.
        """
        others: Deferred[bool] = self._link.hasOtherSubscribers(channel, known)
        return others

    def publishCounted(self, channel: str, packet: Packet | dict[str, Any]) -> Deferred[int]:
        """
        A map of the application gets no number, as every key of it is the application's.

        @return: fires with the number of subscribers that got it; fails with
            L{BusUnavailable<twisted_crossws.errors.BusUnavailable>} if it was dropped, or nobody can tell.
        @raise TypeError: the packet holds something that the bus has no form for.
        """
        encoded = self._encode(packet) if isinstance(packet, dict) else self._encoded(channel, packet)
        if len(encoded) > MAX_PACKET_SIZE:
            raise _tooLarge(encoded)
        self._counters["bus_packets_published"] += 1
        published: Deferred[int] = self._link.publishCounted(channel, encoded)
        return published.addCallback(self._heard, self._audience()) if channel in self._forAll else published

    def _encoded(self, channel: str, packet: Packet) -> bytes:
        packet.number = number = (self._fresh.get(channel) or self.numbers.wake(channel)) + 1
        if packet.__class__ is not Presence:  # That says itself which life of this process it is of.
            packet.incarnation = self.incarnation
        encoded = self._encode(packet)
        if len(encoded) > MAX_PACKET_SIZE:
            raise _tooLarge(encoded)
        self._fresh[channel] = number
        return encoded

    def _heard(self, count: int, expected: int) -> int:
        self._counters["bus_unheard"] += max(0, expected - count)
        return count


def _tooLarge(encoded: bytes) -> OverLimit:
    """What is larger than what is read is told to whoever sends it: nobody else could be."""
    says = f"The packet has {len(encoded)} bytes, and more than {MAX_PACKET_SIZE} are not read on the bus."
    return OverLimit("too_large", says)
