"""
An echo, and a room: python-socketio.
"""

from typing import Any

import socketio

server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"])
app = socketio.ASGIApp(server)


@server.on("echo")
async def echo(sid: str, payload: Any) -> Any:
    return payload


@server.on("joinRoom")
async def join(sid: str, payload: Any) -> None:
    await server.enter_room(sid, payload["roomId"])


@server.on("shout")
async def shout(sid: str, payload: Any) -> None:
    await server.emit("say", payload, room="1000")
