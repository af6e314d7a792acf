"""
Results of listeners that cannot be sent: the log says whose result is meant, and what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from tests.clientfakes import Rig
from tests.test_node import connect
from twisted_crossws import Node, Relay, RemoteError
from twisted_crossws.state.arguments import described


@pytest.fixture
def node(clock: Clock) -> Node:
    return Node("serverA", clock=clock)


@pytest.fixture
def failed(logged: list[Any]) -> Iterator[list[str]]:
    """What was logged as a failure."""
    texts: list[str] = []

    def see(event: Any) -> None:
        if "log_failure" in event:
            texts.append(formatEvent(event))

    globalLogPublisher.addObserver(see)
    yield texts
    globalLogPublisher.removeObserver(see)
    logged.clear()


def plain(*args: object) -> Any:
    return {"when": object()}


def deferred(*args: object) -> Any:
    return succeed({None: 1})


async def coroutine(*args: object) -> Any:
    return object()


def relay(*args: object) -> Any:
    return Relay("serverA", "ask", object())


@pytest.mark.parametrize("listener", [plain, deferred, coroutine, relay])
@pytest.mark.parametrize("others", [0, 1])
def test_clients(node: Node, clock: Clock, failed: list[str], listener: Any, others: int) -> None:
    """Of an event of a client."""
    for _ in range(others):
        node.clients.on("ask", lambda socket, payload: None)
    node.clients.on("ask", listener)
    peer, socket = connect(node, clock)
    peer.sendEvent("ask", None, "1")
    (says,) = failed
    assert says.startswith(f"serverA: the result of a listener of the event 'ask' cannot be sent to {socket!r}: ")
    assert says.endswith(f"supported. It was returned by {described(listener)}")
    assert node.counters["listener_failures"] == 1


@pytest.mark.parametrize("listener", [plain, coroutine])
def test_servers(node: Node, failed: list[str], listener: Any) -> None:
    """Of an event of a server."""
    node.servers.on("ask", listener)
    errors: list[Any] = []
    node.servers.callOne("ask", to="serverA").addErrback(lambda failure: errors.append(failure.value))
    assert isinstance(errors[0], RemoteError) and errors[0].code == "internal_error"
    (says,) = failed
    assert says.startswith("the result of a listener of the servers' event 'ask' cannot be sent to 'serverA': ")
    assert says.endswith(f"type object is unsupported. It was returned by {described(listener)}")
    assert node.counters["listener_failures"] == 1


@pytest.mark.parametrize("listener", [plain, coroutine])
def test_answers(failed: list[str], listener: Any) -> None:
    """Of a request to a client."""
    rig = Rig()
    server = rig.connected()
    rig.client.on("ask", listener)
    server.sendText(b'{"event": "ask", "payload": null, "ackId": "a-1"}')
    (says,) = failed
    assert "the result of a listener cannot be sent: Encoding objects of type object is unsupported. " in says
    assert says.endswith(f"It was returned by {described(listener)}")
