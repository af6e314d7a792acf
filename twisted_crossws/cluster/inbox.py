"""
What comes from the bus, and whom it concerns.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger
from zope.interface import implementer

from twisted_crossws.cluster.channels import Channels
from twisted_crossws.cluster.delivery import Clients
from twisted_crossws.cluster.links import Links
from twisted_crossws.cluster.servers import Servers
from twisted_crossws.errors import PacketError
from twisted_crossws.interfaces import IBusReceiver
from twisted_crossws.state.counters import Counters
from twisted_crossws.wire.packets import Bridge, ForAll, ForRoom, ForSockets, PacketCodec
from twisted_crossws.wire.rfc6455 import Prepared
from twisted_crossws.wire.text import shown
from twisted_crossws.wire.topics import Topics

_log = Logger()


@implementer(IBusReceiver)
class Inbox:
    """
    Reads packets and hands them on. One that is malformed is counted and dropped; one that this node sent itself is
    dropped, since it has served its own side before publishing.
    """

    def __init__(self, serverName: str, topics: Topics, codec: PacketCodec, counters: Counters) -> None:
        self.serverName = serverName
        self._topics = topics
        self._codec = codec
        self._counters = counters
        self._handlers: dict[str, Callable[[bytes], None]] = {}

    def connect(self, clients: Clients, servers: Servers, channels: Channels, links: Links) -> None:
        """Whom the packets concern. Until this is called, none may come."""
        self.healthChanged = links.healthChanged
        self.subscriptionFailed = links.subscriptionFailed
        self._clients = clients
        self._servers = servers
        self._channels = channels
        self._handlers = {
            self._topics.bridge: self._forServers,
            self._topics.privateSocket: self._forSockets,
            self._topics.broadcast: self._forAll,
        }

    def packetReceived(self, channel: str, packet: bytes) -> None:
        self._counters["bus_packets_received"] += 1
        try:
            handler = self._handlers.get(channel)
            if handler is not None:
                handler(packet)
            elif self._topics.isRoom(channel):
                self._forRoom(packet)
            else:
                self._forApplication(channel, packet)
        except PacketError as fault:
            self._counters["bus_packets_malformed"] += 1
            _log.debug(
                "{server}: dropped a packet on {channel}: {fault}",
                server=self.serverName,
                channel=shown(channel),
                fault=fault,
            )

    def _forServers(self, packet: bytes) -> None:
        self._servers.received(self._codec.decode(Bridge, packet).data)

    def _forSockets(self, packet: bytes) -> None:
        found = self._codec.decode(ForSockets, packet)
        if found.senderServer != self.serverName:
            wanted = found.socketIds or []
            if found.socketId is not None:
                wanted = [*wanted, found.socketId]
            self._clients.writeSome(dict.fromkeys(wanted), Prepared(found.data.encode()))

    def _forAll(self, packet: bytes) -> None:
        found = self._codec.decode(ForAll, packet)
        if found.senderServer != self.serverName:
            self._clients.writeAll(Prepared(found.data.encode()))

    def _forRoom(self, packet: bytes) -> None:
        found = self._codec.decode(ForRoom, packet)
        if found.senderServer != self.serverName:
            message = Prepared(found.data.encode())
            self._clients.writeRoom(found.roomNamespace, found.roomId, message, found.excludeSocketIds)

    def _forApplication(self, channel: str, packet: bytes) -> None:
        mapping = self._codec.decode(dict, packet)
        if mapping.get("senderServer") != self.serverName:
            self._channels.received(channel, mapping)
