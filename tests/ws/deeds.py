"""
What the listeners of L{tests.ws.twins} do: all that an application may do while it is being called, and some that it
should not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from twisted_crossws import CloseCode, Relay, ReplyError

if TYPE_CHECKING:
    from tests.ws.twins import Twin


class Panic(BaseException):
    """What no listener should raise, and some do: as C{asyncio.CancelledError}, it is no L{Exception}."""


def _raise(twin: Twin, socket: Any, payload: Any) -> None:
    raise RuntimeError("on purpose")


def _error(twin: Twin, socket: Any, payload: Any) -> None:
    raise ReplyError("no", "not so")


def _panic(twin: Twin, socket: Any, payload: Any) -> None:
    raise Panic("on purpose")


async def _coroutine(twin: Twin, socket: Any, payload: Any) -> Any:
    return payload


async def _lateCoroutine(twin: Twin, socket: Any, payload: Any) -> Any:
    return await twin.wait()


def _fireAll(twin: Twin, socket: Any, payload: Any) -> Any:
    twin.fireAll()
    return payload


#: Listeners by event.
ANSWERS: dict[str, Callable[[Twin, Any, Any], Any]] = {
    "echo": lambda twin, socket, payload: payload,
    "once": lambda twin, socket, payload: payload,
    "none": lambda twin, socket, payload: None,
    "raise": _raise,
    "error": _error,
    "panic": _panic,
    "later": lambda twin, socket, payload: twin.wait(),
    "coroutine": _coroutine,
    "lateCoroutine": _lateCoroutine,
    "fireAll": _fireAll,
    "object": lambda twin, socket, payload: object(),
    "relay": lambda twin, socket, payload: Relay("serverA", "ask", payload),
}


def _boom(twin: Twin, socket: Any) -> None:
    raise RuntimeError("boom")


def _send(twin: Twin, socket: Any, times: int = 1, text: str = "") -> None:
    for number in range(times):
        socket.send("news", [number, text])


def _close(twin: Twin, socket: Any) -> None:
    socket.close(4001, "on purpose")


def _sendClose(twin: Twin, socket: Any) -> None:
    _send(twin, socket)
    _close(twin, socket)


def _closeSend(twin: Twin, socket: Any) -> None:
    _close(twin, socket)
    _send(twin, socket)


def _toOther(deed: Callable[[Twin, Any], None]) -> Callable[[Twin, Any], None]:
    def do(twin: Twin, socket: Any) -> None:
        other = twin.otherThan(socket).socket
        if other is not None:
            deed(twin, other)

    return do


def _lose(twin: Twin, socket: Any) -> None:
    twin.clientOf(socket).transport.loseConnection()


def _gone(twin: Twin, socket: Any) -> None:
    # No transport of Twisted's does it within a call; some of other people's do.
    twin.clientOf(socket).connectionLost(Failure(ConnectionLost()))


#: What can be done to a client: by a listener of the event of that name, by one of L{LIFECYCLE}, or from outside.
ACTIONS: dict[str, Callable[[Twin, Any], None]] = {
    "send": _send,
    "sendMany": lambda twin, socket: _send(twin, socket, 3),
    "flood": lambda twin, socket: _send(twin, socket, 5, "x" * 200),
    "rawText": lambda twin, socket: None if socket.sendText("raw") else None,
    "rawBytes": lambda twin, socket: None if socket.sendBytes(b"\xff\x00") else None,
    "room": lambda twin, socket: None if twin.node.clients.toRoom("ns", "room", "said", 1) else None,
    "broadcast": lambda twin, socket: None if twin.node.clients.broadcast("said", 2) else None,
    "close": _close,
    "sendClose": _sendClose,
    "closeSend": _closeSend,
    "abort": lambda twin, socket: socket.abort(),
    "fault": lambda twin, socket: socket.fault(CloseCode.POLICY, "not liked"),
    "lose": _lose,
    "gone": _gone,
    "nested": lambda twin, socket: twin.feedNested(socket),
    "nestedOther": lambda twin, socket: twin.feedNested(twin.otherThan(socket).socket),
    "sendOther": _toOther(_send),
    "closeOther": _toOther(_close),
    "abortOther": _toOther(lambda twin, socket: socket.abort()),
    "loseOther": _toOther(_lose),
    "steal": lambda twin, socket: twin.node.sockets.bind("c0", socket),
    "boom": _boom,
}

#: All events that somebody listens to.
EVENTS = (*ANSWERS, *ACTIONS)

LIFECYCLE = ("connection", "close", "error", "message", "clientPing", "pong")
