"""What a client answers when its server asks (through the whole client)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.clientfakes import Rig
from twisted_crossws import NoReply
from twisted_crossws.errors import ReplyError


def ask(rig: Rig, server: Any, event: str = "ask", payload: object = None, ackId: object = "a-1") -> list[Any]:
    """What the client answers at once."""
    server.sendText(json.dumps({"event": event, "payload": payload, "ackId": ackId}).encode())
    return server.events()  # type: ignore[no-any-return]


def failing(payload: object) -> None:
    raise ValueError("secret")


def refusing(payload: object) -> None:
    raise ReplyError("no_gps", "It is off.")


class TestAnswer:
    def test_result(self) -> None:
        """What the listener returns is the answer."""
        rig = Rig()
        server = rig.connected()
        rig.client.on("ask", lambda payload: {"twice": 2 * payload})
        assert ask(rig, server, payload=21) == [{"ackId": "a-1", "payload": {"twice": 42}}]

    def test_later(self) -> None:
        """So is what its Deferred fires with, or its coroutine returns; others do not wait for it."""
        rig = Rig()
        server = rig.connected()
        waiting: Deferred[str] = Deferred()

        async def slow(payload: object) -> str:
            return await waiting

        rig.client.on("slow", slow)
        rig.client.on("ask", lambda payload: "quick")
        assert ask(rig, server, "slow", ackId="a-0") == []
        assert ask(rig, server) == [{"ackId": "a-1", "payload": "quick"}]
        waiting.callback("slow")
        assert server.events()[-1] == {"ackId": "a-0", "payload": "slow"}

    def test_first(self) -> None:
        """Of several listeners all run, and the first result that is not None counts."""
        rig = Rig()
        server = rig.connected()
        ran: list[str] = []
        rig.client.on("ask", lambda payload: ran.append("first"))
        rig.client.on("ask", lambda payload: 0)
        rig.client.on("ask", lambda payload: ran.append("last") or "late")
        assert ask(rig, server) == [{"ackId": "a-1", "payload": 0}]
        assert ran == ["first", "last"]

    def test_nobody(self) -> None:
        """Where nobody listens, or nobody has a result, the answer is null."""
        rig = Rig()
        server = rig.connected()
        assert ask(rig, server) == [{"ackId": "a-1", "payload": None}]
        rig.client.on("ask", lambda payload: None)
        assert ask(rig, server, ackId="a-2")[-1] == {"ackId": "a-2", "payload": None}

    def test_declined(self) -> None:
        """Where every listener declines to answer, the server is told so."""
        rig = Rig()
        server = rig.connected()
        rig.client.on("ask", lambda payload: NoReply)
        message = "No listener of this event gives a reply."
        assert ask(rig, server) == [{"ackId": "a-1", "error": {"code": "declined", "message": message}}]

    def test_failure(self, logged: list[Any]) -> None:
        """A listener that fails is an error without its text, and is logged; unless another one has a result."""
        rig = Rig()
        server = rig.connected()
        rig.client.on("ask", failing)
        message = "The client failed to handle this event."
        assert ask(rig, server) == [{"ackId": "a-1", "error": {"code": "internal_error", "message": message}}]
        rig.client.on("ask", lambda payload: 1)
        assert ask(rig, server)[-1] == {"ackId": "a-1", "payload": 1}
        assert len(logged) == 2
        logged.clear()

    def test_replyError(self) -> None:
        """A ReplyError is the answer, and is not logged."""
        rig = Rig()
        server = rig.connected()
        rig.client.on("ask", refusing)
        assert ask(rig, server) == [{"ackId": "a-1", "error": {"code": "no_gps", "message": "It is off."}}]

    def test_noForm(self, logged: list[Any]) -> None:
        """A result without a form in JSON is an error, and is logged."""
        rig = Rig()
        server = rig.connected()
        rig.client.on("ask", lambda payload: object())
        (answer,) = ask(rig, server)
        assert answer["error"]["code"] == "internal_error"
        assert len(logged) == 1
        logged.clear()

    @pytest.mark.parametrize(("event", "ackId"), [("_ask_", "a-1"), ("ask", 7), ("ask", None), ("ask", "")])
    def test_notAsked(self, event: str, ackId: object) -> None:
        """The protocol's own events, and those without a proper ackId, get no answer."""
        rig = Rig()
        server = rig.connected()
        rig.client.on("ask", lambda payload: 1)
        assert ask(rig, server, event, ackId=ackId) == []

    def test_onItsOwnConnection(self) -> None:
        """An answer that is ready when the connection is over is dropped: the next one is another client."""
        rig = Rig()
        server = rig.connected()
        waiting: Deferred[str] = Deferred()
        rig.client.on("ask", lambda payload: waiting)
        assert ask(rig, server) == []
        rig.client.reconnect()
        other = rig.accept()
        waiting.callback("late")
        assert other.events() == []

    def test_closing(self) -> None:
        """A listener that closes the connection has nothing more to say."""
        rig = Rig()
        server = rig.connected()
        rig.client.on("ask", lambda payload: rig.client.close() and "late")
        assert ask(rig, server) == []
