"""
twisted_crossws: a room, and servers that call each other.
"""

import os
from time import perf_counter

from twisted.application.internet import StreamServerEndpointService
from twisted.internet import defer, reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver

PAYLOAD = {"m": "x" * 32}


def makeService(node):
    @node.clients.on("joinRoom")
    async def join(socket, payload):
        node.sockets.bind(socket.request.params["id"], socket)
        await node.rooms.join("bench", payload["roomId"], socket.socketId)

    @node.clients.on("shout")
    def shout(socket, payload):
        node.clients.toRoom("bench", "1000", "say", payload)

    @node.servers.on("echo")
    def echo(message):
        return message.payload

    defer.ensureDeferred(offerControl(node))


async def offerControl(node):
    """The one that calls is told so on a port, where it listens as soon as it knows the other."""
    await node.servers.whenServers(2)
    factory = Factory.forProtocol(Control)
    factory.node = node
    StreamServerEndpointService(
        serverFromString(reactor, f"tcp:{os.environ['CONTROL']}:interface=127.0.0.1"), factory
    ).setServiceParent(node)


class Control(LineOnlyReceiver):
    delimiter = b"\n"

    def lineReceived(self, line):
        words = line.split()
        if words[0] == b"call":
            defer.ensureDeferred(self.call(int(words[1]), float(words[2]))).addErrback(self.failed)
        else:
            self.latencies.sort()
            p50, p99 = (self.latencies[int(len(self.latencies) * share)] * 1e6 for share in (0.5, 0.99))
            self.sendLine(b"%.1f %.1f" % (p50, p99))

    async def call(self, inFlight, seconds):
        self.latencies = []
        until = perf_counter() + seconds
        await defer.gatherResults([defer.ensureDeferred(self.callUntil(until)) for _ in range(inFlight)])
        self.sendLine(b"%d" % len(self.latencies))

    def failed(self, failure):
        self.sendLine(repr(failure.value).encode())

    async def callUntil(self, until):
        servers, latencies = self.factory.node.servers, self.latencies
        while (began := perf_counter()) < until:
            replies = await servers.call("echo", PAYLOAD, to="nodeB")
            assert replies.byServer.get("nodeB") == PAYLOAD, replies
            latencies.append(perf_counter() - began)
