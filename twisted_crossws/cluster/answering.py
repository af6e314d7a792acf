"""
Answering what other servers ask, or this one itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.errors import ReplyError
from twisted_crossws.state.arguments import described
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.deliver import Gathering
from twisted_crossws.state.dispatch import errorOf, noListener
from twisted_crossws.wire.text import sentence, shown

_log = Logger()


class ServerMessage(msgspec.Struct, frozen=True):
    """
    What a listener of C{node.servers} is called with.

    @ivar event: the event's name.
    @ivar payload: what came with it.
    @ivar sender: the name of the server it is from.
    @ivar requestId: the id of the request, or C{None} if no reply is wanted.
    """

    event: str
    payload: Any
    sender: str
    requestId: str | None


class Asker:
    """Where the answer to one message goes; this one wants none."""

    __slots__ = ()

    def reply(self, value: Any) -> None:
        """
        @raise TypeError: there is no form for the value on its way.
        """

    def error(self, code: str, message: str) -> None:
        """There is no answer, because of this."""


class Answering(Gathering):
    """The listeners of one message, and who is to hear what they say."""

    __slots__ = ("__weakref__", "_asker", "_counters", "_message")

    def __init__(self, message: ServerMessage, asker: Asker, counters: Counters) -> None:
        super().__init__()
        self._message = message
        self._asker = asker
        self._counters = counters

    @property
    def isOpen(self) -> bool:
        """Whether somebody waits for the answer, and a listener is still at work."""
        return self._working > 0 and self._message.requestId is not None

    def run(self, listeners: tuple[Callable[..., Any], ...]) -> None:
        """Call them. With nobody listening, or if all of them decline, that is the answer."""
        if listeners:
            self.gather(listeners, (self._message,))
        else:
            self.declined()

    def answered(self, value: Any) -> None:
        try:
            self._asker.reply(value)
        except (TypeError, ValueError, RecursionError):
            failure = Failure()
            self._resultFailed(failure)
            self.failed(failure)

    def failed(self, failure: Failure) -> None:
        self._asker.error(*errorOf(failure))

    def declined(self) -> None:
        self._asker.error(*noListener(self._message.event))

    def _resultFailed(self, failure: Failure) -> None:
        self._counters["listener_failures"] += 1
        _log.failure(
            "the result of a listener of the servers' event {event} cannot be sent to {sender}: {fault} It was "
            "returned by {listener}",
            failure=failure,
            event=shown(self._message.event),
            sender=shown(self._message.sender),
            fault=sentence(failure.value),
            listener=described(self.giver),
        )

    def listenerFailed(self, listener: Callable[..., Any], failure: Failure) -> None:
        if failure.check(ReplyError):
            return
        self._counters["listener_failures"] += 1
        _log.failure(
            "a listener of the servers' event {event} from {sender} failed: {listener!r}",
            failure=failure,
            event=shown(self._message.event),
            sender=shown(self._message.sender),
            listener=listener,
        )
