"""
What comes from the bus, and whom it concerns.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from msgspec import UNSET
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from twisted_crossws.cluster.channels import Channels
from twisted_crossws.cluster.clients import Clients
from twisted_crossws.cluster.delivery import Delivery
from twisted_crossws.cluster.gaps import GapWatch
from twisted_crossws.cluster.links import Links
from twisted_crossws.cluster.membership import Membership
from twisted_crossws.cluster.servers import Servers
from twisted_crossws.errors import PacketError
from twisted_crossws.interfaces import IBusReceiver
from twisted_crossws.state.counters import Counters
from twisted_crossws.wire.packets import Bridge, ForAll, ForRoom, ForSockets, PacketCodec, Presence
from twisted_crossws.wire.rfc6455 import Prepared
from twisted_crossws.wire.text import shown
from twisted_crossws.wire.topics import Topics

_log = Logger()

#: Seconds between two lines in the log about the same cause.
COMPLAINT_INTERVAL = 60.0

_COUNTERS = {
    "unreadable": "bus_packets_unreadable",
    "malformed": "bus_packets_malformed",
    "oversized": "bus_packets_oversized",
}


@implementer(IBusReceiver)
class Inbox:
    """
    Reads packets and hands them on. One that is malformed is counted and dropped; one that this node sent itself is
    dropped, since it has served its own side before publishing.
    """

    def __init__(
        self, serverName: str, topics: Topics, codec: PacketCodec, clock: IReactorTime, counters: Counters
    ) -> None:
        self.serverName = serverName
        self._clock = clock
        self._complained: dict[str, float] = {}
        self._topics = topics
        self._readBridge = codec.decoder(Bridge)
        self._readPresence = codec.decoder(Presence)
        self._readForSockets = codec.decoder(ForSockets)
        self._readForAll = codec.decoder(ForAll)
        self._readForRoom = codec.decoder(ForRoom)
        self._readMapping = codec.decoder(dict)
        self._counters = counters
        self._handlers: dict[str, Callable[[str, bytes], None]] = {}

    def connect(
        self,
        clients: Clients,
        servers: Servers,
        channels: Channels,
        links: Links,
        membership: Membership,
        gaps: GapWatch,
    ) -> None:
        """Whom the packets concern. Until this is called, none may come."""
        self.healthChanged = links.healthChanged
        self.subscriptionFailed = links.subscriptionFailed
        self.serverGone = membership.isLost
        self._clients: Delivery = clients
        self._volatile: Delivery = clients.volatile
        self._servers = servers
        self._channels = channels
        self._membership = membership
        self._gaps = gaps
        self._numbered = gaps.numbers.received
        self._handlers = {
            self._topics.bridge: self._forServers,
            membership.ownChannel: self._forServers,
            self._topics.members: self._forMembership,
            self._topics.privateSocket: self._forSockets,
            self._topics.broadcast: self._forAll,
        }

    def packetReceived(self, channel: str, packet: bytes) -> None:
        self._counters["bus_packets_received"] += 1
        try:
            handler = self._handlers.get(channel)
            if handler is not None:
                handler(channel, packet)
            elif self._topics.isRoom(channel):
                self._forRoom(channel, packet)
            else:
                self._forApplication(channel, packet)
        except PacketError as fault:
            self._counters[_COUNTERS[fault.cause]] += 1
            self._complain(channel, fault)

    def _complain(self, channel: str, fault: PacketError) -> None:
        """Once a minute for each cause: a peer with another setting may send thousands each second."""
        now = self._clock.seconds()
        if now - self._complained.get(fault.cause, -inf) < COMPLAINT_INTERVAL:
            return
        self._complained[fault.cause] = now
        _log.warn(
            "{server}: dropped a packet on {channel} from {sender}: {fault} (The log says it once a minute; {counter} "
            "says how often.)",
            server=self.serverName,
            channel=shown(channel),
            sender=shown(fault.sender) if fault.sender else "somebody unknown",
            fault=fault,
            counter=_COUNTERS[fault.cause],
        )

    def _forServers(self, channel: str, packet: bytes) -> None:
        found = self._readBridge(packet)
        sender = found.data.senderServer
        if sender != self.serverName and found.number.__class__ is int and found.incarnation.__class__ is str:
            self._numbered(channel, sender, found.incarnation, found.number)
        elif sender == self.serverName:
            self._own(found)
        self._servers.received(found.data)

    def _forMembership(self, channel: str, packet: bytes) -> None:
        said = self._readPresence(packet)
        if said.senderServer != self.serverName:
            self._gaps.said(channel, said)
        self._membership.received(said)

    def _forSockets(self, channel: str, packet: bytes) -> None:
        found = self._readForSockets(packet)
        if found.senderServer != self.serverName:
            if found.number.__class__ is int and found.incarnation.__class__ is str:
                self._numbered(channel, found.senderServer, found.incarnation, found.number)
            wanted = found.socketIds or []
            if found.socketId is not None:
                wanted = [*wanted, found.socketId]
            message = Prepared(found.data.encode())
            if found.connection.__class__ is str:
                self._clients.writeConnection(wanted, found.connection, message)
            else:
                clients = self._volatile if found.volatile is True else self._clients
                clients.writeSome(dict.fromkeys(wanted), message)
        else:
            self._own(found)

    def _own(self, found: Bridge | ForSockets | ForAll | ForRoom) -> None:
        """It is signed with this server's name. All of its own packets say of which life they are."""
        if found.incarnation is UNSET:
            self._membership.heardNamesake()

    def _forAll(self, channel: str, packet: bytes) -> None:
        found = self._readForAll(packet)
        if found.senderServer != self.serverName:
            if found.number.__class__ is int and found.incarnation.__class__ is str:
                self._numbered(channel, found.senderServer, found.incarnation, found.number)
            clients = self._volatile if found.volatile is True else self._clients
            clients.writeAll(Prepared(found.data.encode()))
        else:
            self._own(found)

    def _forRoom(self, channel: str, packet: bytes) -> None:
        found = self._readForRoom(packet)
        if found.senderServer != self.serverName:
            if found.number.__class__ is int and found.incarnation.__class__ is str:
                self._numbered(channel, found.senderServer, found.incarnation, found.number)
            message = Prepared(found.data.encode())
            clients = self._volatile if found.volatile is True else self._clients
            clients.writeRoom(found.roomNamespace, found.roomId, message, found.excludeSocketIds)
        else:
            self._own(found)

    def _forApplication(self, channel: str, packet: bytes) -> None:
        mapping = self._readMapping(packet)
        if mapping.get("senderServer") != self.serverName:
            self._channels.received(channel, mapping)
