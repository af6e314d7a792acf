"""The client as a whole: what it asks for, how it connects and closes, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import Any

import pytest
import txaio
from service_identity import VerificationError
from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from tests.clientfakes import FakeEndpoint, Rig, faultOf, isWaiting, resultOf
from twisted_crossws.client import Connector
from twisted_crossws.errors import HandshakeRefused, NotConnected

reactor: Any = _reactor


class TestRequest:
    def test_pathParamsAndVersion(self) -> None:
        """Path and query of the URL, then the parameters, then the wish for version 2 are what is asked for."""
        rig = Rig("ws://server.example:9000/some/chat?a=1", params={"id": 16, "tag": ["x", None, "y z"], "none": None})
        rig.client.connect()
        server = rig.endpoint.reach()
        assert server.requestLine == "GET /some/chat?a=1&id=16&tag=x&tag=y+z&crossws=2 HTTP/1.1"
        assert server.headers["host"] == "server.example:9000"
        assert server.headers["sec-websocket-version"] == "13"

    def test_versionWithoutParams(self) -> None:
        """Version 2 is asked for always."""
        rig = Rig("ws://server.example")
        rig.client.connect()
        assert rig.endpoint.reach().requestLine == "GET /?crossws=2 HTTP/1.1"

    def test_headers(self) -> None:
        """Headers of the application go with the handshake, and its User-Agent takes the place of ours."""
        rig = Rig(headers={"Authorization": "Bearer x", "user-agent": "mine"})
        rig.client.connect()
        server = rig.endpoint.reach()
        assert server.headers["authorization"] == "Bearer x"
        assert server.headers["user-agent"] == "mine"

    def test_userAgent(self) -> None:
        """Without one from the application the User-Agent names this package."""
        rig = Rig()
        rig.client.connect()
        assert rig.endpoint.reach().headers["user-agent"].startswith("twisted_crossws/")

    def test_ipv6(self) -> None:
        """An IPv6 address has its brackets in the header Host."""
        rig = Rig("ws://[::1]:9000/")
        rig.client.connect()
        assert rig.endpoint.reach().headers["host"] == "[::1]:9000"

    @pytest.mark.parametrize("url", ["http://server.example", "server.example:9000", "", "ws://"])
    def test_badUrl(self, url: str) -> None:
        """A URL that is not of a WebSocket is refused with a sentence."""
        with pytest.raises(ValueError, match=r"^The URL .*\.$"):
            Connector(url, clock=Clock(), endpoint=FakeEndpoint(Clock()))

    def test_badHeader(self) -> None:
        """A header that would smuggle in another line is refused, and its value is not repeated."""
        with pytest.raises(ValueError, match="'X-A'") as caught:
            Rig(headers={"X-A": "secret\r\nX-B: c"})
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        "option",
        [
            "pingInterval",
            "pongTimeout",
            "fastReconnectThreshold",
            "fastReconnectInterval",
            "reconnectMaxInterval",
            "callTimeout",
            "repeatLimit",
            "pendingAfter",
        ],
    )
    def test_negativeOption(self, option: str) -> None:
        """A negative number is refused, and the message names the option."""
        with pytest.raises(ValueError, match=f"^{option} must be 0 or more"):
            Rig(**{option: -1})

    def test_noDelay(self) -> None:
        """Small frames do not wait for each other (TCP_NODELAY)."""
        assert Rig().connected().transport.noDelay is True

    def test_fakeEndpoint(self) -> None:
        """The endpoint of these tests is one."""
        assert verifyObject(IStreamClientEndpoint, FakeEndpoint(Clock()))


class TestEndpoint:
    def test_hostAndPort(self) -> None:
        """Without an endpoint the client connects to the host and port of the URL, for 10 seconds at most."""
        reactor = MemoryReactorClock()
        Connector("ws://127.0.0.1:9000/", clock=reactor).connect().addErrback(lambda _: None)
        host, port, _, timeout, _ = reactor.tcpClients[0]
        assert (host, port, timeout) == ("127.0.0.1", 9000, 10.0)

    def test_tls(self) -> None:
        """wss: speaks TLS: what goes out first is no HTTP."""
        reactor = MemoryReactorClock()
        Connector("wss://127.0.0.1/", clock=reactor).connect().addErrback(lambda _: None)
        host, port, factory, _, _ = reactor.tcpClients[0]
        assert (host, port) == ("127.0.0.1", 443)
        assert "TLS" in type(factory.buildProtocol(None)._wrappedProtocol).__name__

    @pytest.mark.parametrize("url", ["ws://server.example", "wss://server.example"])
    def test_foreignClock(self, url: str) -> None:
        """A clock that cannot connect is for the timers alone: the client is made, and nothing is dialled yet."""
        assert not Connector(url, clock=Clock()).isConnected

    def test_globalReactor(self) -> None:
        """Without a clock the timers run on the global reactor, and they are gone when the client is."""
        endpoint = FakeEndpoint(Clock())
        client = Connector("ws://server.example", endpoint=endpoint)
        before = reactor.getDelayedCalls()
        client.connect()
        server = endpoint.reach()
        server.accept()
        (timer,) = set(reactor.getDelayedCalls()) - set(before)
        assert 9 < timer.getTime() - reactor.seconds() <= 10
        closed = client.close()
        server.sendClose(4001)
        server.hangUp()
        assert resultOf(closed) is None
        assert not set(reactor.getDelayedCalls()) - set(before)

    def test_reentrantEndpoint(self) -> None:
        """An endpoint that gives up the client while it is asked to connect gets its way."""
        rig = Rig()
        dial = rig.endpoint.connect
        closed = []

        def connect(factory: Any) -> Any:
            closed.append(rig.client.close())
            return dial(factory)

        rig.endpoint.connect = connect  # type: ignore[method-assign]
        connected = rig.client.connect()
        assert isinstance(faultOf(connected), NotConnected)
        assert not rig.client.isConnected and not rig.client.isReconnecting
        rig.clock.advance(3)
        assert rig.endpoint.cancelled == 1 and resultOf(closed[0]) is None
        assert not rig.clock.getDelayedCalls()

    def test_importIsQuiet(self) -> None:
        """Importing the client does not install a reactor; making one without a clock does."""
        program = (
            "import sys, twisted_crossws.client as c; print('twisted.internet.reactor' in sys.modules);"
            "c.Connector('ws://localhost'); print('twisted.internet.reactor' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["False", "True"]


class TestConnect:
    def test_fires(self) -> None:
        """connect() fires with None when the handshake is done, and not before."""
        rig = Rig()
        connected = rig.client.connect()
        server = rig.endpoint.reach()
        assert isWaiting(connected) and not rig.client.isConnected
        server.accept()
        assert resultOf(connected) is None
        assert rig.client.isConnected and not rig.client.isReconnecting
        assert rig.events == [("open",)]

    def test_nothingByItself(self) -> None:
        """A client that was not told to connect does not."""
        rig = Rig()
        rig.clock.advance(100)
        assert rig.endpoint.attempts == 0
        assert not rig.client.isConnected and not rig.client.isReconnecting

    def test_already(self) -> None:
        """connect() while connected fires at once, and dials nothing."""
        rig = Rig()
        rig.connected()
        assert resultOf(rig.client.connect()) is None
        assert rig.endpoint.attempts == 1

    def test_underWay(self) -> None:
        """connect() while an attempt is under way, or waited for, joins it."""
        rig = Rig()
        waiting = [rig.client.connect(), rig.client.connect()]
        assert rig.endpoint.attempts == 1
        rig.endpoint.fail()
        waiting.append(rig.client.connect())
        assert rig.endpoint.attempts == 1
        rig.clock.advance(3)
        rig.accept()
        assert [resultOf(each) for each in waiting] == [None] * 3

    def test_manyTries(self) -> None:
        """connect() fires when the connection is open, however many tries that takes."""
        rig = Rig()
        connected = rig.client.connect()
        for _ in range(3):
            rig.endpoint.fail()
            assert isWaiting(connected) and rig.client.isReconnecting
            rig.clock.advance(3)
        rig.accept()
        assert resultOf(connected) is None
        assert [str(entry[0]) for entry in rig.events] == ["error", "reconnect"] * 3 + ["open"]
        assert isinstance(rig.events[0][1], ConnectionRefusedError)

    def test_cancelled(self) -> None:
        """Cancelling what connect() gave ends the waiting, not the connecting."""
        rig = Rig()
        connected = rig.client.connect()
        connected.cancel()
        assert isinstance(faultOf(connected), CancelledError)
        rig.accept()
        assert rig.client.isConnected

    def test_refused(self) -> None:
        """A 4xx answer fails connect() with its status, and the client goes on trying by the schedule."""
        rig = Rig()
        connected = rig.client.connect()
        server = rig.endpoint.reach()
        server.refuse(401, "Unauthorized")
        fault = faultOf(connected)
        assert isinstance(fault, HandshakeRefused) and fault.status == 401
        assert "Unauthorized" in str(fault)
        assert rig.events == [("error", fault), ("reconnect", 1, 3.0)]
        assert rig.client.isReconnecting
        rig.clock.advance(3)
        rig.accept()
        assert rig.client.isConnected

    def test_unavailable(self) -> None:
        """A 5xx answer is an error like any other: connect() waits on."""
        rig = Rig()
        connected = rig.client.connect()
        rig.endpoint.reach().refuse(503, "Service Unavailable")
        assert isWaiting(connected)
        ((_, fault),) = rig.told("error")
        assert isinstance(fault, HandshakeRefused) and fault.status == 503
        rig.clock.advance(3)
        rig.accept()
        assert resultOf(connected) is None

    @pytest.mark.parametrize(
        "answer",
        [b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\n\r\n", b"SSH-2.0-OpenSSH_9.0\r\n\r\n", b"HTTP/1.1 9 x\r\n\r\n"],
    )
    def test_noHandshake(self, answer: bytes) -> None:
        """A server that does not speak WebSocket is an error, cut, and tried again."""
        rig = Rig()
        rig.client.connect()
        server = rig.endpoint.reach()
        server.answer(answer)
        ((_, fault),) = rig.told("error")
        assert type(fault) is NotConnected and str(fault).endswith(".")
        assert server.transport.isCut
        rig.turn()
        rig.clock.advance(3)
        assert rig.endpoint.attempts == 2

    def test_handshakeTimeout(self) -> None:
        """A server that does not answer the handshake within 10 seconds is cut, and tried again."""
        rig = Rig()
        rig.client.connect()
        server = rig.endpoint.reach()
        rig.clock.advance(9.9)
        assert not server.transport.isCut
        rig.clock.advance(0.2)
        assert server.transport.isCut
        ((_, fault),) = rig.told("error")
        assert "10 seconds" in str(fault)
        rig.clock.advance(3)
        assert rig.endpoint.attempts == 2

    def test_lostInHandshake(self) -> None:
        """A connection that is lost during the handshake has never been open: an error, and no close."""
        rig = Rig()
        rig.client.connect()
        rig.endpoint.reach().crash()
        ((_, fault),) = rig.told("error")
        assert isinstance(fault, NotConnected)
        assert not rig.told("close")

    def test_badCertificate(self) -> None:
        """What TLS has found wrong with the server is told as it is, once."""
        rig = Rig()
        rig.client.connect()
        fault = VerificationError(errors=[])
        rig.endpoint.reach().transport.lose(fault)
        assert rig.events == [("error", fault), ("reconnect", 1, 3.0)]
        rig.clock.advance(3)
        assert rig.endpoint.attempts == 2

    def test_dataBehindTheHandshake(self) -> None:
        """Frames in the same segment as the handshake's answer are delivered, after open."""
        rig = Rig()
        said: list[Any] = []
        rig.client.on("said", lambda payload: said.append((rig.client.isConnected, payload)))
        rig.client.connect()
        server = rig.endpoint.reach()
        server.answer(server.handshake() + b'\x81\x1e{"event":"said","payload":"a"}')
        assert said == [(True, "a")]

    def test_openBeforeConnectFires(self) -> None:
        """Listeners of open can send before whoever waits for connect()."""
        rig = Rig()
        rig.client.lifecycle.on("open", lambda: rig.client.emit("first"))
        rig.client.connect().addCallback(lambda _: rig.client.emit("second"))
        assert [event["event"] for event in rig.accept().events()] == ["first", "second"]

    def test_closedInOpen(self) -> None:
        """A listener of open that closes is obeyed: connect() fails."""
        rig = Rig()
        rig.client.lifecycle.on("open", lambda: rig.client.close())
        connected = rig.client.connect()
        rig.accept()
        assert isinstance(faultOf(connected), NotConnected)
        assert not rig.client.isConnected

    def test_reconnectInOpen(self) -> None:
        """A listener of open that connects again is obeyed: connect() waits for that connection."""
        rig = Rig()
        rig.client.lifecycle.once("open", lambda: rig.client.reconnect())
        connected = rig.client.connect()
        rig.accept()
        assert isWaiting(connected)
        rig.accept()
        assert resultOf(connected) is None


