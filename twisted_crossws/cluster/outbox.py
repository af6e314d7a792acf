"""
What this node puts on the bus.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from twisted_crossws.interfaces import IBusLink
from twisted_crossws.state.counters import Counters
from twisted_crossws.wire.packets import Packet, PacketCodec


class Outbox:
    """
    Encodes packets and publishes them.

    @ivar serverName: what this node signs its packets with.
    """

    def __init__(self, serverName: str, link: IBusLink, codec: PacketCodec, counters: Counters) -> None:
        self.serverName = serverName
        self.codec = codec
        self._link = link
        self._counters = counters

    @property
    def isAlone(self) -> bool:
        """Whether it is certain that nobody else would hear a packet, so that none need be made."""
        return bool(self._link.isAlone)

    def serverNames(self) -> frozenset[str] | None:
        """Who is on the bus, or C{None} where the bus cannot tell."""
        return self._link.serverNames()  # type: ignore[no-any-return]

    def publish(self, channel: str, packet: Packet) -> None:
        """
        @raise TypeError: a payload holds something that the bus has no form for.
        """
        encoded = self.codec.encode(packet)
        self._counters["bus_packets_published"] += 1
        self._link.publish(channel, encoded)

    def publishCounted(self, channel: str, mapping: dict[str, Any]) -> Deferred[int]:
        """
        @return: fires with the number of subscribers that got it.
        @raise TypeError: the mapping holds something that the bus has no form for.
        """
        encoded = self.codec.encode(mapping)
        self._counters["bus_packets_published"] += 1
        return self._link.publishCounted(channel, encoded)
