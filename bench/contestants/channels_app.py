"""
An echo, and a room: Django Channels.
"""

from typing import Any

import django
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()


class Bench(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        self.joined: set[str] = set()
        await self.accept()

    async def disconnect(self, code: int) -> None:
        for room in self.joined:
            await self.channel_layer.group_discard(room, self.channel_name)

    async def receive_json(self, content: Any) -> None:
        payload = content["payload"]
        match content["event"]:
            case "echo":
                await self.send_json({"payload": payload, "callbackId": content["callbackId"]})
            case "joinRoom":
                self.joined.add(payload["roomId"])
                await self.channel_layer.group_add(payload["roomId"], self.channel_name)
            case "shout":
                await self.channel_layer.group_send("1000", {"type": "say", "payload": payload})

    async def say(self, message: Any) -> None:
        await self.send_json({"event": "say", "payload": message["payload"]})


application = ProtocolTypeRouter({"websocket": URLRouter([path("", Bench.as_asgi())])})
