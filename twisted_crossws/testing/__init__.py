"""
Fakes for tests, of this project and of its users: synchronous, without sockets, on a clock that the test turns.

A client that speaks the wire by itself::

    clock = Clock()
    node = Node("serverA", clock=clock)
    peer = FakePeer(node, clock, params={"name": "Sam"})
    peer.sendEvent("say", {"text": "hi"}, callbackId="1")
    assert peer.takeFrames() == [Reply("1", {"heard": True})]

A L{Connector} and a node, connected in memory::

    pair = WebSocketPair(node, clock)
    reply = pair.client.call("say", {"text": "hi"})
    pair.flush()

And several nodes in one process::

    cluster = MemoryCluster(["serverA", "serverB"])
    cluster["serverA"].servers.call("match", to="serverB")
    cluster.kill("serverB")
    cluster.advance(6.0)
"""

from twisted_crossws.testing.cluster import MemoryCluster
from twisted_crossws.testing.pair import MemoryEndpoint, WebSocketPair
from twisted_crossws.testing.peer import FakePeer
from twisted_crossws.testing.transport import FakeTransport

__all__ = ["FakePeer", "FakeTransport", "MemoryCluster", "MemoryEndpoint", "WebSocketPair"]
