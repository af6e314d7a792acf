"""
Sockets: the application's handles of its clients, and which of them has which C{socketId}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from twisted_crossws.errors import CloseCode, SocketClosed
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.limits import TokenBucket
from twisted_crossws.state.listeners import checkEvent
from twisted_crossws.state.seams import Channel, Request
from twisted_crossws.wire import frames
from twisted_crossws.wire.rfc6455 import Prepared
from twisted_crossws.wire.text import shown

#: The codes that an endpoint may put into a close frame (RFC 6455 section 7.4).
_SENDABLE = frozenset(range(1000, 1015)) - {1004, 1005, 1006}

#: Seconds that a client has to answer a request, unless something else is said.
REQUEST_TIMEOUT = 5.0


class SocketHost(Protocol):
    """
    What all sockets of a node share.

    @ivar backgroundCloseAfter: seconds.
    """

    clock: IReactorTime
    counters: Counters
    backgroundCloseAfter: float

    def call(self, socket: Socket, event: str, payload: object, timeout: float) -> Deferred[Any]:
        """Ask a client something."""


class Socket:
    """
    One client, as long as it is connected.

    @ivar socketId: its identity, or C{None} until it is bound.
    @ivar request: the request that opened it.
    @ivar speaksErrors: whether it speaks version 2 of the wire: it reads error replies, and answers requests.
    @ivar unanswered: how many of its events are still being worked on.
    @ivar noise: how many frames that are no events it may still send, once it has sent one.
    @ivar events: the same for events, where they are limited.
    @ivar asked: the ids of the requests that it has not answered.
    @ivar connection: what tells it from others that bear its C{socketId} at another time or on another node; empty
        before anybody needs it.
    """

    __slots__ = (
        "_background",
        "_channel",
        "_data",
        "_host",
        "asked",
        "connection",
        "events",
        "noise",
        "request",
        "socketId",
        "speaksErrors",
        "unanswered",
    )

    def __init__(self, channel: Channel, request: Request, host: SocketHost, *, speaksErrors: bool = False) -> None:
        self.socketId: str | None = None
        self.request = request
        self.speaksErrors = speaksErrors
        self.unanswered = 0
        self.noise: TokenBucket | None = None
        self.events: TokenBucket | None = None
        self.asked: set[str] | None = None
        self.connection = ""
        self._channel = channel
        self._host = host
        self._data: dict[Any, Any] | None = None
        self._background: IDelayedCall | None = None

    def __repr__(self) -> str:
        state = "open" if self.isOpen else "closed"
        name = None if self.socketId is None else shown(self.socketId)
        return f"<Socket {name} of {self.request.peer}, {state}>"

    @property
    def data(self) -> dict[Any, Any]:
        """A place for whatever the application wants to remember of this client."""
        if self._data is None:
            self._data = {}
        return self._data

    @property
    def hasData(self) -> bool:
        """Whether something is in L{data}. Asking so makes no place for it."""
        return bool(self._data)

    @property
    def isOpen(self) -> bool:
        """Whether it can still be sent to: neither side has begun to close."""
        return self._channel.isOpen()

    @property
    def isBehind(self) -> bool:
        """Whether something waits that was sent to it before: it does not read, or not fast enough."""
        return self._channel.isBehind()

    def send(self, event: str, payload: object = None) -> bool:
        """
        @return: whether it was open; to a closing one nothing is sent, and that is counted.
        @raise TypeError: the event is not a non-empty string, or the payload holds something that JSON has no form for.
        """
        checkEvent(event)
        return self._counted(self._channel.sendText(frames.encodeEvent(event, payload)))

    def call(self, event: str, payload: object = None, timeout: float = REQUEST_TIMEOUT) -> Deferred[Any]:
        """
        Ask the client, and get its answer: what a listener of its own returns.

        @param timeout: seconds.
        @return: fires with the answer. Fails with L{CallTimeout<twisted_crossws.errors.CallTimeout>};
            L{NotConnected<twisted_crossws.errors.NotConnected>} if it is gone, or goes before it answers;
            L{RemoteError<twisted_crossws.errors.RemoteError>} if the answer is an error; and
            L{CannotAnswer<twisted_crossws.errors.CannotAnswer>} if it does not speak version 2 of the wire.
            Cancelling it forgets the request.
        @raise TypeError: as L{send}.
        @raise ValueError: the time-out is negative.
        """
        return self._host.call(self, event, payload, timeout)

    def sendText(self, text: str | bytes) -> bool:
        """
        Send a text as it is, which need not be an event: for clients that speak a wire of their own. To others the
        heartbeat's text is the answer to theirs, and what is no frame is dropped.

        @param text: if it is bytes, UTF-8.
        @return: as L{send}, and counted so.
        @raise TypeError: it is no text: another type, half of a surrogate pair, or no UTF-8.
        """
        return self._counted(self._channel.sendText(_utf8(text)))

    def sendBytes(self, data: bytes | bytearray | memoryview) -> bool:
        """
        Send bytes as they are, in a binary frame: for clients that speak a wire of their own. Others drop them.

        @return: as L{send}, and counted so.
        @raise TypeError: it is no bytes.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"Bytes are sent by sendBytes, and not {type(data)}.")
        return self._counted(self._channel.sendBytes(bytes(data)))

    @property
    def gotBytes(self) -> bool:
        """Whether the message that is being received came as bytes."""
        return self._channel.isBinary

    def _counted(self, sent: bool) -> bool:
        self._host.counters["messages_sent" if sent else "messages_skipped"] += 1
        return sent

    def sendReply(self, text: bytes) -> bool:
        """Send a finished reply. The caller counts."""
        return self._channel.sendText(text)

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """
        Say goodbye, with a closing handshake. Does nothing if it is closing already.

        @param code: 1000 to 1014 without the reserved ones, or 3000 to 4999.
        @param reason: for people; what is beyond 123 bytes of UTF-8 is cut off.
        @raise TypeError: the reason is no string.
        @raise ValueError: the code is none that may be sent.
        """
        checkCloseCode(code)
        if not isinstance(reason, str):
            raise TypeError(f"The reason of a close must be a string, not {reason!r}.")
        self._channel.close(int(code), reason)

    def abort(self) -> None:
        """Cut the connection at once; the client sees 1006."""
        self._channel.abort("aborted by the application")

    def enterBackground(self) -> None:
        """
        The client said that its page or app went to the background: if it is still there after
        C{background_close_after} it is cut, since it would be frozen by then, and its messages lost.
        """
        if self._background is None and self.isOpen:
            self._background = self._host.clock.callLater(self._host.backgroundCloseAfter, self._backgroundOver)

    def leaveBackground(self) -> None:
        """The client is back in the foreground."""
        if self._background is not None:
            self._background.cancel()
            self._background = None

    def sendPrepared(self, message: Prepared) -> bool:
        """Send a message that goes to many. The caller counts."""
        return self._channel.sendPrepared(message)

    def fault(self, code: int, reason: str) -> None:
        """The client broke a limit: close it for that, and take nothing more from it."""
        self._channel.fault(code, reason)

    def _backgroundOver(self) -> None:
        self._background = None
        self._host.counters["clients_background"] += 1
        self._channel.abort("too long in the background")


