"""
The command C{twistd crossws} with a file that asks for more than one process: what is chosen of it, and how it runs.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from twisted_crossws import tap
from twisted_crossws.machine.agent import UNDER_MASTER, Agent
from twisted_crossws.machine.binding import KernelPorts
from twisted_crossws.machine.control import Refused
from twisted_crossws.machine.workerports import WorkerPorts
from twisted_crossws.services.ports import ListenError
from twisted_crossws.tap import Options, makeService, portsOf

APPLICATION = """
import os

SAID = os.environ.get("TAP_SERVERS_TEST", "nothing")

def makeService(node, needs=None):
    node.found = SAID

def makeNeedy(node):
    pass
"""

CLUSTER = """
[bus]
type = "redis"

[kind.front]
env = { TAP_SERVERS_TEST = "front" }
[[kind.front.service]]
use = "tap_servers_app:makeService"

[[server]]
kind = "front"
id = "front-"
port = [4021, 4022]
host = "web1"

[[server]]
id = "back"
host = "web1"
instances = 2
[[server.service]]
use = "tap_servers_app:makeNeedy"

[[server]]
id = "far"
host = "web2"
port = 4021
[server.websocket]
listen = ["tcp:{port}:interface=127.0.0.1"]

[production.bus.redis]
urls = ["redis://192.0.2.1"]
"""

WORKERS = """
[node]
server_name = "hall"
[workers]
count = 2
[bus]
type = "hub"
"""


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A place for run folders whose path leaves room for sockets, whatever pytest calls the folder of a test."""
    with tempfile.TemporaryDirectory() as path:
        monkeypatch.setenv("XDG_RUNTIME_DIR", path)
        yield


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a cluster file and its application, on a machine called web1."""
    (tmp_path / "tap_servers_app.py").write_text(APPLICATION)
    (tmp_path / "cluster.toml").write_text(CLUSTER + '[master]\nhost = "web1"\n')
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("TAP_SERVERS_TEST", "outside")
    monkeypatch.delenv(UNDER_MASTER, raising=False)
    yield tmp_path
    sys.modules.pop("tap_servers_app", None)


@pytest.fixture
def reactor(monkeypatch: pytest.MonkeyPatch) -> Any:
    """In the place of the global one."""
    memory = MemoryReactorClock()
    monkeypatch.setattr("twisted.internet.reactor", memory)
    return memory


@pytest.fixture
def masters(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What masters were made of."""
    made: list[Any] = []

    def makeMaster(plan: Any, servers: Any, argv: Any, reread: Any, reactor: Any, **more: Any) -> Service:
        made.append((plan, servers, argv, reread, reactor))
        return Service()

    monkeypatch.setattr(tap, "makeMaster", makeMaster)
    return made


Refusal = Callable[..., list[str]]


@pytest.fixture
def refused(folder: Path, capfd: pytest.CaptureFixture[str]) -> Refusal:
    """The sentences with which the command ends."""

    def refused(*args: str) -> list[str]:
        with pytest.raises(SystemExit) as ended:
            parse(folder, *args)
        assert ended.value.code == 1
        out, err = capfd.readouterr()
        assert out == ""
        return err.splitlines()

    return refused


def parse(folder: Path, *args: str) -> Options:
    options = Options()
    options.parseOptions(["--config", str(folder / "cluster.toml"), *args])
    return options


def chosen(options: Options) -> tuple[list[str], str | None]:
    return [server.name for server in options.servers], options.process


