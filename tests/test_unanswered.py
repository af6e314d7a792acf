"""
Events of clients that nobody answers: what the client hears of it, and what the log says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from tests.test_node import connect
from twisted_crossws import Node, NoReply
from twisted_crossws.state.unheard import MAX_TOLD
from twisted_crossws.wire.frames import ErrorReply, Reply


@pytest.fixture
def node(clock: Clock) -> Node:
    return Node("serverA", clock=clock)


@pytest.fixture
def debugged() -> Iterator[list[str]]:
    """What was logged at level debug."""
    texts: list[str] = []

    def see(event: Any) -> None:
        if event.get("log_level") is LogLevel.debug:
            texts.append(formatEvent(event))

    globalLogPublisher.addObserver(see)
    yield texts
    globalLogPublisher.removeObserver(see)


class TestNobody:
    def test_noListener(self, node: Node, clock: Clock) -> None:
        """Where nobody listens, that is the reply; one that does not ask hears nothing of it."""
        peer, _ = connect(node, clock, params={"crossws": 2})
        peer.sendEvent("say", None, "1")
        assert peer.takeFrames() == [ErrorReply("1", "no_listener", "No listener for the event 'say'.")]
        peer.sendEvent("say")
        assert peer.takeFrames() == []
        assert node.counters["events_without_listener"] == 2

    def test_noListenerForOlder(self, node: Node, clock: Clock) -> None:
        """A client that cannot be told of errors gets no reply, as from the seed system, and times out."""
        peer, _ = connect(node, clock)
        peer.sendEvent("say", None, "1")
        assert peer.takeFrames() == []
        assert node.counters["events_without_listener"] == 1

    @pytest.mark.parametrize("late", [False, True])
    @pytest.mark.parametrize("listeners", [1, 2])
    def test_declined(self, node: Node, clock: Clock, listeners: int, late: bool) -> None:
        """So it is where every listener declines to reply, at once or later."""
        waits: list[Deferred[Any]] = []

        def decline(socket: object, payload: object) -> Any:
            waits.append(Deferred())
            return waits[-1] if late else NoReply

        for _ in range(listeners):
            node.clients.on("ask", decline)
        peers = [connect(node, clock, params={"crossws": version})[0] for version in (2, 1)]
        for peer in peers:
            peer.sendEvent("ask", None, "1")
            peer.sendEvent("ask")
        for waiting in waits:
            waiting.callback(NoReply)
        assert peers[0].takeFrames() == [ErrorReply("1", "declined", "No listener of this event gives a reply.")]
        assert peers[1].takeFrames() == []
        assert node.counters["events_declined"] == 2

    def test_declinedByOne(self, node: Node, clock: Clock) -> None:
        """One that declines leaves the reply to another."""
        node.clients.on("ask", lambda socket, payload: NoReply)
        node.clients.on("ask", lambda socket, payload: "mine")
        peer, _ = connect(node, clock)
        peer.sendEvent("ask", None, "1")
        assert peer.takeFrames() == [Reply("1", "mine")]

    def test_nearestName(self, node: Node, clock: Clock, debugged: list[str]) -> None:
        """The log says once for each name which one was most likely meant, at level debug."""
        node.clients.on("matchRequest", print)
        peer, socket = connect(node, clock)
        for _ in range(2):
            peer.sendEvent("matchReqest", None, "1")
        (says,) = [text for text in debugged if "no listener" in text]
        assert says.endswith(f"for 'matchReqest', sent by {socket.request.peer!r}; did you mean \"matchRequest\"?")

    def test_endlessNames(self, node: Node, clock: Clock, debugged: list[str]) -> None:
        """A client that makes up names does not fill the log, and names of any length cost nothing."""
        node.clients.on("say", print)
        peer, _ = connect(node, clock)
        for number in range(MAX_TOLD + 10):
            peer.sendEvent(f"say{number}")
        peer.sendEvent("x" * 1000)
        assert len([text for text in debugged if "no listener" in text]) == MAX_TOLD
