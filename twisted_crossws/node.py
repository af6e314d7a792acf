"""
The object that an application holds. What can be done with a node hangs on its parts; here they are put together.
"""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource

from twisted_crossws.bus.memory import memoryBus
from twisted_crossws.cluster.channels import Channels
from twisted_crossws.cluster.clients import Clients
from twisted_crossws.cluster.gaps import GapWatch
from twisted_crossws.cluster.identity import Identity
from twisted_crossws.cluster.inbox import Inbox
from twisted_crossws.cluster.joining import Joining
from twisted_crossws.cluster.links import Links
from twisted_crossws.cluster.membership import Membership
from twisted_crossws.cluster.outbox import Outbox
from twisted_crossws.cluster.relay import Relaying
from twisted_crossws.cluster.rooms import Rooms
from twisted_crossws.cluster.servers import Servers
from twisted_crossws.cluster.subscriptions import Subscriptions
from twisted_crossws.config import Config
from twisted_crossws.errors import CloseCode
from twisted_crossws.interfaces import IBus
from twisted_crossws.state.asking import Asking
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.dispatch import ClientDispatch, OnAnswered
from twisted_crossws.state.draining import Draining
from twisted_crossws.state.gateway import ClientGateway
from twisted_crossws.state.lifecycle import Lifecycle
from twisted_crossws.state.sockets import Socket, Sockets
from twisted_crossws.steady import steady
from twisted_crossws.wire.packets import PacketCodec
from twisted_crossws.wire.topics import Topics
from twisted_crossws.ws.entrance import Asked, Entrance
from twisted_crossws.ws.handshake import Authenticator, SubprotocolChooser

_log = Logger()

#: Seconds that clients have, when the node stops, to answer its close frame.
STOP_TIMEOUT = 1.0

#: Seconds of C{stop_deadline} that draining leaves for stopping: for the clients, the services and the bus.
STOP_RESERVE = 2.0

#: Why a node in such a state is to get no clients.
_NOT_READY = {
    "starting": "It has not joined its cluster yet.",
    "draining": "It sends its clients away, and takes no others.",
    "stopping": "It is being stopped.",
    "stopped": "It has stopped.",
}

#: The name of a node that nobody else can see.
_ALONE = "local"


