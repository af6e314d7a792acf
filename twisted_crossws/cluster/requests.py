"""
The calls of this node whose replies are still waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from twisted_crossws.cluster.gathered import Gathered, Replies, Reply
from twisted_crossws.errors import CallTimeout, CrossWSError
from twisted_crossws.state.counters import Counters

_log = Logger()

#: Called with each reply, and once more if time runs out.
OnReply = Callable[[Reply], Any]


class Waiting:
    """
    One call.

    @ivar requestId: unique in the cluster.
    @ivar done: fires with L{Replies} at the end of the wait, however it ends; cancelling it forgets the call.
    """

    def __init__(self, requestId: str, gathered: Gathered, onReply: OnReply | None, timer: IDelayedCall) -> None:
        self.requestId = requestId
        self.gathered = gathered
        self.timer = timer
        self.done: Deferred[Replies] = Deferred()
        self._onReply = onReply

    def tell(self, reply: Reply) -> None:
        if self._onReply is None:
            return
        try:
            self._onReply(reply)
        except Exception:
            _log.failure("an onReply function failed: {onReply!r}", onReply=self._onReply)


class Requests:
    """
    A table of calls, each with a deadline on a given clock. Whatever ends a call leaves nothing of it behind.
    """

    def __init__(self, clock: IReactorTime, counters: Counters, idPrefix: str) -> None:
        """
        @param idPrefix: makes ids unique in the cluster, also after a restart under the same name.
        """
        self._clock = clock
        self._counters = counters
        self._idPrefix = idPrefix
        self._lastId = 0
        self._waiting: dict[str, Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(
        self,
        event: str,
        targets: Iterable[str],
        expected: int | None,
        timeout: float,
        onReply: OnReply | None,
        replyElsewhere: bool = False,
    ) -> Waiting:
        """
        @param targets: who is asked, as far as that is known.
        @param expected: how many replies end the wait; C{None}: as many as there are targets.
        @param timeout: seconds.
        @param replyElsewhere: the reply may go past this server, so that its absence is nothing to count.
        """
        self._lastId += 1
        requestId = f"{self._idPrefix}{self._lastId}"
        timer = self._clock.callLater(timeout, self._timedOut, requestId, event, timeout, replyElsewhere)
        waiting = Waiting(requestId, Gathered(requestId, targets, expected), onReply, timer)
        waiting.done = Deferred(lambda _: self._cancelled(requestId))
        self._waiting[requestId] = waiting
        self._counters["calls_sent"] += 1
        return waiting

    def replied(self, requestId: str, sender: str, payload: Any) -> None:
        """A reply came. One that nobody waits for any more is counted."""
        self._reply(requestId, lambda gathered: gathered.replied(sender, payload))

    def failed(self, requestId: str, sender: str, error: CrossWSError) -> None:
        """An error is the reply."""
        self._reply(requestId, lambda gathered: gathered.failed(sender, error))

    def unreachable(self, requestId: str, name: str, error: CrossWSError) -> None:
        """From this one no reply will come."""
        self._reply(requestId, lambda gathered: gathered.unreachable(name, error))

    def lost(self, name: str, error: CrossWSError) -> None:
        """No reply will come from this one, to any call."""
        for requestId, waiting in list(self._waiting.items()):
            if waiting.gathered.waitsFor(name):
                self.unreachable(requestId, name, error)

    def notCarried(self, requestId: str, own: str, error: CrossWSError) -> None:
        """The question did not leave this server: from nobody else a reply will come."""
        waiting = self._waiting.get(requestId)
        for name in waiting.gathered.others(own) if waiting is not None else ():
            self.unreachable(requestId, name, error)

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
        if waiting is not None and waiting.timer.active():
            waiting.timer.cancel()
        return waiting

    def endAll(self) -> None:
        """No reply will come to any of them."""
        for requestId in list(self._waiting):
            self.end(requestId)

    def _reply(self, requestId: str, change: Callable[[Gathered], Reply]) -> None:
        waiting = self._waiting.get(requestId)
        if waiting is None:
            # Node.js peers and we reply to everyone; what others have asked is no concern of this server.
            self._counters["replies_late"] += requestId.startswith(self._idPrefix)
            return
        waiting.tell(change(waiting.gathered))
        self.settle(requestId)

    def _cancelled(self, requestId: str) -> None:
        self.forget(requestId)

    def _timedOut(self, requestId: str, event: str, timeout: float, replyElsewhere: bool) -> None:
        self._counters["calls_timed_out"] += not replyElsewhere
        waiting = self._waiting[requestId]
        error = CallTimeout(f"Not every reply to {event!r} came within {timeout:g} seconds.")
        waiting.tell(waiting.gathered.timedOut(error))
        self.end(requestId)
