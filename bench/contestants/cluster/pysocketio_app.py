"""
python-socketio with its Redis manager: a room.
"""

import os

import socketio

server = socketio.AsyncServer(
    async_mode="asgi", transports=["websocket"], client_manager=socketio.AsyncRedisManager(os.environ["REDIS"])
)
application = socketio.ASGIApp(server)


@server.event
async def joinRoom(sid, payload):
    await server.enter_room(sid, payload["roomId"])


@server.event
async def shout(sid, payload):
    await server.emit("say", payload, room="1000")
