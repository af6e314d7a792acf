"""
One connection of a client, from the first attempt to the last byte, without a transport.

::

              opened              close frame, loss, drop
    trying ────────────▶ open ─────────────────────────────▶ leaving ────▶ gone
       │                                                        ▲
       └────────────────────────────────────────────────────────┘
              failed, loss, drop, or no handshake in time

As soon as one side says goodbye the connection is over for whoever uses it; what carries it
has a few seconds to follow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from twisted_crossws.errors import CloseCode, NotConnected

#: Seconds for the opening handshake, TLS included. A server that authenticates may ask another service first.
HANDSHAKE_TIMEOUT = 10.0

#: Seconds for the closing handshake, after which the transport is cut. RFC 6455 section 7.1.1 leaves it to the
#: server to close the transport, and a server that is alive needs one round trip for it.
LEAVE_TIMEOUT = 3.0


class Line(Protocol):
    """What carries one connection. It tells its L{Connection} what happens."""

    def dial(self) -> None:
        """Begin the attempt."""

    def sendText(self, text: bytes) -> None:
        """Send a text; only while the connection is open."""

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; only while the connection is open."""

    def abort(self) -> None:
        """Give the attempt up, or cut the transport."""


class ConnectionOwner(Protocol):
    """Who wants the connection. Of L{opened}, L{failed} and L{over} each comes once at most."""

    def opened(self, connection: Connection) -> None:
        """The handshake is done."""

    def textReceived(self, connection: Connection, text: bytes) -> None:
        """A whole message came while it was open."""

    def failed(self, connection: Connection, failure: Failure) -> None:
        """It has never been open, and will not be."""

    def over(self, connection: Connection, code: int, reason: str) -> None:
        """It was open, and is not any more."""

    def gone(self, connection: Connection) -> None:
        """Nothing is left of it."""


class Connection:
    """
    Puts what a L{Line} tells in order, and gives it its time limits.

    @ivar line: set by the owner, before anything else happens.
    @ivar isTrying: whether it may still be opened.
    @ivar isOpen: whether texts can be sent.
    """

    line: Line

    def __init__(self, clock: IReactorTime, owner: ConnectionOwner) -> None:
        self.isTrying = True
        self.isOpen = False
        self._clock = clock
        self._owner = owner
        self._isGone = False
        self._deadline: IDelayedCall | None = None

    def handshaking(self) -> None:
        """The line has a transport, and begins the opening handshake."""
        if self.isTrying:
            self._within(HANDSHAKE_TIMEOUT, self._tooSlow)

    def opened(self) -> None:
        """The opening handshake is done."""
        if self.isTrying:
            self.isTrying = False
            self.isOpen = True
            self._stopTimer()
            self._owner.opened(self)

    def textReceived(self, text: bytes) -> None:
        """A whole message came; what comes after a goodbye is dropped, as browsers do."""
        if self.isOpen:
            self._owner.textReceived(self, text)

    def failed(self, failure: Failure) -> None:
        """The attempt did not succeed; the line ends by itself."""
        if self.isTrying:
            self._leave()
            self._owner.failed(self, failure)

    def closing(self, code: int, reason: str) -> None:
        """A close frame came or went; what counts is what the first one said."""
        if self.isOpen:
            self._leave()
            self._owner.over(self, int(code), reason)

    def gone(self, reason: str) -> None:
        """Nothing is left of the line. May be told more than once."""
        if self._isGone:
            return
        wasTrying, wasOpen = self.isTrying, self.isOpen
        self.isTrying = self.isOpen = False
        self._isGone = True
        self._stopTimer()
        self._owner.gone(self)
        if wasOpen:
            self._owner.over(self, int(CloseCode.ABNORMAL), reason)
        elif wasTrying:
            self._owner.failed(self, Failure(NotConnected(reason)))

    def drop(self, code: int, reason: str) -> None:
        """
        It is not wanted any more: say goodbye if it is open, give it up if not. The owner is told L{over} in the first
        case, and in both L{gone} when nothing is left.
        """
        if self.isOpen:
            self._leave()
            self.line.close(code, reason)
            self._owner.over(self, int(code), reason)
        elif self.isTrying:
            self._leave()
            self.line.abort()

    def _tooSlow(self) -> None:
        self._leave()
        self.line.abort()
        reason = f"The server did not answer the handshake within {HANDSHAKE_TIMEOUT:g} seconds."
        self._owner.failed(self, Failure(NotConnected(reason)))

    def _leave(self) -> None:
        self.isTrying = self.isOpen = False
        self._within(LEAVE_TIMEOUT, self._overdue)

    def _overdue(self) -> None:
        self.line.abort()

    def _within(self, seconds: float, late: Callable[[], None]) -> None:
        self._stopTimer()
        self._deadline = self._clock.callLater(seconds, late)

    def _stopTimer(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
