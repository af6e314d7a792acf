"""
L{Connector} against a real server, over everything that it may be connected by: TCP, TLS, and a Unix socket.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.ssl import Certificate, optionsForClientTLS

from tests.integration.process import PATIENCE, NodeProcess, freePort, startNode
from twisted_crossws import CallTimeout, Connector, HandshakeRefused, NotConnected, RemoteError

pytestmark = pytest.mark.integration
reactor: Any = _reactor

APPLICATION = '''
from twisted.internet.defer import Deferred, succeed

from twisted_crossws import Refuse, ReplyError


def makeService(node):
    async def authenticate(request):
        await succeed(None)
        if request.params.get("token") == "wrong":
            raise Refuse(401, "Who are you?")

    node.authenticate = authenticate
    together = []
    on = node.clients.on
    on("echo", lambda socket, payload: payload)
    on("never", lambda socket, payload: Deferred())
    on("push", lambda socket, payload: socket.send("pushed", payload))

    @on("whoami")
    def whoami(socket, payload):
        return [socket.request.path, socket.request.params, socket.request.headers["x-from"], socket.request.peer]

    @on("fail")
    def fail(socket, payload):
        raise ReplyError("tooLate", "The kitchen is closed.")

    @on("together")
    def gather(socket, payload):
        """Replies come when so many have called, the last one first."""
        reply = Deferred()
        together.append((reply, payload["number"]))
        if len(together) == payload["of"]:
            while together:
                waiting, number = together.pop()
                waiting.callback(number)
        return reply
'''

CONFIG = """
[[service]]
use = "call_app:makeService"
"""

VALUES = [None, True, 0, -1.5, 2**53, "", "ü€😀\u2028\u0000", [], {}, {"deep": [1, {"er": [None]}]}, "x" * 300_000]

LIFECYCLE = ("open", "close", "error", "reconnect", "pong", "pongTimeout")


class Life:
    """
    What happens to a client.

    @ivar log: lists of an event of the lifecycle and its arguments.
    """

    def __init__(self, client: Connector) -> None:
        self.log: list[list[Any]] = []
        self._waiting: list[tuple[str, Deferred[None]]] = []
        for event in LIFECYCLE:
            client.lifecycle.on(event, partial(self._happened, event))

    def next(self, event: str) -> Deferred[None]:
        """
        @return: fires when it happens for the next time.
        """
        waiting: Deferred[None] = Deferred()
        self._waiting.append((event, waiting))
        return waiting.addTimeout(PATIENCE, reactor)

    def _happened(self, event: str, *args: Any) -> None:
        self.log.append([event, *args])
        happened = [each for each in self._waiting if each[0] == event]
        for each in happened:
            self._waiting.remove(each)
            each[1].callback(None)


class Place:
    """
    Where the server listens, and how to get there. It can be started again at the same place.

    @ivar peer: how the server sees a client of this kind, at the beginning.
    """

    peer = "127.0.0.1:"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.node = NodeProcess()
        self._clients: list[Connector] = []

    async def start(self) -> None:
        config = self.folder / "crossws.toml"
        self.node = await startNode(config, *self.listening(), port=self.node.port or None)

    def client(self, path: str = "", **options: Any) -> Connector:
        """A client of this place, quick to come back."""
        options = {
            "pingInterval": 0,
            "fastReconnectInterval": 0.05,
            "reconnectMaxInterval": 0.1,
            "random": lambda: 0.0,
        } | options
        self._clients.append(self.connector(path, **options))
        return self._clients[-1]

    async def end(self) -> None:
        for client in self._clients:
            await client.close()
        await self.node.stop()

    def listening(self) -> list[str]:
        """What it listens on, beside a TCP port."""
        return []

    def connector(self, path: str, **options: Any) -> Connector:
        return Connector(self.node.url + path, **options)


class TlsPlace(Place):
    """A TLS port, with a certificate that it signed itself."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = freePort()
        writeCertificate(folder)

    def listening(self) -> list[str]:
        return ["--listen", f"ssl:{self.port}:privateKey=key.pem:certKey=cert.pem:interface=127.0.0.1"]

    def connector(self, path: str, **options: Any) -> Connector:
        trust = Certificate.loadPEM((self.folder / "cert.pem").read_bytes())
        endpoint = self.endpoint(optionsForClientTLS("localhost", trustRoot=trust))
        return Connector(f"wss://localhost:{self.port}/{path}", endpoint=endpoint, **options)

    def endpoint(self, options: Any) -> Any:
        return wrapClientTLS(options, HostnameEndpoint(reactor, "127.0.0.1", self.port))


