"""
JavaScript clients in Node.js against a real server: C{crossws.js} as the server itself hands it out, and a client that
speaks no more than the wire of the Node.js package.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from tests.integration.machine import Machine, workersFile
from tests.integration.process import PATIENCE, NodeProcess, Process, freePort, startNode

pytestmark = pytest.mark.integration
reactor: Any = _reactor

APPLICATION = '''
from twisted.internet.defer import Deferred

from twisted_crossws import Refuse, ReplyError


def makeService(node):
    def authenticate(request):
        if request.params.get("token") == "wrong":
            raise Refuse(401, "Who are you?")

    node.authenticate = authenticate
    closed = []
    on = node.clients.on
    node.lifecycle.on("close", lambda socket, code, reason: closed.append([code, reason]))
    node.lifecycle.on("pong", pong)
    on("echo", lambda socket, payload: payload)
    on("whoami", lambda socket, payload: [socket.request.path, socket.request.params])
    on("never", lambda socket, payload: Deferred())
    on("push", lambda socket, payload: socket.send("pushed", payload))
    on("shout", lambda socket, payload: node.clients.broadcast("shouted", payload))
    on("bind", lambda socket, payload: node.sockets.bind(payload, socket))
    on("close", lambda socket, payload: socket.close(payload["code"], payload["reason"]))
    on("closed", lambda socket, payload: closed)
    on("ask", lambda socket, payload: socket.call(*payload))

    @on("fail")
    def fail(socket, payload):
        raise ReplyError("tooLate", "The kitchen is closed.")

    @on("break")
    async def breakDown(socket, payload):
        raise RuntimeError("a secret")

    @on("thirdPong")
    def thirdPong(socket, payload):
        """The reply comes when the client has answered three more pings."""
        socket.data["pongs"], socket.data["third"] = 3, Deferred()
        return socket.data["third"]


def pong(socket):
    if left := socket.data.get("pongs", 0):
        socket.data["pongs"] = left - 1
        if left == 1:
            socket.data["third"].callback("alive")
'''

CONFIG = """
[node]
drain_seconds = 0.5
stop_deadline = 2.0

[websocket]
%s

