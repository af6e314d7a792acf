"""
The channel by which connections are handed over: real sockets, read by hand.
"""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from tests.machine.descriptors import HandReactor, connected, isEnded, sameDescriptors
from twisted_crossws.machine.giver import Giver
from twisted_crossws.machine.handover import INTERVAL, PATIENCE, REPORT, REST, WINDOW
from twisted_crossws.machine.taker import Taker


class Master:
    """It has givers."""

    def __init__(self) -> None:
        self.back: list[socket.socket] = []
        self.told: list[str] = []

    def reported(self, giver: Giver) -> None:
        self.told.append("reported")

    def returned(self, giver: Giver, connections: Sequence[socket.socket]) -> None:
        self.told.append("returned")
        self.back.extend(connections)

    def ended(self, giver: Giver, connections: Sequence[socket.socket]) -> None:
        self.told.append("ended")
        self.back.extend(connections)


class Worker:
    """It serves."""

    def __init__(self) -> None:
        self.serves: list[socket.socket] = []
        self.told: list[Any] = []
        self.signs = 0

    @property
    def open(self) -> int:
        return len(self.serves)

    def take(self, connection: socket.socket) -> None:
        self.serves.append(connection)

    def noRoom(self, count: int) -> None:
        self.told.append(("noRoom", count))

    def heard(self) -> None:
        self.signs += 1

    def channelEnded(self) -> None:
        self.told.append("ended")


