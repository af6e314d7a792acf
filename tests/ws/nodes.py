"""
The node that these tests talk to.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from twisted_crossws import Config, Node, WebSocketConfig


def makeNode(clock: Clock, **options: Any) -> Node:
    """
    One that says again what it is told.

    @param options: of the section C{[websocket]}.
    """
    node = Node("serverA", clock=clock, config=Config(websocket=WebSocketConfig(**options)))
    node.clients.on("echo", lambda socket, payload: payload)
    return node
