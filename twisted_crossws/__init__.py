"""
Clustered WebSockets for Twisted: events with replies, rooms, and servers that call each other.

A node in a Twisted application of your own::

    from twisted.application import service
    from twisted.internet import endpoints, reactor
    from twisted_crossws import Node

    node = Node("serverA")

    @node.clients.on("say")
    async def say(socket, payload):
        node.clients.broadcast("said", payload)
        return {"heard": True}                    # the reply, if the client asked for one

    node.startService()
    endpoints.serverFromString(reactor, "tcp:9000:backlog=4096").listen(node.webSocketFactory())
    reactor.run()

The same as a service of C{twistd}: a module with C{def makeService(node, **options)}, named in a configuration file,
run by C{twistd -n crossws --config crossws.toml}. And a client::

    client = Connector("ws://localhost:9000", params={"name": "Sam"})
    await client.connect()
    reply = await client.call("say", {"text": "hi"}, timeout=5.0)
"""

from twisted_crossws._version import __version__
from twisted_crossws.bus.hub import hubBus
from twisted_crossws.bus.memory import memoryBus
from twisted_crossws.bus.redis import redisBus
from twisted_crossws.client import Connector
from twisted_crossws.cluster.answering import ServerMessage
from twisted_crossws.cluster.gathered import Replies, Reply
from twisted_crossws.cluster.questions import ClientReplies
from twisted_crossws.cluster.remote import Affected, RemoteSocket, RemoteSockets
from twisted_crossws.cluster.subscriptions import Joined
from twisted_crossws.config import (
    BusConfig,
    ChannelsConfig,
    Config,
    NodeConfig,
    RoomsConfig,
    ServiceConfig,
    WebSocketConfig,
)
from twisted_crossws.errors import (
    BusUnavailable,
    CallTimeout,
    CannotAnswer,
    CloseCode,
    ConfigError,
    CrossWSError,
    HandshakeRefused,
    NameTaken,
    NoSuchServer,
    NotConnected,
    Refuse,
    RemoteError,
    ReplyError,
    ServerLost,
    SocketClosed,
)
from twisted_crossws.interfaces import Gap, HealthChange, IBus, IBusLink, IBusReceiver, INodeService
from twisted_crossws.node import Node
from twisted_crossws.state.coroutines import startCoroutine
from twisted_crossws.state.deliver import NoReply
from twisted_crossws.state.dispatch import Relay
from twisted_crossws.state.members import ServerInfo
from twisted_crossws.state.sockets import BoundSocket, Socket
from twisted_crossws.ws.direct import useDirectWrites
from twisted_crossws.ws.handshake import HandshakeRequest

__all__ = [
    # A node, and what its listeners get and give
    "Affected",
    "BoundSocket",
    "ClientReplies",
    "HandshakeRequest",
    "Joined",
    "NoReply",
    "Node",
    "Relay",
    "RemoteSocket",
    "RemoteSockets",
    "Replies",
    "Reply",
    "ServerInfo",
    "ServerMessage",
    "Socket",
    "startCoroutine",
    "useDirectWrites",
    # A client
    "Connector",
    # Buses
    "Gap",
    "HealthChange",
    "IBus",
    "IBusLink",
    "IBusReceiver",
    "hubBus",
    "memoryBus",
    "redisBus",
    # Services by name
    "INodeService",
    # Configuration
    "BusConfig",
    "ChannelsConfig",
    "Config",
    "NodeConfig",
    "RoomsConfig",
    "ServiceConfig",
    "WebSocketConfig",
    # What can go wrong, and how a connection ends
    "BusUnavailable",
    "CallTimeout",
    "CannotAnswer",
    "CloseCode",
    "ConfigError",
    "CrossWSError",
    "HandshakeRefused",
    "NameTaken",
    "NoSuchServer",
    "NotConnected",
    "Refuse",
    "RemoteError",
    "ReplyError",
    "ServerLost",
    "SocketClosed",
    "__version__",
]