class Channel:
    """Both ends of one, and clients."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.reactor = HandReactor()
        self.master, self.worker = Master(), Worker()
        ours, its = socket.socketpair()
        self.giver = Giver("serverA.1", ours, self.master, self.reactor)
        self.itsEnd = its
        self.taker: Any = None
        stack.callback(self.close)

    def listen(self) -> None:
        """The worker is there."""
        self.taker = Taker(self.itsEnd, self.worker, self.reactor)
        self.reactor.settle()

    def client(self) -> tuple[socket.socket, socket.socket]:
        return connected(self._stack)

    def give(self, count: int = 1) -> list[socket.socket]:
        """
        @return: so many clients whose connections were given.
        """
        pairs = [self.client() for _ in range(count)]
        assert self.giver.give([accepted for _, accepted in pairs])
        return [client for client, _ in pairs]

    def room(self) -> int:
        return self.giver.room() if self.giver.serves(self.reactor.seconds()) else 0

    def end(self, number: int = 0) -> None:
        """A connection of the worker ends."""
        self.worker.serves.pop(number).close()
        self.taker.changed()

    def close(self) -> None:
        self.giver.close()
        self.itsEnd.close()
        if self.taker is not None:
            self.taker.close()
        for left in self.worker.serves + self.master.back:
            left.close()
        assert self.reactor.readers == [] and self.reactor.getDelayedCalls() == []


@pytest.fixture
def channel() -> Iterator[Channel]:
    with sameDescriptors() as stack:
        yield Channel(stack)


def test_ready(channel: Channel) -> None:
    """A worker gets connections when it has said that it listens, and not before."""
    assert channel.room() == 0 and not channel.giver.isReady
    channel.listen()
    assert channel.room() == WINDOW and channel.giver.isReady


def test_given(channel: Channel) -> None:
    """The worker serves what was given, each once, and nobody else has it open any more."""
    channel.listen()
    clients = channel.give(3)
    assert channel.giver.load == 3 and channel.room() == WINDOW - 3
    channel.reactor.settle()
    assert channel.giver.load == 3 and channel.room() == WINDOW
    for number, (client, served) in enumerate(zip(clients, channel.worker.serves, strict=True)):
        served.sendall(b"%d" % number)
        assert client.recv(9) == b"%d" % number
        assert not served.get_inheritable()
    channel.end(1)
    assert isEnded(clients[1]) and not isEnded(clients[0])


def test_exactCount(channel: Channel) -> None:
    """What is on the way counts, whatever is reported meanwhile."""
    channel.listen()
    channel.give(5)
    channel.reactor.settle()
    channel.give(2)
    channel.end()
    channel.reactor.advance(INTERVAL)
    channel.reactor.turn(channel.giver)
    assert channel.giver.load == 6
    channel.reactor.settle()
    assert channel.giver.load == 6


def test_oneReport(channel: Channel) -> None:
    """Connections that end together are reported together."""
    channel.listen()
    channel.give(4)
    channel.reactor.settle()
    channel.master.told.clear()
    for _ in range(4):
        channel.end()
    channel.reactor.settle()
    assert channel.master.told == [] and channel.giver.load == 4
    channel.reactor.advance(INTERVAL)
    channel.reactor.settle()
    assert channel.master.told == ["reported"] and channel.giver.load == 0


def test_refusedAtOnce(channel: Channel) -> None:
    """A connection that ends while it is taken is not counted."""
    channel.listen()
    channel.worker.take = lambda connection: connection.close()  # type: ignore[method-assign]
    channel.give()
    channel.reactor.settle()
    assert channel.giver.load == 1
    channel.reactor.advance(INTERVAL)
    channel.reactor.settle()
    assert channel.giver.load == 0


class TestSignOfLife:
    def ask(self, channel: Channel) -> None:
        channel.taker.ask()
        channel.reactor.advance(INTERVAL)

    def test_asked(self, channel: Channel) -> None:
        """A master that is asked for a sign of life gives one, once."""
        channel.listen()
        self.ask(channel)
        assert channel.worker.signs == 0
        channel.reactor.settle()
        assert channel.worker.signs == 1
        channel.taker.changed()
        channel.reactor.advance(INTERVAL)
        channel.reactor.settle()
        assert channel.worker.signs == 1

    def test_connections(self, channel: Channel) -> None:
        """Connections are signs of life too, and do not suffer from others, before them and after."""
        channel.listen()
        for _ in range(3):
            self.ask(channel)
            channel.reactor.turn(channel.giver)
        channel.give(WINDOW)
        self.ask(channel)
        channel.reactor.turn(channel.giver)
        channel.reactor.settle()
        assert len(channel.worker.serves) == WINDOW and channel.worker.told == [] and channel.worker.signs >= 1
        assert channel.giver.load == WINDOW and channel.room() == WINDOW

    def test_nobodyReads(self, channel: Channel) -> None:
        """A worker that is asked for nothing, and reads nothing, does not keep the master from its work."""
        channel.listen()
        fill(channel.giver._channel)
        self.ask(channel)
        channel.reactor.turn(channel.giver)
        channel.itsEnd.recv(1 << 24)
        channel.reactor.settle()
        assert channel.room() == WINDOW


class TestStuck:
    def test_window(self, channel: Channel) -> None:
        """A worker that does not read gets no more than fits the window."""
        channel.listen()
        channel.give(WINDOW)
        assert channel.room() == 0
        channel.reactor.settle()
        assert channel.room() == WINDOW

    def test_patience(self, channel: Channel) -> None:
        """Who has not read one for a while gets none, until it reads."""
        channel.listen()
        channel.give()
        channel.reactor.advance(PATIENCE * 0.9)
        assert channel.room() == WINDOW - 1 and channel.giver.changesAt() == PATIENCE
        channel.reactor.advance(PATIENCE * 0.1)
        assert channel.room() == 0
        channel.reactor.settle()
        assert channel.room() == WINDOW

    def test_full(self, channel: Channel) -> None:
        """If the system does not take it, nothing was given, and the worker rests."""
        channel.listen()
        channel.giver._channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        with pytest.raises(BlockingIOError):
            while True:
                channel.giver._channel.send(b"")
                channel.giver._channel.send(b"c")
        client, accepted = channel.client()
        assert not channel.giver.give([accepted])
        assert channel.giver.load == 0 and channel.room() == 0
        channel.reactor.advance(REST)
        assert channel.room() == WINDOW
        accepted.close()

    def test_stuckMaster(self, channel: Channel) -> None:
        """A worker serves nothing that it cannot report: it would be given to another one if it ended now."""
        channel.listen()
        filler = fill(channel.itsEnd)
        (client,) = channel.give()
        channel.reactor.turn(channel.taker)
        assert channel.worker.serves == [] and channel.taker not in channel.reactor.readers
        for _ in range(3):
            channel.reactor.advance(INTERVAL)
        assert channel.worker.serves == []
        assert len(channel.giver._channel.recv(1 << 24)) == filler
        channel.reactor.advance(INTERVAL)
        channel.reactor.settle()
        assert len(channel.worker.serves) == 1 and channel.giver.load == 1
        assert channel.taker in channel.reactor.readers

    def test_stuckMasterDies(self, channel: Channel) -> None:
        """If the master turns out to be dead, what could not be reported is served, be there a new master or not."""
        channel.listen()
        fill(channel.itsEnd)
        channel.give()
        channel.reactor.turn(channel.taker)
        channel.giver.close()
        channel.taker.finish()
        assert len(channel.worker.serves) == 1

    def test_stuckMasterLives(self, channel: Channel) -> None:
        """If it lives, nothing that could not be reported is served when another master takes its place."""
        channel.listen()
        filler = fill(channel.itsEnd)
        channel.give()
        channel.reactor.turn(channel.taker)
        channel.give()
        channel.taker.finish()
        assert len(channel.giver._channel.recv(filler)) == filler
        channel.reactor.settle()
        assert channel.worker.serves == [] and len(channel.master.back) == 2

    def test_endsUnreported(self, channel: Channel) -> None:
        """What was not reported goes to another when the worker ends, and only there."""
        channel.listen()
        filler = fill(channel.itsEnd)
        (client,) = channel.give()
        channel.reactor.turn(channel.taker)
        channel.taker.close()
        assert len(channel.giver._channel.recv(filler)) == filler
        channel.reactor.settle()
        assert channel.worker.serves == [] and len(channel.master.back) == 1
        assert not isEnded(client)


def fill(end: socket.socket) -> int:
    """
    @return: how many bytes there were room for.
    """
    count = 0
    try:
        while True:
            count += end.send(bytes(20))
    except BlockingIOError:
        return count


class TestWorkerEnds:
    def test_unread(self, channel: Channel) -> None:
        """What it has not read comes back, and what it has read does not."""
        channel.listen()
        channel.give(2)
        channel.reactor.settle()
        clients = channel.give(3)
        channel.taker.close()
        channel.reactor.settle()
        assert channel.master.told[-1] == "ended" and len(channel.master.back) == 3
        channel.master.back[2].sendall(b"for the last")
        assert clients[2].recv(99) == b"for the last"
        assert len(channel.worker.serves) == 2

    def test_died(self, channel: Channel) -> None:
        """So it is when it dies, even if its last report has not been read yet."""
        channel.listen()
        channel.give(2)
        channel.reactor.turn(channel.taker)
        clients = channel.give(1)
        channel.reactor.removeReader(channel.taker)
        channel.taker._channel.close()
        channel.reactor.settle()
        assert len(channel.master.back) == 1 and not isEnded(clients[0])

    def test_removed(self, channel: Channel) -> None:
        """So it is when the master is told of it by others first."""
        channel.listen()
        channel.give(1)
        channel.taker.close()
        channel.giver.close()
        assert channel.master.told[-1] == "ended" and len(channel.master.back) == 1

    def test_givenAfterwards(self, channel: Channel) -> None:
        """Nothing is given to who has ended."""
        channel.listen()
        channel.taker.close()
        client, accepted = channel.client()
        assert not channel.giver.give([accepted])
        assert channel.room() == 0
        accepted.close()


class TestMasterEnds:
    def test_unread(self, channel: Channel) -> None:
        """What is in the channel is served, and then the worker knows."""
        channel.listen()
        clients = channel.give(3)
        channel.giver.close()
        assert channel.master.back == []
        channel.reactor.settle()
        assert len(channel.worker.serves) == 3 and channel.worker.told == ["ended"]
        assert not any(isEnded(client) for client in clients)

    def test_hangUp(self, channel: Channel) -> None:
        """So it is when the reactor says that there is nobody any more, before it has read all."""
        channel.listen()
        channel.give(3)
        channel.giver.close()
        channel.reactor.end()
        assert len(channel.worker.serves) == 3 and channel.worker.told == ["ended"]

    def test_another(self, channel: Channel) -> None:
        """For a new master, what is in the channel of the former is served first."""
        channel.listen()
        channel.give(3)
        channel.taker.finish()
        assert len(channel.worker.serves) == 3
        ours, its = socket.socketpair()
        second = Giver("serverA.1", ours, channel.master, channel.reactor)
        taker = Taker(its, channel.worker, channel.reactor)
        channel.reactor.settle()
        assert second.load == 3 and second.serves(0)
        second.close()
        taker.close()


class TestFaults:
    def test_noDescriptors(self, channel: Channel) -> None:
        """Connections for which a worker has no descriptors left go back, in order, and it rests."""
        channel.listen()
        clients = channel.give(3)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = os.dup(0)
        os.close(spare)
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare + 1, limits[1]))
        try:
            channel.reactor.turn(channel.taker)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        channel.reactor.settle()
        assert channel.worker.told == [("noRoom", 2)] and len(channel.worker.serves) == 1
        assert channel.giver.load == 1 and channel.room() == 0
        for number, connection in enumerate(channel.worker.serves + channel.master.back):
            connection.sendall(b"%d" % number)
            assert clients[number].recv(9) == b"%d" % number
        channel.reactor.advance(REST)
        assert channel.room() == WINDOW

    @pytest.mark.parametrize(
        "report",
        [REPORT.pack(2, 2, 0, 0), REPORT.pack(1, 0, 2, 0), b"x" * 20, REPORT.pack(0, 0, 1, 0)],
    )
    def test_badReport(self, channel: Channel, report: bytes) -> None:
        """A worker that reports what cannot be gets nothing more, and what it was given goes to nobody else."""
        channel.listen()
        (client,) = channel.give()
        channel.itsEnd.send(report)
        channel.reactor.turn(channel.giver)
        assert channel.master.told[-1] == "ended" and channel.master.back == []
        assert channel.room() == 0 and not isEnded(client)

    def test_inPieces(self, channel: Channel) -> None:
        """A report may come in pieces."""
        report = REPORT.pack(0, 7, 0, 0)
        channel.itsEnd.send(report[:5])
        channel.reactor.settle()
        assert not channel.giver.isReady
        channel.itsEnd.send(report[5:] + report)
        channel.reactor.settle()
        assert channel.giver.load == 7

    @pytest.mark.parametrize(("text", "count"), [(b"nonsense", 0), (b"x", 1), (b"c", 2)])
    def test_badConnection(self, channel: Channel, text: bytes, count: int) -> None:
        """A master that sends what is no connection is not listened to any more, and nothing of it is kept."""
        channel.listen()
        pairs = [channel.client() for _ in range(count)]
        socket.send_fds(channel.giver._channel, [text], [accepted.fileno() for _, accepted in pairs])
        for _, accepted in pairs:
            accepted.close()
        channel.reactor.turn(channel.taker)
        assert channel.worker.serves == [] and channel.worker.told == ["ended"]
        assert all(isEnded(client) for client, _ in pairs)