class UnixPlace(Place):
    """A Unix socket."""

    peer = "unix"

    def listening(self) -> list[str]:
        return ["--listen", "unix:node.sock:mode=600"]

    def connector(self, path: str, **options: Any) -> Connector:
        endpoint = UNIXClientEndpoint(reactor, str(self.folder / "node.sock"))
        return Connector(f"ws://localhost/{path}", endpoint=endpoint, **options)


def writeCertificate(folder: Path) -> None:
    """C{cert.pem}, self-signed for localhost, and its C{key.pem}."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


def connected(client: Connector) -> Deferred[None]:
    """C{connect()}, which waits for ever by itself."""
    return client.connect().addTimeout(PATIENCE, reactor)


@pytest_twisted.async_yield_fixture
async def place(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """A server, where the class of the test wants it."""
    (tmp_path / "call_app.py").write_text(APPLICATION)
    (tmp_path / "crossws.toml").write_text(CONFIG)
    place: Place = request.cls.Place(tmp_path)
    await place.start()
    yield place
    await place.end()


class Promises:
    """What a client can rely on, whatever is between it and its server."""

    @pytest_twisted.ensureDeferred
    async def test_request(self, place: Place) -> None:
        """The server sees path, parameters and headers as they were given."""
        client = place.client("some/path?a=1", params={"name": "S & ä+", "tag": ["a", 2]}, headers={"X-From": "here"})
        await connected(client)
        path, params, header, peer = await client.call("whoami")
        assert (path, params, header) == ("some/path", {"a": "1", "name": "S & ä+", "tag": ["a", "2"]}, "here")
        assert peer.startswith(place.peer)

    @pytest_twisted.ensureDeferred
    async def test_calls(self, place: Place) -> None:
        """Every kind of value goes there and back."""
        client = place.client()
        await connected(client)
        for value in VALUES:
            assert await client.call("echo", value) == value

    @pytest_twisted.ensureDeferred
    async def test_manyCalls(self, place: Place) -> None:
        """A thousand calls at once: each gets its own reply, in whatever order the replies come."""
        one, two = place.client(), place.client()
        await gatherResults([connected(one), connected(two)])
        calls = [
            (one, two)[number % 2].call("together", {"number": number, "of": 1000}, timeout=PATIENCE)
            for number in range(1000)
        ]
        assert await gatherResults(calls) == list(range(1000))

    @pytest_twisted.ensureDeferred
    async def test_failingCalls(self, place: Place) -> None:
        """A call ends with the error that the listener gave as its reply, or when its time is up."""
        client = place.client()
        await connected(client)
        with pytest.raises(RemoteError) as caught:
            await client.call("fail")
        assert (caught.value.code, caught.value.message) == ("tooLate", "The kitchen is closed.")
        with pytest.raises(CallTimeout):
            await client.call("never", timeout=0.05)

    @pytest_twisted.ensureDeferred
    async def test_events(self, place: Place) -> None:
        """Events arrive one by one, in the order in which they were sent."""
        heard: list[Any] = []
        client = place.client()
        client.on("pushed", heard.append)
        await connected(client)
        for number in range(500):
            client.emit("push", number)
        await client.call("echo")
        assert heard == list(range(500))

    @pytest_twisted.ensureDeferred
    async def test_heartbeat(self, place: Place) -> None:
        """The heartbeat tells the latency."""
        client = place.client(pingInterval=0.02, pongTimeout=PATIENCE)
        life = Life(client)
        assert client.latency is None
        await connected(client)
        await life.next("pong")
        await life.next("pong")
        assert client.latency is not None and 0 < client.latency < PATIENCE
        assert life.log[-1] == ["pong", client.latency]

    @pytest_twisted.ensureDeferred
    async def test_hangingServer(self, place: Place) -> None:
        """A server that hangs is noticed, and found again when it goes on."""
        client = place.client(pingInterval=0.02, pongTimeout=0.3)
        life = Life(client)
        await connected(client)
        await life.next("pong")
        lost = life.next("reconnect")
        place.node.sendSignal(signal.SIGSTOP)
        await lost
        client.pingInterval = 0
        opened = life.next("open")
        place.node.sendSignal(signal.SIGCONT)
        await opened
        assert [entry for entry in life.log if entry[0] != "pong"][:4] == [
            ["open"],
            ["pongTimeout"],
            ["close", 4002, "No heartbeat answer came in time."],
            ["reconnect", 1, 0.05],
        ]
        assert await client.call("echo", "again") == "again"

    @pytest_twisted.ensureDeferred
    async def test_killedServer(self, place: Place) -> None:
        """
        When the server is killed, calls that wait end, and others are refused at once; the client tries until there is
        a server again, and goes on with the same listeners.
        """
        client = place.client()
        life, heard = Life(client), list[Any]()
        client.on("pushed", heard.append)
        await connected(client)
        calls = [client.call("never", timeout=PATIENCE) for _ in range(3)]
        failed = life.next("error")
        await place.node.kill()
        for call in calls:
            with pytest.raises(NotConnected):
                await call
        await failed
        assert [entry[0] for entry in life.log[:4]] == ["open", "close", "reconnect", "error"]
        assert life.log[1][1] == 1006
        assert (client.isConnected, client.isReconnecting) == (False, True)
        with pytest.raises(NotConnected):
            client.emit("push", 1)
        with pytest.raises(NotConnected):
            await client.call("echo", 1)
        await place.start()
        await connected(client)
        assert await client.call("echo", "again") == "again"
        client.emit("push", 2)
        await client.call("echo")
        assert heard == [2]

    @pytest_twisted.ensureDeferred
    async def test_stoppedServer(self, place: Place) -> None:
        """A server that stops says so with 1012, and the client comes back to its successor."""
        client = place.client()
        life = Life(client)
        await connected(client)
        lost = life.next("reconnect")
        await place.node.stop()
        await lost
        assert life.log[1][:2] == ["close", 1012] and life.log[1][2].startswith("retry-after=")
        assert life.log[2] == ["reconnect", 1, 0.1], "its reconnectMaxInterval; it was told to wait longer"
        await place.start()
        await connected(client)
        assert await client.call("echo", "again") == "again"

    @pytest_twisted.ensureDeferred
    async def test_refused(self, place: Place) -> None:
        """Whom the authenticator refuses learns the status at once, though the client goes on trying."""
        client = place.client(params={"token": "wrong"})
        life = Life(client)
        again = life.next("reconnect")
        with pytest.raises(HandshakeRefused, match="401 Who are you") as caught:
            await connected(client)
        assert caught.value.status == 401
        await again
        await life.next("reconnect")
        assert [entry[0] for entry in life.log] == ["error", "reconnect"] * 2
        assert all(entry[1].check(HandshakeRefused) for entry in life.log if entry[0] == "error")
        assert not client.isConnected


class TestTcp(Promises):
    """Over TCP."""

    Place = Place


class TestUnix(Promises):
    """Over a Unix socket."""

    Place = UnixPlace


class TestTls(Promises):
    """Over TLS."""

    Place = TlsPlace

    async def fault(self, client: Connector) -> Exception:
        """What keeps it from connecting."""
        life = Life(client)
        failed = life.next("reconnect")
        connecting = client.connect()
        await failed
        closed = client.close()
        with pytest.raises(NotConnected):
            await connecting
        await closed
        (error, failure), _ = life.log
        assert error == "error"
        fault: Exception = failure.value
        return fault

    @pytest_twisted.ensureDeferred
    async def test_untrusted(self, place: TlsPlace) -> None:
        """By its URL alone a client trusts what the platform trusts, which is no certificate that signs itself."""
        fault = await self.fault(Connector(f"wss://localhost:{place.port}/"))
        assert isinstance(fault, SSL.Error) and "certificate verify failed" in str(fault)

    @pytest_twisted.ensureDeferred
    async def test_wrongName(self, place: TlsPlace) -> None:
        """A trusted certificate of another name does not do."""
        trust = Certificate.loadPEM((place.folder / "cert.pem").read_bytes())
        endpoint = place.endpoint(optionsForClientTLS("elsewhere.example", trustRoot=trust))
        fault = await self.fault(Connector("wss://elsewhere.example/", endpoint=endpoint))
        assert isinstance(fault, VerificationError) and "elsewhere.example" in str(fault)
