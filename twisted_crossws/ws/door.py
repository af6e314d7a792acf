"""
Whoever is not let in yet: a little time, a little memory, and one decision, whichever way it came.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.errors import HandshakeError
from twisted_crossws.wire.http import MAX_HEAD_BYTES, RequestHead
from twisted_crossws.ws.handshake import Admission, Admitted
from twisted_crossws.ws.server import ServerFactory, ServerProtocol

_log = Logger()

#: How many are decided about in one turn, when a door is opened that many wait at: so long others have to wait.
AT_ONCE = 50

#: What a client begins with that believes to have connected to a port for TLS (RFC 8446 section 5.1).
_TLS = b"\x16\x03"


class Door:
    """
    What all ways into a node share.

    @ivar admission: decides who comes in.
    @ivar sockets: makes the protocol of whoever does.
    @ivar handshakeTimeout: seconds until then.
    @ivar waiting: whoever has not come in yet.
    @ivar isHeld: nobody comes in for now; whoever has asked is decided about when the door is opened.
    """

    def __init__(
        self,
        *,
        admission: Admission,
        sockets: ServerFactory,
        clock: IReactorTime,
        handshakeTimeout: float,
        holdTimeout: float,
    ) -> None:
        """
        @param holdTimeout: seconds for which it is held at most.
        """
        self.admission = admission
        self.sockets = sockets
        self.clock = clock
        self.handshakeTimeout = handshakeTimeout
        self.waiting: set[Visitor] = set()
        self.isHeld = False
        self._holdTimeout = holdTimeout
        self._held: dict[Visitor, Callable[[], None]] = {}
        self._turn: IDelayedCall | None = None

    @property
    def patience(self) -> float:
        """Seconds that somebody who comes now has until it is in."""
        return self.handshakeTimeout + (self._holdTimeout if self.isHeld else 0.0)

    def hold(self) -> None:
        """Let nobody in for now."""
        self.isHeld = True

    def open(self) -> None:
        """Whoever waits is decided about, in the order in which it came."""
        self.isHeld = False
        self._decideSome()

    def add(self, visitor: Visitor, decide: Callable[[], None]) -> None:
        """
        Somebody has asked while the door is held.

        @param decide: to be called when it is open.
        """
        self._held[visitor] = decide

    def isHolding(self, visitor: Visitor) -> bool:
        """Whether that one has asked, and waits for the door to be opened."""
        return visitor in self._held

    def remove(self, visitor: Visitor) -> None:
        """It is not at the door any more."""
        self.waiting.discard(visitor)
        self._held.pop(visitor, None)

    def _decideSome(self) -> None:
        self._turn = None
        if self.isHeld:
            return
        for visitor in list(islice(self._held, AT_ONCE)):
            self._held.pop(visitor)()
        if self._held:
            self._turn = self.clock.callLater(0, self._decideSome)

    def sendAway(self) -> None:
        """The node stops: whoever has not come in yet does not."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        for visitor in list(self.waiting):
            self.admission.refusals.tell("stopping", visitor.peer, "This node stops.")
            visitor.refuse(HandshakeError(503, "The server is stopping.", [("Retry-After", "1")]))


class Visitor:
    """
    Somebody at the door, until L{Admission} has decided. A subclass knows the connection: how to let it in, to answer
    it, and to cut it.

    @ivar received: bytes that came and are not used yet.
    @ivar isDeciding: the handshake is being decided about.
    @ivar isOver: it is not at the door any more.
    """

    def __init__(self, door: Door) -> None:
        self.door = door
        self.received = b""
        self.isOver = False
        self._timer: IDelayedCall | None = None
        self._deciding: Deferred[Admitted] | None = None

    @property
    def peer(self) -> str:
        """Address and port of the other side, for people."""
        raise NotImplementedError

    def letIn(self, protocol: ServerProtocol, data: bytes) -> None:
        """
        It may come in.

        @param protocol: what is to have the connection from now on.
        @param data: what that has to receive first.
        """
        raise NotImplementedError

    def answer(self, fault: HandshakeError) -> None:
        """Say why not, and end the connection."""
        raise NotImplementedError

    def abort(self) -> None:
        """End the connection at once."""
        raise NotImplementedError

    @property
    def isDeciding(self) -> bool:
        return self._deciding is not None or self.door.isHolding(self)

    def arrive(self) -> None:
        """From now on its time runs."""
        self.door.waiting.add(self)
        self._timer = self.door.clock.callLater(self.door.patience, self._tooLate)

    def ask(self, head: RequestHead, peer: str, *, anyPath: bool = False) -> None:
        """
        Let it be decided.

        @param anyPath: on a shared site the site has decided about the path.
        """
        if self.door.isHeld:
            self.door.add(self, lambda: self.ask(head, peer, anyPath=anyPath))
            return
        deciding = self._deciding = Deferred.fromCoroutine(self.door.admission.admit(head, peer, anyPath=anyPath))
        deciding.addCallbacks(self._admitted, self._denied).addErrback(self._broken)

    def checkEarly(self) -> None:
        """Nobody may speak before the handshake is answered; a little of it is forgiven."""
        if len(self.received) > MAX_HEAD_BYTES:
            self._tell("malformed", f"It sent more than {MAX_HEAD_BYTES} bytes before its handshake was answered.")
            self._cut()

    def refuse(self, fault: HandshakeError) -> None:
        """It does not come in."""
        self.end()
        self.answer(fault)

    def end(self) -> None:
        """There is nothing more to do here: no timer, no bytes, no decision stays behind."""
        self.isOver = True
        self.received = b""
        self.door.remove(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deciding, self._deciding = self._deciding, None
        if deciding is not None:
            deciding.cancel()

    def _admitted(self, admitted: Admitted) -> None:
        if self.isOver:
            return  # It was told to give up, and has not.
        early = self.received
        self.end()
        protocol = self.door.sockets.admit(admitted)
        self.letIn(protocol, admitted.head)
        if early:
            # Not together with the head, or a Deferred of Autobahn's would keep what is raised at it to itself.
            protocol.dataReceived(early)

    def _denied(self, failure: Failure) -> None:
        failure.trap(HandshakeError, CancelledError)
        if isinstance(failure.value, HandshakeError) and not self.isOver:
            self.refuse(failure.value)

    def _broken(self, failure: Failure) -> None:
        """Something raised at what came with the handshake; the reactor ends connections for that, too."""
        _log.failure("a connection failed while it was let in", failure=failure)
        self.abort()

    def _tooLate(self) -> None:
        self._timer = None
        limit = f"[websocket] handshake_timeout = {self.door.handshakeTimeout:g} seconds"
        if self.isDeciding:
            self._tell("timeout", f"The authenticator had not decided after {limit}.")
        elif self.received.startswith(_TLS):
            self._tell("timeout", "It speaks TLS (wss:, https:), and this port does not: listen on ssl: for that.")
        elif self.received:
            self._tell("timeout", f"Its request was not complete after {limit}.")
        else:
            # A browser that connects ahead of time, or a check whether there is a port: that is no handshake.
            self.door.admission.refusals.count("timeout")
        self._cut()

    def _tell(self, cause: str, why: str) -> None:
        self.door.admission.refusals.tell(cause, self.peer, why)

    def _cut(self) -> None:
        self.end()
        self.abort()
