"""
C{crossws-ctl}, at real control sockets of something that is commanded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import ensureDeferred, maybeDeferred
from twisted.internet.task import deferLater

from tests.machine.test_controlled import FakeCommanded
from twisted_crossws.machine.agent import socketOf
from twisted_crossws.machine.control import MASTER_SOCKET, ControlFactory, Refused, listen
from twisted_crossws.machine.controlled import Controlled
from twisted_crossws.machine.ctl import MAX_WORDS, parser, run, wordsOf
from twisted_crossws.machine.rows import Row

reactor: Any = _reactor


class Place:
    """
    A run folder, and who listens in it.

    @ivar config: the configuration file that it belongs to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "run"
        self.folder.mkdir(mode=0o700)
        self.config = folder / "crossws.toml"
        self.config.write_text('[master]\nrun_dir = "run"\n')
        self.ports: list[Any] = []
        self._connections: list[Controlled] = []

    def commanded(self, name: str | None = None, kind: type[Controlled] = Controlled) -> FakeCommanded:
        """A master, or a node of some name, that listens."""
        commanded = FakeCommanded()
        path = str(self.folder / MASTER_SOCKET) if name is None else socketOf(str(self.folder), name)

        def make() -> Controlled:
            self._connections.append(kind(commanded))
            return self._connections[-1]

        self.ports.append(listen(reactor, path, ControlFactory(make)))
        return commanded

    async def close(self) -> None:
        """End whatever is still open."""
        for port in self.ports:
            await maybeDeferred(port.stopListening)
        while any(connection.transport is not None for connection in self._connections):
            await deferLater(reactor, 0)

    async def run(self, *args: str) -> int:
        """
        @return: the exit status.
        """
        try:
            await run(reactor, parser().parse_args(["--config", str(self.config), *args]))
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0


@pytest.fixture
def place(tmp_path: Path, logged: list[Any]) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    pytest_twisted.blockon(ensureDeferred(place.close()))


def words(*args: str) -> dict[str, Any]:
    return wordsOf(parser().parse_args([*args]))


class TestWords:
    def test_names(self) -> None:
        """A name is optional where all can be meant."""
        assert words("stop") == {} and words("stop", "a") == {"name": "a"}
        assert words("kick", "u1") == {"socketId": "u1"}
        with pytest.raises(SystemExit):
            words("drain")

    def test_send(self) -> None:
        """A payload is JSON; whom it is for is one, a room, or all."""
        assert words("send", "news") == {"event": "news"}
        assert words("send", "news", "[1]", "--to", "u1") == {"event": "news", "payload": [1], "to": "u1"}
        assert words("send", "news", '"x"', "--room", "chat", "lobby") == {
            "event": "news",
            "payload": "x",
            "room": ["chat", "lobby"],
        }

    @pytest.mark.parametrize("payload", ["{", "so", "'so'"])
    def test_noJson(self, payload: str) -> None:
        """What is no JSON is said, with how a text is written."""
        with pytest.raises(Refused, match="is not JSON"):
            words("send", "news", payload)

    def test_tooLong(self) -> None:
        """Neither is a payload cut off."""
        with pytest.raises(Refused, match="are the most that can be sent so"):
            words("send", "news", '"' + "x" * MAX_WORDS + '"')


