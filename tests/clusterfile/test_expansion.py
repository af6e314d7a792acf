"""
What one file stands for: names, ports, processes, and what holds for each server.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.clusterfile.files import CORES, named, planned, planOfMapping, written
from twisted_crossws.clusterfile.reading import readPlan
from twisted_crossws.config import FAST_PATH, Config
from twisted_crossws.configfile import configFromMapping, loadConfig
from twisted_crossws.runfolder import runFolder

HUB = "[bus]\ntype = 'hub'\n"

#: The sample of the issue.
RANGE = HUB + "[[server]]\nid = 'connector-server-'\nid_start = 1\nport = [4021, 4023]\n"


class TestPlainFile:
    """A file without C{[[server]]}."""

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[node]\nserver_name = 'serverA'\nrole = 'game'\n[websocket]\nlisten = ['tcp:1', 'unix:/x']\n",
            "[bus]\ntype = 'redis'\n[node]\nserver_name = 'serverA'\n[[service]]\nuse = 'a:b'\n",
        ],
    )
    def test_oneProcess(self, tmp_path: Path, text: str) -> None:
        """It is one server, here, of one process, and its configuration is that of the file."""
        plan = planned(tmp_path, text)
        (server,) = plan.servers
        assert server.config == loadConfig(plan.path)
        assert server.isHere and server.processes == (server.name,) == (server.config.node.server_name or "",)
        assert (server.kind, server.env, server.stands, plan.isCluster) == ("", {}, (), False)

    @pytest.mark.parametrize(("count", "many"), [("2", 2), ('"cores"', CORES)])
    def test_workers(self, tmp_path: Path, count: str, many: int) -> None:
        """Of several processes each has the name of the server with a number; all else is as for one."""
        text = f"{HUB}[node]\nserver_name = 'serverA'\n[workers]\ncount = {count}\n"
        plan = planned(tmp_path, text)
        (server,) = plan.servers
        assert server.name == "serverA"
        assert server.processes == tuple(f"serverA.{number}" for number in range(1, many + 1))
        assert server.config == loadConfig(plan.path)

    def test_oneWorker(self, tmp_path: Path) -> None:
        """One is as none is said."""
        (server,) = planned(tmp_path, "[workers]\ncount = 1\n").servers
        assert server.processes == ("",)

    def test_cores(self, tmp_path: Path) -> None:
        """By default those that this process may use."""
        text = HUB + "[node]\nserver_name = 'serverA'\n[workers]\ncount = 'cores'\n"
        plan, _, _ = readPlan(written(tmp_path, text))
        assert len(plan.servers[0].processes) == len(os.sched_getaffinity(0))

    def test_instead(self, tmp_path: Path) -> None:
        """What the command line says holds, whatever the file says."""
        instead = {"node": {"server_name": "other"}, "websocket": {"listen": ("tcp:7",)}}
        text = HUB + "[node]\nserver_name = 'serverA'\nrole = 'game'\n[workers]\ncount = 2\n"
        (server,) = planned(tmp_path, text, instead=instead).servers
        assert server.processes == ("other.1", "other.2")
        assert (server.config.websocket.listen, server.config.node.role) == (("tcp:7",), "game")

    def test_static(self, tmp_path: Path) -> None:
        """The static folder counts from the folder of the file."""
        (server,) = planned(tmp_path, "[websocket]\nstatic = 'pages'\n").servers
        assert server.config.websocket.static == str(tmp_path / "pages")

    def test_runFolder(self, tmp_path: Path) -> None:
        """The run folder is that of the file, or what it says."""
        plan = planned(tmp_path, "")
        assert plan.runFolder == runFolder(plan.path) and plan.path == str(tmp_path / "cluster.toml")
        assert planned(tmp_path, "[master]\nrun_dir = 'run'\n").runFolder == str(tmp_path / "run")

    def test_master(self, tmp_path: Path) -> None:
        """What is said of the master is in the plan."""
        assert planned(tmp_path, "[master]\nmax_restarts = 7\n").master.max_restarts == 7


class TestNames:
    def test_range(self, tmp_path: Path) -> None:
        """A range of ports stands for as many servers."""
        servers = planned(tmp_path, RANGE).servers
        assert [(server.name, server.port, server.config.websocket.listen) for server in servers] == [
            ("connector-server-1", 4021, ("tcp:4021",)),
            ("connector-server-2", 4022, ("tcp:4022",)),
            ("connector-server-3", 4023, ("tcp:4023",)),
        ]
        assert [server.processes for server in servers] == [(server.name,) for server in servers]
        assert [server.config.node.server_name for server in servers] == [server.name for server in servers]

    @pytest.mark.parametrize(
        ("said", "names"),
        [
            ("id = 'a'\nport = 5", ["a"]),
            ("id = 'a'", ["a"]),
            ("id = 'a'\nport = [5, 5]", ["a1"]),
            ("id = 'a'\nport = [5, 6]", ["a1", "a2"]),
            ("id = 'a'\nport = [5, 6]\nid_start = 0", ["a0", "a1"]),
            ("id = 'a'\nport = [5, 6]\nid_start = 99", ["a99", "a100"]),
            ("id = 'a'\nid_start = 7", ["a7"]),
        ],
    )
    def test_numbers(self, tmp_path: Path, said: str, names: list[str]) -> None:
        """A range, or a first number, is what numbers names."""
        assert [server.name for server in planned(tmp_path, f"{HUB}[[server]]\n{said}\n").servers] == names

    @pytest.mark.parametrize("instances", ["2", '"cores"'])
    def test_instances(self, tmp_path: Path, instances: str) -> None:
        """Each server of a range has so many processes."""
        servers = planned(tmp_path, f"{RANGE}instances = {instances}\n").servers
        many = 2 if instances == "2" else CORES
        assert [len(server.processes) for server in servers] == [many] * 3
        assert servers[1].processes[:2] == ("connector-server-2.1", "connector-server-2.2")

    def test_order(self, tmp_path: Path) -> None:
        """Servers are in the order of the file."""
        text = HUB + "".join(f"[[server]]\nid = '{name}'\n" for name in "cab")
        assert [server.name for server in planned(tmp_path, text).servers] == ["c", "a", "b"]


@given(st.integers(1, 65535), st.integers(0, 40), st.none() | st.integers(0, 1000), st.integers(1, 5))
def test_anyRange(first: int, more: int, start: int | None, instances: int) -> None:
    """Of any range every port has one server and every name is there once, numbered as the ports are."""
    last = min(first + more, 65535)
    said: dict[str, Any] = {"id": "s", "port": [first, last], "instances": instances}
    if start is not None:
        said["id_start"] = start
    plan, faults = planOfMapping({"bus": {"type": "hub"}, "server": [said]})
    assert faults == []
    assert [server.port for server in plan.servers] == list(range(first, last + 1))
    begin = 1 if start is None else start
    assert [server.name for server in plan.servers] == [f"s{begin + number}" for number in range(last - first + 1)]
    processes = [process for server in plan.servers for process in server.processes]
    assert len(set(processes)) == len(processes) == len(plan.servers) * instances


class TestLayers:
    """For a server hold what is said for all, by its kind, and by itself: the last that says a key."""

    def config(self, folder: Path, text: str) -> Config:
        plan = planned(folder, HUB + text + "[[server]]\nid = 'other'\n")
        return named(plan, "a").config

    def test_sections(self, tmp_path: Path) -> None:
        """Every key of every section by itself."""
        config = self.config(
            tmp_path,
            "[websocket]\nping_interval = 1.0\nmax_connections = 1\npath = 'all'\nheartbeat = 'all'\n"
            "[rooms]\npreset = ['all']\n"
            "[channels]\nsubscribe = ['all']\n"
            "[node]\nlost_after = 9.0\nannounce_interval = 2.0\n"
            "[workers]\nspread = 'random'\n"
            "[kind.k.websocket]\nmax_connections = 2\npath = 'kind'\n"
            "[kind.k.rooms]\npreset = ['kind']\n"
            "[kind.k.channels]\nsubscribe = ['kind']\n"
            "[kind.k.node]\nannounce_interval = 3.0\n"
            "[[server]]\nid = 'a'\nkind = 'k'\nport = 5\n"
            "[server.websocket]\npath = 'own'\n"
            "[server.rooms]\nauto_unsubscribe = false\n"
            "[server.workers]\nspread = 'round-robin'\n",
        )
        websocket = config.websocket
        assert (websocket.ping_interval, websocket.max_connections) == (1.0, 2)
        assert (websocket.path, websocket.heartbeat) == ("own", "all")
        assert (config.rooms.preset, config.rooms.auto_unsubscribe) == (("kind",), False)
        assert config.channels.subscribe == ("kind",)
        assert (config.node.lost_after, config.node.announce_interval) == (9.0, 3.0)
        assert config.workers.spread == "round-robin"

    def test_otherServers(self, tmp_path: Path) -> None:
        """What is said of one is not of another."""
        text = "[kind.k]\nrole = 'k'\n[[server]]\nid = 'a'\nkind = 'k'\n[server.websocket]\npath = 'own'\n"
        plan = planned(tmp_path, HUB + text + "[[server]]\nid = 'b'\n")
        assert named(plan, "b").config.websocket.path == "" and named(plan, "b").config.node.role == ""

    def test_bus(self, tmp_path: Path) -> None:
        """The bus and the master are the same for all."""
        text = "[bus.hub]\npath = 'x.sock'\n[master]\nmax_restarts = 4\n[[server]]\nid = 'a'\n"
        config = self.config(tmp_path, text)
        assert (config.bus.type, config.bus.hub.path, config.master.max_restarts) == ("hub", "x.sock", 4)

    @pytest.mark.parametrize(
        ("text", "role"),
        [
            ("[[server]]\nid = 'a'\n", ""),
            ("[kind.k]\n[[server]]\nid = 'a'\nkind = 'k'\n", "k"),
            ("[node]\nrole = 'all'\n[kind.k]\n[[server]]\nid = 'a'\nkind = 'k'\n", "all"),
            ("[node]\nrole = 'all'\n[kind.k]\nrole = 'kind'\n[[server]]\nid = 'a'\nkind = 'k'\n", "kind"),
            ("[kind.k]\nrole = 'kind'\n[[server]]\nid = 'a'\nkind = 'k'\nrole = 'own'\n", "own"),
            ("[kind.k]\nrole = ''\n[[server]]\nid = 'a'\nkind = 'k'\n", ""),
        ],
    )
    def test_role(self, tmp_path: Path, text: str, role: str) -> None:
        """The role is the last that is said, and the kind if none is."""
        assert self.config(tmp_path, text).node.role == role

    def test_tags(self, tmp_path: Path) -> None:
        """Lists take the place of lists."""
        text = "[node]\ntags = ['x']\n[kind.k]\ntags = ['y']\n[[server]]\nid = 'a'\nkind = 'k'\n"
        assert self.config(tmp_path, text).node.tags == ("y",)
        text = "[node]\ntags = ['x']\n[kind.k]\ntags = ['y']\n[[server]]\nid = 'a'\nkind = 'k'\ntags = []\n"
        assert self.config(tmp_path, text).node.tags == ()

    @pytest.mark.parametrize(
        ("text", "many"),
        [
            ("[workers]\ncount = 2\n[kind.k]\n[[server]]\nid = 'a'\nkind = 'k'\n", 2),
            ("[workers]\ncount = 2\n[kind.k.workers]\ncount = 3\n[[server]]\nid = 'a'\nkind = 'k'\n", 3),
            ("[kind.k.workers]\ncount = 3\n[kind.k]\ninstances = 4\n[[server]]\nid = 'a'\nkind = 'k'\n", 4),
            ("[kind.k]\ninstances = 4\n[[server]]\nid = 'a'\nkind = 'k'\ninstances = 1\n", 1),
            ("[kind.k]\ninstances = 4\n[[server]]\nid = 'a'\nkind = 'k'\n[server.workers]\ncount = 2\n", 2),
        ],
    )
    def test_count(self, tmp_path: Path, text: str, many: int) -> None:
        """C{instances} is the same as the count of workers, and the last that is said counts."""
        plan = planned(tmp_path, HUB + text)
        assert len(named(plan, "a").processes) == many
        assert named(plan, "a").config.workers.count == many

    def test_env(self, tmp_path: Path) -> None:
        """Variables of the kind and of the server are together; of one name the server's counts."""
        text = "[kind.k]\nenv = {A = '1', B = '2'}\n[[server]]\nid = 'a'\nkind = 'k'\nenv = {B = '3', C = ''}\n"
        plan = planned(tmp_path, HUB + text + "[[server]]\nid = 'b'\nkind = 'k'\n")
        assert named(plan, "a").env == {"A": "1", "B": "3", "C": ""}
        assert named(plan, "b").env == {"A": "1", "B": "2"}

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("env = {CROSSWS_FAST_PATH = 'off'}\n", False),
            ("env = {CROSSWS_FAST_PATH = 'off'}\n[server.websocket]\nfast_path = true\n", True),
            ("env = {CROSSWS_FAST_PATH = ''}\n", True),
            ("", True),
        ],
    )
    def test_fastPath(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: bool) -> None:
        """What the environment of a process says of the fast path holds for that process."""
        monkeypatch.delenv(FAST_PATH, raising=False)
        assert (
            named(planned(tmp_path, f"{HUB}[[server]]\nid = 'a'\n{text}"), "a").config.websocket.fast_path == expected
        )

    def test_services(self, tmp_path: Path) -> None:
        """Those of the file, of the kind and of the server all run, in this order, with their options and places."""
        text = (
            "[[service]]\nuse = 'all:one'\n[service.options]\nx = 1\n[[service]]\nuse = 'all:two'\n"
            "[[kind.k.service]]\nuse = 'kind:one'\n[kind.k.service.options]\nx = 2\n"
            "[[server]]\nid = 'b'\n[[server]]\nid = 'a'\nkind = 'k'\n[[server.service]]\nuse = 'own:one'\n"
        )
        plan = planned(tmp_path, HUB + text)
        server = named(plan, "a")
        assert [(service.use, service.options) for service in server.config.service] == [
            ("all:one", {"x": 1}),
            ("all:two", {}),
            ("kind:one", {"x": 2}),
            ("own:one", {}),
        ]
        assert server.services == (
            ("service", 1),
            ("service", 2),
            ("kind", "k", "service", 1),
            ("server", 2, "service", 1),
        )
        assert [service.use for service in named(plan, "b").config.service] == ["all:one", "all:two"]

    def test_places(self, tmp_path: Path) -> None:
        """For each key that is said it is known where."""
        text = (
            "[websocket]\nstatic = 'x'\npath = 'x'\nheartbeat = 'x'\n[kind.k.websocket]\npath = 'y'\nheartbeat = 'y'\n"
            "[[server]]\nid = 'a'\nkind = 'k'\n[server.websocket]\nheartbeat = 'z'\n"
        )
        server = named(planned(tmp_path, HUB + text), "a")
        places = [server.place("websocket", key) for key in ("static", "path", "heartbeat", "max_connections")]
        assert places == [("websocket",), ("kind", "k", "websocket"), ("server", 1, "websocket"), ("websocket",)]
        assert server.place("bus", "type") == ("bus",) and server.place("bus.redis", "urls") == ("bus", "redis")
        assert server.stands == ("server", 1)


