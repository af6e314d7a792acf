"""
One node of the chat. It knows of its own clients only, and they hear everybody.

    python server.py NAME PORT REDIS_URL

    C→S  enter room      reply: how many of the room are on this node
    C→S  say text        S→C  said {by, text}      to everybody in the same room
"""

import sys

from twisted.internet import defer, endpoints, task

from twisted_crossws import Node, redisBus


async def main(reactor, name, port, redis):
    node = Node(name, redisBus([redis]), authenticate=lambda request: request.params["id"])

    @node.clients.on("enter")
    async def enter(socket, room):
        await node.rooms.join("chat", room, socket.socketId)  # from now on nothing is missed
        return node.rooms.count("chat", room)

    @node.clients.on("say")
    def say(socket, text):
        for room in node.rooms.joined(socket.socketId).get("chat", ()):
            node.clients.toRoom("chat", room, "said", {"by": socket.socketId, "text": text})

    node.startService()
    reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    listening = endpoints.serverFromString(reactor, f"tcp:{port}:interface=127.0.0.1:backlog=4096")
    await listening.listen(node.webSocketFactory())
    await defer.Deferred()  # until a signal


task.react(lambda reactor, *args: defer.ensureDeferred(main(reactor, *args)), sys.argv[1:])
