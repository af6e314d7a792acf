"""
What can be asked of one node, and ordered, over its control socket.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed

from twisted_crossws.cluster.remote import Affected
from twisted_crossws.errors import CloseCode
from twisted_crossws.machine.control import Refused, memoryOf
from twisted_crossws.machine.controlled import OnProgress
from twisted_crossws.machine.rows import Row
from twisted_crossws.node import Node


class NodeOrders:
    """
    A node, as somebody who can be commanded.
    """

    def __init__(self, node: Node, kind: str, addresses: Callable[[], Sequence[str]], stop: Callable[[], None]) -> None:
        """
        @param addresses: where it listens.
        @param stop: begins to end the process, as a signal does.
        """
        self._node = node
        self._kind = kind
        self._addresses = addresses
        self._stop = stop
        self._since = time.monotonic()

    def row(self) -> Row:
        """This node."""
        node = self._node
        return Row(
            name=node.serverName,
            kind=self._kind,
            state=node.state,
            pid=os.getpid(),
            address=" ".join(self._addresses()),
            clients=node.counters["connections_opened"] - node.counters["connections_closed"],
            rooms=node.rooms.roomCount("", exact=False),
            memory=memoryOf(os.getpid()),
            uptime=time.monotonic() - self._since,
        )

    def rows(self) -> Deferred[Sequence[Row]]:
        """This node alone."""
        return succeed([self.row()])

    def order(self, verb: str, words: dict[str, Any], progress: OnProgress) -> Deferred[Sequence[str]]:
        order = self._ORDERS.get(verb)
        if order is None:
            known = ", ".join(sorted(self._ORDERS))
            return maybeDeferred(_refuse, f"{verb!r} is for the master; a node by itself knows {known}")
        return maybeDeferred(order, self, words)

    def _stopOrder(self, words: dict[str, Any]) -> list[str]:
        self._isMeant(words)
        self._stop()
        return [f"{self._node.serverName} stops."]

    def _drain(self, words: dict[str, Any]) -> Deferred[list[str]]:
        self._isMeant(words)
        drained = self._node.drain()
        return drained.addCallback(lambda _: [f"{self._node.serverName} has no clients any more."])

    def _kick(self, words: dict[str, Any]) -> Deferred[list[str]]:
        socketId = _text(words, "socketId")
        kicked = self._node.clients.disconnectAll(of=socketId, code=CloseCode.FORCED_LOGOUT, reason="kicked")

        def said(closed: Affected) -> list[str]:
            if not closed:
                unasked = f", as far as is known: {', '.join(sorted(closed.missing))} did not answer"
                raise Refused(f"no client is bound to {socketId!r}{unasked if closed.missing else ''}")
            return [f"{socketId} was disconnected."]

        return kicked.addCallback(said)

    def _send(self, words: dict[str, Any]) -> list[str]:
        clients, event, payload = self._node.clients, _text(words, "event"), words.get("payload")
        to, room = words.get("to"), words.get("room")
        if to is not None:
            clients.send(to, event, payload)
            return [f"{event} was sent to {to}."]
        if room is not None:
            clients.toRoom(room[0], room[1], event, payload)
            return [f"{event} was sent to the room {room[1]} of {room[0]}."]
        clients.broadcast(event, payload)
        return [f"{event} was sent to all clients."]

    def _isMeant(self, words: dict[str, Any]) -> None:
        name = words.get("name")
        if name not in (None, self._node.serverName):
            raise Refused(f"this is {self._node.serverName}, and not {name}")

    _ORDERS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
        "stop": _stopOrder,
        "drain": _drain,
        "kick": _kick,
        "send": _send,
    }


def _text(words: dict[str, Any], key: str) -> str:
    value = words.get(key)
    if not (isinstance(value, str) and value):
        raise Refused(f"{key} must be a string that is not empty, and is {value!r}")
    return value


def _refuse(sentence: str) -> Any:
    raise Refused(sentence)
