"""
The ports that processes share, as they are offered to them and taken back from them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from tests.machine.fakes import FakeAgent, fired
from twisted_crossws.machine.agent import Agent, _MasterLink
from twisted_crossws.machine.control import Refused
from twisted_crossws.machine.shares import Shares
from twisted_crossws.services.ports import ListenError

ANY = "tcp:0:interface=127.0.0.1"
KEY = "tcp:127.0.0.1:0"


@pytest.fixture
def shares() -> Iterator[Shares]:
    shares = Shares([ANY], "crossws.toml: hall", "least-connection", MemoryReactorClock())
    yield shares
    shares.close()


def taking(taken: list[tuple[int, int]]) -> FakeAgent:
    """A process that keeps what it is offered, as the system would: as descriptors of its own."""
    agent = FakeAgent()
    call = agent.callRemote

    def callRemote(command: Any, **arguments: Any) -> Deferred[Any]:
        if command.__name__ == "Offer":
            taken.append((os.dup(arguments["listening"]), os.dup(arguments["channel"])))
        return call(command, **arguments)

    agent.callRemote = callRemote  # type: ignore[method-assign]
    return agent


def test_open(shares: Shares) -> None:
    """There is a socket for each endpoint, and each process gets it with a channel of its own."""
    assert not shares.isOpen
    shares.open()
    assert shares.isOpen
    taken: list[tuple[int, int]] = []
    before = len(os.listdir("/proc/self/fd"))
    assert fired(shares.offer("a.1", taking(taken))) == [[None]]
    ((listening, channel),) = taken
    with socket.socket(fileno=listening) as theirs:
        assert theirs.getsockname()[1] > 0 and theirs.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    os.close(channel)
    # The master has kept its own end of the channel, and nothing of theirs.
    assert len(os.listdir("/proc/self/fd")) == before + 1


def test_offerFails(shares: Shares) -> None:
    """A process that ends while it is told of a port keeps nothing open here."""
    shares.open()
    before = len(os.listdir("/proc/self/fd"))
    assert fired(shares.offer("a.1", FakeAgent(Offer=ConnectionError("gone")))) == [[None]]
    shares.remove("a.1")
    assert len(os.listdir("/proc/self/fd")) == before


def test_taken(shares: Shares) -> None:
    """A socket that a process has is used, and not made anew; a second one is closed."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = listening.getsockname()[1]
        agent = FakeAgent(Give={"listening": os.dup(listening.fileno())})
        fired(shares.take([KEY, "tcp:127.0.0.1:1"], agent))
        assert shares.isOpen and agent.asked == [("Give", {"key": KEY})]
        fired(shares.take([KEY], agent))
        assert agent.commands() == ["Give"]
        shares.open()
    taken: list[tuple[int, int]] = []
    shares.offer("a.1", taking(taken))
    with socket.socket(fileno=taken[0][0]) as theirs:
        assert theirs.getsockname()[1] == number
    os.close(taken[0][1])


def test_takenTwice(shares: Shares) -> None:
    """Two processes are asked at once: the slower one's socket is closed."""
    answers: list[Deferred[Any]] = [Deferred(), Deferred()]
    for answer in answers:
        shares.take([KEY], FakeAgent(Give=answer))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        before = len(os.listdir("/proc/self/fd"))
        for answer in answers:
            answer.callback({"listening": os.dup(listening.fileno())})
        assert len(os.listdir("/proc/self/fd")) == before + 1


def test_notGiven(shares: Shares) -> None:
    """A process that has closed its port meanwhile is no fault."""
    assert fired(shares.take([KEY], FakeAgent(Give=Refused("there is no socket")))) == [[None]]
    assert not shares.isOpen


def test_portTaken() -> None:
    """A port that somebody else has is a sentence; what was opened before it is closed."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"tcp:{other.getsockname()[1]}:interface=127.0.0.1"
        shares = Shares([ANY, taken], "crossws.toml: hall", "random", MemoryReactorClock())
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(ListenError, match="crossws.toml: hall: .* cannot be listened on: Address already in use"):
            shares.open()
        assert not shares.isOpen and len(os.listdir("/proc/self/fd")) == before


def test_cannotBeShared() -> None:
    """What is no port is refused before anything runs."""
    with pytest.raises(ListenError):
        Shares(["unix:/run/x"], "crossws.toml: hall", "random", MemoryReactorClock())


def test_pause(shares: Shares) -> None:
    """A process that is drained can be paused, whether it has come or not."""
    shares.open()
    shares.pause("a.1")
    taken: list[tuple[int, int]] = []
    shares.offer("a.1", taking(taken))
    shares.pause("a.1")
    for descriptors in taken:
        for each in descriptors:
            os.close(each)


class FakePorts:
    """What a process shares."""

    def __init__(self) -> None:
        self.offered: list[tuple[str, int, int]] = []
        self.here: dict[str, socket.socket] = {}

    def offer(self, key: str, listening: int, channel: int) -> None:
        self.offered.append((key, listening, channel))

    def sockets(self) -> dict[str, socket.socket]:
        return self.here


class FakeAgentService:
    orders = None

    def __init__(self, ports: FakePorts | None) -> None:
        self.ports = ports


def link(ports: FakePorts | None) -> _MasterLink:
    agent: Any = FakeAgentService(ports)
    service: Agent = agent
    return _MasterLink(service)


class TestProcess:
    """The other end."""

    def test_offer(self) -> None:
        """What is offered goes to its ports; a process without any closes it."""
        ports = FakePorts()
        assert link(ports).offer(KEY, 1000, 1001) == {}
        assert ports.offered == [(KEY, 1000, 1001)]
        pair = socket.socketpair()
        link(None).offer(KEY, *(each.detach() for each in pair))
        assert [each.fileno() for each in pair] == [-1, -1]

    def test_give(self) -> None:
        """A socket that it has is given; another is refused."""
        ports = FakePorts()
        with socket.socket() as listening:
            ports.here[KEY] = listening
            assert link(ports).give(KEY) == {"listening": listening.fileno()}
        with pytest.raises(Refused, match="there is no socket for x"):
            link(ports).give("x")
        with pytest.raises(Refused):
            link(None).give(KEY)
