"""
Fifty clients, spread over the nodes, and a commander: a node without clients that sends to all of them.

    python crowd.py REDIS_URL PORT...
"""

import sys
from itertools import cycle

from twisted.internet import defer, task

from twisted_crossws import Connector, Node, redisBus

ROOMS = ("red", "green", "blue")


class Client:
    """Whoever is connected to one of the nodes, and in one of the rooms."""

    def __init__(self, number, port, room):
        self.id, self.port, self.room, self.got = f"client{number}", port, room, []
        self.connector = Connector(f"ws://127.0.0.1:{port}/", params={"id": self.id}, fastReconnectInterval=0.2)
        self.connector.on("said", lambda said: self.got.append(f"{said['by']}: {said['text']}"))

    async def enter(self):
        await self.connector.connect()  # tries again until the node listens
        await self.connector.call("enter", self.room)


async def main(reactor, redis, *ports):
    commander = Node("commander", redisBus([redis]))
    commander.startService()
    reactor.addSystemEventTrigger("before", "shutdown", commander.stopService)
    clients = [Client(*each) for each in zip(range(50), cycle(ports), cycle(ROOMS), strict=False)]
    await defer.gatherResults([defer.ensureDeferred(client.enter()) for client in clients])
    names = await commander.servers.whenServers(len(ports) + 1, timeout=20.0)
    print(f"{len(clients)} clients are at {len(ports)} nodes; the servers are {', '.join(sorted(names))}.", flush=True)

    def command(text):
        return {"by": "commander", "text": text}

    commander.clients.broadcast("said", command("Good evening, everybody."))
    commander.clients.send("client7", "said", command("Only you, client7."))
    commander.clients.sendMany(["client1", "client2", "client3"], "said", command("You three."))
    commander.clients.toRoom("chat", "red", "said", command("Red room, please."), exclude=["client0"])
    clients[4].connector.emit("say", "Green is ours.")

    red, green = (sum(client.room == room for client in clients) for room in ("red", "green"))
    expected = 50 + 1 + 3 + (red - 1) + green
    while sum(len(client.got) for client in clients) < expected:
        await task.deferLater(reactor, 0.05)
    for client in clients:
        print(f"{client.id:8} at {client.port} in {client.room:5} got  {'  |  '.join(client.got)}")
    print(f"{expected} messages were received.")
    for client in clients:
        await client.connector.close()


task.react(lambda reactor, *args: defer.ensureDeferred(main(reactor, *args)).addTimeout(30, reactor), sys.argv[1:])
