"""
What can go wrong, and how a connection can end.

::

    CrossWSError
    ├── ConfigError            the configuration cannot be used: every fault of it at once
    ├── FrameError             a text that is no client frame              (the peer's fault)
    ├── HandshakeError         a request that is no proper handshake       (the peer's fault)
    ├── PacketError            bytes that are no bus packet                (the peer's fault)
    ├── ClientFault            a client broke the protocol or a limit      (the peer's fault)
    ├── Refuse                 raised by an authenticator: no, with this HTTP status
    ├── ReplyError             raised by a listener: answer the caller with this error
    ├── SocketClosed           the socket was closed before it could be bound
    ├── NotConnected           a call or event without a connection; a request to, or a room for, a client without one
    │   └── HandshakeRefused   the server answered the handshake with an HTTP error
    ├── CallTimeout            no reply came in time
    ├── CannotAnswer           a client cannot be asked: it does not speak version 2, or has too much to answer
    ├── RemoteError            the reply is an error
    ├── NoSuchServer           nobody on the bus has this name
    ├── ServerLost             the called server is gone, the reply will not come
    ├── BusUnavailable         the bus did not carry a packet, or nobody can tell
    └── NameTaken              another living node of the cluster has this name

    TypeError
    └── OverLimit              a value that is nested too deep, or too large, to be sent

Messages are whole sentences for the person who reads them. What a remote peer did wrong and what the
local caller did wrong are never the same class: local mistakes are C{TypeError} and C{ValueError}.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class CloseCode(IntEnum):
    """
    The close codes that this project sends or reads (RFC 6455 section 7.4, wire section 1).
    """

    #: Done, nothing is wrong.
    NORMAL = 1000
    #: The server stops, or the page was left.
    GOING_AWAY = 1001
    #: The peer broke RFC 6455.
    PROTOCOL_ERROR = 1002
    #: The close frame had no code. Never sent, only reported.
    NO_CODE = 1005
    #: The connection ended without a close frame. Never sent, only reported.
    ABNORMAL = 1006
    #: Text that is not UTF-8.
    INVALID_PAYLOAD = 1007
    #: A limit other than a size was broken: fragments, frames each second.
    POLICY = 1008
    #: A frame or message beyond C{max_message_size}.
    TOO_BIG = 1009
    #: The server failed.
    INTERNAL_ERROR = 1011
    #: The server is being restarted; the reason says when to come back.
    SERVICE_RESTART = 1012
    #: A client closed on purpose, and does not come back by itself.
    CLIENT_CLOSED = 4001
    #: A client got no heartbeat answer in time.
    HEARTBEAT_LOST = 4002
    #: Too much waited for a client that did not take it; it may come back, and has missed what did not fit.
    TOO_SLOW = 4008
    #: The server logged this client out; it does not come back by itself.
    FORCED_LOGOUT = 4010
    #: Authentication failed; the client does not come back by itself.
    AUTHENTICATION_FAILED = 4011
    #: A newer connection took this identity over; the client does not come back by itself.
    REPLACED = 4012


#: The close codes after which a client does not reconnect by itself.
FINAL_CODES = frozenset(
    (
        CloseCode.CLIENT_CLOSED,
        CloseCode.FORCED_LOGOUT,
        CloseCode.AUTHENTICATION_FAILED,
        CloseCode.REPLACED,
    )
)


class CrossWSError(Exception):
    """The root of all exceptions of this package."""


class ConfigError(CrossWSError):
    """
    The configuration cannot be used.

    @ivar faults: one sentence for each fault, each with its place.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class OverLimit(TypeError):
    """
    A value that is nested too deep, or too large, for the wire or the bus.

    @ivar code: C{"too_deep"} or C{"too_large"}: what whoever asked is told.
    """

    def __init__(self, code: str, says: str) -> None:
        super().__init__(says)
        self.code = code


class FrameError(CrossWSError):
    """
    A text that is not a client frame (wire section 1), or is beyond a limit.

    @ivar code: where it is beyond a limit, C{"too_deep"} or C{"too_large"}; otherwise empty.
    @ivar askedBy: where it is that, and wants an answer, the C{callbackId} or C{ackId} that the answer is to carry.
    """

    def __init__(self, says: str, code: str = "", askedBy: str | None = None) -> None:
        super().__init__(says)
        self.code = code
        self.askedBy = askedBy


class HandshakeError(CrossWSError):
    """
    A request head that is not the handshake of a WebSocket, or is beyond a limit.

    @ivar status: the HTTP status to answer with.
    @ivar headers: pairs of name and value to answer with.
    """

    def __init__(self, status: int, reason: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = tuple(headers)


class PacketError(CrossWSError):
    """
    Bytes from the bus that are not a packet of the channel they came on (wire section 2).

    @ivar cause: C{"unreadable"}, C{"malformed"} or C{"oversized"}.
    @ivar sender: the name of the server that sent it, where that can be told; otherwise empty.
    """

    def __init__(self, cause: str, says: str, sender: str = "") -> None:
        super().__init__(says)
        self.cause = cause
        self.sender = sender


class ClientFault(CrossWSError):
    """
    A client broke the protocol or a limit, and its connection is cut.

    @ivar code: the close code it was sent, or 1006 where it was cut without one.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Refuse(CrossWSError):
    """
    Raised by an authenticator: the handshake is answered with this status, and there is no upgrade.

    @ivar status: an HTTP status from 400 to 599.
    @ivar reason: a short phrase for the client, of printable ASCII.
    """

    def __init__(self, status: int = 401, reason: str = "Unauthorized") -> None:
        super().__init__(reason)
        if not 400 <= status <= 599:
            raise ValueError(f"Refuse needs an HTTP status from 400 to 599, not {status!r}.")
        if not (reason.isascii() and reason.isprintable()):
            raise ValueError(f"Refuse needs a reason of printable ASCII characters, not {reason!r}.")
        self.status = status
        self.reason = reason


class ReplyError(CrossWSError):
    """
    Raised by a listener: the caller gets this error as its reply.

    @ivar code: a short name for programs.
    @ivar message: a sentence for people.
    """

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message


class SocketClosed(CrossWSError):
    """The socket is closed: it can no longer be bound to a C{socketId}."""


class NotConnected(CrossWSError):
    """
    There is no connection now, so nothing was sent, or the connection ended before the reply came. On a server it is
    the client that was asked, or that was to join a room, and that is not there or not there any more.
    """


class HandshakeRefused(NotConnected):
    """
    The server answered the handshake with an HTTP error.

    @ivar status: its HTTP status.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"The server refused the connection: {status} {reason.removesuffix('.')}.")
        self.status = status


class CallTimeout(CrossWSError):
    """No reply came within the time-out of the call."""


class CannotAnswer(CrossWSError):
    """
    A client was not asked, since it could not answer: it does not speak version 2 of the wire (wire section 3), or too
    many requests to it are unanswered; the message says which.
    """


class RemoteError(CrossWSError):
    """
    The reply is an error: a listener on the other side failed, or raised L{ReplyError}.

    @ivar code: a short name for programs.
    @ivar message: a sentence for people.
    """

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message


class NoSuchServer(CrossWSError):
    """Nobody on the bus has this server name, and the bus can tell."""


class ServerLost(CrossWSError):
    """The called server had announced itself, and is gone before it replied."""


class BusUnavailable(CrossWSError):
    """
    The bus did not carry a packet, or nobody can tell whether it did; the message says which.
    """


class NameTaken(CrossWSError):
    """Another living node of the cluster has this server name."""