class TestListen:
    def listen(self, folder: Path, text: str, name: str = "a") -> tuple[str, ...]:
        return named(planned(folder, f"{HUB}{text}"), name).config.websocket.listen

    def test_default(self, tmp_path: Path) -> None:
        """A server listens at its port, and nowhere without one."""
        assert self.listen(tmp_path, "[[server]]\nid = 'a'\nport = 5\n") == ("tcp:5",)
        assert self.listen(tmp_path, "[[server]]\nid = 'a'\n") == ()

    @pytest.mark.parametrize("section", ["[websocket]", "[kind.k.websocket]"])
    def test_patterns(self, tmp_path: Path, section: str) -> None:
        """Patterns have the port and the name of each server; those with a port are not for one that has none."""
        listen = (
            "listen = ['tcp:{port}:interface=127.0.0.1', 'unix:/run/{name}.sock', 'ssl:{port}:privateKey={name}']\n"
        )
        servers = "[kind.k]\n[[server]]\nid = 'a'\nkind = 'k'\nport = [5, 6]\n[[server]]\nid = 'b'\nkind = 'k'\n"
        text = f"{section}\n{listen}{servers}"
        text = text.replace("[kind.k]\n", "") if section != "[websocket]" else text
        wanted = ("tcp:6:interface=127.0.0.1", "unix:/run/a2.sock", "ssl:6:privateKey=a2")
        plan, _, _ = readPlan(written(tmp_path, HUB + text))
        assert named(plan, "a2").config.websocket.listen == wanted
        assert named(plan, "b").config.websocket.listen == ("unix:/run/b.sock",)

    def test_own(self, tmp_path: Path) -> None:
        """A server's own list takes the place of the others."""
        text = "[websocket]\nlisten = ['tcp:{port}']\n[[server]]\nid = 'a'\n[server.websocket]\nlisten = ['unix:/x']\n"
        assert self.listen(tmp_path, text) == ("unix:/x",)

    def test_quoted(self, tmp_path: Path) -> None:
        """A name that means something in an endpoint string is quoted there."""
        text = "[websocket]\nlisten = ['unix:/run/{name}']\n[[server]]\nid = 'a:b=c'\n"
        assert self.listen(tmp_path, text, "a:b=c") == (r"unix:/run/a\:b\=c",)


@given(
    st.sampled_from(["memory", "hub", "redis"]), st.dictionaries(st.sampled_from(["role", "lost_after"]), st.just(9.0))
)
def test_plainIsAsBefore(bus: str, node: dict[str, Any]) -> None:
    """Whatever a file without servers says, its plan has the configuration that it stands for."""
    said = {
        "bus": {"type": bus},
        "node": {"server_name": "x", **{key: str(v) if key == "role" else v for key, v in node.items()}},
    }
    plan, faults = planOfMapping(said)
    assert faults == []
    assert plan.servers[0].config == configFromMapping(said)