[[service]]
use = "js_app:makeService"
"""

FOLDER = Path(__file__).parent

#: Quick enough for a test.
QUICK = {"fastReconnectInterval": 20, "reconnectMaxInterval": 50, "pingInterval": 0}

VALUES = [None, True, 0, -1.5, 2**53 - 1, "", "ü€😀\u2028\u0000", [], {}, {"deep": [1, {"er": [None]}]}, "x" * 300_000]


class ScriptError(Exception):
    """
    A script raised.

    @ivar name: of the class, in JavaScript.
    @ivar code: what the error has as its C{code}, if anything.
    """

    def __init__(self, name: str, message: str, code: object = None) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message
        self.code = code


class NodeJs(Process):
    """
    Node.js, which runs scripts of a test one after the other. See C{evaluate.mjs}.
    """

    def __init__(self) -> None:
        super().__init__()
        self._rest = b""
        self._waiting: list[Deferred[Any]] = []

    def run(self, script: str, **values: Any) -> Deferred[Any]:
        """
        Run the body of an async function.

        @param values: what it calls by these names.
        @return: fires with what it returns; fails with L{ScriptError}.
        """
        answer: Deferred[Any] = Deferred()
        self._waiting.append(answer)
        transport: Any = self.transport
        transport.write(json.dumps({"script": script, "values": values}).encode() + b"\n")
        return answer.addTimeout(PATIENCE, reactor)

    async def connect(self, url: str, **options: Any) -> None:
        """
        Make a C{my.client} of C{crossws.js}, and C{my.log} of its life, and wait until it is open. Its waits have no
        jitter: they are as long as they can be.
        """
        await self.run(
            "my.client = new CrossWS(url, { ...options, random: () => 0 });"
            "my.log = follow(my.client); await my.client.connect()",
            url=url,
            options=QUICK | options,
        )

    async def logged(self, *events: str) -> list[Any]:
        """
        Wait until the log ends with these events.

        @return: all of it.
        """
        log: list[Any] = await self.run(
            "const ends = () => JSON.stringify(my.log.slice(-events.length).map(([event]) => event));"
            "await until(() => ends() === JSON.stringify(events)); return my.log",
            events=events,
        )
        return log

    def outReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            answer, waiting = json.loads(line), self._waiting.pop(0)
            if waiting.called:
                continue
            if "error" in answer:
                waiting.errback(ScriptError(**answer["error"]))
            else:
                waiting.callback(answer.get("value"))

    def errReceived(self, data: bytes) -> None:
        self.errors += data.decode("utf-8", "replace")

    def processEnded(self, reason: Failure) -> None:
        for waiting in self._waiting:
            if not waiting.called:
                waiting.errback(AssertionError(f"Node.js ended. It said:\n{self.errors}"))
        super().processEnded(reason)


class Server:
    """A node that can be stopped and started again, at the same place."""

    def __init__(self, folder: Path) -> None:
        self.process = NodeProcess()
        self._config = folder / "crossws.toml"

    async def start(self) -> None:
        self.process = await startNode(self._config, port=self.process.port or None)

    @property
    def url(self) -> str:
        return self.process.url

    @property
    def script(self) -> str:
        return f"http://127.0.0.1:{self.process.port}/crossws.js"


def write(folder: Path, settings: str = "") -> None:
    (folder / "js_app.py").write_text(APPLICATION)
    (folder / "crossws.toml").write_text(CONFIG % settings)


@pytest_twisted.async_yield_fixture
async def server(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """A node with the application; a test may have settings of C{[websocket]} as its parameter."""
    write(tmp_path, getattr(request, "param", ""))
    server = Server(tmp_path)
    await server.start()
    yield server
    await server.process.stop()


@pytest.fixture(scope="session")
def command() -> list[str]:
    """How to run Node.js with a C{WebSocket}. Where there is none, the test is skipped."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("The clients run in Node.js, and there is no node on the PATH.")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    # What is ready in 22 is hidden behind a flag in 20 and 21, and older ones know neither.
    flags = ["--experimental-websocket"] if re.match(r"v2[01]\.", version) else []
    command = [node, "--no-warnings", *flags]
    found = subprocess.run([*command, "-e", 'globalThis.WebSocket ?? require("ws")'], cwd=FOLDER, capture_output=True)
    if found.returncode:
        pytest.skip(
            f"The clients need a WebSocket: Node.js 22 has one, {version} has none, nor is there the package ws."
        )
    return command


@pytest_twisted.async_yield_fixture
async def js(command: list[str]) -> AsyncIterator[NodeJs]:
    """Node.js. Whatever it prints on standard error, such as a listener that failed, fails the test."""
    js = NodeJs.start(*command, str(FOLDER / "evaluate.mjs"), cwd=FOLDER)
    assert isinstance(js, NodeJs)
    yield js
    await js.kill()
    assert js.errors == ""


@pytest_twisted.async_yield_fixture
async def crossws(js: NodeJs, server: Server) -> AsyncIterator[NodeJs]:
    """Node.js with the client that the server hands out."""
    await js.run("await load(url)", url=server.script)
    yield js


