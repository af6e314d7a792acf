"""
A service for tests of several processes: what a client tells its node to do, it does.

    C→S  do {what, args, kwargs}      reply {is} or {raised: [class, message]}      any method of a part of the node
    C→S  relay {to, event, payload}   reply: what that server answers
    C→S  burst {to, count}            reply: how many of so many calls at once had their own reply
    C→S  traffic seconds              from now on a broadcast each so many seconds; reply to null: how many there were
    S→C  traffic [server, n, time]
"""

from __future__ import annotations

from itertools import count
from operator import attrgetter
from time import time
from typing import Any

from msgspec.structs import asdict
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall, deferLater

from twisted_crossws import Affected, ClientReplies, Node, Relay, RemoteSockets, Replies, ServerMessage


def makeService(node: Node) -> None:
    """A client says who it is by the parameter C{id}."""
    heard: list[Any] = []
    node.authenticate = lambda request: request.params.get("id")

    @node.clients.on("do")
    async def do(socket: object, order: dict[str, Any]) -> dict[str, Any]:
        try:
            result = attrgetter(order["what"])(node)(*order["args"], **order["kwargs"])
            return {"is": _plain(await result if isinstance(result, Deferred) else result)}
        except Exception as fault:
            return {"raised": [type(fault).__name__, str(fault)]}

    node.clients.on("relay", lambda socket, payload: Relay(**payload))
    node.clients.on("counters", lambda socket, payload: node.counters)
    node.clients.on("heard", lambda socket, payload: heard)
    node.servers.on("who", lambda message: node.serverName)
    node.servers.on("echo", lambda message: message.payload)
    node.servers.on("never", lambda message: Deferred())
    node.servers.on("news", lambda message: heard.append([message.sender, message.payload]))
    node.channels.onMessage(lambda channel, mapping: heard.append([channel, mapping]))
    node.lifecycle.on("serverUp", lambda name: heard.append(["up", name]))
    node.lifecycle.on("serverDown", lambda name, reason: heard.append(["down", name, reason]))
    node.bus.onHealthChange(lambda change: heard.append(["health", change.role, change.healthy, change.gap, time()]))

    @node.clients.on("burst")
    async def burst(socket: object, payload: dict[str, Any]) -> int:
        numbers = range(payload["count"])
        asked = [node.servers.callOne("echo", [node.serverName, n], to=payload["to"]) for n in numbers]
        replies = await gatherResults(asked)
        return sum(reply == [node.serverName, n] for n, reply in zip(numbers, replies, strict=True))

    numbers = count()
    loop = LoopingCall(lambda: node.clients.broadcast("traffic", [node.serverName, next(numbers), time()]))

    @node.clients.on("traffic")
    def traffic(socket: object, seconds: float | None) -> int:
        if seconds is None:
            loop.stop()
            return next(numbers)
        loop.start(seconds)
        return 0

    @node.servers.on("later")
    def later(message: ServerMessage) -> Deferred[Any]:
        """The answer comes after so many seconds."""
        from twisted.internet import reactor

        seconds, answer = message.payload
        return deferLater(reactor, seconds, lambda: answer)  # type: ignore[arg-type]


def _plain(result: Any) -> Any:
    """In a form that JSON has."""
    if isinstance(result, ClientReplies):
        return {**asdict(result), "errors": {key: type(error).__name__ for key, error in result.errors.items()}}
    if isinstance(result, RemoteSockets):
        return {"sockets": list(result), "missing": result.missing}
    if isinstance(result, Affected):
        return {"count": int(result), "missing": result.missing}
    if not isinstance(result, Replies):
        return result
    errors = {name: [type(error).__name__, str(error)] for name, error in result.errors.items()}
    return {
        "complete": result.complete,
        "byServer": result.byServer,
        "errors": errors,
        "missing": sorted(result.missing),
        "unanswered": result.unanswered,
    }
