"""
A server's name is its own: two living servers of one name would not hear each other.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.cluster.identity import Identity
from twisted_crossws.errors import NameTaken
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.lifecycle import Lifecycle
from twisted_crossws.state.members import ServerInfo
from twisted_crossws.wire.packets import Kind, Presence

_log = Logger()

#: Seconds for which a newcomer waits whether somebody has its name already.
CLAIM_TIME = 0.5

#: Seconds between two complaints about a peer of the same name, which may send thousands of packets each second.
PEER_INTERVAL = 60.0

#: Says C{claim}, or C{taken} to an incarnation.
Say = Callable[[Kind, str], None]


class NameClaim:
    """
    The claim of one name. A newcomer says C{claim}; who has the name says C{taken}. Of two newcomers the elder gets it.

    Two members of one name can still meet, after the bus was away when they came: then the younger one's application
    is told, and nothing is cut. A Node.js peer claims nothing: it is noticed by what it sends.
    """

    def __init__(
        self, me: Identity | ServerInfo, say: Say, clock: IReactorTime, counters: Counters, lifecycle: Lifecycle
    ) -> None:
        self._me = me
        self._say = say
        self._clock = clock
        self._counters = counters
        self._lifecycle = lifecycle
        self._open: Deferred[None] | None = None
        self._isMine = False
        self._toldOfPeer = -inf

    def make(self) -> Deferred[None]:
        """
        Claim the name.

        @return: fires when nobody has objected; fails with L{NameTaken}. Cancelling it withdraws the claim.
        """
        self._open = Deferred(self._cancelled)
        self._timer = self._clock.callLater(CLAIM_TIME, self._unopposed)
        self._say("claim", "")
        return self._open

    def withdraw(self) -> None:
        """The name is not wanted, or not needed any more."""
        self._isMine = False
        if self._open is not None:
            self._open.cancel()

    def heard(self, other: Presence) -> None:
        """Another incarnation of this name has said something."""
        if other.kind == "bye" or (other.kind == "taken" and other.to != self._me.incarnation):
            return
        amElder = (self._me.since, self._me.incarnation) < (other.since, other.incarnation)
        if self._open is not None:
            if other.kind == "taken" or (other.kind == "claim" and not amElder):
                self._end().errback(Failure(self._taken(other)))
            elif other.kind == "claim":
                self._say("taken", other.incarnation)
        elif self._isMine:
            self._contested(other, amElder)

    def heardPeer(self) -> None:
        """A server that does not announce itself, such as a Node.js peer, has sent something under this name."""
        self._counters["names_contested"] += 1
        now = self._clock.seconds()
        if now - self._toldOfPeer < PEER_INTERVAL:
            return
        self._toldOfPeer = now
        fault = NameTaken(
            f"A Node.js peer on this bus is named {self._me.name!r}, too. It drops what this server sends, and this "
            "server drops what the peer sends, as if it were its own. Names must be unique in the cluster: give one of "
            "them another."
        )
        _log.error("{fault} (The log says it once a minute; names_contested says how often.)", fault=fault)
        self._lifecycle.fire("serverError", Failure(fault))

    def _contested(self, other: Presence, amElder: bool) -> None:
        self._counters["names_contested"] += 1
        if other.kind == "claim":
            self._say("taken", other.incarnation)
        elif not amElder:
            fault = self._taken(other)
            _log.error("{fault}", fault=fault)
            self._lifecycle.fire("serverError", Failure(fault))

    def _unopposed(self) -> None:
        self._isMine = True
        self._end().callback(None)

    def _cancelled(self, _: Deferred[None]) -> None:
        self._end()

    def _end(self) -> Deferred[None]:
        claim, self._open = self._open, None
        assert claim is not None
        if self._timer.active():
            self._timer.cancel()
        return claim

    def _taken(self, other: Presence) -> NameTaken:
        where = f", at {other.address}" if other.address else ""
        return NameTaken(
            f"There is a living server named {self._me.name!r} already{where}. Names must be unique in the cluster: "
            "give this one another, with server_name or --server-name."
        )
