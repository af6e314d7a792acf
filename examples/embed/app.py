"""
A kitchen's board: a Twisted Web application with a node in it. Orders come in by HTTP, and all pages show them at once.

    python examples/embed/app.py [PORT]                                then open http://localhost:8080/ in two tabs
    curl -d "Two coffees for table 4" http://localhost:8080/orders     from whatever takes orders

    C→S  orders         reply [{number, text}…]         S→C  ordered {number, text}
    C→S  done number    reply null, or error notOpen    S→C  done number
"""

import sys
from importlib.resources import files
from itertools import count
from pathlib import Path

from twisted.internet import defer, endpoints, task
from twisted.web import pages, resource, server, static

from twisted_crossws import Node, ReplyError


class Orders(resource.Resource):
    def __init__(self, clients):
        super().__init__()
        self.clients, self.open, self.numbers = clients, {}, count(1)
        clients.on("orders", lambda socket, payload: list(self.open.values()))
        clients.on("done", self.done)

    def render_POST(self, request):
        """Here HTTP and WebSocket meet: one request comes in, and everybody hears of it."""
        text = request.content.read(801).decode("utf-8", "replace").strip()
        if not 0 < len(text) <= 200:
            return pages.errorPage(400, "Bad Request", "An order has 1 to 200 characters.").render(request)
        order = {"number": next(self.numbers), "text": text}
        self.open[order["number"]] = order
        screens = self.clients.broadcast("ordered", order)
        request.setResponseCode(201)
        return f"Order {order['number']}, on screens: {screens}\n".encode()

    def done(self, socket, number):
        if not isinstance(number, int) or self.open.pop(number, None) is None:
            raise ReplyError("notOpen", "There is no such order, or somebody was quicker.")
        self.clients.broadcast("done", number)


async def main(reactor, port="8080"):
    node, root = Node("kitchen"), resource.Resource()
    root.putChild(b"", static.File(Path(__file__).with_name("index.html")))
    root.putChild(b"crossws.js", static.File(files("twisted_crossws") / "browser/crossws.js"))
    root.putChild(b"orders", Orders(node.clients))
    root.putChild(b"live", node.webResource())
    node.startService()
    reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    await endpoints.serverFromString(reactor, f"tcp:{port}:backlog=4096").listen(server.Site(root))
    print(f"The board is at http://localhost:{port}/", flush=True)
    await defer.Deferred()  # until a signal


task.react(lambda reactor, *args: defer.ensureDeferred(main(reactor, *args)), sys.argv[1:])
