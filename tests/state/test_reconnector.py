"""When a client connects again, and when it does not (through the whole client)."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from tests.clientfakes import Rig, faultOf, isWaiting, resultOf
from twisted_crossws.errors import NotConnected
from twisted_crossws.state.conversation import MAX_MESSAGE_BYTES


class TestReconnecting:
    def test_schedule(self) -> None:
        """The first tries come each after the interval, then the wait doubles, with jitter, up to the longest."""
        rig = Rig(fastReconnectThreshold=2, fastReconnectInterval=1.0, reconnectMaxInterval=10.0)
        rig.client.connect()
        for _ in range(6):
            rig.endpoint.fail()
            rig.clock.advance(rig.events[-1][2])
        assert rig.told("reconnect") == [
            ("reconnect", 1, 1.0),
            ("reconnect", 2, 1.0),
            ("reconnect", 3, 3.0),
            ("reconnect", 4, 5.0),
            ("reconnect", 5, 9.0),
            ("reconnect", 6, 10.0),
        ]
        assert rig.endpoint.attempts == 7

    def test_spread(self) -> None:
        """Clients that lose their server in the same moment do not come back in the same: the first wait is spread."""
        delays = []
        for chance in (0.0, 0.25, 0.99):
            rig = Rig(random=lambda chance=chance: chance)
            rig.connected().crash()
            delays.append(rig.told("reconnect")[0][2])
        assert delays == pytest.approx([3.0, 2.25, 0.03])

    def test_notEarlier(self) -> None:
        """Nothing is dialled before the wait is over."""
        rig = Rig()
        rig.connected().crash()
        rig.clock.advance(2.9)
        assert rig.endpoint.attempts == 1
        rig.clock.advance(0.2)
        assert rig.endpoint.attempts == 2

    def test_attemptsStartAgain(self) -> None:
        """Once it was open, the attempts count from 1 again."""
        rig = Rig()
        rig.connected().crash()
        rig.clock.advance(3)
        rig.endpoint.fail()
        rig.clock.advance(3)
        rig.accept().crash()
        assert [entry[1] for entry in rig.told("reconnect")] == [1, 2, 1]

    def test_uncleanLoss(self) -> None:
        """A connection that breaks is closed with 1006 for the application, and made anew."""
        rig = Rig()
        server = rig.connected()
        server.crash()
        assert not rig.client.isConnected and rig.client.isReconnecting
        (_, (_, code, reason), again) = rig.events
        assert code == 1006 and type(code) is int and reason.startswith("The connection was lost")
        assert again == ("reconnect", 1, 3.0)
        rig.clock.advance(3)
        rig.accept()
        assert rig.client.isConnected and not rig.client.isReconnecting

    @pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4000, 4002, 4008])
    def test_closeThatIsNotFinal(self, code: int) -> None:
        """A server that closes is connected to again."""
        rig = Rig()
        server = rig.connected()
        server.sendClose(code, "so")
        assert rig.events == [("open",), ("close", code, "so"), ("reconnect", 1, 3.0)]
        assert server.closeCodes() == [1000]
        server.hangUp()
        assert len(rig.events) == 3

    def test_hint(self) -> None:
        """A server that is being restarted says when to come back; if it is not there then, the schedule goes on."""
        rig = Rig()
        rig.connected().sendClose(1012, "retry-after=1.25")
        assert rig.told("reconnect") == [("reconnect", 1, 1.25)]
        rig.clock.advance(1.2)
        assert rig.endpoint.attempts == 1
        rig.clock.advance(0.1)
        assert rig.endpoint.attempts == 2
        rig.endpoint.fail()
        assert rig.told("reconnect")[-1] == ("reconnect", 2, 3.0)
        rig.clock.advance(3)
        rig.accept().sendClose(1012, "no number")
        assert rig.told("reconnect")[-1] == ("reconnect", 1, 3.0)

    def test_hintIsNoOrder(self) -> None:
        """The longest wait and reconnectOn are the application's word."""
        rig = Rig(reconnectMaxInterval=2.0)
        rig.connected().sendClose(1012, "retry-after=50")
        assert rig.told("reconnect") == [("reconnect", 1, 2.0)]
        rig = Rig(reconnectOn=lambda code, reason: code != 1012)
        rig.connected().sendClose(1012, "retry-after=1")
        assert rig.told("reconnect") == [] and not rig.client.isReconnecting

    def test_hintEndsCalls(self) -> None:
        """Calls that are open then fail at once, as at any loss."""
        rig = Rig()
        server = rig.connected()
        call = rig.client.call("ask")
        server.sendClose(1012, "retry-after=1")
        assert isinstance(faultOf(call), NotConnected)

    def test_closeWithoutCode(self) -> None:
        """A close frame without a code is told as 1005."""
        rig = Rig()
        rig.connected().sendClose(None)
        assert rig.told("close") == [("close", 1005, "")]

    @pytest.mark.parametrize("code", [4001, 4010, 4011, 4012])
    def test_finalCode(self, code: int) -> None:
        """After a final code the client stays closed, until it is told to connect."""
        rig = Rig()
        server = rig.connected()
        server.sendClose(code, "so")
        server.hangUp()
        rig.clock.advance(1000)
        assert rig.events == [("open",), ("close", code, "so")]
        assert rig.endpoint.attempts == 1 and not rig.client.isReconnecting
        assert not rig.clock.getDelayedCalls()
        rig.client.connect()
        rig.accept()
        assert rig.client.isConnected

    def test_reconnectOnSaysNo(self) -> None:
        """reconnectOn is asked with code and reason, and its no is obeyed."""
        asked: list[Any] = []
        rig = Rig(reconnectOn=lambda code, reason: bool(asked.append((code, reason))))
        rig.connected().sendClose(1001, "so")
        assert asked == [(1001, "so")]
        rig.clock.advance(1000)
        assert rig.endpoint.attempts == 1 and not rig.client.isReconnecting

    def test_reconnectOnSaysYes(self) -> None:
        """reconnectOn decides in place of the final codes."""
        rig = Rig(reconnectOn=lambda code, reason: True)
        rig.connected().sendClose(4012, "so")
        assert rig.told("reconnect") == [("reconnect", 1, 3.0)]

    def test_reconnectOnIsNotAskedOfAttempts(self) -> None:
        """A failed attempt is followed by the next, whatever reconnectOn would say."""
        rig = Rig(reconnectOn=lambda code, reason: False)
        rig.client.connect()
        rig.endpoint.fail()
        assert rig.told("reconnect") == [("reconnect", 1, 3.0)]

    def test_reconnectOnFails(self, logged: list[Failure]) -> None:
        """A reconnectOn that fails is logged, and the client reconnects."""
        rig = Rig(reconnectOn=lambda code, reason: 1 // 0 == 0)
        rig.connected().sendClose(4012)
        assert rig.told("reconnect") == [("reconnect", 1, 3.0)]
        assert [failure.type for failure in logged] == [ZeroDivisionError]
        logged.clear()

    def test_repeatLimit(self) -> None:
        """After so many failed attempts to reconnect in a row it is given up, and connect() fails."""
        rig = Rig(repeatLimit=2)
        rig.connected().crash()
        connected = rig.client.connect()
        for _ in range(2):
            rig.clock.advance(3)
            assert isWaiting(connected)
            rig.endpoint.fail()
        assert isinstance(faultOf(connected), NotConnected)
        assert rig.events[-2][0] == "error" and rig.events[-1] == ("repeatLimit", 2)
        assert not rig.client.isReconnecting
        rig.clock.advance(1000)
        assert rig.endpoint.attempts == 3
        assert not rig.clock.getDelayedCalls()

    def test_connectAfterRepeatLimit(self) -> None:
        """After it was given up, connect() begins anew, with all attempts."""
        rig = Rig(repeatLimit=1)
        rig.client.connect().addErrback(lambda _: None)
        rig.endpoint.fail()
        rig.clock.advance(3)
        rig.endpoint.fail()
        assert rig.told("repeatLimit") == [("repeatLimit", 1)]
        connected = rig.client.connect()
        rig.endpoint.fail()
        rig.clock.advance(3)
        rig.accept()
        assert resultOf(connected) is None

    def test_repeatLimitZero(self) -> None:
        """With a limit of 0 a loss is the end."""
        rig = Rig(repeatLimit=0)
        rig.connected().crash()
        assert [entry[0] for entry in rig.events] == ["open", "close", "repeatLimit"]

    def test_connectInRepeatLimit(self) -> None:
        """A listener of repeatLimit that connects again is obeyed."""
        rig = Rig(repeatLimit=0)
        again: list[Deferred[None]] = []
        rig.client.lifecycle.on("repeatLimit", lambda _: again.append(rig.client.connect()))
        rig.connected().crash()
        rig.accept()
        assert resultOf(again[0]) is None

    def test_closedInClose(self) -> None:
        """A listener of close that closes for good is obeyed: no reconnect is told or tried."""
        rig = Rig()
        rig.client.lifecycle.on("close", lambda code, reason: rig.client.close())
        rig.connected().crash()
        rig.clock.advance(1000)
        assert rig.endpoint.attempts == 1 and not rig.told("reconnect")
        assert not rig.clock.getDelayedCalls()

    def test_serverKeepsTcpOpen(self) -> None:
        """A server that said goodbye and does not hang up is cut after 3 seconds."""
        rig = Rig()
        server = rig.connected()
        server.sendClose(4012)
        rig.clock.advance(2.9)
        assert not server.transport.isCut
        rig.clock.advance(0.2)
        rig.turn()
        assert server.transport.isCut and not rig.clock.getDelayedCalls()

    def test_brokenServer(self) -> None:
        """A server that breaks the protocol is told so with 1002, and connected to again."""
        rig = Rig()
        server = rig.connected()
        server.answer(b"\x8f\x00")
        assert server.closeCodes() == [1002]
        assert [entry[:2] for entry in rig.events] == [("open",), ("close", 1002), ("reconnect", 1)]

    def test_tooBigMessage(self) -> None:
        """A message beyond 16 MiB is not even received: 1009."""
        rig = Rig()
        server = rig.connected()
        server.answer(b"\x81\x7f" + (MAX_MESSAGE_BYTES + 1).to_bytes(8, "big"))
        assert server.closeCodes() == [1009]
        assert rig.told("close")[0][1] == 1009


class TestReconnect:
    def test_dropsAndConnects(self) -> None:
        """reconnect() says goodbye with 1000, and connects at once."""
        rig = Rig()
        first = rig.connected()
        connected = rig.client.reconnect()
        assert first.closeCodes() == [1000]
        assert rig.told("close") == [("close", 1000, "The client connects again.")]
        assert rig.client.isReconnecting and not rig.client.isConnected
        assert rig.endpoint.attempts == 2
        rig.accept()
        assert resultOf(connected) is None and not rig.client.isReconnecting

    def test_lateFromTheOldOne(self) -> None:
        """What still comes on the dropped connection is not heard, and its end changes nothing."""
        rig = Rig()
        heard: list[Any] = []
        rig.client.on("said", heard.append)
        first = rig.connected()
        rig.client.reconnect()
        second = rig.accept()
        first.emit("said", "old")
        first.sendClose(4012)
        first.hangUp()
        second.emit("said", "new")
        assert heard == ["new"] and rig.client.isConnected
        assert len(rig.told("close")) == 1

    def test_endsTheWait(self) -> None:
        """reconnect() does not wait for the schedule, and a failure goes on with the next attempt."""
        rig = Rig()
        rig.connected().crash()
        rig.client.reconnect()
        assert rig.endpoint.attempts == 2
        rig.endpoint.fail()
        assert rig.told("reconnect")[-1][1] == 2
        rig.clock.advance(2.9)
        assert rig.endpoint.attempts == 2

    def test_reset(self) -> None:
        """reconnect(reset=True) counts the attempts from 1 again."""
        rig = Rig()
        rig.connected().crash()
        rig.client.reconnect(reset=True)
        rig.endpoint.fail()
        assert rig.told("reconnect")[-1][1] == 1

    def test_givesUpTheAttempt(self) -> None:
        """reconnect() during an attempt gives that one up, and who waits for connect() waits on."""
        rig = Rig()
        connected = rig.client.connect()
        rig.client.reconnect()
        assert (rig.endpoint.attempts, rig.endpoint.cancelled) == (2, 1)
        assert not rig.told("error")
        rig.accept()
        assert resultOf(connected) is None

    def test_whenIdle(self) -> None:
        """reconnect() without a connection connects."""
        rig = Rig()
        connected = rig.client.reconnect()
        assert not rig.client.isReconnecting
        rig.accept()
        assert resultOf(connected) is None and not rig.clock.getDelayedCalls()[1:]

    def test_closedInClose(self) -> None:
        """A listener of close that closes for good ends a reconnect(), too."""
        rig = Rig()
        rig.client.lifecycle.on("close", lambda code, reason: rig.client.close())
        rig.connected()
        assert isinstance(faultOf(rig.client.reconnect()), NotConnected)
        assert rig.endpoint.attempts == 1
