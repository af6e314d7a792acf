"""
How costs grow: what is measured for it, and by what.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from bench import growth
from bench.contestants import FLOOR, OURS, SOURCES
from bench.grown import connections, grown, words
from bench.latency import apart
from bench.measured import Measured
from bench.pauses import taken
from bench.processes import Server, freePort
from bench.programs import HERE, Tools, compiled
from bench.scenarios import LoadError
from twisted_crossws import Node
from twisted_crossws.configfile import readConfig
from twisted_crossws.testing import FakePeer

TOOLS = Tools(Path(), Path(), Path())


@pytest.fixture
def app() -> Any:
    """The service of the nodes that grow."""
    spec = importlib.util.spec_from_file_location("growing_app", SOURCES / "growing_app.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestSteps:
    def test_targets(self) -> None:
        """Whatever is to be reached is measured."""
        cells = {(step.title, step.contestant): Measured("", "", 2.0, 1.0, 1.0, 1.0) for step in growth.steps(False)}
        assert all(target.reached(cells) is not None for target in growth.TARGETS)

    def test_quick(self) -> None:
        """A quick run has the smaller sizes of all that a whole one has."""
        few, many = list(growth.steps(True)), list(growth.steps(False))
        assert len(few) < len(many)
        assert {each.measure.func for each in few} == {each.measure.func for each in many}  # type: ignore[attr-defined]

    def test_floor(self) -> None:
        """What ours grows with connections is compared with what the floor grows."""
        few, many = "ack on 100 connections", "ack on 10,000 connections"
        cells = {(few, OURS): 10.0, (few, FLOOR): 5.0, (many, OURS): 18.0, (many, FLOOR): 6.0}
        (target,) = (each for each in growth.TARGETS if each.title == f"{many}, by the floor's")
        assert target.reached({key: Measured("", "", cost) for key, cost in cells.items()}) == 1.5


class TestGrowth:
    def steps(self, outcomes: dict[str, list[float | None]], monkeypatch: pytest.MonkeyPatch) -> None:
        def measure(title: str, tools: Tools, folder: Path, seconds: float) -> Measured:
            assert folder.is_dir()
            cost = outcomes[title].pop(0)
            if cost is None:
                raise LoadError("None came back.")
            return Measured(title, OURS, cost)

        todo = [growth.Step(title, OURS, partial(measure, title)) for title in outcomes]
        monkeypatch.setattr(growth, "steps", lambda quick: todo)

    def test_medians(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of each figure the median of all turns is given; a turn that failed takes nothing away."""
        self.steps({"a": [1.0, 5.0, 2.0], "b": [4.0, None, 6.0]}, monkeypatch)
        found = growth.growth(TOOLS, 3, False)
        assert found.measured == [Measured("a", OURS, 2.0), Measured("b", OURS, 5.0)]
        assert found.absent == []

    def test_absent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What could not be measured is said, and the rest is measured."""
        self.steps({"a": [None], "b": [1.0]}, monkeypatch)
        found = growth.growth(TOOLS, 1, False)
        assert [(each.scenario, each.reason) for each in found.absent] == [("a", "None came back.")]
        assert [each.scenario for each in found.measured] == ["b"]


class TestGrown:
    def test_configuration(self, tmp_path: Path) -> None:
        """A node of some size is configured as users do it, and its service lies beside."""
        grown(tmp_path, 1, {"rooms": 3, "pauses": "a b"}, name="n1", redis="redis://127.0.0.1:1")
        config, _, faults = readConfig(str(tmp_path / "n1.toml"))
        assert faults == []
        assert (config.node.server_name, config.bus.redis.urls) == ("n1", ("redis://127.0.0.1:1",))
        assert config.service[0].options == {"rooms": 3, "pauses": "a b"}
        assert (tmp_path / f"{config.service[0].use.partition(':')[0]}.py").exists()

    def test_listeners(self, app: Any) -> None:
        """There are listeners of as many events as were asked for, and they answer."""
        node = Node(clock=Clock())
        app.makeService(node, listeners=3)
        there = [event for event in ("echo", *(f"event{number}" for number in range(5))) if node.clients.has(event)]
        assert there == ["echo", "event1", "event2"]

    def test_rooms(self, app: Any) -> None:
        """There are as many rooms, of as many members; what is shouted goes to all rooms in turn."""
        clock = Clock()
        node = Node(clock=clock)
        app.makeService(node, rooms=4, members=2)
        peer, *others = (FakePeer(node, clock, params={"id": f"u{number}"}) for number in range(3))
        for each in (peer, *others):
            each.sendEvent("joinRoom", {"roomId": "1000"})
        assert node.rooms.ids("bench") == {"1000", "room0", "room1", "room2", "room3"}
        assert node.rooms.count("bench", "room", exact=False) == 8
        node.rooms.leave("bench", "room2", "u0")
        for number in range(8):
            peer.sendEvent("shout", number)
        assert len(peer.takeFrames()) == 6

    def test_ownMembers(self, app: Any) -> None:
        """Rooms without members among the clients have one each, who is in no other."""
        node = Node(clock=Clock())
        app.makeService(node, rooms=3)
        assert len(node.rooms.members("bench")) == node.rooms.count("bench") == 3

    def test_pauses(self) -> None:
        """A line for each pause: the generation, and seconds."""
        assert taken(["0 0.000100", "2 0.021000"]) == [0.0001, 0.021]


class TestApart:
    @pytest.fixture
    def processors(self, monkeypatch: pytest.MonkeyPatch) -> dict[int, set[int]]:
        """Where processes may run; 0 is this one."""
        where = {0: {2, 3, 5}}
        monkeypatch.setattr(os, "sched_getaffinity", where.__getitem__)
        monkeypatch.setattr(os, "sched_setaffinity", lambda pid, wanted: where.update({pid: set(wanted)}))
        return where

    def test_apart(self, processors: dict[int, set[int]]) -> None:
        """The server has a processor for itself, as long as it is measured."""
        with pytest.raises(LoadError), apart(77):
            assert processors == {0: {3, 5}, 77: {2}}
            raise LoadError
        assert processors[0] == {2, 3, 5}

    def test_together(self, processors: dict[int, set[int]]) -> None:
        """Where there is only one, they share it."""
        processors[0] = {4}
        with apart(77):
            assert processors == {0: {4}}


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("cc") is None, reason="The load generator is written in C, and there is no cc.")
class TestRate:
    @pytest.fixture
    def wsload(self, tmp_path: Path) -> Path:
        return compiled(HERE / "wsload.c", tmp_path)

    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[Server]:
        floor, port = compiled(HERE / "floor.c", tmp_path), freePort()
        with Server([floor, str(port)], port) as server:
            yield server

    @pytest.mark.parametrize("standing", ["server", "load"])
    def test_standstill(self, standing: str, wsload: Path, server: Server) -> None:
        """What was due while somebody stood still is sent, waited for, and charged from when it was due."""
        argv = [str(wsload), *words("ack", [server], 1.0, {"conns": 10, "rate": 1000})]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as load:
            while connections(load.pid) < 11:
                time.sleep(0.005)
            pid = server.pid if standing == "server" else load.pid
            # It begins half a second after its connections are open, and takes a second.
            time.sleep(0.6)
            os.kill(pid, signal.SIGSTOP)
            time.sleep(1.3)
            os.kill(pid, signal.SIGCONT)
            printed = load.communicate(timeout=30)[0]
        said = json.loads(printed)
        assert said["sent"] == said["received"] == 1000
        assert said["p50_us"] > 50_000

    def test_ackOnly(self, wsload: Path, server: Server) -> None:
        """Other modes have no rate."""
        argv = [str(wsload), *words("fanout", [server], 1.0, {"rate": 1000})]
        ran = subprocess.run(argv, capture_output=True, text=True)
        assert (ran.returncode, ran.stderr) == (2, "--rate is for ack, and above 0\n")