class TestChoice:
    @pytest.mark.parametrize(
        ("args", "expected"),
        [
            ([], (["front-1", "front-2", "back"], None)),
            (["--host", "web2"], (["far"], "far")),
            (["--server", "back"], (["back"], None)),
            (["--server", "back.2"], (["back"], "back.2")),
            (["--server", "far"], (["far"], "far")),
            (["--server-index", "0"], (["front-1"], "front-1")),
            (["--server-index", "3"], (["back"], "back.2")),
            (["--server", "back", "--server-index", "1"], (["back"], "back.2")),
        ],
    )
    def test_servers(self, folder: Path, args: list[str], expected: Any) -> None:
        """What the command line says of servers, processes and machines is what runs."""
        assert chosen(parse(folder, *args)) == expected

    def test_environment(self, folder: Path) -> None:
        """The environment is the file's, or that of the command line."""
        assert parse(folder).plan.environment == "development"
        options = parse(folder, "--environment", "production")
        assert options.plan.environment == "production"
        assert options.servers[0].config.bus.redis.urls == ("redis://192.0.2.1",)

    def test_config(self, folder: Path) -> None:
        """One process has the configuration of its server, and a name of its own."""
        config = parse(folder, "--server", "back.2").config
        assert (config.node.server_name, config.bus.type) == ("back.2", "redis")

    def test_applications(self, folder: Path) -> None:
        """It has the applications of its server alone."""
        options = parse(folder, "--server", "back.1")
        assert [application.__name__ for application in options.applications] == ["makeNeedy"]

    @pytest.mark.parametrize(
        ("args", "place"),
        [
            (["--server", "front-2"], "cluster.toml: [[server]] number 1: port"),
            (["--server", "far"], "cluster.toml: [[server]] number 3: [server.websocket] listen"),
        ],
    )
    def test_place(self, folder: Path, args: list[str], place: str) -> None:
        """Where a port comes from is told of the server that has it."""
        assert parse(folder, *args).place() == place

    def test_workers(self, folder: Path) -> None:
        """A file that describes one node may ask for several processes; name and ports may be said over it."""
        (folder / "cluster.toml").write_text(WORKERS)
        assert chosen(parse(folder)) == (["hall"], None)
        options = parse(folder, "--server-name", "other", "--listen", "tcp:7", "--server", "other.2")
        assert chosen(options) == (["other"], "other.2")
        assert (options.config.websocket.listen, options.place()) == (("tcp:7",), "--listen")


