"""
Who heard a question: where nobody did who could answer it, that is its outcome.

A bus that knows the names of its servers tells at once who is not there. Redis knows no names, and says how many got a
packet. Servers of ours have a channel of their own each, so C{0} there means that the one who was asked is not on the
bus. On the channel that all hear, Node.js peers may listen, which announce nothing. That none does is known if it has
no more subscribers than the own channels of the servers that are known, which is asked when a question is for somebody
unknown, and no more got it than those.
"""

from __future__ import annotations

from twisted.python.failure import Failure

from twisted_crossws.cluster.membership import Membership
from twisted_crossws.cluster.outbox import Outbox
from twisted_crossws.cluster.requests import Requests
from twisted_crossws.errors import BusUnavailable, NoSuchServer, ServerLost
from twisted_crossws.state.counters import Counters
from twisted_crossws.wire.text import shown


class Audience:
    """What the bus says of questions that were put on it."""

    def __init__(
        self, outbox: Outbox, membership: Membership, requests: Requests, counters: Counters, channel: str
    ) -> None:
        """
        @param channel: the one that every server hears.
        """
        self._outbox = outbox
        self._membership = membership
        self._requests = requests
        self._counters = counters
        self._channel = channel

    def ofOne(self, count: int, requestId: str) -> None:
        """A question to one server on its own channel was carried, and so many got it."""
        if not count:
            self._nobody(requestId)

    def ofAll(self, count: int, requestId: str) -> None:
        """A question on the channel that all hear was carried, and so many got it."""
        if not count:
            self._nobody(requestId)
        elif count <= self._membership.count() and self._isForStrangers(requestId):
            beyond = self._outbox.hasOtherSubscribers(self._channel, self._membership.channels())
            beyond.addCallbacks(self._counted, self._cannotTell, callbackArgs=(requestId,))

    def lost(self, failure: Failure, requestId: str) -> None:
        """The bus did not carry a question, or cannot tell: nobody but this server itself will reply."""
        failure.trap(BusUnavailable)
        self._counters["calls_undeliverable"] += 1
        fault = BusUnavailable(failure.getErrorMessage())
        self._requests.noOthers(requestId, self._outbox.serverName, lambda name: fault)

    def _isForStrangers(self, requestId: str) -> bool:
        """Whether somebody may answer it who has not announced itself."""
        gathered = self._requests.gathered(requestId)
        if gathered is None or gathered.isDone:
            return False
        return gathered.hasStrangers or any(map(self._isUnknown, gathered.others(self._outbox.serverName)))

    def _isUnknown(self, name: str) -> bool:
        return self._membership.channelTo(name) is None

    def _counted(self, hasOthers: bool, requestId: str) -> None:
        if not hasOthers:
            self._requests.noOthers(
                requestId, self._outbox.serverName, lambda name: self._fault(name) if self._isUnknown(name) else None
            )

    def _cannotTell(self, failure: Failure) -> None:
        """Then the time-out of the question has to tell."""
        failure.trap(BusUnavailable)

    def _nobody(self, requestId: str) -> None:
        self._requests.noOthers(requestId, self._outbox.serverName, self._fault)

    def _fault(self, name: str) -> NoSuchServer | ServerLost:
        if self._isUnknown(name):
            return NoSuchServer(f"There is no server named {shown(name)}: nobody who may be it is on the bus.")
        return ServerLost(f"The server {shown(name)} is not on the bus: it did not hear the question.")
