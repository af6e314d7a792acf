"""
C{twistd crossws} as a person runs it: real processes, real sockets, real signals.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from tests.integration.process import PATIENCE, ROOT, NodeProcess, freePort, pause, startNode, twistd
from twisted_crossws import Connector

pytestmark = pytest.mark.integration
reactor: Any = _reactor

APPLICATION = '''
def makeService(node, greeting="hello"):
    """Echoes, and greets."""
    node.clients.on("echo", lambda socket, payload: payload)
    node.clients.on("greet", lambda socket, payload: greeting)
'''

CONFIG = """
[node]
server_name = "serverA"

[[service]]
use = "echo_app:makeService"
[service.options]
greeting = "moin"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration and its application."""
    (tmp_path / "echo_app.py").write_text(APPLICATION)
    (tmp_path / "crossws.toml").write_text(CONFIG)
    return tmp_path


def http(port: int, path: str) -> tuple[int, dict[str, str], bytes]:
    """A plain request: status, headers, body."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, body


class TestServing:
    @pytest_twisted.ensureDeferred
    async def test_events(self, folder: Path) -> None:
        """The node of a configuration serves clients, with the application and options that it names."""
        node = await startNode(folder / "crossws.toml")
        client = Connector(node.url)
        await client.connect()
        assert await client.call("greet") == "moin"
        assert await client.call("echo", {"deep": [1, "ü", None]}) == {"deep": [1, "ü", None]}
        await client.close()
        await node.stop()

    @pytest_twisted.ensureDeferred
    async def test_http(self, folder: Path) -> None:
        """On the same port it answers plain HTTP: its health, the browser client, the static folder, and 404."""
        pages = folder / "pages"
        (pages / "sub").mkdir(parents=True)
        (pages / "index.html").write_text("<h1>hi</h1>")
        (folder / "secret.txt").write_text("secret")
        with open(folder / "crossws.toml", "a") as file:
            file.write('\n[websocket]\nstatic = "pages"\n')
        node = await startNode(folder / "crossws.toml")
        status, _, body = await deferToThread(http, node.port, "/healthz")
        assert status == 200
        assert json.loads(body) == {"status": "ok", "server": "serverA", "clients": 0}
        status, headers, body = await deferToThread(http, node.port, "/crossws.js")
        assert status == 200 and headers["content-type"].startswith("text/javascript") and b"CrossWS" in body
        for path in ("/", "/index.html"):
            status, headers, body = await deferToThread(http, node.port, path)
            assert (status, body) == (200, b"<h1>hi</h1>")
        for path in ("/nothing", "/sub/", "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt"):
            status, headers, body = await deferToThread(http, node.port, path)
            assert status == 404 and b"secret" not in body and "server" not in headers
        await node.stop()

    @pytest_twisted.ensureDeferred
    async def test_tokensAreNotLogged(self, folder: Path) -> None:
        """31: a token in a URL is in no line that the process prints."""
        node = await startNode(folder / "crossws.toml")
        client = Connector(node.url, params={"token": "s3cr3t"})
        await client.connect()
        await client.close()
        await deferToThread(http, node.port, "/nothing?token=s3cr3t")
        await node.stop()
        assert "/nothing" in node.output and "s3cr3t" not in node.output

    @pytest_twisted.ensureDeferred
    async def test_manyEndpoints(self, folder: Path) -> None:
        """A node listens on endpoints of several kinds at once: TCP, IPv6, and a Unix socket."""
        path = folder / "socket"
        node = await startNode(folder / "crossws.toml", "--listen", f"unix:{path}:mode=600")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        from twisted.internet.endpoints import UNIXClientEndpoint

        client = Connector("ws://localhost/", endpoint=UNIXClientEndpoint(reactor, str(path)))
        await client.connect()
        assert await client.call("echo", 7) == 7
        await client.close()
        await node.stop()

    @pytest_twisted.ensureDeferred
    async def test_tls(self, folder: Path) -> None:
        """C{ssl:} serves C{wss}, also to clients that ask for a protocol by ALPN, as browsers do."""
        from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
        from twisted.internet.ssl import Certificate, optionsForClientTLS

        makeCertificate(folder)
        port = freePort()
        node = await startNode(
            folder / "crossws.toml",
            "--listen",
            f"ssl:{port}:privateKey=key.pem:certKey=cert.pem:interface=127.0.0.1",
        )
        trust = Certificate.loadPEM((folder / "cert.pem").read_bytes())
        for offered in (None, [b"http/1.1"], [b"h2", b"http/1.1"]):
            options = optionsForClientTLS("localhost", trustRoot=trust, acceptableProtocols=offered)
            endpoint = wrapClientTLS(options, HostnameEndpoint(reactor, "127.0.0.1", port))
            client = Connector(f"wss://localhost:{port}/", endpoint=endpoint)
            await client.connect().addTimeout(PATIENCE, reactor)
            big = "x" * 300_000
            assert await client.call("echo", big) == big
            await client.close()
        await node.stop()


