"""
Listening for a node, and what is said where that cannot be done.
"""

from __future__ import annotations

import errno
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.internet.tcp import Port, Server
from twisted.internet.testing import MemoryReactor, RaisingMemoryReactor

from twisted_crossws import Config, Node, WebSocketConfig
from twisted_crossws.services import ports
from twisted_crossws.services.ports import ListenError, PortService, WhenOpen, withBacklog
from twisted_crossws.testing import MemoryCluster
from twisted_crossws.ws.direct import DirectServer

PLACE = "crossws.toml: [websocket] listen"


@pytest.fixture
def node(clock: Clock) -> Node:
    return Node("serverA", clock=clock)


def test_listening(node: Node) -> None:
    """A port that is listened on is told to C{listening}, and none of it to C{serverError}."""
    told: list[Any] = []
    node.lifecycle.on("listening", told.append)
    node.lifecycle.on("serverError", told.append)
    reactor = MemoryReactor()
    PortService(node, "tcp:9000", PLACE, reactor).privilegedStartService()
    assert [port.getHost().port for port in told] == [9000]
    assert [(server[0], server[2]) for server in reactor.tcpServers] == [(9000, 4096)]


def test_cannotListen(node: Node) -> None:
    """One that is taken is told to C{serverError}, and raised: one sentence with its place and its name."""
    told: list[Any] = []
    node.lifecycle.on("serverError", told.append)
    taken = CannotListenError(None, 9000, OSError(errno.EADDRINUSE, "Address already in use"))
    service = PortService(node, "tcp:9000", PLACE, RaisingMemoryReactor(taken))
    with pytest.raises(ListenError) as raised:
        service.privilegedStartService()
    assert str(raised.value) == f"{PLACE}: 'tcp:9000' cannot be listened on: Address already in use."
    assert [failure.value for failure in told] == [raised.value]


def test_notAnEndpoint(node: Node) -> None:
    """A description that is no endpoint is a mistake of whoever wrote it."""
    with pytest.raises(ValueError):
        PortService(node, "nonsense", PLACE, MemoryReactor())


def test_otherFault(node: Node) -> None:
    """What is no fault of the port is passed on as it is."""
    told: list[Any] = []
    node.lifecycle.on("serverError", told.append)
    service = PortService(node, "tcp:9000", PLACE, RaisingMemoryReactor(ZeroDivisionError()))  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        service.privilegedStartService()
    assert [failure.type for failure in told] == [ZeroDivisionError]


class LateEndpoint:
    """
    An endpoint that takes its time, as some of plugins do.

    @ivar listening: what C{listen} has returned.
    """

    def __init__(self) -> None:
        self.listening: Deferred[Any] = Deferred()

    def listen(self, factory: object) -> Deferred[Any]:
        return self.listening


class TestLate:
    @pytest.fixture
    def endpoint(self, monkeypatch: pytest.MonkeyPatch) -> LateEndpoint:
        late = LateEndpoint()
        monkeypatch.setattr(ports, "serverFromString", lambda reactor, description: late)
        return late

    @pytest.fixture
    def told(self, node: Node) -> list[Any]:
        events: list[Any] = []
        node.lifecycle.on("listening", events.append)
        node.lifecycle.on("serverError", lambda failure: events.append(failure.value))
        return events

    @pytest.fixture
    def service(self, node: Node, endpoint: LateEndpoint) -> PortService:
        service = PortService(node, "onion:80", PLACE, MemoryReactor())
        service.startService()
        return service

    def test_listening(self, endpoint: LateEndpoint, service: PortService, told: list[Any]) -> None:
        """C{listening} is told when the port is there, and stopping closes it."""
        assert told == []
        port: Any = MemoryReactor().listenTCP(9000, service.factory)
        port.stopListening = lambda: told.append("closed")
        endpoint.listening.callback(port)
        assert told == [port]
        assert service.stopService().called
        assert told == [port, "closed"]

    def test_cannotListen(
        self, endpoint: LateEndpoint, service: PortService, told: list[Any], logged: list[Any]
    ) -> None:
        """What goes wrong is told to C{serverError}, and logged, as nobody waits for it any more."""
        endpoint.listening.errback(CannotListenError(None, 80, OSError(errno.EACCES, "Permission denied")))
        (fault,) = told
        assert str(fault) == f"{PLACE}: 'onion:80' cannot be listened on: Permission denied."
        assert logged.pop().value is fault
        assert service.stopService().called

    def test_stoppedBefore(self, endpoint: LateEndpoint, service: PortService, told: list[Any]) -> None:
        """A service that is stopped before then gives it up, and that is no fault."""
        stopped = service.stopService()
        assert stopped.called and told == []
        assert endpoint.listening.called


