"""A client's heartbeat (through the whole client)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clientfakes import Rig, faultOf
from twisted_crossws.errors import NotConnected

PING = b""


class TestHeartbeat:
    def test_pingPong(self) -> None:
        """Each pingInterval the ping message goes out; the same text back is the answer, and gives the latency."""
        rig = Rig()
        server = rig.connected()
        assert rig.client.latency is None
        rig.clock.advance(9.9)
        assert server.texts() == []
        rig.clock.advance(0.1)
        assert server.texts() == [PING]
        rig.clock.advance(0.25)
        server.sendText(PING)
        assert rig.events == [("open",), ("ping",), ("pong", pytest.approx(0.25))]
        assert rig.client.latency == pytest.approx(0.25)
        rig.clock.advance(9.75)
        assert server.texts() == [PING, PING]

    def test_pingMessage(self) -> None:
        """The ping message can be any text, also one that would be a frame: it is never parsed."""
        text = '{"event":"said","payload":1}'
        rig = Rig(pingMessage=text)
        heard: list[Any] = []
        rig.client.on("said", heard.append)
        server = rig.connected()
        rig.clock.advance(10)
        assert server.texts() == [text.encode()]
        server.sendText(text.encode())
        assert rig.told("pong") == [("pong", 0.0)]
        assert heard == [] and not rig.told("message")

    def test_unaskedAnswer(self) -> None:
        """The ping message without a ping before is ignored."""
        rig = Rig()
        server = rig.connected()
        server.sendText(PING)
        assert rig.events == [("open",)] and rig.client.latency is None

    def test_noAnswer(self) -> None:
        """Without an answer within pongTimeout the connection is over at once: 4002, calls fail, reconnecting."""
        rig = Rig()
        server = rig.connected()
        rig.clock.advance(10)
        reply = rig.client.call("say", timeout=60)
        rig.clock.advance(1.9)
        assert rig.client.isConnected
        rig.clock.advance(0.2)
        assert server.closeCodes() == [4002]
        assert isinstance(faultOf(reply), NotConnected)
        assert rig.events[2:] == [
            ("pongTimeout",),
            ("close", 4002, "No heartbeat answer came in time."),
            ("reconnect", 1, 3.0),
        ]
        assert not rig.client.isConnected and rig.client.isReconnecting
        rig.clock.advance(3)
        assert server.transport.isCut
        rig.accept()
        assert rig.client.isConnected

    def test_otherTextsAreNoAnswer(self) -> None:
        """Only the ping message itself is the answer."""
        rig = Rig()
        server = rig.connected()
        rig.clock.advance(10)
        server.emit("said")
        rig.clock.advance(2.1)
        assert rig.told("pongTimeout") == [("pongTimeout",)]

    def test_lateAnswer(self) -> None:
        """An answer after the time-out changes nothing."""
        rig = Rig()
        server = rig.connected()
        rig.clock.advance(10)
        rig.clock.advance(2)
        server.sendText(PING)
        assert not rig.told("pong")

    def test_closedInPongTimeout(self) -> None:
        """A listener of pongTimeout that acts by itself is obeyed."""
        rig = Rig()
        rig.client.lifecycle.on("pongTimeout", lambda: rig.client.close())
        server = rig.connected()
        rig.clock.advance(10)
        rig.clock.advance(2)
        assert server.closeCodes() == [4001]
        assert rig.told("close", "reconnect") == [("close", 4001, "The client closed the connection.")]

    def test_onlyWhileOpen(self) -> None:
        """No heartbeat runs before the connection is open or after it is over, and it begins anew with the next."""
        rig = Rig(pingInterval=1.0, fastReconnectInterval=5.0)
        rig.client.connect()
        server = rig.endpoint.reach()
        rig.clock.advance(2)
        assert server.texts() == []
        server.accept()
        rig.clock.advance(1)
        server.sendText(PING)
        server.crash()
        assert rig.client.latency is None
        rig.clock.advance(5)
        assert len(rig.told("ping")) == 1
        second = rig.accept()
        rig.clock.advance(1)
        assert second.texts() == [PING]

    def test_oneAtATime(self) -> None:
        """While an answer is waited for no further ping goes out."""
        rig = Rig(pingInterval=1.0, pongTimeout=3.5)
        server = rig.connected()
        for _ in range(4):
            rig.clock.advance(1)
        assert server.texts() == [PING]
        server.sendText(PING)
        rig.clock.advance(1)
        assert server.texts() == [PING, PING]

    def test_off(self) -> None:
        """0 turns the heartbeat off, from the start or later; what is still open then is not waited for."""
        never = Rig(pingInterval=0)
        never.connected()
        assert not never.clock.getDelayedCalls()
        rig = Rig()
        rig.connected()
        rig.clock.advance(10)
        rig.client.pingInterval = 0
        rig.clock.advance(1000)
        assert rig.client.isConnected and len(rig.told("ping")) == 1
        assert not rig.clock.getDelayedCalls()

    def test_setPingInterval(self) -> None:
        """pingInterval can be set at any time, and counts from then."""
        rig = Rig()
        rig.client.pingInterval = 4.0
        server = rig.connected()
        rig.clock.advance(3)
        rig.client.setPingInterval(2.0)
        assert rig.client.pingInterval == 2.0
        rig.clock.advance(1.9)
        assert server.texts() == []
        rig.clock.advance(0.1)
        assert server.texts() == [PING]

    def test_immediate(self) -> None:
        """With immediate a ping goes out now, and the next after the interval."""
        rig = Rig()
        server = rig.connected()
        rig.client.setPingInterval(4.0, immediate=True)
        assert server.texts() == [PING]
        server.sendText(PING)
        rig.clock.advance(4)
        assert server.texts() == [PING, PING]

    def test_turnedOnLater(self) -> None:
        """A heartbeat that was off can be turned on."""
        rig = Rig(pingInterval=0)
        server = rig.connected()
        rig.client.pingInterval = 1.0
        rig.clock.advance(1)
        assert server.texts() == [PING]

    def test_bad(self) -> None:
        """A negative interval is a ValueError, and changes nothing."""
        rig = Rig()
        with pytest.raises(ValueError, match="pingInterval"):
            rig.client.pingInterval = -1.0
        assert rig.client.pingInterval == 10.0