def makeCertificate(folder: Path) -> None:
    """A self-signed certificate for localhost."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )


class TestStopping:
    @pytest_twisted.ensureDeferred
    async def test_sigterm(self, folder: Path) -> None:
        """SIGTERM closes clients with 1012, and ends the process."""
        node = await startNode(folder / "crossws.toml")
        client = Connector(node.url)
        closed: Deferred[int] = Deferred()
        client.lifecycle.on("close", lambda code, reason: closed.callback(code))
        await client.connect()
        began = reactor.seconds()
        assert await node.stop() == -signal.SIGTERM
        assert reactor.seconds() - began < 2.0
        assert await closed == 1012
        await client.close()

    @pytest_twisted.ensureDeferred
    async def test_clientsThatDoNotAnswer(self, folder: Path) -> None:
        """Without draining it ends within two seconds, also with clients that do not answer, whatever they are."""
        path = folder / "crossws.toml"
        path.write_text(path.read_text().replace("[node]", "[node]\ndrain_seconds = 0"))
        node = await startNode(folder / "crossws.toml")
        silent = [rawClient(node.port) for _ in range(20)]
        idle = socket.create_connection(("127.0.0.1", node.port))
        began = reactor.seconds()
        await node.stop()
        assert reactor.seconds() - began < 2.0
        for each in [*silent, idle]:
            each.close()

    @pytest_twisted.ensureDeferred
    async def test_secondSignal(self, folder: Path) -> None:
        """A second signal ends it at once, even if the application does not let go."""
        (folder / "echo_app.py").write_text(
            "from twisted.application.service import Service\n"
            "from twisted.internet.defer import Deferred\n"
            "class Stuck(Service):\n"
            "    def stopService(self):\n"
            "        print('stuck', flush=True)\n"
            "        return Deferred()\n"
            "def makeService(node, greeting):\n"
            "    return Stuck()\n"
        )
        node = await startNode(folder / "crossws.toml")
        node.sendSignal(signal.SIGTERM)
        await node.says("stuck")
        began = reactor.seconds()
        assert await node.stop(signal.SIGTERM) == -signal.SIGTERM
        assert reactor.seconds() - began < 1.0


def rawClient(port: int) -> socket.socket:
    """A WebSocket client that never answers anything."""
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    client.settimeout(5)
    assert client.recv(100).startswith(b"HTTP/1.1 101")
    return client


class TestRefusing:
    """Whatever is wrong: sentences on standard error, exit status 1, and no traceback."""

    async def refused(self, folder: Path, *args: str) -> list[str]:
        process = twistd(*args, cwd=folder)
        assert await process.wait() == 1
        assert "Traceback" not in process.output
        return process.errors.splitlines()

    @pytest_twisted.ensureDeferred
    async def test_fourFaults(self, folder: Path) -> None:
        """C{--check} on a file with four faults lists all four, each with its file and key."""
        (folder / "crossws.toml").write_text(
            "[node]\nserver_nam = 'a'\n[websocket]\nping_interval = 'often'\nmax_connections = -1\n"
            "[[service]]\nuse = 'nowhere_app:makeService'\n"
        )
        lines = await self.refused(folder, "--config", "crossws.toml", "--check")
        assert [line.partition(": ")[0] for line in lines] == [f"crossws.toml, line {n}" for n in (2, 4, 5, 7)]
        for line, words in zip(lines, ["server_nam ", "ping_interval", "max_connections", "nowhere_app"], strict=True):
            assert words in line

    @pytest_twisted.ensureDeferred
    async def test_withoutCheck(self, folder: Path) -> None:
        """The same faults keep it from running."""
        (folder / "crossws.toml").write_text(
            "[websocket]\nlisten = ['tcp:x']\nallowed_origins = ['http://']\nstatic='no'\n"
        )
        lines = await self.refused(folder, "--config", "crossws.toml")
        assert [re.search(r"\] (\w+)", line)[1] for line in lines] == ["listen", "allowed_origins", "static"]  # type: ignore[index]

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("[node\nx = 1", "line 1"),
            ("[node]\nserver_name = 'a'\n[[service]]\nuse = 'echo_app:nothing'", "echo_app:nothing"),
            ("[[service]]\nuse = 'no-such-plugin'", "no-such-plugin"),
            ("[[service]]\nuse = 'echo_app:APPLES'", "echo_app:APPLES"),
            ("[[service]]\nuse = 'broken_app:makeService'", "SyntaxError"),
            ("[[service]]\nuse = 'echo_app:makeService'\noptions = {greetin = 'x'}", "greetin"),
            ("[[service]]\nuse = 'raising_app:makeService'", "raising_app.py, line 2)."),
            ("[[service]]\nuse = 'raising_app:makeLater'", "is an async def"),
            ("[bus]\ntype = 'redis'", "server_name"),
            ("[bus]\ntype = 'hub'", "server_name"),
            (f"[node]\nserver_name = 'a'\n[bus]\ntype = 'hub'\n[bus.hub]\npath = '{'x' * 108}'", "path"),
            ("[rooms]\npreset = ['broadcast']", "preset"),
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_oneFault(self, folder: Path, text: str, says: str) -> None:
        """Bad TOML, modules and names that are not there, options that do not fit, failures: one sentence for each."""
        (folder / "broken_app.py").write_text("def makeService(:")
        (folder / "raising_app.py").write_text(
            "def makeService(node):\n    1 / 0\n\nasync def makeLater(node):\n    pass\n"
        )
        (folder / "crossws.toml").write_text(text)
        (line,) = await self.refused(folder, "--config", "crossws.toml")
        assert line.startswith("crossws.toml") and says in line

    @pytest_twisted.ensureDeferred
    async def test_noFile(self, folder: Path) -> None:
        """A file that is not there, and none named at all."""
        (line,) = await self.refused(folder, "--config", "missing.toml")
        assert "missing.toml" in line
        (line,) = await self.refused(folder)
        assert "--config" in line

    @pytest_twisted.ensureDeferred
    async def test_portInUse(self, folder: Path) -> None:
        """A port that is taken is named, with where it is configured."""
        node = await startNode(folder / "crossws.toml")
        (folder / "second.toml").write_text(f'[websocket]\nlisten = ["tcp:{node.port}:interface=127.0.0.1"]\n')
        (line,) = await self.refused(folder, "--config", "second.toml")
        assert line.startswith("second.toml: [websocket] listen") and str(node.port) in line and "in use" in line
        listen = f"tcp:{node.port}:interface=127.0.0.1"
        (line,) = await self.refused(folder, "--config", "crossws.toml", "--listen", listen)
        assert line.startswith("--listen")
        await node.stop()

    @pytest_twisted.ensureDeferred
    async def test_checkOfAGoodFile(self, folder: Path) -> None:
        """C{--check} on a good file says what would run, listens nowhere, and exits with 0."""
        process = twistd("--config", "crossws.toml", "--check", "--server-name", "other", cwd=folder)
        assert await process.wait() == 0
        assert process.errors == ""
        for words in ("other", "tcp:9000", "echo_app:makeService", "memory"):
            assert words in process.output

    @pytest_twisted.ensureDeferred
    async def test_serverName(self, folder: Path) -> None:
        """C{--server-name} takes the place of the file's."""
        node = await startNode(folder / "crossws.toml", "--server-name", "serverB")
        _, _, body = await deferToThread(http, node.port, "/healthz")
        assert json.loads(body)["server"] == "serverB"
        await node.stop()


