"""
A server that asks others, in every way that there is.

    python sender.py REDIS_URL
"""

import sys

from twisted.internet import defer, task

from twisted_crossws import Node, RemoteError, redisBus


async def main(reactor, redis):
    node = Node("sender", redisBus([redis]))
    node.startService()
    reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    names = await node.servers.whenServers(4, timeout=20.0)
    print("Servers:", ", ".join(sorted(names)))

    print("\nTo all others, without a reply:", flush=True)
    node.servers.emit("hello", "good morning", exceptSelf=True)
    await node.servers.call("stock", exceptSelf=True)  # who has answered this has heard the other one

    print("\nTo two of them:", flush=True)
    node.servers.emit("hello", "psst", to=["gameServer", "shopServer"])
    await node.servers.call("stock", to=["gameServer", "shopServer"])

    print("\nA question to all others, with a function for each reply:")
    done = defer.Deferred()

    def onReply(reply):
        print(f"  {reply.sender} has {reply.payload}, {reply.remaining} to go")
        if reply.remaining == 0:
            done.callback(None)

    node.servers.emit("stock", onReply=onReply, exceptSelf=True)
    await done

    print("\nThe same with a Deferred:")
    replies = await node.servers.call("stock", exceptSelf=True)
    for name, stock in sorted(replies.byServer.items()):
        print(f"  {name} has {stock}")

    print("\nA question to one:")
    print("  7 / 2 =", await node.servers.callOne("divide", [7, 2], to="mailServer"))
    try:
        await node.servers.callOne("divide", [7, 0], to="mailServer")
    except RemoteError as error:
        print("  7 / 0:", error.message)

    print("\nA question to one that is there and one that is not:")
    replies = await node.servers.call("stock", to=["gameServer", "nobody"], timeout=0.5)
    print(f"  replies {replies.byServer}, complete {replies.complete}, missing {set(replies.missing)}")


task.react(lambda reactor, *args: defer.ensureDeferred(main(reactor, *args)), sys.argv[1:])