class TestWhenOpen:
    """A port that others can serve meanwhile."""

    def test_listens(self) -> None:
        """It is listened on when the node lets clients in, and not before."""
        cluster, endpoint = MemoryCluster(), LateEndpoint()
        node = cluster.start("serverA")
        asked: list[Any] = []
        endpoint.listen = lambda factory: asked.append(factory) or endpoint.listening  # type: ignore[method-assign]
        service = PortService(node, "tcp:9000", PLACE, MemoryReactor(), WhenOpen(node, endpoint))
        service.startService()
        cluster.advance(0.4)
        assert asked == []
        cluster.advance(0.2)
        assert asked == [service.factory]
        assert service.stopService().called

    def test_stoppedBefore(self) -> None:
        """If the node stops before that, it is not listened on, and that is no fault of the port."""
        cluster, endpoint = MemoryCluster(), LateEndpoint()
        node = cluster.start("serverA")
        told: list[Any] = []
        node.lifecycle.on("serverError", told.append)
        PortService(node, "tcp:9000", PLACE, MemoryReactor(), WhenOpen(node, endpoint)).setServiceParent(node.ports)
        assert node.ports.services[0].running
        node.stopService()
        cluster.advance(2.0)
        assert not endpoint.listening.called and told == []


def test_neverStarted(node: Node) -> None:
    """A port that was never listened on can be stopped, as when another one could not be listened on."""
    service = PortService(node, "tcp:9000", PLACE, MemoryReactor())
    assert service.stopService().called


def test_withTheNode(node: Node, clock: Clock) -> None:
    """A child of C{ports} listens when the node runs, and no longer when it stops."""
    reactor = MemoryReactor()
    closed: list[int] = []
    PortService(node, "tcp:9000", PLACE, reactor).setServiceParent(node.ports)
    node.lifecycle.on("listening", lambda port: setattr(port, "stopListening", lambda: closed.append(9000)))
    assert not reactor.tcpServers
    node.privilegedStartService()
    node.startService()
    assert len(reactor.tcpServers) == 1
    assert node.stopService().called
    assert closed == [9000]
    assert clock.getDelayedCalls() == []


def test_twice(node: Node) -> None:
    """Stopped again while it is being closed, it is closed once, in its own time; started again, it listens again."""
    reactor = MemoryReactor()
    closing: list[Deferred[None]] = []
    service = PortService(node, "tcp:9000", PLACE, reactor)

    def close() -> Deferred[None]:
        closing.append(Deferred())
        return closing[-1]

    node.lifecycle.on("listening", lambda port: setattr(port, "stopListening", close))
    service.startService()
    stopped: list[str] = []
    for which in ("first", "second"):
        service.stopService().addCallback(lambda _, which=which: stopped.append(which))
    assert len(closing) == 1 and stopped == ["second"]
    closing[0].callback(None)
    assert stopped == ["second", "first"]
    service.startService()
    assert len(reactor.tcpServers) == 2


@pytest.mark.parametrize(
    ("description", "becomes"),
    [
        ("tcp:9000", "tcp:9000:backlog=4096"),
        ("unix:/run/crossws.sock:mode=660", "unix:/run/crossws.sock:mode=660:backlog=4096"),
        ("tcp:9000:backlog=5", "tcp:9000:backlog=5"),
        ("systemd:domain=INET:index=0", "systemd:domain=INET:index=0"),
    ],
)
def test_backlog(description: str, becomes: str) -> None:
    """An endpoint gets a long backlog, if it has none of its own and its kind knows of one."""
    assert withBacklog(description) == becomes


@pytest.mark.parametrize("isFast", [True, False])
def test_directWrites(clock: Clock, isFast: bool) -> None:
    """A TCP port of a node makes connections that write directly, unless the fast paths are off."""
    node = Node("serverA", clock=clock, config=Config(websocket=WebSocketConfig(fast_path=isFast)))
    port = Port(0, node.webSocketFactory())

    class Reactor(MemoryReactor):
        def listenTCP(self, *args: Any, **kwargs: Any) -> Port:
            return port

    port.getHost = lambda: IPv4Address("TCP", "127.0.0.1", 9000)  # type: ignore[method-assign]
    PortService(node, "tcp:9000", PLACE, Reactor()).privilegedStartService()
    made: Any = port.transport
    assert (made.func is DirectServer) if isFast else (made is Server)