CLUSTER = """
[bus]
type = "hub"

[websocket]
listen = ["tcp:{port}:interface=127.0.0.1"]

[kind.echo]
env = { GREETING = "from the file" }
[[kind.echo.service]]
use = "echo_app:makeService"

[[server]]
kind = "echo"
id = "pair"
port = PORT
instances = 2

[[server]]
kind = "echo"
id = "far"
host = "192.0.2.7"

[production.bus]
type = "redis"
"""


class TestServers:
    """A file that describes many servers; what their master does has tests of its own."""

    @pytest.fixture
    def cluster(self, folder: Path) -> Path:
        (folder / "cluster.toml").write_text(CLUSTER.replace("PORT", str(freePort())).replace('host = "192.0.2.7"', ""))
        (folder / "echo_app.py").write_text(
            "import os\n"
            "def makeService(node):\n"
            "    node.clients.on('who', lambda socket, payload: [node.serverName, os.environ['GREETING']])\n"
        )
        return folder

    @pytest_twisted.ensureDeferred
    async def test_check(self, cluster: Path) -> None:
        """C{--check} says the whole plan, starts nothing and makes no folder, and exits with 0."""
        process = twistd("--config", "cluster.toml", "--check", cwd=cluster)
        assert await process.wait() == 0
        assert process.errors == ""
        words = ("pair", "far", "echo_app:makeService", "2, pair.1 to pair.2, least-connection", "nowhere", "hub")
        assert all(word in process.output for word in words)
        (sockets,) = re.findall("sockets +(.*)", process.output)
        assert not Path(sockets).exists()

    @pytest_twisted.ensureDeferred
    async def test_checkOfFaults(self, cluster: Path) -> None:
        """On one with faults it says all of them, with their lines, and exits with 1."""
        text = (cluster / "cluster.toml").read_text()
        text = text.replace('kind = "echo"\nid = "far"', 'kind = "ecco"\nid = "pair.2"\nport = [5, 4]').replace(
            "hub", "memory"
        )
        (cluster / "cluster.toml").write_text(text)
        process = twistd("--config", "cluster.toml", "--check", cwd=cluster)
        assert await process.wait() == 1
        starts = [
            'line 20: [[server]] number 2: kind is "ecco", and there is no section [kind.ecco]; did you mean "echo"?',
            "line 22: [[server]] number 2: port is [5, 4], and no port",
            'line 3: [bus] type must be "hub" or "redis"',
        ]
        for line, start in zip(process.errors.splitlines(), starts, strict=True):
            assert line.startswith(f"cluster.toml, {start}")

    @pytest_twisted.ensureDeferred
    async def test_byNumber(self, cluster: Path) -> None:
        """Processes that somebody else numbers and starts share their port without a master."""
        (port,) = map(int, re.findall(r"port = (\d+)", (cluster / "cluster.toml").read_text()))
        processes = [
            twistd("--config", "cluster.toml", "--server-index", str(index), cwd=cluster) for index in range(2)
        ]
        for process in processes:
            await process.says("has joined")
        seen: dict[str, str] = {}
        for _ in range(200):
            client = Connector(f"ws://127.0.0.1:{port}/")
            await client.connect()
            name, greeting = await client.call("who")
            seen[name] = greeting
            await client.close()
            if len(seen) == 2:
                break
        assert seen == {"pair.1": "from the file", "pair.2": "from the file"}
        for process in processes:
            await process.stop()

    @pytest_twisted.ensureDeferred
    async def test_noneHere(self, cluster: Path) -> None:
        """A machine that the file has no server for is told so, and a server may be started there all the same."""
        text = (
            (cluster / "cluster.toml").read_text().replace('kind = "echo"\nid', 'kind = "echo"\nhost = "192.0.2.7"\nid')
        )
        (cluster / "cluster.toml").write_text(text)
        process = twistd("--config", "cluster.toml", cwd=cluster)
        assert await process.wait() == 1
        assert re.match(r'cluster.toml has no server for this machine, ".+", in the environment "dev', process.errors)
        far = twistd("--config", "cluster.toml", "--server", "far", cwd=cluster)
        await far.says("far has joined")
        await far.stop()


