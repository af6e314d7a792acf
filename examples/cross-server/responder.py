"""
A server that answers others.

    python responder.py NAME REDIS_URL
"""

import sys

from twisted.internet import defer, task

from twisted_crossws import Node, ReplyError, redisBus

STOCK = {"gameServer": ["chess", "go"], "shopServer": ["books"], "mailServer": []}


async def main(reactor, name, redis):
    node = Node(name, redisBus([redis]))

    @node.servers.on("hello")
    def hello(message):
        # In one piece, since others print at the same time.
        print(f"  {name} hears {message.payload!r} from {message.sender}\n", end="", flush=True)

    @node.servers.on("stock")
    def stock(message):
        """What a listener returns is the reply."""
        return STOCK[name]

    @node.servers.on("divide")
    async def divide(message):
        """It may take its time, and it may fail: then the reply is an error."""
        await task.deferLater(reactor, 0.1)
        number, by = message.payload
        if by == 0:
            raise ReplyError("byZero", f"{name} does not divide by zero.")
        return number / by

    node.startService()
    reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    await defer.Deferred()  # until a signal


task.react(lambda reactor, *args: defer.ensureDeferred(main(reactor, *args)), sys.argv[1:])
