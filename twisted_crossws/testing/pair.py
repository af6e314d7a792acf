"""
A L{Connector} and a node, connected in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.test.iosim import FakeTransport as PumpTransport
from twisted.test.iosim import IOPump, connect
from zope.interface import implementer

from twisted_crossws.client import Connector
from twisted_crossws.node import Node


@implementer(IStreamClientEndpoint)
class MemoryEndpoint:
    """
    Connects a client's factory to a node in memory.

    @ivar pump: moves the bytes of the newest connection; C{None} before there is one.
    """

    def __init__(self, node: Node | IProtocolFactory) -> None:
        self._factory = node.webSocketFactory() if isinstance(node, Node) else node
        self.pump: IOPump | None = None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        return execute(self._connect, protocolFactory)

    def _connect(self, protocolFactory: IProtocolFactory) -> Any:
        address = IPv4Address("TCP", "192.0.2.1", 54321)
        client: Any = protocolFactory.buildProtocol(address)
        server: Any = self._factory.buildProtocol(address)
        self.pump = connect(
            server,
            PumpTransport(server, isServer=True, peerAddress=address),
            client,
            PumpTransport(client, isServer=False, peerAddress=address),
            greet=False,
        )
        return client


class WebSocketPair:
    """
    A L{Connector} and a node, connected in memory on one clock.

    @ivar client: the connector, connecting already.
    @ivar connected: the Deferred of its C{connect()}.
    """

    def __init__(self, node: Node, clock: Clock, url: str = "ws://localhost/", **options: Any) -> None:
        """
        @param options: those of L{Connector}.
        """
        self._clock = clock
        self._endpoint = MemoryEndpoint(node)
        self.client = Connector(url, endpoint=self._endpoint, clock=clock, **options)
        self.connected = self.client.connect()
        self.flush()

    def flush(self) -> None:
        """Move all bytes that wait, in both directions, and run what is due."""
        assert self._endpoint.pump is not None  # It was connected to when this was made.
        self._clock.advance(0)
        self._endpoint.pump.flush()
        self._clock.advance(0)