class Node(Asked, MultiService):
    """
    One process of a cluster. It is an L{IService<twisted.application.service.IService>}: give it a parent, or start
    it; what is a service of the application becomes its child.

    @ivar serverName: its name, unique in the cluster.
    @ivar clients: events from clients, messages to clients: L{Clients}.
    @ivar servers: events between servers, calls with replies: L{Servers}.
    @ivar rooms: who is in which room: L{Rooms}.
    @ivar sockets: which socket belongs to which C{socketId}: L{Sockets}.
    @ivar lifecycle: what happens to connections and to the server itself: L{Lifecycle}.
    @ivar channels: the application's own channels on the bus: L{Channels}.
    @ivar bus: the links to Redis, their health: L{Links}.
    @ivar counters: what happened how often: L{Counters}.
    @ivar config: what it was made with.
    @ivar clock: for every timer, of an application too: the reactor, or the clock that a test has given.
    @ivar ports: the services that listen for it, to be stopped first.
    """

    def __init__(
        self,
        serverName: str | None = None,
        bus: IBus | None = None,
        *,
        authenticate: Authenticator | None = None,
        chooseSubprotocol: SubprotocolChooser | None = None,
        config: Config | None = None,
        clock: IReactorTime | Clock | None = None,
    ) -> None:
        """
        @param serverName: required when the bus leaves the process.
        @param bus: by default a memory bus of its own.
        @param authenticate: given each handshake's request, says who it is: a C{socketId} or C{None}, or a Deferred or
            coroutine of one; it may raise L{Refuse<twisted_crossws.errors.Refuse>}.
        @param chooseSubprotocol: given the same, says which of its C{subprotocols} is agreed to, or C{None}.
        @param config: limits and settings; what it says about listening, the kind of bus and services is for C{twistd}.
        @param clock: for every timer; by default the reactor, which then counts by the monotonic clock: L{steady}.
        @raise ValueError: a setting has a bad value, or the name is missing.
        @raise TypeError: the authenticator cannot be called with a request.
        """
        super().__init__()
        if clock is None:
            from twisted.internet import reactor

            clock = reactor
        self.clock = clock = steady(IReactorTime(clock))
        self.config = config = Config() if config is None else config
        self.serverName = _checkedName(serverName or config.node.server_name, bus)
        self.setName(self.serverName)
        self.counters = Counters()
        self.lifecycle = Lifecycle(self.serverName, self.counters)
        self.ports = MultiService()
        self._everyone: set[Any] = set()
        self._draining: Draining | None = None
        self._stopping: Deferred[None] | None = None
        self._makeCluster(memoryBus() if bus is None else bus, clock)
        self._makeEntrance(clock)
        self.authenticate, self.chooseSubprotocol = authenticate, chooseSubprotocol
        if self._membership.isEntering:
            self._entrance.hold()
        self._inbox.connect(self.clients, self.servers, self.channels, self.bus, self._membership, self._gaps)

    def _makeCluster(self, bus: IBus, clock: IReactorTime) -> None:
        """The parts that talk to other nodes."""
        config = self.config
        topics = Topics(config.bus.bridge_prefix, config.bus.room_prefix)
        codec = PacketCodec(config.bus.compression)
        identity = Identity(self.serverName, config.node, lambda: len(self._everyone))
        self._topics = topics
        self._inbox = Inbox(self.serverName, topics, codec, clock, self.counters)
        self._link = bus.attach(self._inbox, clock, self.counters)
        self.bus = Links(self.serverName, self._link)
        own = self._ownChannels()
        self._outbox = Outbox(self.serverName, identity.incarnation, self._link, codec, self.counters, own)
        self._gaps = GapWatch(self._link, self.bus, self._outbox, clock, self.counters, config.node)
        self._membership = Membership(
            identity,
            outbox=self._outbox,
            channel=topics.members,
            clock=clock,
            counters=self.counters,
            lifecycle=self.lifecycle,
            options=config.node,
            tails=self._gaps.tails,
        )
        self._outbox.countAudience(self._membership.count)
        self.bus.onHealthChange(self._membership.healthChanged)
        self._subscriptions = Subscriptions(
            self._gaps, clock, config.bus.subscribe_timeout, isConnected=lambda: self.bus.isConnected
        )
        self.sockets = Sockets(lambda socketId: self.rooms.leaveAll(socketId))
        self.rooms = Rooms(self._subscriptions, topics, self.sockets, config.rooms)
        self.servers = Servers(
            outbox=self._outbox,
            membership=self._membership,
            topics=topics,
            clock=clock,
            counters=self.counters,
            incarnation=identity.incarnation,
        )
        self._joining = Joining(
            self._membership, self._subscriptions, topics.members, self._refused, clock, config.node.join_timeout
        )
        self.channels = Channels(self._outbox, self._subscriptions, topics.isReserved)

    def _makeEntrance(self, clock: IReactorTime) -> None:
        """The parts that talk to clients."""
        options, counters = self.config.websocket, self.counters
        self._asking = asking = Asking(clock, counters)
        self.clients = Clients(
            outbox=self._outbox,
            topics=self._topics,
            sockets=self.sockets,
            rooms=self.rooms,
            everyone=self._everyone,
            counters=counters,
            servers=self.servers,
            asking=asking,
            clock=clock,
        )
        self._relaying = Relaying(self.servers, counters, self._outbox.incarnation)
        self._dispatch = ClientDispatch(
            self.serverName, self.clients, counters, self._relaying.relay, options.max_unanswered
        )
        self._gateway = ClientGateway(
            self._everyone,
            clock=clock,
            counters=counters,
            lifecycle=self.lifecycle,
            sockets=self.sockets,
            dispatch=self._dispatch,
            asking=asking,
            options=options,
        )
        self._entrance = Entrance(
            self._gateway,
            options,
            clock,
            counters,
            health=self._health,
            readiness=self._readiness,
            holdTimeout=self.config.node.join_timeout,
        )

    if TYPE_CHECKING:  # Twisted's own is not annotated.

        def setServiceParent(self, parent: object) -> Any: ...

    def webSocketFactory(self) -> IProtocolFactory:
        """
        The factory to listen with on any endpoint. It answers plain HTTP too: C{/healthz}, C{/readyz},
        C{/crossws.js}, and the folder C{static} if there is one.
        """
        return self._entrance.factory()

    def webResource(self) -> IResource:
        """
        A resource to share a port with an existing L{twisted.web} site: where it stands, WebSocket clients
        come in. The site decides about the path.
        """
        return self._entrance.resource()

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        self.ports.privilegedStartService()

    def startService(self) -> None:
        """Begin to join the cluster, start the services of the application, then listen."""
        if self._draining is not None:
            self._draining.end()
        self._stopping = self._draining = None
        self._tellOfAnswers(None)
        self._entrance.hold()
        self._link.start()
        self._subscriptions.restart()
        self._joining.start([*self._ownChannels(), *self.rooms.presetChannels, *self.config.channels.subscribe])
        self.whenOpen().addCallbacks(lambda _: self._entrance.open(), lambda _: None)
        super().startService()
        self.ports.startService()

    def whenJoined(self) -> Deferred[None]:
        """
        @return: fires when the node hears its channels, has its name, and knows the servers that are there; that is at
            once on a memory bus, and not before there is a Redis on a bus of these. Fails with
            L{NameTaken<twisted_crossws.errors.NameTaken>}, when the node has stopped, and with C{CancelledError} if it
            is stopped before.
        """
        return self._joining.when()

    def whenOpen(self) -> Deferred[None]:
        """
        @return: fires when clients are let in: the node has joined, or its bus was away for C{join_timeout}. Fails as
            L{whenJoined}.
        """
        return self._joining.whenOpen()

    @property
    def state(self) -> str:
        """
        C{"starting"} until it is a member of its cluster, then C{"running"}; from L{drain} on C{"draining"}, and from
        L{stopService} on C{"stopping"} and at last C{"stopped"}.
        """
        if self._stopping is not None:
            return "stopped" if self._stopping.called else "stopping"
        if self._draining is not None:
            return "draining"
        return "running" if self._membership.isJoined and not self._membership.isEntering else "starting"

    def drain(self) -> Deferred[None]:
        """
        Leave the load balance, and lose nothing: C{/readyz} says 503 and nobody comes in any more; clients are closed
        with 1012, spread over C{drain_seconds}, each when it has its answers, and has given its own. Ports stay open,
        and other servers are served as before. To be stopped afterwards; only L{startService} lets clients in again.

        @return: fires when all clients are gone, and the calls between servers that were open then have ended; at
            C{stop_deadline} less L{STOP_RESERVE} in any case. If it is called again, the course is the same.
        """
        if self._stopping is not None:
            return self.stopService()
        draining = self._draining
        if draining is None:
            draining = self._draining = self._makeDraining()
            _log.info("{server} is drained of {clients} clients", server=self.serverName, clients=len(self._everyone))
            self._tellOfAnswers(draining.answered)
            self._subscriptions.hurry()
            self._entrance.close()
            self._membership.drain()
            self.lifecycle.fire("draining")
            draining.begin(self._everyone, self._gateway.whenEmpty)
        return draining.when()

    def _makeDraining(self) -> Draining:
        limits = self.config.node
        return Draining(
            self.serverName,
            self.clock,
            self.counters,
            seconds=limits.drain_seconds,
            deadline=limits.stop_deadline - min(STOP_RESERVE, limits.stop_deadline / 2),
            random=random,
            isBusy=self._isBusy,
            openCalls=self.servers.openCalls,
        )

    def _isBusy(self, socket: Socket) -> bool:
        """Whether that client waits for an answer, or is waited for."""
        return socket.unanswered > 0 or bool(socket.asked) or self._relaying.isWaiting(socket)

    def _tellOfAnswers(self, told: OnAnswered | None) -> None:
        self._dispatch.onAnswered = self._relaying.onAnswered = self._asking.onAnswered = told

    def stopService(self) -> Deferred[None]:
        """
        Accept nobody any more, close clients with 1001, stop the services of the application, leave the bus.

        @return: fires when all is closed. Clients that do not answer are cut after L{STOP_TIMEOUT}. A node that stops
            already is not stopped again.
        """
        if self._stopping is None:
            self._stopping = stopping = Deferred[Any]()
            self._stop().addBoth(stopping.callback)
        told: Deferred[None] = Deferred()

        self._stopping.addBoth(told.callback)
        return told

    def _stop(self) -> Deferred[None]:
        self.lifecycle.fire("serverClose")
        self._membership.drain()
        if self._draining is not None:
            self._draining.end()
        self._subscriptions.hurry()
        self._entrance.close()
        ports = maybeDeferred(self.ports.stopService)
        self._gateway.closeAll(CloseCode.GOING_AWAY, "server going away")
        gone = self._gateway.whenEmpty()
        timer = self.clock.callLater(STOP_TIMEOUT, self._gateway.abortAll)

        def clientsGone(_: object) -> Deferred[Any]:
            if timer.active():
                timer.cancel()
            return maybeDeferred(super(Node, self).stopService)

        def servicesStopped(_: object) -> Deferred[None]:
            self.clients.stop()
            self.servers.stop()
            self._membership.leave()
            self._subscriptions.stop()
            self._gaps.stop()
            stopped: Deferred[None] = self._link.stop()
            return stopped

        return DeferredList([ports, gone]).addCallback(clientsGone).addCallback(servicesStopped)

    def _ownChannels(self) -> list[str]:
        return [self._topics.bridge, self._topics.privateSocket, self._topics.broadcast]

    def _refused(self, failure: Failure) -> Deferred[None]:
        """Another server has this name."""
        _log.error("{reason}", reason=failure.getErrorMessage())
        self.lifecycle.fire("serverError", failure)
        return maybeDeferred(self.stopService)

    def _health(self) -> tuple[bool, dict[str, Any]]:
        """What C{/healthz} says: whether the node serves, and some figures."""
        serving = not self._entrance.admission.isClosed
        return serving, {
            "status": "stopping" if not serving else "ok" if self.bus.isHealthy else "degraded",
            "server": self.serverName,
            "clients": len(self._everyone),
        }

    def _readiness(self) -> tuple[bool, dict[str, Any]]:
        """What C{/readyz} says: whether more clients should be sent here, and if not, why not."""
        status, reason = self.state, _NOT_READY.get(self.state, "")
        if not reason and self.bus.isConnected:
            status = "ready"
        elif not reason:
            status, reason = "degraded", "Its bus is away, so it is cut off from other servers."
        said = {"status": status, "server": self.serverName, "clients": len(self._everyone)}
        return not reason, {**said, "reason": reason} if reason else said


def _checkedName(serverName: str | None, bus: IBus | None) -> str:
    if serverName is None and bus is not None and bus.leavesProcess:
        raise ValueError("A node on a bus that leaves the process needs a serverName, unique in the cluster.")
    return serverName or _ALONE
