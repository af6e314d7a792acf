"""
What is said over a control socket, by both ends of one.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.testing import MemoryReactor
from twisted.test.iosim import FakeTransport, IOPump, connect

from tests.machine.fakes import fired
from twisted_crossws.machine.control import (
    PAGE,
    Connection,
    List,
    Order,
    Progress,
    Refused,
    isAnswered,
    listen,
    listenerAt,
    memoryOf,
)
from twisted_crossws.machine.controlled import Controlled, OnProgress
from twisted_crossws.machine.rows import Row


class FakeCommanded:
    """
    @ivar all: the rows that it knows.
    @ivar answers: what it does with an order, by its verb.
    """

    def __init__(self) -> None:
        self.all: list[Row] = []
        self.answers: dict[str, Any] = {}
        self.orders: list[tuple[str, dict[str, Any]]] = []
        self.progress: list[OnProgress] = []

    def rows(self) -> Deferred[Sequence[Row]]:
        return succeed(self.all)

    def order(self, verb: str, words: dict[str, Any], progress: OnProgress) -> Deferred[Sequence[str]]:
        self.orders.append((verb, words))
        self.progress.append(progress)
        answer = self.answers.get(verb, [])
        if isinstance(answer, Exception):
            return fail(answer)
        return answer if isinstance(answer, Deferred) else succeed(answer)


class Person(Connection):
    """Who commands, and hears what is done."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    @Progress.responder
    def progress(self, sentence: str) -> dict[str, Any]:
        self.heard.append(sentence)
        return {}


class Talk:
    """A person at the control socket of something."""

    def __init__(self) -> None:
        self.commanded = FakeCommanded()
        self.person = Person()
        self.controlled = Controlled(self.commanded)
        self.pump: IOPump = connect(
            self.controlled,
            FakeTransport(self.controlled, isServer=True),
            self.person,
            FakeTransport(self.person, False),
        )

    def ask(self, command: Any, **arguments: Any) -> list[Any]:
        answer = fired(self.person.callRemote(command, **arguments))
        self.pump.flush()
        return answer


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_list(talk: Talk) -> None:
    """Rows come in pages, so that none is too long for its carrier."""
    talk.commanded.all = [Row(name=f"server-{number}") for number in range(PAGE + 1)]
    (first,) = talk.ask(List, start=0)
    (second,) = talk.ask(List, start=PAGE)
    assert [len(first["rows"]), first["more"], len(second["rows"]), second["more"]] == [PAGE, True, 1, False]
    assert Row(**second["rows"][0]) == talk.commanded.all[-1]


def test_order(talk: Talk) -> None:
    """An order is given with its words, and answered by sentences."""
    talk.commanded.answers["stop"] = ["a has stopped."]
    assert talk.ask(Order, verb="stop", words={"name": "a"}) == [{"said": ["a has stopped."]}]
    assert talk.commanded.orders == [("stop", {"name": "a"})]


def test_refused(talk: Talk) -> None:
    """What cannot be done is said, and the connection stays."""
    talk.commanded.answers["stop"] = Refused("no server is named a")
    (fault,) = talk.ask(Order, verb="stop", words={})
    assert isinstance(fault, Refused) and str(fault) == "no server is named a"
    assert talk.ask(List, start=0) == [{"rows": [], "more": False}]


def test_unexpected(talk: Talk, logged: list[Any]) -> None:
    """A bug is logged, and told as a sentence."""
    talk.commanded.answers["stop"] = KeyError("x")
    (fault,) = talk.ask(Order, verb="stop", words={})
    assert isinstance(fault, Refused) and "it failed" in str(fault)
    assert logged.pop().check(KeyError)


def test_progress(talk: Talk) -> None:
    """An order that takes its time says what it has done; nobody has to listen."""
    done: Deferred[Sequence[str]] = Deferred()
    talk.commanded.answers["restart"] = done
    answer = talk.ask(Order, verb="restart", words={})
    talk.commanded.progress[0]("a is drained.")
    talk.pump.flush()
    assert (talk.person.heard, answer) == (["a is drained."], [])
    talk.person.transport.loseConnection()
    talk.pump.flush()
    talk.commanded.progress[0]("b is drained.")
    done.callback([])
    assert talk.person.heard == ["a is drained."]
    assert len(answer) == 1


class TestListen:
    """A control socket takes the place of what was left over, and of nothing that lives."""

    def test_fresh(self, tmp_path: Path) -> None:
        """Only its user may reach it."""
        reactor = MemoryReactor()
        listen(reactor, str(tmp_path / "a.sock"), "factory")
        (path, factory, _, mode, _) = reactor.unixServers[0]
        assert (path, factory, mode) == (str(tmp_path / "a.sock"), "factory", 0o600)

    def test_leftOver(self, tmp_path: Path) -> None:
        """The socket of a process that is gone is removed."""
        path = str(tmp_path / "a.sock")
        with socket.socket(socket.AF_UNIX) as old:
            old.bind(path)
        assert os.path.exists(path) and not isAnswered(path) and listenerAt(path) is None
        listen(MemoryReactor(), path, "factory")
        assert not os.path.exists(path)

    def test_alive(self, tmp_path: Path) -> None:
        """That of a living process is left alone."""
        path = str(tmp_path / "a.sock")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(path)
            other.listen(0)
            assert isAnswered(path)
            with pytest.raises(Refused, match="another process listens at"):
                listen(MemoryReactor(), path, "factory")
            waiting = [socket.socket(socket.AF_UNIX) for _ in range(2)]
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(path)
            assert isAnswered(path) and listenerAt(path) == 0, "also if its queue is full"
            for each in waiting:
                each.close()
        assert os.path.exists(path)


def test_listenerAt(tmp_path: Path) -> None:
    """The number of the process that listens is known before it says a word, where the system tells."""
    path = str(tmp_path / "a.sock")
    assert listenerAt(path) is None
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        assert listenerAt(path) == (os.getpid() if hasattr(socket, "SO_PEERCRED") else 0)


def test_memoryOf() -> None:
    """This process has some; one that is not there has none that is known."""
    assert (memoryOf(os.getpid()) or 0) > 10**6
    assert memoryOf(2**22 + 1) is None
