"""
The replies to one call between servers, as they come in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from twisted_crossws.errors import CrossWSError, RemoteError
from twisted_crossws.state.dispatch import NO_LISTENER


# Not dataclasses: these are made with every call, and cost a tenth of one.
class Reply(msgspec.Struct, frozen=True):
    """
    One reply, or the end of waiting for others.

    @ivar ok: whether this is a reply that is no error.
    @ivar sender: who replied, or C{None} when time ran out.
    @ivar payload: the reply itself.
    @ivar remaining: how many replies are still waited for; when time ran out, how many did not come.
    @ivar missing: the names of those, where known.
    @ivar requestId: what L{Servers.emit<twisted_crossws.cluster.requests.Servers.emit>} returned.
    @ivar error: what went wrong, if not C{ok}.
    """

    ok: bool
    sender: str | None
    payload: Any
    remaining: int
    missing: frozenset[str]
    requestId: str
    error: CrossWSError | None = None


class Replies(msgspec.Struct):
    """
    What came of a call.

    @ivar byServer: the replies, by the name of who gave them.
    @ivar errors: what went wrong, by the name of whose fault it is.
    @ivar missing: names of those that were asked and did not reply, where known.
    @ivar unanswered: how many replies did not come.
    """

    byServer: dict[str, Any] = {}
    errors: dict[str, CrossWSError] = {}
    missing: frozenset[str] = frozenset()
    unanswered: int = 0

    @property
    def complete(self) -> bool:
        """Whether every reply came that was waited for."""
        return self.unanswered == 0


class Gathered:
    """
    The state of one call: pure, told of replies and asked what they mean.
    """

    __slots__ = ("_answered", "_countsAll", "_missing", "_open", "_replies", "expected", "hasStrangers", "requestId")

    def __init__(
        self, requestId: str, targets: Iterable[str], expected: int | None, hasStrangers: bool = False
    ) -> None:
        """
        @param targets: the names that are asked, as far as they are known.
        @param expected: how many replies of servers that listen end the wait, whoever they are from; C{None}: one from
            each target, be it that it does not listen.
        @param hasStrangers: others may be asked that nobody knows of, such as Node.js peers.
        """
        self.requestId = requestId
        self._open = set(targets)
        self._countsAll = expected is not None
        self.hasStrangers = hasStrangers
        self.expected = len(self._open) if expected is None else expected
        self._replies = Replies()
        self._answered = 0
        self._missing: frozenset[str] = frozenset()

    def waitsFor(self, name: str) -> bool:
        """Whether that one was asked, and has not replied."""
        return name in self._open

    def others(self, name: str) -> list[str]:
        """All but that one which were asked and have not replied."""
        return sorted(self._open - {name})

    @property
    def isDone(self) -> bool:
        """Whether nothing more is waited for, or nobody is left who could answer."""
        return self._answered >= self.expected or (self._countsAll and not self._open and not self.hasStrangers)

    @property
    def missing(self) -> frozenset[str]:
        """The names of those that were asked and have not replied, whether one may still come or not."""
        return self._missing | self._open

    @property
    def remaining(self) -> int:
        """How many replies are still waited for."""
        return max(0, self.expected - self._answered)

    def replied(self, sender: str, payload: Any) -> None:
        """A reply came."""
        self._count(sender)
        self._replies.byServer[sender] = payload

    def failed(self, sender: str, error: CrossWSError) -> None:
        """An error is the reply."""
        if self._countsAll and isinstance(error, RemoteError) and error.code == NO_LISTENER:
            self._open.discard(sender)
        else:
            self._count(sender)
        self._replies.errors[sender] = error

    def unreachable(self, name: str, error: CrossWSError) -> None:
        """No reply will come from this one: it is not waited for any more, and stays missing."""
        self._open.discard(name)
        self._missing |= {name}
        self._replies.errors[name] = error
        if not self._countsAll:
            self.expected -= 1
            self._replies.unanswered += 1

    def told(self, sender: str | None, payload: Any = None, error: CrossWSError | None = None) -> Reply:
        """
        What to tell of the reply, or of its absence, that this has just been told of.

        @param sender: C{None} when time has run out.
        """
        return Reply(error is None, sender, payload, self.remaining, self.missing, self.requestId, error)

    def result(self) -> Replies:
        """What came so far."""
        if self._open or self._missing or self._answered < self.expected:
            self._replies.unanswered += self.remaining
            self._replies.missing = self.missing
        return self._replies

    def _count(self, sender: str) -> None:
        # Who was not asked by name, such as a Node.js peer that nobody knows of, must not end the wait for the others.
        self._answered += self._countsAll or sender in self._open
        self._open.discard(sender)
