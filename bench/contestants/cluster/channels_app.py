"""
Django Channels with a layer over Redis: a room.
"""

import json
import os

import django
from django.conf import settings

settings.configure(
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [os.environ["REDIS"]]},
        }
    }
)
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter  # noqa: E402


class Consumer(AsyncWebsocketConsumer):
    groups = ()

    async def receive(self, text_data):
        message = json.loads(text_data)
        if message["event"] == "joinRoom":
            self.room = message["payload"]["roomId"]
            await self.channel_layer.group_add(self.room, self.channel_name)
        elif message["event"] == "shout":
            await self.channel_layer.group_send("1000", {"type": "say", "payload": message["payload"]})

    async def say(self, message):
        await self.send(json.dumps({"event": "say", "payload": message["payload"]}))

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.room, self.channel_name)


application = ProtocolTypeRouter({"websocket": Consumer.as_asgi()})
