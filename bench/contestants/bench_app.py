"""
An echo, and a room.
"""

from typing import Any

from twisted_crossws import Node, Socket


def makeService(node: Node) -> None:
    node.clients.on("echo", lambda socket, payload: payload)

    @node.clients.on("joinRoom")
    def join(socket: Socket, payload: Any) -> None:
        socketId = socket.request.params["id"]
        node.sockets.bind(socketId, socket)
        node.rooms.join("bench", payload["roomId"], socketId)

    @node.clients.on("shout")
    def shout(socket: Socket, payload: Any) -> None:
        node.clients.toRoom("bench", "1000", "say", payload)
