"""
Names of events that there are not, or that are the protocol's own, are refused where they are listened to.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

import twisted_crossws
from twisted_crossws import Connector, Node
from twisted_crossws.state.lifecycle import CLIENT_EVENTS, NODE_EVENTS
from twisted_crossws.state.listeners import isReserved

RESERVED = ["_hello_", "_Cs_Cb_", "_fetch_", "__"]


@pytest.fixture
def node(clock: Clock) -> Node:
    return Node(clock=clock)


@pytest.fixture
def client(clock: Clock) -> Connector:
    return Connector("ws://server.example/", clock=clock)


def anything(*args: object) -> None: ...


class TestLifecycle:
    @pytest.mark.parametrize("method", ["on", "once", "off"])
    @pytest.mark.parametrize(
        ("name", "meant"), [("cloze", "close"), ("server_up", "serverUp"), ("conection", "connection")]
    )
    def test_misspelled(self, node: Node, method: str, name: str, meant: str) -> None:
        """A name that is none is said, with the nearest that is one."""
        with pytest.raises(ValueError) as raised:
            getattr(node.lifecycle, method)(name, anything)
        assert str(raised.value) == f'There is no event "{name}" here; did you mean "{meant}"?'

    def test_decorator(self, node: Node) -> None:
        """A decorator says so before it decorates."""
        with pytest.raises(ValueError, match="did you mean"):
            node.lifecycle.on("cloze")

    def test_client(self, client: Connector) -> None:
        """So it is with a client; where no name is near, all are said."""
        with pytest.raises(ValueError, match='did you mean "close"'):
            client.lifecycle.on("cloze", anything)
        with pytest.raises(ValueError, match='there are: "open", "close"'):
            client.lifecycle.on("serverUp", anything)

    @pytest.mark.parametrize("event", NODE_EVENTS)
    def test_known(self, node: Node, event: str) -> None:
        """Every event that there is can be listened to."""
        node.lifecycle.on(event, anything)
        node.lifecycle.off(event, anything)

    @pytest.mark.parametrize("event", CLIENT_EVENTS)
    def test_knownToClients(self, client: Connector, event: str) -> None:
        """So it is with those of a client."""
        client.lifecycle.once(event, anything)


def fired(*, byClients: bool) -> Iterator[tuple[str, int]]:
    """Every lifecycle event that something in the package fires, with the number of its arguments."""
    for path in Path(twisted_crossws.__file__).parent.rglob("*.py"):
        isClient = path.name in ("conversation.py", "reconnector.py")
        calls = ("lifecycle.fire", "self._tell") if isClient else ("lifecycle.fire",)
        for found in ast.walk(ast.parse(path.read_text())):
            if isClient is byClients and isinstance(found, ast.Call) and isinstance(found.func, ast.Attribute):
                name = ast.unparse(found.func)
                first = found.args[0] if found.args else None
                if name.endswith(calls) and isinstance(first, ast.Constant):
                    if isinstance(first.value, str):
                        yield first.value, len(found.args) - 1


@pytest.mark.parametrize(("byClients", "table"), [(False, NODE_EVENTS), (True, CLIENT_EVENTS)])
def test_tables(byClients: bool, table: dict[str, str]) -> None:
    """The tables hold what is fired, with so many arguments, and nothing else."""
    found = dict(fired(byClients=byClients))
    assert found == {event: len(list(filter(None, names.split(", ")))) for event, names in table.items()}


class TestReserved:
    @pytest.mark.parametrize("event", RESERVED)
    def test_refused(self, node: Node, client: Connector, event: str) -> None:
        """What is the protocol's own comes to no listener, so none can be added."""
        for on in (node.clients.on, node.clients.once, node.servers.on, client.on, client.once):
            with pytest.raises(ValueError, match=f'listen to "{event}": events that start and end with'):
                on(event, anything)

    @pytest.mark.parametrize("event", ["_hello", "hello_", "he_llo", "a", "cloze"])
    def test_allowed(self, node: Node, client: Connector, event: str) -> None:
        """Everything else is the application's."""
        assert not isReserved(event)
        for on in (node.clients.on, node.servers.on, client.on):
            on(event, anything)


class TestArguments:
    """A listener that takes more or fewer arguments than there will be is refused where it is added."""

    @pytest.mark.parametrize(
        ("where", "event", "called"),
        [
            (lambda node, client: node.clients.on, "say", "socket, payload"),
            (lambda node, client: node.clients.once, "say", "socket, payload"),
            (lambda node, client: node.servers.on, "say", "message"),
            (lambda node, client: node.lifecycle.on, "close", "socket, code, reason"),
            (lambda node, client: node.lifecycle.on, "draining", ""),
            (lambda node, client: client.on, "said", "payload"),
            (lambda node, client: client.lifecycle.once, "reconnect", "attempt, delay"),
        ],
    )
    def test_refused(
        self, node: Node, client: Connector, where: Callable[..., Callable[..., Any]], event: str, called: str
    ) -> None:
        """The message says what it is called with."""
        on = where(node, client)
        with pytest.raises(TypeError) as raised:
            on(event, lambda a, b, c, d: None)
        assert str(raised.value).startswith(f'A listener of "{event}" is called with ({called}), and ')
        with pytest.raises(TypeError):
            on(event)(lambda a, b, c, d: None)
        on(event, anything)

    def test_notAdded(self, node: Node) -> None:
        """It is not added, and those before it stay."""
        node.clients.on("say", anything)
        with pytest.raises(TypeError):
            node.clients.on("say", lambda payload: None)
        assert node.clients.take("say") == (anything,)

    @pytest.mark.parametrize(
        ("where", "called"),
        [
            (lambda node: node.channels.onMessage, "channel, mapping"),
            (lambda node: node.bus.onHealthChange, "change"),
            (lambda node: node.bus.onSubscriptionError, "channel, error"),
        ],
    )
    def test_others(self, node: Node, where: Callable[[Node], Callable[..., Any]], called: str) -> None:
        """So it is with listeners that have no event."""
        with pytest.raises(TypeError) as raised:
            where(node)(lambda a, b, c, d: None)
        assert f"is called with ({called}), and " in str(raised.value)

    @pytest.mark.parametrize("authenticate", [lambda: None, lambda request, more: None, "sam"])
    def test_authenticator(self, node: Node, clock: Clock, authenticate: Any) -> None:
        """So it is with an authenticator, with which otherwise no client could come in."""
        with pytest.raises(TypeError, match=r"^An authenticator (is called with \(request\)|must be callable), and "):
            node.authenticate = authenticate
        with pytest.raises(TypeError, match="^An authenticator "):
            Node(clock=clock, authenticate=authenticate)
        assert node.authenticate is None
        node.authenticate = lambda request: None
        node.authenticate = None