class TestClose:
    def test_handshake(self) -> None:
        """close() says 4001, and fires when the server has answered and hung up; no timer is left."""
        rig = Rig()
        server = rig.connected()
        closed = rig.client.close()
        assert server.closeCodes() == [4001]
        assert not rig.client.isConnected
        server.sendClose(4001)
        assert isWaiting(closed)
        server.hangUp()
        assert resultOf(closed) is None
        assert rig.events == [("open",), ("close", 4001, "The client closed the connection.")]
        assert not rig.clock.getDelayedCalls()
        rig.clock.advance(1000)
        assert rig.endpoint.attempts == 1

    def test_reset(self) -> None:
        """A server that resets the connection instead of hanging up, as Autobahn's does, is no error."""
        rig = Rig()
        server = rig.connected()
        closed = rig.client.close()
        server.crash()
        assert resultOf(closed) is None
        assert rig.told("close", "error") == [("close", 4001, "The client closed the connection.")]

    def test_silentServer(self) -> None:
        """A server that does not answer the goodbye within 3 seconds is cut."""
        rig = Rig()
        server = rig.connected()
        closed = rig.client.close()
        rig.clock.advance(2.9)
        assert isWaiting(closed) and not server.transport.isCut
        rig.clock.advance(0.2)
        rig.turn()
        assert server.transport.isCut
        assert resultOf(closed) is None and not rig.clock.getDelayedCalls()

    def test_notConnected(self) -> None:
        """close() without a connection fires at once."""
        assert resultOf(Rig().client.close()) is None

    def test_whileWaiting(self) -> None:
        """close() ends the wait for the next attempt, and connect() fails."""
        rig = Rig()
        connected = rig.client.connect()
        rig.endpoint.fail()
        assert resultOf(rig.client.close()) is None
        assert isinstance(faultOf(connected), NotConnected)
        assert not rig.client.isReconnecting
        assert not rig.clock.getDelayedCalls()

    def test_whileDialling(self) -> None:
        """close() gives up an attempt that has not reached the server."""
        rig = Rig()
        connected = rig.client.connect()
        assert resultOf(rig.client.close()) is None
        assert rig.endpoint.cancelled == 1
        assert isinstance(faultOf(connected), NotConnected)
        assert not rig.events and not rig.clock.getDelayedCalls()

    def test_dialledTooLate(self) -> None:
        """An endpoint that reaches the server although the attempt was given up gets no protocol."""
        rig = Rig()
        rig.client.connect().addErrback(lambda _: None)
        rig.client.close()
        assert rig.endpoint.lateFactory().buildProtocol(None) is None

    def test_duringHandshake(self) -> None:
        """close() during the handshake cuts the transport."""
        rig = Rig()
        connected = rig.client.connect()
        server = rig.endpoint.reach()
        closed = rig.client.close()
        assert server.transport.isCut and isWaiting(closed)
        rig.turn()
        assert resultOf(closed) is None
        assert isinstance(faultOf(connected), NotConnected)
        assert not rig.events and not rig.clock.getDelayedCalls()

    def test_nothingIsHeard(self) -> None:
        """After close() no event is delivered any more, as in browsers."""
        rig = Rig()
        heard: list[Any] = []
        rig.client.on("said", heard.append)
        server = rig.connected()
        rig.client.close()
        server.emit("said", 1)
        assert heard == []

    def test_twice(self) -> None:
        """A second close() waits for the same end, and says nothing again."""
        rig = Rig()
        server = rig.connected()
        closed = [rig.client.close(), rig.client.close()]
        assert server.closeCodes() == [4001]
        server.hangUp()
        assert [resultOf(each) for each in closed] == [None, None]
        assert len(rig.told("close")) == 1

    def test_waitsForAll(self) -> None:
        """close() fires when nothing is left of earlier connections either."""
        rig = Rig()
        first = rig.connected()
        rig.client.reconnect()
        second = rig.accept()
        closed = rig.client.close()
        second.hangUp()
        assert isWaiting(closed)
        first.hangUp()
        assert resultOf(closed) is None and not rig.clock.getDelayedCalls()

    def test_connectAgain(self) -> None:
        """connect() works after close(), even before the old connection is gone; neither disturbs the other."""
        rig = Rig()
        first = rig.connected()
        closed = rig.client.close()
        connected = rig.client.connect()
        rig.accept()
        assert resultOf(connected) is None and isWaiting(closed)
        first.hangUp()
        assert resultOf(closed) is None and rig.client.isConnected

    def test_reconnectOnIsNotAsked(self) -> None:
        """close() is final, whatever reconnectOn would say."""
        rig = Rig(reconnectOn=lambda code, reason: True)
        rig.connected()
        rig.client.close()
        assert not rig.told("reconnect") and not rig.client.isReconnecting