class TestPlugin:
    @pytest_twisted.ensureDeferred
    async def test_serviceByName(self, folder: Path) -> None:
        """An installed package offers a service by name, as a Twisted plugin."""
        plugins = folder / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "greeter_plugin.py").write_text(
            "from zope.interface import implementer\n"
            "from twisted.plugin import IPlugin\n"
            "from twisted_crossws import INodeService\n"
            "@implementer(IPlugin, INodeService)\n"
            "class Greeter:\n"
            "    name = 'greeter'\n"
            "    def makeService(self, node, greeting):\n"
            "        node.clients.on('greet', lambda socket, payload: greeting + ' from a plugin')\n"
            "greeter = Greeter()\n"
        )
        (folder / "crossws.toml").write_text('[[service]]\nuse = "greeter"\noptions = {greeting = "hi"}\n')
        node = await startNode(folder / "crossws.toml")
        client = Connector(node.url)
        await client.connect()
        assert await client.call("greet") == "hi from a plugin"
        await client.close()
        await node.stop()


class TestLimits:
    @pytest_twisted.async_yield_fixture
    async def node(self, folder: Path) -> AsyncIterator[NodeProcess]:
        with open(folder / "crossws.toml", "a") as file:
            file.write("\n[websocket]\nping_interval = 0.5\nhandshake_timeout = 1.0\n")
        node = await startNode(folder / "crossws.toml")
        yield node
        await node.stop()

    @pytest_twisted.ensureDeferred
    async def test_fileDescriptors(self, node: NodeProcess) -> None:
        """33: with no file descriptor left it neither spins nor falls, and serves again when there are some."""
        import resource

        resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (100, 100))
        clients = await deferToThread(lambda: [socket.create_connection(("127.0.0.1", node.port)) for _ in range(200)])
        await pause(0.5)
        before = cpuSeconds(node.pid)
        await pause(1.0)
        assert cpuSeconds(node.pid) - before < 0.5
        for client in clients:
            client.close()
        await pause(0.5)
        probe = Connector(node.url)
        await probe.connect()
        assert await probe.call("echo", 1) == 1
        await probe.close()

    @pytest_twisted.ensureDeferred
    async def test_realPings(self, node: NodeProcess) -> None:
        """A client that answers pings stays, one that does not is cut, and so is a handshake that stalls."""
        client = Connector(node.url)
        await client.connect()
        silent = await deferToThread(rawClient, node.port)
        stalled = socket.create_connection(("127.0.0.1", node.port))
        stalled.sendall(b"GET /")
        stalled.settimeout(5)

        def ends(each: socket.socket) -> bool:
            try:
                while each.recv(100):
                    pass
            except ConnectionResetError:
                pass
            return True

        assert await deferToThread(ends, silent)
        assert await deferToThread(ends, stalled)
        assert client.isConnected
        await client.close()
        silent.close()
        stalled.close()


def cpuSeconds(pid: int) -> float:
    """What a process has used of the processor."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / 100


def test_plainTwistd(folder: Path) -> None:
    """The command is found in a checkout, in the way that the README says."""
    result = subprocess.run(
        [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "crossws" in result.stdout
