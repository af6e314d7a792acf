"""What a client says of a server that it cannot reach, and how it is told to give up (through the whole client)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import provider

from tests.clientfakes import Rig, faultOf, isWaiting, resultOf
from twisted_crossws.errors import HandshakeRefused, NotConnected


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """The lines of level warn that came to the log."""
    lines: list[str] = []

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        if event["log_level"].name == "warn":
            lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


class _Rig(Rig):
    """
    As L{Rig}.

    @ivar failures: what C{unreachable} told.
    """

    def __init__(self, url: str = "ws://server.example/chat?token=secret", **options: Any) -> None:
        super().__init__(url, **options)
        self.failures: list[tuple[str, int]] = []
        self.client.lifecycle.on("unreachable", lambda reason, attempt: self.failures.append((reason, attempt)))

    def fail(self, count: int) -> None:
        """So many attempts fail."""
        for _ in range(count):
            if self.client.isReconnecting:
                self.clock.advance(self.told("reconnect")[-1][2])
            self.endpoint.fail()


class TestUnreachable:
    def test_eachAttempt(self) -> None:
        """Each attempt that fails is told with a sentence and its number, before the next is scheduled."""
        rig = _Rig()
        order: list[str] = []
        for event in ("unreachable", "reconnect"):
            rig.client.lifecycle.on(event, lambda _, __, event=event: order.append(event))
        rig.client.connect()
        rig.fail(3)
        assert [attempt for _, attempt in rig.failures] == [1, 2, 3]
        assert {reason for reason, _ in rig.failures} == {"Connection was refused by other side."}
        assert order == ["unreachable", "reconnect"] * 3

    def test_countsAgain(self) -> None:
        """Once it was open they count from 1 again; the loss of a connection is no failed attempt."""
        rig = _Rig()
        rig.connected().crash()
        assert rig.failures == []
        rig.fail(2)
        rig.clock.advance(3)
        rig.accept().crash()
        rig.fail(1)
        assert [attempt for _, attempt in rig.failures] == [1, 2, 1]

    def test_countsAgainAfterClose(self) -> None:
        """So they do after close(), and reconnect(reset=True)."""
        rig = _Rig()
        rig.client.connect().addErrback(lambda _: None)
        rig.fail(2)
        rig.client.close()
        rig.client.connect()
        rig.fail(2)
        rig.client.reconnect(reset=True)
        rig.endpoint.fail()
        assert [attempt for _, attempt in rig.failures] == [1, 2, 1, 2, 1]

    @pytest.mark.parametrize(
        ("end", "reason"),
        [
            (
                lambda rig: rig.endpoint.reach().refuse(403, "Forbidden"),
                "The server refused the connection: 403 Forbid",
            ),
            (lambda rig: (rig.endpoint.reach(), rig.clock.advance(10)), "The server did not answer the handshake wit"),
            (lambda rig: rig.endpoint.reach().crash(), "The connection was lost"),
        ],
        ids=["refused", "silent", "lost"],
    )
    def test_reason(self, warnings: list[str], end: Callable[[_Rig], object], reason: str) -> None:
        """Whatever was the matter is said; the log names the server, and no token."""
        rig = _Rig()
        rig.client.connect().addErrback(lambda _: None)
        end(rig)
        ((told, _),) = rig.failures
        assert told.startswith(reason)
        (line,) = warnings
        assert line.startswith("cannot connect to ws://server.example:80/chat: ") and reason in line
        assert "secret" not in line

    def test_loggedOnce(self, warnings: list[str]) -> None:
        """The log has one line for all attempts until the server is there again."""
        rig = _Rig()
        rig.client.connect()
        rig.fail(5)
        assert len(warnings) == 1
        rig.clock.advance(100)
        rig.accept().crash()
        assert len(warnings) == 1
        rig.fail(2)
        assert len(warnings) == 2


class TestAttempts:
    def test_connectFails(self) -> None:
        """connect() fails after so many attempts, with what was the matter, and the client rests."""
        rig = _Rig(attempts=3)
        connected = rig.client.connect()
        rig.fail(2)
        assert isWaiting(connected)
        rig.fail(1)
        fault = faultOf(connected)
        assert type(fault) is NotConnected
        assert str(fault) == "Gave up after 3 attempts. Connection was refused by other side."
        assert not rig.client.isReconnecting and not rig.clock.getDelayedCalls()
        assert rig.events[-1][0] == "error" and len(rig.failures) == 3

    def test_again(self) -> None:
        """The next connect() has all its attempts."""
        rig = _Rig(attempts=2)
        rig.client.connect().addErrback(lambda _: None)
        rig.fail(2)
        connected = rig.client.connect()
        rig.fail(1)
        rig.clock.advance(3)
        rig.accept()
        assert resultOf(connected) is None

    def test_refused(self) -> None:
        """A server that says no is not asked more often, either."""
        rig = _Rig(attempts=1)
        connected = rig.client.connect()
        rig.endpoint.reach().refuse(401, "Unauthorized")
        assert isinstance(faultOf(connected), HandshakeRefused)
        assert not rig.client.isReconnecting

    def test_nobodyWaits(self) -> None:
        """A connection that was open, and is lost while nobody waits for connect(), is not given up by it."""
        rig = _Rig(attempts=1)
        cancelled = rig.client.connect()
        rig.accept().crash()
        rig.fail(3)
        assert rig.client.isReconnecting
        waiting: Deferred[None] = rig.client.connect()
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        rig.fail(1)
        assert rig.client.isReconnecting and resultOf(cancelled) is None

    def test_negative(self) -> None:
        """A number of attempts below 0 is refused."""
        with pytest.raises(ValueError, match="attempts"):
            _Rig(attempts=-1)
