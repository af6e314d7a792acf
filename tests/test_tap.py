"""
The command C{twistd crossws}, within this process: from its arguments to a node that runs, or to sentences.
"""

from __future__ import annotations

import atexit
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IService
from twisted.internet.defer import CancelledError, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import UsageError
from zope.interface.verify import verifyObject

from twisted_crossws import Node, memoryBus, tap
from twisted_crossws.errors import NameTaken
from twisted_crossws.services.collector import SteadyCollector
from twisted_crossws.services.ports import ListenError
from twisted_crossws.tap import CommandService, Options, makeService
from twisted_crossws.testing import FakePeer
from twisted_crossws.wire.frames import Reply

APPLICATION = """
from twisted.application.service import Service

def makeService(node, greeting="hello"):
    node.clients.on("greet", lambda socket, payload: greeting)

class Told(Service):
    def __init__(self, node):
        node.told = self

APPLES = 7
"""

CONFIG = """
[node]
server_name = "serverA"

[[service]]
use = "tap_app:makeService"
[service.options]
greeting = "moin"

[[service]]
use = "tap_app:Told"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a configuration and its application; the working directory is another one."""
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "tap_app.py").write_text(APPLICATION)
    (folder / "crossws.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    yield folder
    for name in ("tap_app", "tap_broken_app"):
        sys.modules.pop(name, None)


@pytest.fixture
def reactor(monkeypatch: pytest.MonkeyPatch) -> Any:
    """In the place of the global one."""
    memory = MemoryReactorClock()
    monkeypatch.setattr("twisted.internet.reactor", memory)
    return memory


def parse(folder: Path, *args: str) -> Options:
    options = Options()
    options.parseOptions(["--config", str(folder / "crossws.toml"), *args])
    return options


class TestOptions:
    def test_file(self, folder: Path) -> None:
        """What the file says is what runs."""
        options = parse(folder)
        assert options.config.node.server_name == "serverA"
        assert options.config.websocket.listen == ("tcp:9000",)
        assert options.place() == "crossws.toml: [websocket] listen"
        application: Any = sys.modules["tap_app"]
        assert options.applications == [application.makeService, application.Told]

    @pytest.mark.parametrize("option", ["--config", "-c"])
    def test_relativePath(self, folder: Path, option: str) -> None:
        """The file is looked for from the working directory, and what it names from its own folder."""
        (folder / "pages").mkdir()
        with open(folder / "crossws.toml", "a") as file:
            file.write('\n[websocket]\nstatic = "pages"\n')
        options = Options()
        options.parseOptions([option, "etc/crossws.toml"])
        assert options.config.websocket.static == str(folder / "pages")
        assert len(options.applications) == 2

    def test_serverName(self, folder: Path) -> None:
        """C{--server-name} takes the place of the file's; nothing else changes."""
        usual, other = parse(folder).config, parse(folder, "--server-name", "serverB").config
        assert other.node.server_name == "serverB"
        assert other.websocket == usual.websocket and other.service == usual.service

    def test_listen(self, folder: Path) -> None:
        """C{--listen} takes the place of all endpoints of the file, and may be given several times."""
        options = parse(folder, "--listen", "tcp:9001", "--listen", "unix:/run/crossws.sock")
        assert options.config.websocket.listen == ("tcp:9001", "unix:/run/crossws.sock")
        assert options.place() == "--listen"

    def test_twice(self, folder: Path) -> None:
        """The folder is put on the path for modules once, ahead of the others."""
        parse(folder)
        parse(folder)
        assert sys.path[0] == str(folder) and sys.path.count(str(folder)) == 1

    def test_unknownOption(self, folder: Path) -> None:
        """An option that there is not is for C{twistd} to say, with its help."""
        with pytest.raises(UsageError):
            parse(folder, "--nothing")

    def test_help(self) -> None:
        """The help names every option with what it does."""
        text = str(Options())
        for option in ("--config", "--server-name", "--listen", "--check"):
            assert option in text
        assert "may be given" in " ".join(text.split())


class TestCheck:
    def test_summary(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """C{--check} says what would run, and ends with status 0; standard error stays empty."""
        (folder / "pages").mkdir()
        with open(folder / "crossws.toml", "a") as file:
            file.write('\n[websocket]\nlisten = ["tcp:9001", "tcp:9002"]\npath = "/chat/"\nstatic = "pages"\n')
        with pytest.raises(SystemExit) as ended:
            parse(folder, "--check")
        assert ended.value.code == 0
        out, err = capfd.readouterr()
        assert err == ""
        assert [line.split(maxsplit=1) for line in out.splitlines()[1:]] == [
            ["node", "serverA"],
            ["bus", "memory"],
            ["listen", "tcp:9001"],
            ["listen", "tcp:9002"],
            ["path", "/chat"],
            ["static", str(folder / "pages")],
            ["service", "tap_app:makeService"],
            ["service", "tap_app:Told"],
        ]
        assert out.startswith("crossws.toml has no faults.")

    def test_emptyFile(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """So it does of a file that says nothing."""
        (folder / "crossws.toml").write_text("")
        with pytest.raises(SystemExit) as ended:
            parse(folder, "--check")
        assert ended.value.code == 0
        rows = [line.split(maxsplit=1) for line in capfd.readouterr().out.splitlines()[1:]]
        assert rows == [
            ["node", "without a name"],
            ["bus", "memory"],
            ["listen", "tcp:9000"],
            ["path", "any"],
            ["static", "nothing"],
            ["service", "none: nobody listens to what clients send"],
        ]

    def test_secrets(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """What a service is called with is not shown: it may be secret."""
        with pytest.raises(SystemExit):
            parse(folder, "--check")
        assert "moin" not in capfd.readouterr().out


class TestFaults:
    """Whatever is wrong is said in sentences on standard error, all at once, and the exit status is 1."""

    @pytest.fixture
    def refused(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
        """What is said of a file, and of what else stands on the command line."""

        def refused(text: str, *args: str) -> list[str]:
            (folder / "crossws.toml").write_text(text)
            with pytest.raises(SystemExit) as ended:
                parse(folder, *args)
            assert ended.value.code == 1
            out, err = capfd.readouterr()
            assert out == ""
            return err.splitlines()

        return refused

    def test_noFileNamed(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Without C{--config} nothing can run."""
        with pytest.raises(SystemExit) as ended:
            Options().parseOptions([])
        assert ended.value.code == 1
        assert capfd.readouterr().err == "crossws needs a configuration file: --config FILE.\n"

    def test_noFile(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """A file that is not there is named, with where it was looked for."""
        with pytest.raises(SystemExit):
            Options().parseOptions(["--config", "etc/missing.toml"])
        (line,) = capfd.readouterr().err.splitlines()
        assert line == f"missing.toml cannot be read: No such file or directory ({folder / 'missing.toml'})."

    def test_allAtOnce(self, refused: Callable[..., list[str]]) -> None:
        """Faults of the file and faults that only trying tells are said together, each with its place."""
        lines = refused(
            "[node]\nserver_nam = 'a'\n"
            "[websocket]\nlisten = ['tcp:x', 'tcp:9000']\nping_interval = 'often'\n"
            "allowed_origins = ['http://']\nstatic = 'nothing'\n"
            "[rooms]\npreset = ['chat', 'broadcast']\n"
            "[[service]]\nuse = 'tap_nowhere_app:f'\n"
            "[[service]]\noptions = {a = 1}\n"
            "[[service]]\nuse = 'tap_app:makeService'\noptions = {greetin = 'x'}\n"
            "[[service]]\nuse = 'tap_app:makeService'\n"
        )
        starts = [
            "line 2: [node] server_nam is not a key of this section",
            "line 5: [websocket] ping_interval must be",
            "line 12: [[service]] number 2: use is missing",
            "line 4: [websocket] listen names 'tcp:x', which is no endpoint",
            "line 6: [websocket] allowed_origins cannot be used",
            "line 9: [rooms] preset cannot be used",
            "line 7: [websocket] static names",
            "line 11: [[service]] number 1: use 'tap_nowhere_app:f' cannot be imported",
            "line 15: [[service]] number 3: use 'tap_app:makeService' cannot be called with its options",
        ]
        for line, start in zip(lines, starts, strict=True):
            assert line.startswith(f"crossws.toml, {start}") and line.endswith((".", "?"))

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("[node\nx = 1", "crossws.toml, line 1"),
            ("[websocket]\nlisten = ['nonsense']", "names 'nonsense', which is no endpoint: Unknown endpoint type"),
            ("[websocket]\nlisten = ['ssl:1:privateKey=no.pem']", "which is no endpoint: [Errno 2]"),
            ("[[service]]\nuse = 'tap_app:nothing'", "has no attribute 'nothing'"),
            ("[[service]]\nuse = 'tap_app:APPLES'", "names something that is not callable"),
            ("[[service]]\nuse = 'tap_broken_app:f'", "cannot be imported: SyntaxError"),
            ("[[service]]\nuse = 'no-such-plugin'", "nor an installed plugin"),
            ("[[service]]\nuse = 'tap_app:Told'\noptions = {a = 1}", "unexpected keyword argument 'a'"),
            ("[bus]\ntype = 'carrier pigeons'", "[bus] type must be"),
            (
                "[bus]\nroom_prefix = 'a:'\nbridge_prefix = 'a:'\n[rooms]\npreset = ['x']",
                "must differ from bridge_prefix",
            ),
            ("[rooms]\npreset = ['private_socket']", "[rooms] preset cannot be used"),
        ],
    )
    def test_one(self, folder: Path, refused: Callable[..., list[str]], text: str, says: str) -> None:
        """Each has a sentence of its own, and only one."""
        (folder / "tap_broken_app.py").write_text("def f(:")
        (line,) = refused(text)
        assert line.startswith("crossws.toml") and says in line

    def test_listenOption(self, refused: Callable[..., list[str]]) -> None:
        """A fault of C{--listen} is not laid to the file's charge, and what the file says instead does not count."""
        text = "[websocket]\nlisten = ['nonsense']"
        (line,) = refused(text, "--listen", "tcp:x", "--listen", "tcp:9000")
        assert line.startswith("--listen names 'tcp:x', which is no endpoint")

    @pytest.mark.parametrize("name", ["", "  "])
    def test_serverNameOption(self, refused: Callable[..., list[str]], name: str) -> None:
        """A name that is blank is none, on the command line as in the file."""
        assert refused(CONFIG, "--server-name", name) == ["--server-name must be a name that is not blank."]

    def test_nothingIsRun(self, folder: Path, refused: Callable[..., list[str]]) -> None:
        """No application is called, and no port opened, to find faults."""
        (folder / "tap_app.py").write_text("def makeService(node):\n    raise RuntimeError('called')\n")
        (line,) = refused("[[service]]\nuse = 'tap_app:makeService'\n[[service]]\nuse = 'tap_app:nothing'")
        assert "number 2" in line


@pytest.mark.parametrize(("said", "expected"), [("", True), ("steady", True), ("python", False)])
def test_collector(folder: Path, reactor: Any, said: str, expected: bool) -> None:
    """The collector is kept steady, unless it is to be Python's own."""
    if said:
        path = folder / "crossws.toml"
        path.write_text(path.read_text().replace("[node]", f"[node]\ncollector = '{said}'"))
    service: Any = makeService(parse(folder))
    assert any(isinstance(each, SteadyCollector) for each in service) == expected


class TestRedis:
    """C{[bus] type = "redis"}"""

    def test_options(self, folder: Path, reactor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every key of C{[bus.redis]} reaches the bus."""
        asked: list[Any] = []

        def redisBus(urls: Any, **options: Any) -> Any:
            asked.append((tuple(urls), options))
            return memoryBus()

        monkeypatch.setattr(tap, "redisBus", redisBus)
        with open(folder / "crossws.toml", "a") as file:
            file.write(
                "\n[bus]\ntype = 'redis'\n[bus.redis]\nurls = ['redis://a', 'redis://b']\nstrategy = 'random'\n"
                "force_ping = false\nping_interval = 1.5\nping_timeout = 0.5\nmax_waiting_packets = 7\n"
                "max_waiting_bytes = 8\nmax_waiting_seconds = 9.0\n"
            )
        makeService(parse(folder))
        assert asked[-1] == (
            ("redis://a", "redis://b"),
            {
                "strategy": "random",
                "forcePing": False,
                "pingInterval": 1.5,
                "pingTimeout": 0.5,
                "maxWaitingPackets": 7,
                "maxWaitingBytes": 8,
                "maxWaitingSeconds": 9.0,
            },
        )

    def test_connects(self, folder: Path, reactor: Any) -> None:
        """A node that is started connects there, and one that stops lets go."""
        with open(folder / "crossws.toml", "a") as file:
            file.write("\n[bus]\ntype = 'redis'\n[bus.redis]\nurls = ['redis://192.0.2.7:7000']\n")
        service: Any = makeService(parse(folder))
        assert reactor.tcpClients == []
        service.node.startService()
        # This reactor takes every host for this one.
        assert {port for _, port, _, _, _ in reactor.tcpClients} == {7000}
        stopped = service.node.stopService()
        reactor.pump([0.1] * 20)
        assert stopped.called
        assert reactor.getDelayedCalls() == []

    def test_summary(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """C{--check} connects nowhere, and shows no password."""
        with open(folder / "crossws.toml", "a") as file:
            file.write("\n[bus]\ntype = 'redis'\n[bus.redis]\nurls = ['redis://u:s3cr3t@192.0.2.7']\n")
        with pytest.raises(SystemExit) as ended:
            parse(folder, "--check")
        out, err = capfd.readouterr()
        assert (ended.value.code, err) == (0, "")
        assert "  bus       redis\n" in out and "s3cr3t" not in out

    def test_faults(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """A URL that cannot be used, and a name that is missing, are faults of the file; no password is repeated."""
        text = "[bus]\ntype = 'redis'\n[bus.redis]\nurls = ['redis://u:s3cr3t@host:port']\n"
        (folder / "crossws.toml").write_text(text)
        with pytest.raises(SystemExit) as ended:
            parse(folder)
        out, err = capfd.readouterr()
        assert (ended.value.code, out) == (1, "")
        name, url = err.splitlines()
        assert name.startswith("crossws.toml: [node] server_name is missing; ") and name.endswith(".")
        assert url.startswith("crossws.toml, line 4: [bus.redis] urls cannot be used: ") and url.endswith(".")
        assert "s3cr3t" not in err

    def test_nameFromTheCommandLine(self, folder: Path) -> None:
        """A name on the command line will do."""
        (folder / "crossws.toml").write_text("[bus]\ntype = 'redis'\n")
        assert parse(folder, "--server-name", "serverA").config.bus.type == "redis"


class TestService:
    @pytest.fixture
    def service(self, folder: Path, reactor: Any) -> CommandService:
        made = makeService(parse(folder, "--listen", "tcp:9001", "--listen", "tcp:9002:interface=127.0.0.1"))
        assert isinstance(made, CommandService)
        return made

    @pytest.fixture(autouse=True)
    def signals(self) -> Iterator[None]:
        """What stops this process stays as it was."""
        before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
        yield
        for number, handler in before:
            signal.signal(number, handler)

    def start(self, service: CommandService, reactor: Any) -> None:
        """As twistd does."""
        service.privilegedStartService()
        service.startService()
        for hook, args, kwargs in reactor.whenRunningHooks:
            hook(*args, **kwargs)

    def test_interface(self, service: CommandService) -> None:
        """It is a service, as C{twistd} wants one."""
        assert verifyObject(IService, service)

    def test_running(self, service: CommandService, reactor: Any) -> None:
        """Started, it listens where it was told to, with the applications of the file, and serves."""
        assert reactor.tcpServers == []
        self.start(service, reactor)
        assert [(port, interface) for port, _, _, interface in reactor.tcpServers] == [(9001, ""), (9002, "127.0.0.1")]
        node: Any = service.node
        assert node.serverName == "serverA" and node.told.running
        for _, factory, _, _ in reactor.tcpServers:
            peer = FakePeer(factory, reactor)
            peer.sendEvent("greet", None, "1")
            assert peer.takeFrames() == [Reply("1", "moin")]
        stopped: Any = service.stopService()
        # The clients are sent away first, one after the other.
        reactor.pump([0.5] * 20)
        assert stopped.called and not node.told.running

    def test_configuration(self, folder: Path, reactor: Any) -> None:
        """The node is made with the settings of the file."""
        with open(folder / "crossws.toml", "a") as file:
            file.write("\n[websocket]\nmax_connections = 1\n")
        service: Any = makeService(parse(folder))
        factory = service.node.webSocketFactory()
        assert [FakePeer(factory, reactor).status for _ in range(2)] == [101, 503]

    def test_secondSignal(self, service: CommandService, reactor: Any) -> None:
        """From the moment it begins to stop, a signal does what it does by default: it ends the process."""
        self.start(service, reactor)
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGINT, lambda *_: None)
        for trigger, args, kwargs in reactor.triggers["before"]["shutdown"]:
            trigger(*args, **kwargs)
        assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGINT) == signal.SIG_DFL
        service.stopService()
        reactor.advance(0)


class TestPortInUse:
    """A port that cannot be listened on ends the command with a sentence and status 1."""

    @pytest.fixture
    def service(self, folder: Path, reactor: Any) -> CommandService:
        reactor.listenTCP = self.taken
        made = makeService(parse(folder))
        assert isinstance(made, CommandService)
        return made

    def taken(self, port: int, *args: Any, **kwargs: Any) -> None:
        raise CannotListenError(None, port, OSError(errno.EADDRINUSE, "Address already in use"))

    @pytest.mark.parametrize("start", ["privilegedStartService", "startService"])
    @pytest.mark.parametrize("parent", [None, {"nodaemon": True, "pidfile": None}])
    def test_foreground(
        self, service: CommandService, capfd: pytest.CaptureFixture[str], start: str, parent: Any
    ) -> None:
        """It names the port and where it was configured."""
        service._options.parent = parent
        with pytest.raises(SystemExit) as ended:
            getattr(service, start)()
        assert ended.value.code == 1
        sentence = "crossws.toml: [websocket] listen: 'tcp:9000' cannot be listened on: Address already in use.\n"
        assert capfd.readouterr().err == sentence
        service.node.stopService()

    @pytest.mark.parametrize("there", [True, False])
    def test_pidFile(self, service: CommandService, tmp_path: Path, there: bool) -> None:
        """The file with the process id, which C{twistd} would leave behind, is removed."""
        pidFile = tmp_path / "twistd.pid"
        if there:
            pidFile.write_text("1")
        service._options.parent = {"nodaemon": True, "pidfile": str(pidFile)}  # type: ignore[assignment]
        with pytest.raises(SystemExit):
            service.privilegedStartService()
        assert not pidFile.exists()

    def test_daemon(self, service: CommandService, capfd: pytest.CaptureFixture[str]) -> None:
        """A daemon has C{twistd} tell it to whoever started it."""
        service._options.parent = {"nodaemon": False, "pidfile": "twistd.pid"}  # type: ignore[assignment]
        with pytest.raises(ListenError, match="Address already in use"):
            service.privilegedStartService()
        assert capfd.readouterr().err == ""


class TestNameTaken:
    """A server whose name another one has ends with a sentence and status 1."""

    def start(self, folder: Path, reactor: Any, joined: Any) -> None:
        service: Any = makeService(parse(folder))
        service.node.whenJoined = joined
        service.startService()
        for hook, args, kwargs in reactor.whenRunningHooks:
            hook(*args, **kwargs)
        service.stopService()
        reactor.advance(0)

    @pytest.fixture
    def atExit(self, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
        """What is to be done when the process ends."""
        registered: list[Callable[[], None]] = []
        monkeypatch.setattr(atexit, "register", registered.append)
        return registered

    def test_taken(
        self,
        folder: Path,
        reactor: Any,
        atExit: list[Callable[[], None]],
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """The reactor is stopped, and the process ends with 1 where C{twistd} would have it end with 0."""
        self.start(folder, reactor, lambda: fail(NameTaken("Another server is named serverA.")))
        assert reactor.hasStopped
        assert capfd.readouterr().err == "Another server is named serverA.\n"
        statuses: list[int] = []
        monkeypatch.setattr(os, "_exit", statuses.append)
        (end,) = atExit
        end()
        assert statuses == [1]

    @pytest.mark.parametrize("outcome", [None, CancelledError()])
    def test_otherwise(
        self,
        folder: Path,
        reactor: Any,
        atExit: list[Callable[[], None]],
        capfd: pytest.CaptureFixture[str],
        outcome: Exception | None,
    ) -> None:
        """One that has joined runs on; one that was stopped before it had ends as if nothing had been."""
        self.start(folder, reactor, lambda: succeed(None) if outcome is None else fail(outcome))
        assert not reactor.hasStopped and atExit == []
        assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 / 0", "'tap_app:makeService' failed: ZeroDivisionError: division by zero ({file}, line 2)."),
        (
            "return 7",
            "'tap_app:makeService' must return an IService of Twisted or None, and makeService ({file}, line 1)",
        ),
    ],
)
def test_failingApplication(
    folder: Path, reactor: Any, capfd: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    """One that fails when it is called, or returns no service, is a sentence with its place, and the end."""
    file = folder / "tap_app.py"
    file.write_text(f"def makeService(node):\n    {text}\n")
    (folder / "crossws.toml").write_text("[websocket]\n\n[[service]]\nuse = 'tap_app:makeService'\n")
    options = parse(folder)
    with pytest.raises(SystemExit) as ended:
        makeService(options)
    assert ended.value.code == 1
    place = "crossws.toml, line 4: [[service]] number 1: use "
    assert capfd.readouterr().err.startswith(place + says.format(file=file))


def test_applicationsGetTheNode(folder: Path, reactor: Any) -> None:
    """An application that returns a service has it among the node's children."""
    service: Any = makeService(parse(folder))
    node: Node = service.node
    assert [type(child).__name__ for child in node] == ["Told"]
