"""
One turn of the reactor for many connections: real sockets and a real epoll, turned by hand.
"""

from __future__ import annotations

import socket
from asyncio import CancelledError
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Port, Server
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from twisted_crossws.ws import turn
from twisted_crossws.ws.direct import DirectServer, useDirectWrites
from twisted_crossws.ws.turn import Turn


class Recorder(Protocol):
    """Remembers what it is told; answers with what C{reply} makes of it."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.lost: list[Failure] = []
        self.reply: Any = lambda data: None

    def dataReceived(self, data: bytes) -> None:
        self.received.append(data)
        self.reply(data)

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.lost.append(reason)


class CountingSocket(socket.socket):
    """Counts how often it is asked to send."""

    sends = 0

    def send(self, data: Any, flags: int = 0) -> int:
        self.sends += 1
        return super().send(data, flags)


class Connection:
    """One accepted connection and the other side of it."""

    def __init__(self, turn: Turn, reactor: Any) -> None:
        here, self.peer = socket.socketpair()
        self.here = CountingSocket(fileno=here.detach())
        self.peer.setblocking(False)
        self.protocol = Recorder()
        self.transport: Any = DirectServer(turn, self.here, self.protocol, ("192.0.2.1", 5), None, 0, reactor)
        self.protocol.makeConnection(self.transport)

    @property
    def sends(self) -> int:
        return self.here.sends

    def sent(self) -> bytes:
        """What has arrived at the other side."""
        try:
            return self.peer.recv(1_000_000)
        except BlockingIOError:
            return b""


class Turning:
    """A port, its connections, and the turns of its reactor."""

    def __init__(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.turn = Turn(self.reactor)
        self.connections: list[Connection] = []

    def accept(self) -> Connection:
        self.connections.append(Connection(self.turn, self.reactor))
        return self.connections[-1]

    def run(self) -> None:
        """One turn: timers, then whoever can be read or written to, as the reactor would."""
        self.reactor.advance(0)
        for writer in list(self.reactor.writers):
            writer.doWrite()
        if self.turn in self.reactor.readers:
            self.turn.doRead()

    def end(self) -> None:
        for each in self.connections:
            if each.transport.connected:
                each.transport.connectionLost(Failure(ConnectionDone()))
            each.peer.close()


@pytest.fixture
def port() -> Iterator[Turning]:
    port = Turning()
    yield port
    port.end()
    assert port.turn not in port.reactor.readers and not port.reactor.writers


class TestReading:
    def test_all(self, port: Turning) -> None:
        """All that can be read are read in one turn, and the reactor has one reader for all of them."""
        first, second, third = port.accept(), port.accept(), port.accept()
        assert list(port.reactor.readers) == [port.turn]
        first.peer.send(b"one")
        third.peer.send(b"three")
        port.run()
        assert [each.protocol.received for each in (first, second, third)] == [[b"one"], [], [b"three"]]

    def test_many(self, port: Turning, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of very many some are read in one turn, and none is left out."""
        monkeypatch.setattr(turn, "BATCH", 3)
        connections = [port.accept() for _ in range(7)]
        for each in connections:
            each.peer.send(b"hello")
        counts = []
        for _ in range(3):
            port.run()
            counts.append(sum(map(len, (each.protocol.received for each in connections))))
        assert counts == [3, 6, 7]

    def test_paused(self, port: Turning) -> None:
        """Who does not want to read now is left alone until it does."""
        one = port.accept()
        one.transport.pauseProducing()
        one.peer.send(b"hello")
        port.run()
        assert one.protocol.received == []
        one.transport.resumeProducing()
        one.transport.resumeProducing()
        port.run()
        assert one.protocol.received == [b"hello"]

    def test_unwatchedMeanwhile(self, port: Turning) -> None:
        """Who is paused by another one in the same turn is not read in it."""
        one, two = port.accept(), port.accept()
        for each, other in ((one, two), (two, one)):
            each.protocol.reply = lambda data, other=other: other.transport.pauseProducing()
            each.peer.send(b"hello")
        port.run()
        assert one.protocol.received + two.protocol.received == [b"hello"]

    def test_closed(self, port: Turning) -> None:
        """The other side's goodbye ends the connection, cleanly."""
        one = port.accept()
        one.peer.send(b"bye")
        one.peer.close()
        port.run()
        port.run()
        assert one.protocol.received == [b"bye"]
        assert [reason.type for reason in one.protocol.lost] == [ConnectionDone]
        assert not port.reactor.readers

    @pytest.mark.parametrize("fault", [ZeroDivisionError, CancelledError, SystemExit])
    def test_raises(self, port: Turning, logged: list[Any], fault: type[BaseException]) -> None:
        """A protocol that raises anything loses its connection, with the reason, and the others are read."""

        def fail(data: bytes) -> None:
            raise fault

        one, two = port.accept(), port.accept()
        for each in (one, two):
            each.peer.send(b"hello")
        one.protocol.reply = fail
        port.run()
        assert [reason.type for reason in one.protocol.lost] == [fault]
        assert two.protocol.received == [b"hello"] and two.protocol.lost == []
        assert logged.pop().check(fault)

    def test_withoutEpoll(self, port: Turning, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the system has no epoll the reactor watches each of them, as it always does."""
        monkeypatch.delattr("select.epoll")
        one = port.accept()
        assert list(port.reactor.readers) == [one.transport]
        one.transport.pauseProducing()
        assert not port.reactor.readers

    def test_reactorEnds(self, port: Turning) -> None:
        """When the reactor ends it tells its readers, and every connection is told."""
        one, two = port.accept(), port.accept()
        port.turn.connectionLost(Failure(ConnectionLost()))
        assert [reason.type for each in (one, two) for reason in each.protocol.lost] == [ConnectionLost] * 2


class TestSending:
    def test_oneSend(self, port: Turning) -> None:
        """What is written in one turn is sent at its end, at once and in order."""
        one = port.accept()
        for data in (b"a", b"b", b"c"):
            one.transport.write(data)
        one.transport.writeSequence([b"d", b"e"])
        assert one.sends == 0
        port.run()
        assert (one.sent(), one.sends) == (b"abcde", 1)
        assert not port.reactor.writers

    def test_answers(self, port: Turning) -> None:
        """What is written while reading is sent when all were read, without another turn."""
        one, two = port.accept(), port.accept()
        one.protocol.reply = one.transport.write
        two.protocol.reply = one.transport.write
        for each, data in ((one, b"a"), (two, b"b")):
            each.peer.send(data)
        port.run()
        assert sorted(one.sent()) == sorted(b"ab") and one.sends == 1
        assert not port.reactor.getDelayedCalls()

    def test_full(self, port: Turning) -> None:
        """What the socket does not take is the reactor's to send, and what is written later comes after it."""
        one = port.accept()
        one.transport.write(b"x" * 2_000_000)
        port.run()
        assert list(port.reactor.writers) == [one.transport]
        one.transport.write(b"end")
        arrived = b""
        for _ in range(1000):
            arrived += one.sent()
            port.run()
            if not port.reactor.writers:
                break
        assert arrived + one.sent() == b"x" * 2_000_000 + b"end"
        one.transport.write(b"again")
        port.run()
        assert one.sent() == b"again" and not port.reactor.writers

    def test_peerGone(self, port: Turning) -> None:
        """Sending to who is gone ends the connection as lost; it is not told from inside of the write."""
        one = port.accept()
        one.peer.close()
        one.transport.pauseProducing()
        one.transport.write(b"hello")
        assert one.protocol.lost == []
        port.run()
        assert [reason.type for reason in one.protocol.lost] == [ConnectionLost]

    def test_loseConnection(self, port: Turning) -> None:
        """Closing sends what was written before, and then closes."""
        one = port.accept()
        one.transport.write(b"last words")
        one.transport.loseConnection()
        port.run()
        assert one.sent() == b"last words" and one.peer.recv(10) == b""
        assert [reason.type for reason in one.protocol.lost] == [ConnectionDone]

    def test_closedWhileReading(self, port: Turning) -> None:
        """So does closing in answer to what is read."""
        one = port.accept()
        one.protocol.reply = lambda data: (one.transport.write(b"bye"), one.transport.loseConnection())
        one.peer.send(b"hello")
        port.run()
        assert one.sent() == b"bye" and one.peer.recv(10) == b""
        assert len(one.protocol.lost) == 1

    def test_abort(self, port: Turning) -> None:
        """Aborting sends nothing more, and is told once."""
        one = port.accept()
        one.transport.write(b"never")
        one.transport.abortConnection()
        port.run()
        port.run()
        assert len(one.protocol.lost) == 1

    def test_pushProducer(self, port: Turning) -> None:
        """A push producer is paused when much waits, and goes on when it was sent."""
        told: list[str] = []

        class Producer:
            pauseProducing = resumeProducing = stopProducing = None

        producer: Any = Producer()
        producer.pauseProducing = lambda: told.append("pause")
        producer.resumeProducing = lambda: told.append("resume")
        producer.stopProducing = lambda: told.append("stop")
        one = port.accept()
        one.transport.registerProducer(producer, True)
        one.transport.write(b"x" * 65_537)
        assert told == ["pause"]
        while told == ["pause"]:
            port.run()
            one.sent()
        assert told == ["pause", "resume"]

    def test_pullProducer(self, port: Turning) -> None:
        """A pull producer is asked for more whenever all was sent."""
        one = port.accept()
        left = [b"c", b"b", b"a"]

        class Producer:
            def resumeProducing(self) -> None:
                if left:
                    one.transport.write(left.pop())
                else:
                    one.transport.unregisterProducer()

            def stopProducing(self) -> None: ...

        one.transport.registerProducer(Producer(), False)
        for _ in range(6):
            port.run()
        assert one.sent() == b"abc" and left == [] and not port.reactor.writers

    def test_producerRaises(self, port: Turning, logged: list[Any]) -> None:
        """A producer that raises loses its connection, and the others are sent to."""
        one, two = port.accept(), port.accept()

        class Producer:
            def resumeProducing(self) -> None:
                if one.sends:
                    raise ZeroDivisionError
                one.transport.write(b"first")

            def stopProducing(self) -> None: ...

        one.transport.registerProducer(Producer(), False)
        two.transport.write(b"hello")
        port.run()
        assert [reason.type for reason in one.protocol.lost] == [ZeroDivisionError]
        assert two.sent() == b"hello"
        assert logged.pop().check(ZeroDivisionError)


class TestPorts:
    def test_own(self) -> None:
        """Twisted's own TCP port makes these connections from then on."""
        port = Port(0, None)  # type: ignore[arg-type]
        useDirectWrites(port, MemoryReactorClock())
        made: Any = port.transport
        assert made.func is DirectServer and isinstance(made.args[0], Turn)

    def test_others(self) -> None:
        """A port that makes other transports, or is of another kind, is left as it is."""

        class Other(Server):
            pass

        port: Any = Port(0, None)  # type: ignore[arg-type]
        port.transport = Other
        useDirectWrites(port, MemoryReactorClock())
        assert port.transport is Other
        useDirectWrites(object(), MemoryReactorClock())
