"""
What waits in a transport to be sent, held to Twisted's own transports.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory

from tests.ws.memorytcp import MemoryTCP
from twisted_crossws.ws.direct import DirectServer
from twisted_crossws.ws.transport import isBehind, unsentBytes
from twisted_crossws.ws.turn import Turn


class TestTCP:
    def test_nothing(self) -> None:
        """A new connection has nothing to send."""
        assert unsentBytes(MemoryTCP(Protocol()).transport) == 0

    @pytest.mark.parametrize("size", [1, 1000, Connection.SEND_LIMIT - 1, Connection.SEND_LIMIT + 1, 1_000_000])
    def test_written(self, size: int) -> None:
        """What was written waits until the other side reads it."""
        tcp = MemoryTCP(Protocol())
        tcp.transport.write(b"x" * size)
        assert unsentBytes(tcp.transport) == size
        tcp.read(size // 2)
        assert unsentBytes(tcp.transport) == size - size // 2
        tcp.read(size)
        assert unsentBytes(tcp.transport) == 0

    @given(st.lists(st.one_of(st.binary(max_size=300), st.integers(0, 300_000), st.integers(300_000, 2_000_000))))
    def test_mixed(self, steps: list[bytes | int]) -> None:
        """However writing and reading follow each other: it is what was written less what the other side has read."""
        tcp = MemoryTCP(Protocol())
        written = 0
        for step in steps:
            if isinstance(step, bytes):
                # Some of these are larger than what is sent at once.
                tcp.transport.write(step * 700)
                written += len(step) * 700
            else:
                tcp.read(step)
            assert unsentBytes(tcp.transport) == written - len(tcp.socket.sent)


class TestWrapped:
    def test_wrapper(self) -> None:
        """Through wrappers, such as for limits or for the PROXY protocol, it is what waits below them."""
        inner = Factory.forProtocol(Protocol)
        outer: Any = WrappingFactory(WrappingFactory(inner)).buildProtocol(None)  # type: ignore[arg-type]
        tcp = MemoryTCP(outer)
        transport = outer.wrappedProtocol.wrappedProtocol.transport
        assert isinstance(transport, ProtocolWrapper)
        transport.write(b"x" * 1000)
        tcp.read(300)
        assert unsentBytes(transport) == 700

    def test_tls(self) -> None:
        """Through TLS it is what waits below it, encrypted. Here these are the first words of a handshake."""
        factory = TLSMemoryBIOFactory(optionsForClientTLS("server.example"), True, Factory.forProtocol(Protocol))
        tls: Any = factory.buildProtocol(None)
        tcp = MemoryTCP(tls)
        waiting = unsentBytes(tls.wrappedProtocol.transport)
        assert waiting is not None and waiting > 100
        assert len(tcp.read(1_000_000)) == waiting
        assert unsentBytes(tls.wrappedProtocol.transport) == 0


class TestIsBehind:
    def test_thisTurn(self) -> None:
        """What was written in this turn, and not tried yet, is not behind; what was tried and not taken, is."""
        tcp = MemoryTCP(Protocol())
        assert not isBehind(tcp.transport)
        tcp.transport.write(b"x" * 1000)
        tcp.transport.write(b"x" * 1000)
        assert not isBehind(tcp.transport)
        tcp.read(1500)
        assert isBehind(tcp.transport)
        tcp.transport.write(b"x" * 1000)
        assert isBehind(tcp.transport)
        tcp.read(1500)
        assert not isBehind(tcp.transport)

    @pytest.mark.parametrize("size", [1, 70_000, Connection.SEND_LIMIT + 1, 1_000_000])
    def test_full(self, size: int) -> None:
        """As soon as the socket takes nothing, or not all, it is behind until all of it is taken."""
        tcp = MemoryTCP(Protocol())
        tcp.transport.write(b"x" * size)
        tcp.transport.doWrite()
        assert isBehind(tcp.transport)
        tcp.read(size - 1)
        assert isBehind(tcp.transport)
        tcp.read(1)
        assert not isBehind(tcp.transport)

    def test_direct(self) -> None:
        """The same, where what is written is sent at the end of the turn."""
        tcp = MemoryTCP(Protocol())
        turn = Turn(tcp.reactor)
        transport: Any = DirectServer(turn, tcp.socket, Protocol(), ("192.0.2.1", 1), None, 0, tcp.reactor)
        transport.write(b"x" * 1000)
        assert not isBehind(transport)
        transport.sendNow()
        assert isBehind(transport)
        tcp.socket.room = 400
        transport.doWrite()
        transport.write(b"x" * 1000)
        assert isBehind(transport)
        tcp.socket.room = 10_000
        transport.doWrite()
        assert not isBehind(transport)

    def test_wrapped(self) -> None:
        """Through wrappers it is what is below them."""
        inner = Factory.forProtocol(Protocol)
        outer: Any = WrappingFactory(inner).buildProtocol(None)  # type: ignore[arg-type]
        tcp = MemoryTCP(outer)
        outer.wrappedProtocol.transport.write(b"x" * 1000)
        tcp.read(300)
        assert isBehind(outer.wrappedProtocol.transport)

    @pytest.mark.parametrize("transport", [StringTransport(), None, object()])
    def test_unknown(self, transport: object) -> None:
        """Where it cannot be told, it is taken for one that keeps up."""
        assert isBehind(transport) is False


@pytest.mark.parametrize("transport", [StringTransport(), None, object()])
def test_unknown(transport: object) -> None:
    """Of a transport that is none of Twisted's own it cannot be told."""
    assert unsentBytes(transport) is None
