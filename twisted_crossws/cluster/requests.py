"""
The calls of this node whose replies are still waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from twisted_crossws.cluster.deadlines import Deadlines
from twisted_crossws.cluster.gathered import Gathered, Replies, Reply
from twisted_crossws.errors import BusUnavailable, CallTimeout, CrossWSError
from twisted_crossws.state.counters import Counters

_log = Logger()

#: Called with each reply, and once more if time runs out.
OnReply = Callable[[Reply], Any]


class Waiting(msgspec.Struct, eq=False):
    """
    One call.

    @ivar requestId: unique in the cluster.
    @ivar done: fires with L{Replies} at the end of the wait, however it ends; cancelling it forgets the call.
    @ivar event: what was asked.
    @ivar timeout: seconds.
    @ivar onReply: who is told of each reply.
    @ivar replyElsewhere: the reply may go past this server, so that its absence is nothing to count.
    @ivar isHeld: nobody was asked yet, as this server has not joined its cluster.
    """

    requestId: str
    gathered: Gathered
    done: Deferred[Replies]
    event: str
    timeout: float
    onReply: OnReply | None
    replyElsewhere: bool
    isHeld: bool = False

    def tell(self, sender: str | None, payload: Any = None, error: CrossWSError | None = None) -> None:
        """There is news for C{onReply}."""
        if self.onReply is None:
            return
        try:
            self.onReply(self.gathered.told(sender, payload, error))
        except Exception:
            _log.failure("an onReply function failed: {onReply!r}", onReply=self.onReply)


class Requests:
    """
    A table of calls, each with a deadline on a given clock. Whatever ends a call leaves nothing of it behind.
    """

    def __init__(self, clock: IReactorTime, counters: Counters, idPrefix: str) -> None:
        """
        @param idPrefix: makes ids unique in the cluster, also after a restart under the same name.
        """
        self._counters = counters
        self._idPrefix = idPrefix
        self._lastId = 0
        self._waiting: dict[str, Waiting] = {}
        self._deadlines = Deadlines(clock, self._waiting, self._timedOut)

    def __len__(self) -> int:
        return len(self._waiting)

    def ids(self) -> set[str]:
        """Those whose replies come to this server, if they come at all."""
        return {requestId for requestId, waiting in self._waiting.items() if not waiting.replyElsewhere}

    def begin(
        self,
        event: str,
        targets: Iterable[str],
        expected: int | None,
        timeout: float,
        onReply: OnReply | None,
        replyElsewhere: bool = False,
        hasStrangers: bool = False,
    ) -> Waiting:
        """
        @param targets: who is asked, as far as that is known.
        @param expected: how many replies of those who listen end the wait; C{None}: one from each of the targets.
        @param timeout: seconds.
        @param hasStrangers: others may be asked that nobody knows of.
        @param replyElsewhere: the reply may go past this server, so that its absence is nothing to count.
        """
        self._lastId += 1
        requestId = f"{self._idPrefix}{self._lastId}"
        waiting = self._waiting[requestId] = Waiting(
            requestId,
            Gathered(requestId, targets, expected, hasStrangers),
            Deferred(lambda _: self._cancelled(requestId)),
            event,
            timeout,
            onReply,
            replyElsewhere,
        )
        self._deadlines.add(requestId, timeout)
        self._counters["calls_sent"] += 1
        return waiting

    def isOpen(self, requestId: str) -> bool:
        """Whether its replies are still waited for."""
        return requestId in self._waiting

    def release(self, waiting: Waiting, targets: Iterable[str], expected: int | None) -> None:
        """A call that was held is made now, of these. The arguments are those of L{begin}."""
        waiting.isHeld = False
        waiting.gathered = Gathered(waiting.requestId, targets, expected, waiting.gathered.hasStrangers)

    def replied(self, requestId: str, sender: str, payload: Any) -> None:
        """A reply came. One that nobody waits for any more is counted."""
        if (waiting := self._whose(requestId)) is not None:
            waiting.gathered.replied(sender, payload)
            if waiting.onReply is not None:
                waiting.tell(sender, payload)
            if waiting.gathered.isDone:
                self.end(requestId)

    def failed(self, requestId: str, sender: str, error: CrossWSError) -> None:
        """An error is the reply."""
        if (waiting := self._whose(requestId)) is not None:
            waiting.gathered.failed(sender, error)
            waiting.tell(sender, error=error)
            self.settle(requestId)

    def unreachable(self, requestId: str, name: str, error: CrossWSError) -> None:
        """From this one no reply will come."""
        if (waiting := self._whose(requestId)) is not None:
            waiting.gathered.unreachable(name, error)
            waiting.tell(name, error=error)
            self.settle(requestId)

    def lost(self, name: str, error: CrossWSError) -> None:
        """No reply will come from this one, to any call."""
        for requestId, waiting in list(self._waiting.items()):
            if waiting.gathered.waitsFor(name):
                self.unreachable(requestId, name, error)

    def gathered(self, requestId: str) -> Gathered | None:
        """The state of a call, if it is still open."""
        waiting = self._waiting.get(requestId)
        return None if waiting is None else waiting.gathered

    def noOthers(self, requestId: str, own: str, faultOf: Callable[[str], CrossWSError | None]) -> None:
        """
        Nobody will reply to a call who is not known, nor whoever has a fault.

        @param own: the name of this server, which has none.
        @param faultOf: why no reply will come from a server of that name; C{None}: it may come.
        """
        gathered = self.gathered(requestId)
        if gathered is not None:
            gathered.hasStrangers = False
            for name in gathered.others(own):
                if (fault := faultOf(name)) is not None:
                    self.unreachable(requestId, name, fault)
            self.settle(requestId)

    def settle(self, requestId: str) -> None:
        """End the call if nothing is waited for: also one that had nobody to ask."""
        waiting = self._waiting.get(requestId)
        if waiting is not None and waiting.gathered.isDone:
            self.end(requestId)

    def end(self, requestId: str) -> bool:
        """
        End the wait with what came so far.

        @return: whether it was still open.
        """
        waiting = self.forget(requestId)
        if waiting is not None:
            waiting.done.callback(waiting.gathered.result())
        return waiting is not None

    def forget(self, requestId: str) -> Waiting | None:
        """As if it had never been."""
        waiting = self._waiting.pop(requestId, None)
        if not self._waiting:
            self._deadlines.clear()
        return waiting

    def endAll(self) -> None:
        """No reply will come to any of them."""
        for requestId in list(self._waiting):
            self.end(requestId)

    def _whose(self, requestId: str) -> Waiting | None:
        waiting = self._waiting.get(requestId)
        if waiting is None:
            # Node.js peers and we reply to everyone; what others have asked is no concern of this server.
            self._counters["replies_late"] += requestId.startswith(self._idPrefix)
        return waiting

    def _cancelled(self, requestId: str) -> None:
        self.forget(requestId)

    def _timedOut(self, requestId: str) -> None:
        waiting = self._waiting[requestId]
        self._counters["calls_timed_out"] += not waiting.replyElsewhere
        says = f"Not every reply to {waiting.event!r} came within {waiting.timeout:g} seconds."
        waiting.tell(None, error=CallTimeout(says))
        if waiting.isHeld:
            why = BusUnavailable(f"Nobody was asked, as this server has not joined within {waiting.timeout:g} seconds.")
            for name in waiting.gathered.missing:
                waiting.gathered.unreachable(name, why)
        self.end(requestId)
