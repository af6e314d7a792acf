"""
What waits in a transport to be sent, held to Twisted's own transports.
"""

from __future__ import annotations

from itertools import cycle, islice
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
from tests.ws.sockets import World
from twisted_crossws.ws.direct import DirectServer
from twisted_crossws.ws.transport import isBehind, offer, progress, unsentBytes
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


class TestProgress:
    @pytest.mark.parametrize("isDirect", [False, True])
    def test_reading(self, isDirect: bool) -> None:
        """It changes when the other side reads, also where the socket is still full; and not for what is written."""
        world = World(isDirect=isDirect)
        world.write(1_000_000)
        world.turn()
        seen = [progress(world.transport)]
        for _ in range(3):
            world.write(1000)
            world.turn()
            assert progress(world.transport) == seen[-1]
            world.peerReads(100_000)
            world.turn()
            seen.append(progress(world.transport))
        assert len(set(seen)) == 4
        world.finish()
        assert progress(world.transport) == (0, 0)
        world.close()

    def test_small(self) -> None:
        """What the system has taken counts, too, until the other side has it."""
        world = World(isDirect=False)
        before = progress(world.transport)
        world.write(1000)
        world.turn()
        assert unsentBytes(world.transport) == 0
        assert progress(world.transport) != before
        world.peerReads(1000)
        assert progress(world.transport) == before
        world.finish()
        world.close()

    def test_withoutTheSystem(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the system does not tell, it is what the socket takes."""
        monkeypatch.setattr("twisted_crossws.ws.transport.ioctl", None)
        tcp = MemoryTCP(Protocol())
        tcp.transport.write(b"x" * 200_000)
        tcp.read(1)
        before = progress(tcp.transport)
        tcp.transport.write(b"x" * 200_000)
        assert progress(tcp.transport) == before
        tcp.read(1)
        assert progress(tcp.transport) != before


class TestOffer:
    @pytest.mark.parametrize("isDirect", [False, True])
    def test_room(self, isDirect: bool) -> None:
        """The socket takes what it can, at once, and the rest when it is its turn; all of it in order."""
        world = World(isDirect=isDirect)
        world.write(3_000_000)
        assert offer(world.transport)
        waiting = unsentBytes(world.transport)
        assert waiting is not None and 0 < waiting < 2_800_000
        assert not offer(world.transport)
        assert unsentBytes(world.transport) == waiting
        world.write(1000)
        world.finish()
        assert world.came == bytes(islice(cycle(bytes(range(1, 252))), 3_001_000))
        world.close()

    @pytest.mark.parametrize("isDirect", [False, True])
    def test_enough(self, isDirect: bool) -> None:
        """It takes all if it can, and a producer goes on."""
        world = World(isDirect=isDirect)
        world.push()
        world.write(70_000)
        assert offer(world.transport)
        assert unsentBytes(world.transport) == 0 and world.asked == ["pause", "resume"]
        world.finish()
        assert len(world.came) == 70_000
        world.close()

    @pytest.mark.parametrize("isDirect", [False, True])
    def test_gone(self, isDirect: bool) -> None:
        """If the other side is gone, the reactor finds out."""
        world = World(isDirect=isDirect)
        world.write(3_000_000)
        world.turn()
        world.peerLeaves()
        assert not offer(world.transport)
        assert world.journal == []
        world.turn()
        assert world.journal == [("lost", "ConnectionLost")]
        world.close()

    def test_nothing(self) -> None:
        """There may be nothing to take."""
        world = World(isDirect=False)
        assert not offer(world.transport)
        world.finish()
        world.close()


@pytest.mark.parametrize("transport", [StringTransport(), None, object()])
def test_unknown(transport: object) -> None:
    """Of a transport that is none of Twisted's own it cannot be told."""
    assert unsentBytes(transport) is None
    assert progress(transport) is None
    assert not offer(transport)
