"""
What a client answers when its server asks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure

from twisted_crossws.errors import OverLimit, ReplyError
from twisted_crossws.state.connection import Connection
from twisted_crossws.state.deliver import DECLINED, Gathering
from twisted_crossws.wire.frames import Request, encodeAnswer, encodeErrorAnswer

#: Called with the listener that failed, or whose result cannot be sent, and the failure.
OnFailure = Callable[[Callable[..., Any], Failure], None]

#: What may be told of a listener that failed: what it raised may hold anything, and stays here.
_FAILED = ("internal_error", "The client failed to handle this event.")


class RequestAnswer(Gathering):
    """
    The answer to one request: the first result of a listener that is not C{None}; C{null} if there is none; an error if
    a listener failed and none gave a result, or if each returned L{NoReply<twisted_crossws.state.deliver.NoReply>}. It
    goes out on the connection that the request came by, or not at all: to the server, the next connection is another
    client.
    """

    __slots__ = ("_connection", "_onFailure", "_onUnsendable", "_request")

    def __init__(self, request: Request, connection: Connection, onFailure: OnFailure, onUnsendable: OnFailure) -> None:
        super().__init__()
        self._onUnsendable = onUnsendable
        self._request = request
        self._connection = connection
        self._onFailure = onFailure

    def answered(self, value: Any) -> None:
        try:
            text = encodeAnswer(self._request.ackId, value)
        except Exception:
            # What the listener returned has no form on the wire.
            failure = Failure()
            assert self.giver is not None  # None has a form.
            self._onUnsendable(self.giver, failure)
            self.failed(failure)
        else:
            self._send(text)

    def failed(self, failure: Failure) -> None:
        fault = failure.value
        if isinstance(fault, ReplyError):
            code, message = fault.code, fault.message
        else:
            code, message = (fault.code, str(fault)) if isinstance(fault, OverLimit) else _FAILED
        self._send(encodeErrorAnswer(self._request.ackId, code, message))

    def declined(self) -> None:
        self._send(encodeErrorAnswer(self._request.ackId, *DECLINED))

    def listenerFailed(self, listener: Callable[..., Any], failure: Failure) -> None:
        if not failure.check(ReplyError):
            self._onFailure(listener, failure)

    def _send(self, text: bytes) -> None:
        if self._connection.isOpen:
            self._connection.line.sendText(text)
