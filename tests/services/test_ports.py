"""
Listening for a node, and what is said where that cannot be done.
"""

from __future__ import annotations

import errno
from typing import Any

import pytest
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactor, RaisingMemoryReactor

from twisted_crossws import Node
from twisted_crossws.services.ports import ListenError, PortService, withBacklog

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
