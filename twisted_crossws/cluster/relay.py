"""
Questions of clients that another server answers.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.cluster.gathered import Replies
from twisted_crossws.cluster.servers import Servers
from twisted_crossws.errors import BusUnavailable, CrossWSError, NoSuchServer, RemoteError, ServerLost
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.dispatch import OnAnswered, Relay, errorOf
from twisted_crossws.state.sockets import Socket
from twisted_crossws.wire.frames import encodeErrorReply, encodeReply
from twisted_crossws.wire.packets import ReplyTo

_log = Logger()


class Relaying:
    """
    What becomes of a L{Relay} that a listener returned.

    The server that is asked answers a bound client directly; on this node that is the socket that has asked, and no
    other one that bears its C{socketId} then. What it sends to this node instead (a Node.js peer knows
    no better, and an unbound client has no address) is passed on from here.

    @ivar onAnswered: told whose question has ended, while somebody wants to know. Then no answer goes past this node.
    """

    def __init__(self, servers: Servers, counters: Counters, incarnation: str) -> None:
        """
        @param incarnation: what tells this life of the server from all others.
        """
        self._servers = servers
        self._counters = counters
        self.onAnswered: OnAnswered | None = None
        self._open: dict[Socket, int] = {}
        self._incarnation = incarnation
        self._connections = 0

    def isWaiting(self, socket: Socket) -> bool:
        """Whether another server may still answer that client. One that answers it directly is not seen to do so."""
        return socket in self._open

    def relay(self, socket: Socket, relay: Relay, callbackId: str | None) -> None:
        """
        @param callbackId: the one that the client waits for, or C{None} if it wants no reply.
        """
        if callbackId is None:
            self._servers.emit(relay.event, relay.payload, to=relay.to)
            return
        version = 2 if socket.speaksErrors else 1
        asked: Deferred[Replies]
        if socket.socketId is None or self.onAnswered is not None:
            asked = self._servers.call(relay.event, relay.payload, to=relay.to)
        else:
            replyTo = ReplyTo(socket.socketId, callbackId, version, self._connectionOf(socket))
            asked = self._servers.askFor(relay.event, relay.payload, relay.to, replyTo)
        self._open[socket] = self._open.get(socket, 0) + 1
        asked.addCallback(self._passOn, socket, relay, callbackId).addErrback(self._failed, socket, callbackId)
        asked.addCallback(self._ended, socket)

    def _connectionOf(self, socket: Socket) -> str:
        """What tells a socket from all others of the cluster, those that come after it under its C{socketId} too."""
        if not socket.connection:
            self._connections += 1
            socket.connection = f"{self._incarnation}-{self._connections}"
        return socket.connection

    def _passOn(self, replies: Replies, socket: Socket, relay: Relay, callbackId: str) -> None:
        if relay.to in replies.byServer:
            self._reply(socket, encodeReply(callbackId, replies.byServer[relay.to]))
        elif socket.speaksErrors and relay.to in replies.errors:
            self._reply(socket, encodeErrorReply(callbackId, *_codeAndMessage(replies.errors[relay.to])))

    def _reply(self, socket: Socket, text: bytes) -> None:
        sent = socket.sendReply(text)
        self._counters["replies_sent" if sent else "replies_undeliverable"] += 1

    def _ended(self, _: object, socket: Socket) -> None:
        self._open[socket] -= 1
        if not self._open[socket]:
            del self._open[socket]
        if self.onAnswered is not None:
            self.onAnswered(socket)

    def _failed(self, failure: Failure, socket: Socket, callbackId: str) -> None:
        _log.failure("the answer to a relayed question could not be passed on", failure=failure)
        if socket.speaksErrors:
            self._reply(socket, encodeErrorReply(callbackId, *errorOf(failure)))


#: What a client is told of a server that did not get to answer.
_CODES = {NoSuchServer: "no_such_server", ServerLost: "server_lost", BusUnavailable: "bus_unavailable"}


def _codeAndMessage(error: CrossWSError) -> tuple[str, str]:
    if isinstance(error, RemoteError):
        return error.code, error.message
    return _CODES[type(error)], str(error)