class TestEnvironment:
    def test_process(self, folder: Path) -> None:
        """One process finds what C{env} says in its environment, whoever has started it."""
        parse(folder, "--server", "front-1")
        assert os.environ["TAP_SERVERS_TEST"] == "front"
        assert sys.modules["tap_servers_app"].SAID == "front"

    def test_master(self, folder: Path) -> None:
        """A master only tries what would run: modules find it as they are imported, and its own stays as it was."""
        parse(folder)
        assert os.environ["TAP_SERVERS_TEST"] == "outside"
        assert sys.modules["tap_servers_app"].SAID == "front"

    def test_noneBefore(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What it had not is gone again, too."""
        monkeypatch.delenv("TAP_SERVERS_TEST")
        parse(folder)
        assert "TAP_SERVERS_TEST" not in os.environ


class TestFaults:
    def test_services(self, folder: Path, refused: Refusal) -> None:
        """What cannot be imported is told for all servers that would run here, once each, with its place."""
        text = (folder / "cluster.toml").read_text()
        text = text.replace("tap_servers_app:makeService", "tap_nowhere:f").replace("makeNeedy", "makeNothing")
        (folder / "cluster.toml").write_text(text)
        first, second = refused()
        assert first.startswith(
            "cluster.toml, line 8: [[kind.front.service]] number 1: use 'tap_nowhere:f' cannot be imported"
        )
        assert second.startswith("cluster.toml, line 21: [[server]] number 2: [[server.service]] number 1: use ")
        assert refused("--server", "back.1") == [second]
        assert chosen(parse(folder, "--server", "far")) == (["far"], "far")

    def test_files(self, folder: Path, refused: Refusal) -> None:
        """Faults of the file and faults of use are said together."""
        with open(folder / "cluster.toml", "a") as file:
            file.write("[websocket]\nlisten = ['tcp:{prot}']\nstatic = 'nowhere'\n[production.nod]\n")
        starts = [
            "line 37: [production] nod is not a section",
            "line 13: [[server]] number 1: port is 4021, but no endpoint of listen has a place for it",
            "line 13: [[server]] number 1: port is 4022, but no endpoint of listen has a place for it",
            "line 35: [websocket] listen names 'tcp:{prot}', which is no endpoint",
            f"line 36: [websocket] static names '{folder / 'nowhere'}', which is no folder.",
        ]
        for line, start in zip(refused(), starts, strict=True):
            assert line.startswith(f"cluster.toml, {start}")

    @pytest.mark.parametrize(
        ("args", "says"),
        [
            (
                ["--server", "bakc"],
                'cluster.toml has no server "bakc" in the environment "development"; did you mean "back"?',
            ),
            (["--server-index", "4"], "--server-index counts from 0, and 4 is none of 4 processes: front-1, front-2, "),
            (["--server-index", "one"], "--server-index must be a whole number, 0 or above, and is 'one'."),
            (["--server-index", "-1"], "--server-index must be a whole number, 0 or above, and is '-1'."),
            (
                ["--host", "web3"],
                'cluster.toml has no server for this machine, "web3", in the environment "development": ',
            ),
            (
                ["--environment", "prod"],
                'cluster.toml has no environment "prod" (there are: "development", "production").',
            ),
            (
                ["--server-name", "x"],
                "--server-name is for a file that describes one node; in cluster.toml every [[server]]",
            ),
            (
                ["--listen", "tcp:1"],
                "--listen is for a file that describes one node; in cluster.toml every [[server]] has",
            ),
        ],
    )
    def test_options(self, refused: Refusal, args: list[str], says: str) -> None:
        """What the command line asks for and there is not, or not in such a file, is one sentence."""
        (line,) = refused(*args)
        assert line.startswith(says)


class TestCheck:
    def said(self, folder: Path, capfd: pytest.CaptureFixture[str], *args: str) -> list[list[str]]:
        with pytest.raises(SystemExit) as ended:
            parse(folder, "--check", *args)
        out, err = capfd.readouterr()
        assert (ended.value.code, err) == (0, "") and out.startswith("cluster.toml has no faults. It runs\n")
        return [line.split(maxsplit=1) for line in out.splitlines()[1:]]

    def test_plan(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """The whole plan is said, with what is meant for other machines."""
        said = self.said(folder, capfd)
        assert [rest for word, rest in said if word == "server"] == [
            "front-1",
            "front-2",
            "back",
            "far, on another machine",
        ]
        assert ["processes", "2, back.1 to back.2, least-connection"] in said and ["machine", "web1"] in said

    def test_nothingHere(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Also where nothing of it would run: one may check it anywhere."""
        said = self.said(folder, capfd, "--host", "web3")
        assert all(rest.endswith(", on another machine") for word, rest in said if word == "server")

    def test_oneServer(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Of one server or process, only that."""
        assert ["node", "front-2"] in self.said(folder, capfd, "--server", "front-2")
        said = self.said(folder, capfd, "--server", "back")
        assert [rest for word, rest in said if word == "server"] == ["back"]

    def test_workers(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Of a node with workers, what they are."""
        (folder / "cluster.toml").write_text(WORKERS)
        assert ["processes", "2, hall.1 to hall.2, least-connection"] in self.said(folder, capfd)

    def test_secrets(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Variables are not shown."""
        text = (folder / "cluster.toml").read_text().replace('"front" }', '"hunter2" }')
        (folder / "cluster.toml").write_text(text)
        assert "hunter2" not in str(self.said(folder, capfd))
        assert "hunter2" not in str(self.said(folder, capfd, "--server", "front-1"))


class TestMaster:
    def test_made(self, folder: Path, reactor: Any, masters: list[Any]) -> None:
        """Several processes have a master, which is given what is to run."""
        options = parse(folder)
        service = makeService(options)
        ((plan, servers, argv, reread, given),) = masters
        assert (plan, servers, given) == (options.plan, options.servers, reactor)
        assert argv("back.2") == options.commandLine("back.2")
        assert isinstance(service, MultiService) and len(list(service)) == 1
        assert reactor.tcpServers == []

    def test_commandLine(self, folder: Path) -> None:
        """Each process is this command, with the name of the process."""
        path = str(folder / "cluster.toml")
        options = parse(folder, "--environment", "production")
        line = options.commandLine("back.2")
        assert line[line.index("crossws") :] == [
            *("crossws", "--config", path, "--environment", "production", "--server", "back.2")
        ]

    def test_commandLineOfWorkers(self, folder: Path) -> None:
        """What was said over the file is passed on; so every process finds itself in the same plan."""
        (folder / "cluster.toml").write_text(WORKERS)
        said = ["--server-name", "other", "--listen", "tcp:7", "--listen", "tcp:8", "--host", "web9"]
        line = parse(folder, *said).commandLine("other.1")
        again = Options()
        again.parseOptions(line[line.index("crossws") + 1 :])
        assert again.process == "other.1" and again.config.websocket.listen == ("tcp:7", "tcp:8")
        assert again["host"] == "web9"

    def test_passedOn(self, folder: Path) -> None:
        """So is what C{twistd} was told."""
        options = parse(folder)
        options.parent = {"reactor": "asyncio"}  # type: ignore[assignment]
        assert "--reactor=asyncio" in options.commandLine("back.2")

    def test_reread(self, folder: Path, reactor: Any, masters: list[Any]) -> None:
        """The file can be read again, and what is wrong with it is refused."""
        makeService(parse(folder))
        reread = masters[0][3]
        text = (folder / "cluster.toml").read_text()
        (folder / "cluster.toml").write_text(text.replace("4022]", "4024]"))
        assert [server.name for server in reread().here] == ["front-1", "front-2", "front-3", "front-4", "back"]
        (folder / "cluster.toml").write_text("[nod]\n[buss]\n")
        with pytest.raises(Refused, match=r"^cluster.toml, line 1: nod is not .*\ncluster.toml, line 2: buss is not "):
            reread()

    @pytest.mark.parametrize("fault", [ValueError("No folder."), ListenError("No port.")])
    def test_cannotBeMade(
        self,
        folder: Path,
        reactor: Any,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
        fault: Exception,
    ) -> None:
        """What keeps it from being made ends the command with a sentence."""

        def makeMaster(*args: Any, **more: Any) -> None:
            raise fault

        monkeypatch.setattr(tap, "makeMaster", makeMaster)
        with pytest.raises(SystemExit) as ended:
            makeService(parse(folder))
        assert ended.value.code == 1
        assert capfd.readouterr().err == f"{fault}\n"

    @pytest.mark.parametrize("fault", [Refused("Another master is at work."), ListenError("No port.")])
    def test_cannotStart(
        self,
        folder: Path,
        reactor: Any,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
        fault: Exception,
    ) -> None:
        """So does what keeps it from starting."""

        class Master(Service):
            def startService(self) -> None:
                raise fault

        monkeypatch.setattr(tap, "makeMaster", lambda *args, **more: Master())
        service: Any = makeService(parse(folder))
        service.privilegedStartService()
        with pytest.raises(SystemExit) as ended:
            service.startService()
        assert ended.value.code == 1
        assert capfd.readouterr().err == f"{fault}\n"


class TestProcess:
    """One process of several."""

    @pytest.mark.parametrize(
        ("spread", "underMaster", "kind"),
        [
            ("least-connection", True, WorkerPorts),
            ("random", True, WorkerPorts),
            ("kernel", True, KernelPorts),
            ("least-connection", False, KernelPorts),
        ],
    )
    def test_ports(
        self, folder: Path, reactor: Any, monkeypatch: pytest.MonkeyPatch, spread: str, underMaster: bool, kind: Any
    ) -> None:
        """It is given its ports by a master, if it has one; else the system spreads connections."""
        if underMaster:
            monkeypatch.setenv(UNDER_MASTER, "1")
        (folder / "cluster.toml").write_text(WORKERS.replace("[workers]", f"[workers]\nspread = '{spread}'"))
        (server,) = parse(folder, "--server", "hall.1").servers
        assert type(portsOf(server, reactor)) is kind

    def test_ownPort(self, folder: Path, reactor: Any) -> None:
        """One that shares nothing listens as ever."""
        (server,) = parse(folder, "--server", "front-1").servers
        assert portsOf(server, reactor) is None

    def test_listens(self, folder: Path, reactor: Any) -> None:
        """Without a master it listens beside the others."""
        (folder / "cluster.toml").write_text(WORKERS.replace("hub", "memory").replace("count = 2", "count = 1"))
        alone: Any = makeService(parse(folder))
        alone.node.ports.privilegedStartService()
        assert [port for port, _, _, _ in reactor.tcpServers] == [9000]
        alone.node.ports.stopService()

    def test_waitsForItsPort(self, folder: Path, reactor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Under a master it does not ask for its port before it has joined, nor listen before it is given it."""
        monkeypatch.setenv(UNDER_MASTER, "1")
        (folder / "cluster.toml").write_text(WORKERS)
        service: Any = makeService(parse(folder, "--server", "hall.2"))
        assert service.node.serverName == "hall.2"
        (agent,) = [child for child in service if isinstance(child, Agent)]
        assert isinstance(agent.ports, WorkerPorts)
        opened: Deferred[None] = Deferred()
        service.node.whenOpen = lambda: opened
        service.node.ports.privilegedStartService()
        assert agent.ports.waiting() == []
        opened.callback(None)
        assert reactor.tcpServers == [] and agent.ports.waiting() == ["tcp:0.0.0.0:9000"]
        service.node.ports.stopService()
        reactor.advance(0)

    def test_drained(self, folder: Path, reactor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """When it is drained, whoever has told it to, others take the connections: it has the fewest soon."""
        withdrawn: list[WorkerPorts] = []
        monkeypatch.setattr(WorkerPorts, "withdraw", lambda ports: withdrawn.append(ports))
        monkeypatch.setenv(UNDER_MASTER, "1")
        (folder / "cluster.toml").write_text(WORKERS)
        service: Any = makeService(parse(folder, "--server", "hall.2"))
        service.node.lifecycle.fire("draining")
        (ports,) = withdrawn
        assert isinstance(ports, WorkerPorts)

    def test_service(self, folder: Path, reactor: Any) -> None:
        """Its node has the applications of its server, with its variables, and can be commanded."""
        service: Any = makeService(parse(folder, "--server", "front-1"))
        assert service.node.serverName == "front-1" and service.node.found == "front"
        (agent,) = [child for child in service if isinstance(child, Agent)]
        assert agent.ports is None

    def test_hubWithoutFolder(self, folder: Path, reactor: Any, capfd: pytest.CaptureFixture[str]) -> None:
        """One whose bus is in that folder does not run without it, and says why."""
        (folder / "cluster.toml").write_text(WORKERS + "[master]\nrun_dir = 'cluster.toml'\n")
        with pytest.raises(SystemExit) as ended:
            makeService(parse(folder, "--server", "hall.1"))
        assert ended.value.code == 1
        assert f"{folder / 'cluster.toml'} is no folder" in capfd.readouterr().err

    def test_drainsByKernel(self, folder: Path, reactor: Any) -> None:
        """One that listens beside others stops that as soon as it is to be drained: the others serve who comes."""
        (folder / "cluster.toml").write_text(WORKERS)
        service: Any = makeService(parse(folder, "--server", "hall.1"))
        service.node.ports.privilegedStartService()
        service.node.ports.startService()
        assert len(reactor.tcpServers) == 1 and service.node.ports.running
        service.node.lifecycle.fire("draining")
        assert not service.node.ports.running

    def test_noRunFolder(self, folder: Path, reactor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A node that needs no other runs also where there can be no folder for its socket."""
        (folder / "cluster.toml").write_text("[master]\nrun_dir = 'cluster.toml'\n")
        service: Any = makeService(parse(folder))
        assert [child for child in service if isinstance(child, Agent)] == []