class TestCrossWS:
    """C{crossws.js}."""

    @pytest_twisted.ensureDeferred
    async def test_answers(self, crossws: NodeJs, server: Server) -> None:
        """The server asks, and gets what the listeners return, whatever kind of value that is; or their error."""
        await crossws.connect(server.url)
        await crossws.run(
            'my.client.on("double", (payload) => [payload, payload]);'
            'my.client.on("slow", (payload) => new Promise((resolve) => setTimeout(resolve, 20, payload)));'
            'my.client.on("refuse", () => { throw new CrossWS.RemoteError("no", "No."); });'
            "console.error = () => {};"
        )
        script = 'return Promise.all(values.map((value) => my.client.call("ask", [event, value])))'
        assert await crossws.run(script, event="double", values=VALUES) == [[value, value] for value in VALUES]
        assert await crossws.run(script, event="slow", values=list(range(100))) == list(range(100))
        assert await crossws.run(script, event="nobody listens", values=[1]) == [None]
        # The failure of the server's listener is that of the client's.
        with pytest.raises(ScriptError):
            await crossws.run(script, event="refuse", values=[1])

    @pytest_twisted.ensureDeferred
    async def test_params(self, crossws: NodeJs, server: Server) -> None:
        """Parameters go into the URL, whatever is in them; a list repeats its key."""
        await crossws.connect(server.url + "chat/room", params={"id": 16, "name": "S & ä+%20", "tag": ["a", "b"]})
        assert await crossws.run('return my.client.call("whoami")') == [
            "chat/room",
            {"id": "16", "name": "S & ä+%20", "tag": ["a", "b"]},
        ]

    @pytest_twisted.ensureDeferred
    async def test_replies(self, crossws: NodeJs, server: Server) -> None:
        """Every call gets its own reply, also with many under way, and with every kind of value."""
        await crossws.connect(server.url)
        script = 'return Promise.all(values.map((value) => my.client.call("echo", value)))'
        assert await crossws.run(script, values=VALUES) == VALUES
        assert await crossws.run(script, values=list(range(500))) == list(range(500))

    @pytest_twisted.ensureDeferred
    async def test_whatJavaScriptHolds(self, crossws: NodeJs, server: Server) -> None:
        """
        Huge integers, half of a surrogate pair and a thousand levels are heard and come back; one level more is an
        error at once.
        """
        await crossws.connect(server.url)
        deep = "const deep = (levels) => levels > 1 ? [deep(levels - 1)] : [];"
        assert (
            await crossws.run(
                deep + 'const values = [1e20, -1e300, 2 ** 63, 2 ** 64 + 2048, "a\\ud83d", { "\\udc00": deep(999) }];'
                'const replies = await Promise.all(values.map((value) => my.client.call("echo", value)));'
                "const text = (value) => JSON.stringify(value).replace(/\\\\ud.../g, '\\ufffd');"
                "return replies.map((reply, number) => text(reply) === text(values[number]))"
            )
            == [True] * 6
        )
        with pytest.raises(ScriptError) as caught:
            await crossws.run(deep + 'return my.client.call("echo", deep(1001))')
        assert (caught.value.name, caught.value.code) == ("RemoteError", "too_deep")

    @pytest.mark.parametrize(
        ("event", "code", "message"),
        [
            ("fail", "tooLate", "The kitchen is closed."),
            ("break", "internal_error", "The server failed to handle this event."),
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_errorReplies(self, crossws: NodeJs, server: Server, event: str, code: str, message: str) -> None:
        """A call whose listener fails ends with a RemoteError at once; what the server keeps for itself stays there."""
        await crossws.connect(server.url)
        with pytest.raises(ScriptError) as caught:
            await crossws.run("return my.client.call(event)", event=event)
        assert (caught.value.name, caught.value.code, caught.value.message) == ("RemoteError", code, message)

    @pytest_twisted.ensureDeferred
    async def test_noReply(self, crossws: NodeJs, server: Server) -> None:
        """A call that nobody answers is pending for a while, and then times out."""
        await crossws.connect(server.url)
        script = """
            my.pending = [];
            const options = { timeout: 60, pendingAfter: 20, onPending: (isPending) => my.pending.push(isPending) };
            await my.client.call("never", null, options);
        """
        with pytest.raises(ScriptError) as caught:
            await crossws.run(script)
        assert caught.value.name == "CallTimeout"
        assert await crossws.run("return my.pending") == [True, False]

    @pytest_twisted.ensureDeferred
    async def test_events(self, crossws: NodeJs, server: Server) -> None:
        """Events from the server reach their listeners in order, until these are removed; other events do not."""
        await crossws.connect(server.url)
        script = """
            const heard = [];
            my.client.on("pushed", (payload) => heard.push(payload), "tag");
            my.client.once("pushed", (payload) => heard.push("once"));
            my.client.on("shouted", (payload) => heard.push(["shouted", payload]));
            my.client.on("_hello_", () => heard.push("hello"));
            for (const value of values) my.client.emit("push", value);
            await my.client.call("echo");
            my.client.off("pushed", "tag");
            my.client.emit("push", "unheard");
            my.client.emit("shout", "all");
            await my.client.call("echo");
            return heard;
        """
        values = [1, None, {"a": "ü"}]
        assert await crossws.run(script, values=values) == [1, "once", None, {"a": "ü"}, ["shouted", "all"]]

    @pytest.mark.parametrize(
        ("server", "text"), [("", ""), ("heartbeat = 'p♥ng'", "p♥ng")], indirect=["server"], ids=["empty", "text"]
    )
    @pytest_twisted.ensureDeferred
    async def test_heartbeat(self, crossws: NodeJs, server: Server, text: str) -> None:
        """Heartbeats are answered, with the text that both sides have agreed on, and tell the latency."""
        await crossws.connect(server.url, pingInterval=30, pongTimeout=5000, pingMessage=text)
        log = await crossws.logged("open", "pong", "pong")
        assert all(0 < latency < 5000 for _, latency in log[1:])
        assert await crossws.run("return my.client.latency") > 0

    @pytest_twisted.ensureDeferred
    async def test_silence(self, crossws: NodeJs, server: Server) -> None:
        """A server that hangs is noticed by its missing heartbeat, and found again when it goes on."""
        await crossws.connect(server.url, pingInterval=30, pongTimeout=300)
        await crossws.logged("open", "pong")
        server.process.sendSignal(signal.SIGSTOP)
        await crossws.run(
            "await until(() => my.log.some(([event]) => event === 'reconnect')); my.client.pingInterval = 0"
        )
        server.process.sendSignal(signal.SIGCONT)
        await crossws.run("await until(() => my.client.isConnected)")
        log = [entry for entry in await crossws.run("return my.log") if entry[0] != "pong"]
        assert log[:4] == [
            ["open"],
            ["pongTimeout"],
            ["close", 4002, "No heartbeat answer came in time."],
            ["reconnect", 1, 20],
        ]
        assert await crossws.run('return my.client.call("echo", 1)') == 1

    @pytest_twisted.ensureDeferred
    async def test_killed(self, crossws: NodeJs, server: Server) -> None:
        """
        When the server is killed, calls that wait end; the client tries until there is a server again, and goes on
        with the same listeners.
        """
        await crossws.connect(server.url)
        await crossws.run(
            'my.heard = []; my.client.on("pushed", (payload) => my.heard.push(payload));'
            'my.lost = my.client.call("never").catch((error) => error.name); await my.client.call("echo")'
        )
        await server.process.kill()
        assert await crossws.run("return my.lost") == "NotConnected"
        await crossws.run("await until(() => my.log.filter(([event]) => event === 'reconnect').length > 2)")
        # Whether there is an "error", too, depends on the WebSocket.
        log = [entry for entry in await crossws.run("return my.log") if entry[0] != "error"]
        assert log[:5] == [
            ["open"],
            *(["close", 1006, ""], ["reconnect", 1, 20]),
            *(["close", 1006, ""], ["reconnect", 2, 20]),
        ]
        assert await crossws.run("return [my.client.isConnected, my.client.isReconnecting]") == [False, True]
        await server.start()
        await crossws.logged("reconnect", "open")
        assert await crossws.run('return my.client.call("echo", "again")') == "again"
        assert await crossws.run('my.client.emit("push", 7); await my.client.call("echo"); return my.heard') == [7]

    @pytest_twisted.ensureDeferred
    async def test_stopped(self, crossws: NodeJs, server: Server) -> None:
        """A server that stops says so with 1012, and the client comes back to its successor."""
        await crossws.connect(server.url)
        await server.process.stop()
        log = await crossws.run("await until(() => my.log.length > 2); return my.log")
        assert log[1][:2] == ["close", 1012] and log[1][2].startswith("retry-after=")
        assert log[2] == ["reconnect", 1, 50], "its reconnectMaxInterval; it was told to wait longer"
        await server.start()
        await crossws.logged("reconnect", "open")
        assert await crossws.run('return my.client.call("echo", "again")') == "again"

    @pytest.mark.parametrize("code", [4010, 4011])
    @pytest_twisted.ensureDeferred
    async def test_finalCodes(self, crossws: NodeJs, server: Server, code: int) -> None:
        """Who is logged out or not let in stays away, until the application connects again."""
        await crossws.connect(server.url)
        await crossws.run('my.client.emit("close", { code, reason: "Out, ü." })', code=code)
        await self.staysAway(crossws, ["close", code, "Out, ü."])

    @pytest_twisted.ensureDeferred
    async def test_replaced(self, crossws: NodeJs, server: Server) -> None:
        """Who is replaced by a newer connection of the same identity stays away, too: there is no tug of war."""
        await crossws.connect(server.url)
        await crossws.run('await my.client.call("bind", "sam")')
        await crossws.run(
            'const newer = new CrossWS(url, options); await newer.connect(); await newer.call("bind", "sam")',
            url=server.url,
            options=QUICK,
        )
        await self.staysAway(crossws, ["close", 4012, "replaced by a newer connection"])

    async def staysAway(self, crossws: NodeJs, ending: list[Any]) -> None:
        assert await crossws.logged("close") == [["open"], ending]
        # One that came back would be there by now: it waits for 20 ms only.
        state = "return [my.client.isReconnecting, my.client.isConnected, my.log.length]"
        assert await crossws.run("await new Promise((resolve) => setTimeout(resolve, 100));" + state) == [
            False,
            False,
            2,
        ]
        await crossws.run("await my.client.connect()")
        assert await crossws.run('return my.client.call("echo", "back")') == "back"

    @pytest_twisted.ensureDeferred
    async def test_close(self, crossws: NodeJs, server: Server) -> None:
        """A client that closes says so with 4001, and stays closed; sending is an error then."""
        await crossws.connect(server.url)
        await crossws.run("my.client.close()")
        assert await crossws.logged("close") == [["open"], ["close", 4001, "The client closed the connection."]]
        for script in ('my.client.emit("echo")', 'await my.client.call("echo")'):
            with pytest.raises(ScriptError) as caught:
                await crossws.run(script)
            assert caught.value.name == "NotConnected"
        await crossws.run("await my.client.connect()")
        closed = await crossws.run('return my.client.call("closed")')
        assert closed == [[4001, "The client closed the connection."]]

    @pytest_twisted.ensureDeferred
    async def test_refused(self, crossws: NodeJs, server: Server) -> None:
        """
        An authenticator's no looks like a failed attempt, since browsers do not tell; the client goes on trying, and
        says so, without the token.
        """
        await crossws.run(
            "my.client = new CrossWS(url, options); my.log = follow(my.client); my.unreachable = [];"
            "my.client.lifecycle.on('unreachable', (reason, attempt) => my.unreachable.push([reason, attempt]));"
            "my.connecting = my.client.connect().catch((error) => error.name);"
            "await until(() => my.log.filter(([event]) => event === 'reconnect').length === 2)",
            url=server.url,
            options={**QUICK, "params": {"token": "wrong"}},
        )
        log = await crossws.run("my.client.close(); return my.log")
        assert "open" not in [entry[0] for entry in log]
        assert [entry[1] for entry in log if entry[0] == "close"][:2] == [1006, 1006]
        assert await crossws.run("return my.connecting") == "NotConnected"
        unreachable = await crossws.run("return my.unreachable")
        assert [attempt for _, attempt in unreachable[:2]] == [1, 2] and all(reason for reason, _ in unreachable)
        (warning,) = await crossws.run("return my.warnings")
        assert warning.startswith(f"CrossWS: cannot connect to {server.url}. ") and "wrong" not in warning

    @pytest_twisted.ensureDeferred
    async def test_attempts(self, crossws: NodeJs, server: Server) -> None:
        """connect() fails after so many attempts, and the client rests then."""
        await server.process.kill()
        with pytest.raises(ScriptError) as caught:
            await crossws.run(
                "my.client = new CrossWS(url, options); my.log = follow(my.client); await my.client.connect()",
                url=server.url,
                options={**QUICK, "attempts": 3},
            )
        assert caught.value.name == "NotConnected"
        log = await crossws.run("return my.log")
        assert [attempt for event, attempt, *_ in log if event == "reconnect"] == [1, 2]
        assert await crossws.run("return my.client.isReconnecting") is False

    @pytest_twisted.ensureDeferred
    async def test_silentServer(self, crossws: NodeJs, server: Server) -> None:
        """A server that takes connections and says nothing costs connectTimeout; the next attempt finds one that is."""
        server.process.sendSignal(signal.SIGSTOP)
        await crossws.run(
            "my.client = new CrossWS(url, options); my.log = follow(my.client); my.connecting = my.client.connect();"
            "await until(() => my.log.some(([event]) => event === 'reconnect'))",
            url=server.url,
            options={**QUICK, "connectTimeout": 200},
        )
        server.process.sendSignal(signal.SIGCONT)
        await crossws.run("await my.connecting")
        assert await crossws.run('return my.client.call("echo", 1)') == 1

    @pytest.mark.parametrize("server", ["ping_interval = 1.0"], indirect=True)
    @pytest_twisted.ensureDeferred
    async def test_serverPings(self, crossws: NodeJs, server: Server) -> None:
        """The server's own pings are answered, so it keeps the client without any traffic of the application."""
        await crossws.connect(server.url)
        assert await crossws.run('return my.client.call("thirdPong")') == "alive"


@pytest.mark.fates
class TestWorkers:
    """C{crossws.js} with several processes behind one port."""

    @pytest_twisted.ensureDeferred
    async def test_frozenWorker(
        self, js: NodeJs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: None
    ) -> None:
        """Who is handed to a worker that hangs gives it up in time, and the next attempt goes to another one."""
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        port = freePort()
        machine = Machine(tmp_path, workersFile(port, 2))
        try:
            await machine.start(count=2)
            await js.run("await load(url)", url=f"http://127.0.0.1:{port}/crossws.js")
            rows = await machine.rows()
            os.kill(rows["hall.2"]["pid"], signal.SIGSTOP)
            connected = await js.run(
                "my.clients = Array.from({ length: 10 }, () => new CrossWS(url, options));"
                "my.failed = 0;"
                "for (const client of my.clients) client.lifecycle.on('unreachable', () => my.failed++);"
                "await Promise.all(my.clients.map((client) => client.connect()));"
                "return my.clients.map((client) => client.isConnected)",
                url=f"ws://127.0.0.1:{port}/",
                options=QUICK | {"connectTimeout": 300},
            )
            assert connected == [True] * 10
            assert await js.run("return my.failed") > 0, "some were handed to the one that hangs"
            await js.run("for (const client of my.clients) client.close()")
        finally:
            await machine.close()


class TestWire:
    """The clients of the Node.js package, in their own words (wire section 1)."""

    async def open(self, js: NodeJs, server: Server, path: str = "") -> None:
        await js.run("my.client = new WireClient(url); await my.client.opened()", url=server.url + path)

    @pytest_twisted.ensureDeferred
    async def test_replies(self, js: NodeJs, server: Server) -> None:
        """A reply is a frame of the payload and the callbackId, and nothing else, for every kind of value."""
        await self.open(js, server)
        for value in VALUES:
            assert await js.run('return my.client.ask("echo", value)', value=value) == {
                "payload": value,
                "callbackId": await js.run("return JSON.parse(my.client.texts.at(-1)).callbackId"),
            }
        longest = "erverA-" + "z" * 57
        frames = [
            {"event": "echo", "payload": 1, "callbackId": longest},
            {"event": "echo", "callbackId": "erverA-mwp8lziz-mv0j-1"},
        ]
        for frame in frames:
            await js.run("my.client.write(JSON.stringify(frame))", frame=frame)
        await js.run('await my.client.ask("echo")')
        assert [json.loads(text) for text in (await js.run("return my.client.texts"))[-3:-1]] == [
            {"payload": 1, "callbackId": longest},
            {"payload": None, "callbackId": "erverA-mwp8lziz-mv0j-1"},
        ]

    @pytest_twisted.ensureDeferred
    async def test_params(self, js: NodeJs, server: Server) -> None:
        """Path and parameters are in the URL, encoded as forms are, or by percent alone."""
        await self.open(js, server, "some/path?id=1&name=S%C3%A4m%20A&tag=a&tag=b&text=a+b%2Bc&empty=")
        path, params = (await js.run('return my.client.ask("whoami")'))["payload"]
        assert path == "some/path"
        assert params == {"id": "1", "name": "Säm A", "tag": ["a", "b"], "text": "a b+c", "empty": ""}

    @pytest_twisted.ensureDeferred
    async def test_events(self, js: NodeJs, server: Server) -> None:
        """It hears what it asked for, as frames of event and payload, and nothing before: no greeting, no version 2."""
        await self.open(js, server, "?id=1")
        script = 'my.client.emit("push", "é"); my.client.emit("shout", null); await my.client.ask("echo"); '
        texts = await js.run(script + "return my.client.texts")
        assert [json.loads(text) for text in texts[:-1]] == [
            {"event": "pushed", "payload": "é"},
            {"event": "shouted", "payload": None},
        ]
        assert await js.run("return my.client.events") == [["pushed", "é"], ["shouted", None]]

    @pytest.mark.parametrize("event", ["fail", "break"])
    @pytest_twisted.ensureDeferred
    async def test_failures(self, js: NodeJs, server: Server, event: str) -> None:
        """Where a listener failed there is no reply: an error reply would look like success to it."""
        await self.open(js, server)
        assert await js.run("return my.client.ask(event, null, 50)", event=event) is None
        await js.run('await my.client.ask("echo")')
        assert len(await js.run("return my.client.texts")) == 1

    @pytest_twisted.ensureDeferred
    async def test_heartbeat(self, js: NodeJs, server: Server) -> None:
        """The empty text comes back as it is."""
        await self.open(js, server)
        await js.run('my.client.write(""); my.client.write(""); await my.client.ask("echo")')
        first, second, reply = await js.run("return my.client.texts")
        assert (first, second) == ("", "") and reply

    @pytest_twisted.ensureDeferred
    async def test_whatIsNoFrame(self, js: NodeJs, server: Server) -> None:
        """What is no frame is dropped, a callbackId that is no string wants no reply, and binary is read as text."""
        await self.open(js, server)
        noise = ["{", "[]", "7", "null", '"echo"', "{}", '{"payload": 1}', '{"event": ""}', '{"event": 1}', "\ufeff"]
        unanswered: list[Any] = [7, None, "", "x" * 65, ["a"], {"a": 1}]
        frames = [json.dumps({"event": "echo", "payload": 1, "callbackId": each}) for each in unanswered]
        await js.run("for (const text of texts) my.client.write(text)", texts=noise + frames)
        binary = '{"event": "echo", "payload": "bin", "callbackId": "b"}'
        await js.run("my.client.write(new TextEncoder().encode(text))", text=binary)
        await js.run('await my.client.ask("echo")')
        first, _ = await js.run("return my.client.texts")
        assert json.loads(first) == {"payload": "bin", "callbackId": "b"}

    @pytest.mark.parametrize("code", [4001, 4002])
    @pytest_twisted.ensureDeferred
    async def test_clientCloses(self, js: NodeJs, server: Server, code: int) -> None:
        """The codes with which it closes arrive, and are answered by the same."""
        await self.open(js, server)
        reason = "client closed"
        closed = await js.run("return my.client.close(code, reason)", code=code, reason=reason)
        assert closed == {"code": code, "reason": reason}
        await self.open(js, server)
        assert (await js.run('return my.client.ask("closed")'))["payload"] == [[code, reason]]

    @pytest.mark.parametrize("code", [4010, 4011, 4012])
    @pytest_twisted.ensureDeferred
    async def test_serverCloses(self, js: NodeJs, server: Server, code: int) -> None:
        """The codes after which it does not come back arrive as such."""
        await self.open(js, server)
        await js.run('my.client.emit("close", { code, reason: "out" })', code=code)
        assert await js.run("return my.client.closed") == {"code": code, "reason": "out"}

    @pytest_twisted.ensureDeferred
    async def test_stopped(self, js: NodeJs, server: Server) -> None:
        """A server that stops closes it with 1012."""
        await self.open(js, server)
        await server.process.stop()
        assert (await js.run("return my.client.closed"))["code"] == 1012

    @pytest.mark.parametrize("server", ["ping_interval = 1.0"], indirect=True)
    @pytest_twisted.ensureDeferred
    async def test_serverPings(self, js: NodeJs, server: Server) -> None:
        """It is alive to the server by its answers to pings alone."""
        await self.open(js, server)
        assert (await js.run('return my.client.ask("thirdPong")'))["payload"] == "alive"
