"""
A service for tests of many processes.

    C→S  who                reply: the name of the node, and the number of its process
    C→S  echo X             reply: X
    C→S  slow [seconds, X]  reply: X, after that time
    C→S  enter              into the room that spans all
    C→S  shout X            S→C said X, to everybody in it
"""

from __future__ import annotations

import os
from itertools import count
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from twisted_crossws import Node


def makeService(node: Node) -> None:
    numbers = count()
    on = node.clients.on
    on("who", lambda socket, payload: [node.serverName, os.getpid()])
    on("echo", lambda socket, payload: payload)
    on("slow", lambda socket, payload: deferLater(reactor, payload[0], lambda: payload[1]))  # type: ignore[arg-type]
    on("shout", lambda socket, payload: node.clients.toRoom("hall", "all", "said", payload))

    @on("enter")
    async def enter(socket: Any, payload: Any) -> str:
        if socket.socketId is None:
            node.sockets.bind(f"{node.serverName}-{os.getpid()}-{next(numbers)}", socket)
        await node.rooms.join("hall", "all", socket.socketId)
        return str(socket.socketId)