if TYPE_CHECKING:

    class BoundSocket(Socket):
        """
        A socket that is bound, to annotate listeners with where every client is: by an authenticator, or by an event
        that must come first.
        """

        socketId: str
else:
    BoundSocket = Socket


class Sockets:
    """
    The sockets of this node that have an identity.

    A closed socket is unbound by itself, after the listeners of C{close} have run.
    """

    def __init__(self, unbound: Callable[[str], None]) -> None:
        """
        @param unbound: called with each C{socketId} that its socket gives up.
        """
        self._byId: dict[str, Socket] = {}
        self._unbound = unbound

    def bind(self, socketId: str, socket: Socket) -> None:
        """
        Give a socket its identity; from then on it can be addressed. Another socket of this node that has it
        is replaced, and closed with 4012; its rooms are left, as those of a socket that closes. A socket has one
        identity: a new one takes the place of the old one.

        @raise TypeError: C{socketId} is not a non-empty string.
        @raise SocketClosed: the socket has been closed.
        """
        checkSocketId(socketId)
        if not socket.isOpen:
            raise SocketClosed(f"The socket that was to be bound to {socketId!r} is closed.")
        if socket.socketId is not None and socket.socketId != socketId:
            self.release(socket)
        older = self._byId.get(socketId)
        if older is not None and older is not socket:
            self.release(older)
        self._byId[socketId] = socket
        socket.socketId = socketId
        if older is not None and older is not socket:
            older.close(CloseCode.REPLACED, "replaced by a newer connection")

    def unbind(self, socketId: str) -> None:
        """
        Forget an identity, and leave all its rooms. The socket stays open, and may be bound again.

        @raise TypeError: C{socketId} is not a non-empty string.
        """
        checkSocketId(socketId)
        socket = self._byId.get(socketId)
        if socket is not None:
            self.release(socket)
            socket.socketId = None

    def release(self, socket: Socket) -> None:
        """
        A socket gives its identity up, unless a newer socket has taken it over. What L{Socket.socketId} says is left
        as it is, so that late work on a closed socket can tell whose it was.
        """
        socketId = socket.socketId
        if socketId is not None and self._byId.get(socketId) is socket:
            del self._byId[socketId]
            self._unbound(socketId)

    def get(self, socketId: str) -> Socket | None:
        """The socket on this node, or C{None}."""
        return self._byId.get(socketId)

    def count(self) -> int:
        """How many are bound."""
        return len(self._byId)

    def __iter__(self) -> Iterator[Socket]:
        return iter(list(self._byId.values()))


def _utf8(text: object) -> bytes:
    """
    @raise TypeError: it is no text.
    """
    try:
        if isinstance(text, str):
            return text.encode()
        if isinstance(text, bytes):
            text.decode()
            return text
    except UnicodeError as fault:
        raise TypeError(f"What is sent by sendText must be text: {fault}.") from None
    raise TypeError(f"A text is sent by sendText, and not {type(text)}.")


def checkSocketId(socketId: object) -> None:
    """
    @raise TypeError: it is not a non-empty string.
    """
    if not (isinstance(socketId, str) and socketId):
        raise TypeError(f"A socketId must be a non-empty string, not {socketId!r}.")


def checkCloseCode(code: int) -> None:
    """
    @raise ValueError: it is none that may be sent.
    """
    if code not in _SENDABLE and not 3000 <= code <= 4999:
        raise ValueError(f"{code!r} is not a close code that may be sent: 1000, or 3000 to 4999, is usual.")