class TestSurroundings:
    def test_autobahnHasNoTimers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Autobahn's own timers are off, through a whole life: all timers are on the client's clock."""
        autobahns = Clock()
        monkeypatch.setattr(txaio.config, "loop", autobahns)
        rig = Rig()
        rig.connected().sendClose(1001)
        rig.clock.advance(3)
        server = rig.accept()
        rig.client.close()
        server.sendClose(4001)
        assert not autobahns.getDelayedCalls()

    def test_noSecretsInTheLog(self, logged: list[Failure], request: pytest.FixtureRequest) -> None:
        """Nothing that is logged, at any level, holds a part of the query or a payload."""
        events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(events.append)
        request.addfinalizer(lambda: globalLogPublisher.removeObserver(events.append))
        request.addfinalizer(partial(txaio.set_global_log_level, txaio.get_global_log_level()))
        txaio.set_global_log_level("trace")
        rig = Rig("ws://server.example/chat?token=hush1", params={"key": "hush2"})
        rig.client.on("said", lambda payload: 1 // 0)
        server = rig.connected()
        rig.client.emit("say", "hush3")
        server.emit("said", "hush4")
        server.sendText(b"hush5")
        server.sendClose(1001, "hush6")
        rig.clock.advance(3)
        rig.endpoint.reach().refuse(401, "No")
        assert [failure.type for failure in logged] == [ZeroDivisionError]
        logged.clear()
        assert events and not [event for event in events if "hush" in repr(event)]

    def test_repr(self) -> None:
        """How a client shows itself names the server, without the query, and says whether it is connected."""
        rig = Rig("ws://server.example/chat?token=hush")
        assert repr(rig.client) == "<Connector to ws://server.example:80/chat, not connected>"
        rig.connected()
        assert repr(rig.client) == "<Connector to ws://server.example:80/chat, connected>"