class TestMaster:
    @pytest_twisted.ensureDeferred
    async def test_list(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        """A table for people, all rows as JSON for programs."""
        place.commanded().all = [Row(name=f"a{number}") for number in range(120)]
        assert await place.run("list") == 0
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == [f"a{n}" for n in range(120)]
        assert await place.run("--json", "list") == 0
        assert len(json.loads(capsys.readouterr().out)) == 120

    @pytest_twisted.ensureDeferred
    async def test_order(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        """What was done is said."""
        commanded = place.commanded()
        commanded.answers["restart"] = ["2 restarted."]
        assert await place.run("restart", "a") == 0
        assert commanded.orders == [("restart", {"name": "a"})]
        assert await place.run("--json", "restart") == 0
        assert capsys.readouterr().out == '2 restarted.\n{"said": ["2 restarted."]}\n'

    @pytest_twisted.ensureDeferred
    async def test_refused(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        """What cannot be done is said on standard error, with status 1."""
        place.commanded().answers["stop"] = Refused("no server is named b; did you mean a?")
        assert await place.run("stop", "b") == 1
        assert await place.run("--json", "stop", "b") == 1
        out, err = capsys.readouterr()
        assert (out, err) == (
            "",
            'crossws-ctl: no server is named b; did you mean a?\n{"error": "no server is named b; did you mean a?"}\n',
        )

    @pytest_twisted.ensureDeferred
    async def test_socket(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        """A socket can be said instead of a file."""
        place.commanded("a").all = [Row(name="a")]
        assert await place.run("--socket", socketOf(str(place.folder), "a"), "list") == 0
        assert await place.run("--socket", str(place.folder / "b.sock"), "list") == 1
        out, err = capsys.readouterr()
        assert out.splitlines()[1].split()[0] == "a" and err.startswith("crossws-ctl: nobody answers at ")


class TestWithoutMaster:
    @pytest_twisted.ensureDeferred
    async def test_list(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        """Each server is asked itself; what a dead one has left is unreachable."""
        place.commanded("b/1").all = [Row(name="b/1", clients=2)]
        (place.folder / "a.sock").touch()
        (place.folder / "hub.sock").touch()
        assert await place.run("--json", "list") == 0
        rows = [(row["name"], row["state"]) for row in json.loads(capsys.readouterr().out)]
        assert rows == [("a", "unreachable"), ("b/1", "running")]

    @pytest_twisted.ensureDeferred
    async def test_orders(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        """A server is told by its name, and anyone what anyone can do."""
        (place.folder / "a.sock").touch()
        commanded = place.commanded("b")
        commanded.answers |= {"stop": ["b stops."], "send": ["sent."]}
        assert await place.run("stop", "b") == 0
        assert await place.run("send", "news") == 0
        assert [verb for verb, _ in commanded.orders] == ["stop", "send"]
        assert await place.run("stop", "a") == 1
        assert await place.run("drain", "bb") == 1
        assert await place.run("restart") == 1
        assert await place.run("stop") == 1
        await maybeDeferred(place.ports.pop().stopListening)
        assert await place.run("send", "news") == 1
        assert capsys.readouterr().err.splitlines() == [
            "crossws-ctl: a does not answer",
            "crossws-ctl: no server is named bb; did you mean b?",
            "crossws-ctl: restart needs the master, which does not run; start it with twistd -n crossws --config FILE",
            "crossws-ctl: stop needs the master, which does not run; start it with twistd -n crossws --config FILE",
            "crossws-ctl: no server of this machine answers",
        ]

    @pytest_twisted.ensureDeferred
    async def test_nobody(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        """Nobody runs, or there is no such file: both are said."""
        assert await place.run("list") == 1
        place.config.unlink()
        assert await place.run("list") == 1
        first, second = capsys.readouterr().err.splitlines()
        assert first.startswith("crossws-ctl: no server of ") and "runs on this machine" in first
        assert second.startswith("crossws-ctl: there is no file ")

    @pytest_twisted.ensureDeferred
    async def test_faultyFile(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        """Whatever is wrong with the file now, what runs by it can be commanded."""
        place.config.write_text('[master]\nrun_dir = "run"\n[websocket]\nlisten = 5\n')
        place.commanded().answers["stop"] = ["stopped."]
        assert await place.run("stop") == 0


class Rude(Controlled):
    """Hangs up on whoever comes."""

    def makeConnection(self, transport: Any) -> None:
        super().makeConnection(transport)
        transport.loseConnection()


@pytest_twisted.ensureDeferred
async def test_lost(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A connection that ends before the answer is no success."""
    place.commanded(kind=Rude)
    assert await place.run("list") == 1
    assert "the connection was lost before there was an answer" in capsys.readouterr().err
    place.commanded("a", kind=Rude)
    await maybeDeferred(place.ports.pop(0).stopListening)
    assert await place.run("list") == 0
    assert "unreachable" in capsys.readouterr().out
