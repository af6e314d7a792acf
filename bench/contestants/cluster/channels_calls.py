"""
Django Channels with a layer over Redis: processes that call each other, by a channel to ask on and one for the replies.
"""

import asyncio
import os
from time import perf_counter

from channels_redis.pubsub import RedisPubSubChannelLayer

PAYLOAD = {"m": "x" * 32}


class Caller:
    def __init__(self, layer):
        self.layer = layer
        self.lastId = 0
        self.waiting = {}
        self.latencies = []

    async def receiveReplies(self):
        while True:
            message = await self.layer.receive(self.channel)
            waiting = self.waiting.pop(message["id"], None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message["payload"])

    async def call(self, payload):
        self.lastId += 1
        waiting = self.waiting[self.lastId] = asyncio.get_running_loop().create_future()
        await self.layer.send(
            "nodeB", {"type": "echo", "id": self.lastId, "reply_channel": self.channel, "payload": payload}
        )
        async with asyncio.timeout(5):
            return await waiting

    async def callUntil(self, until):
        while (began := perf_counter()) < until:
            assert await self.call(PAYLOAD) == PAYLOAD
            self.latencies.append(perf_counter() - began)

    async def control(self, reader, writer):
        while line := await reader.readline():
            words = line.split()
            if words[0] == b"call":
                self.latencies = []
                until = perf_counter() + float(words[2])
                await asyncio.gather(*(self.callUntil(until) for _ in range(int(words[1]))))
                writer.write(b"%d\n" % len(self.latencies))
            else:
                self.latencies.sort()
                p50, p99 = (self.latencies[int(len(self.latencies) * share)] * 1e6 for share in (0.5, 0.99))
                writer.write(b"%.1f %.1f\n" % (p50, p99))

    async def run(self):
        self.channel = await self.layer.new_channel()
        receiving = asyncio.create_task(self.receiveReplies())
        # The other one may not be there yet, and what is sent to nobody is lost.
        while True:
            try:
                await asyncio.wait_for(self.call(PAYLOAD), 0.2)
                break
            except TimeoutError:
                pass
        await asyncio.start_server(self.control, "127.0.0.1", int(os.environ["CONTROL"]))
        await receiving


async def answer(layer):
    while True:
        message = await layer.receive("nodeB")
        await layer.send(
            message["reply_channel"], {"type": "reply", "id": message["id"], "payload": message["payload"]}
        )


async def main():
    layer = RedisPubSubChannelLayer(hosts=[os.environ["REDIS"]])
    if os.environ["NAME"] == "nodeA":
        await Caller(layer).run()
    else:
        # That it runs is seen by a port that it listens on.
        await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", int(os.environ["PORT"]))
        await answer(layer)


asyncio.run(main())
