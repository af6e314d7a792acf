"""
A question to all servers, or some, whose answers may be long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from twisted_crossws.cluster.gathered import Replies, Reply
from twisted_crossws.cluster.servers import Servers
from twisted_crossws.errors import CallTimeout, CrossWSError, RemoteError
from twisted_crossws.wire.remote import MORE, Page

_log = Logger()

#: Called with the name of a server, and one item of its answer.
Heard = Callable[[str, Any], None]

#: Why a server has not told all that it had to tell, by its name.
Faults = dict[str, CrossWSError]


class Survey:
    """
    One such question. What each server says is passed on as it comes, page by page; it ends when all have told
    everything, or are gone, or time is up.

    @ivar done: fires with L{Faults} at the end; cancelling it ends the survey, and so does L{stop}.
    """

    def __init__(
        self,
        servers: Servers,
        clock: IReactorTime,
        event: str,
        payload: object,
        timeout: float,
        heard: Heard,
        *,
        to: Iterable[str] = (),
    ) -> None:
        """
        @param timeout: seconds for all of it.
        @param heard: may raise L{msgspec.ValidationError} for what is no item.
        @param to: names of servers; empty means all that are known to be alive.
        """
        self.done: Deferred[Faults] = Deferred(lambda _: self.stop())
        self._servers = servers
        self._clock = clock
        self._heard = heard
        self._until = clock.seconds() + timeout
        self._faults: Faults = {}
        self._isOver = False
        self._waiting = 1
        self._requests: set[str] = set()
        self._pulls: set[IDelayedCall] = set()
        first = servers.ask(event, payload, to, self._replied, timeout, False)
        self._requests.add(first.requestId)
        first.done.addCallback(self._firstEnded, first.requestId)

    def ignore(self) -> None:
        """
        Nobody wants to know the rest, and C{done} does not fire. Replies that are on their way are still expected: they
        are not late.
        """
        self._isOver = True
        for pull in self._pulls:
            pull.cancel()
        self._pulls.clear()

    def stop(self) -> None:
        """Nobody waits any more."""
        self.ignore()
        for requestId in list(self._requests):
            self._servers.cancel(requestId)

    def _replied(self, reply: Reply) -> None:
        if reply.ok and reply.sender is not None:
            self._pageReceived(reply.sender, reply.payload)

    def _firstEnded(self, replies: Replies, requestId: str) -> None:
        self._requests.discard(requestId)
        self._faults |= replies.errors
        for name in replies.missing.difference(replies.errors):
            self._faults[name] = _tooLate(name)
        self._oneEnded()

    def _pageReceived(self, sender: str, payload: Any) -> None:
        try:
            page = msgspec.convert(payload, Page)
            for item in page.items:
                if self._isOver:
                    return
                self._heard(sender, item)
        except msgspec.ValidationError as fault:
            self._faults[sender] = RemoteError("malformed", f"The server's answer is not understood: {fault}.")
            return
        if page.more is not None and not self._isOver:
            self._waiting += 1
            # In a turn of its own: a server that asks itself has its answer at once, and the next, and the next.
            pull = self._clock.callLater(0, lambda: self._pull(pull, sender, page.more))
            self._pulls.add(pull)

    def _pull(self, pull: IDelayedCall, sender: str, token: str | None) -> None:
        self._pulls.discard(pull)
        left = max(0.0, self._until - self._clock.seconds())
        asked = self._servers.ask(MORE, token, [sender], None, left, False)
        self._requests.add(asked.requestId)
        asked.done.addCallback(self._pulled, asked.requestId, sender)

    def _pulled(self, replies: Replies, requestId: str, sender: str) -> None:
        self._requests.discard(requestId)
        if sender in replies.byServer:
            self._pageReceived(sender, replies.byServer[sender])
        else:
            self._faults[sender] = replies.errors.get(sender) or _tooLate(sender)
        self._oneEnded()

    def _oneEnded(self) -> None:
        self._waiting -= 1
        if not self._waiting and not self._isOver:
            self._isOver = True
            self.done.callback(self._faults)


def _tooLate(name: str) -> CallTimeout:
    return CallTimeout(f"The server {name!r} has not told everything in time.")
