"""
Where the answer to a question between servers goes: one class for each kind of who asked.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from twisted_crossws.cluster.answering import Asker
from twisted_crossws.cluster.outbox import Outbox
from twisted_crossws.cluster.requests import Requests
from twisted_crossws.errors import RemoteError
from twisted_crossws.wire.frames import encodeErrorReply, encodeReply
from twisted_crossws.wire.packets import REPLY_EVENT, Bridge, ForSockets, ReplyFault, ReplyTo, ServerEvent
from twisted_crossws.wire.topics import Topics


class SelfAsker(Asker):
    """This node asked itself."""

    __slots__ = ("_outbox", "_requestId", "_requests")

    def __init__(self, outbox: Outbox, requests: Requests, requestId: str) -> None:
        self._outbox = outbox
        self._requests = requests
        self._requestId = requestId

    def reply(self, value: Any) -> None:
        self._requests.replied(self._requestId, self._outbox.serverName, self._outbox.codec.copy(value))

    def error(self, code: str, message: str) -> None:
        self._requests.failed(self._requestId, self._outbox.serverName, RemoteError(code, message))


class RemoteAsker(Asker):
    """Another server asked, and waits for a packet."""

    __slots__ = ("_asked", "_channel", "_outbox")

    def __init__(self, outbox: Outbox, channel: str, asked: ServerEvent) -> None:
        """
        @param channel: what the other server hears.
        """
        self._outbox = outbox
        self._channel = channel
        self._asked = asked

    def reply(self, value: Any) -> None:
        self._publish(value, None)

    def error(self, code: str, message: str) -> None:
        # A Node.js peer would take an error for a reply of nothing. Only our own requests have a deadline.
        if self._asked.deadline is not None:
            self._publish(UNSET, ReplyFault(code, message))

    def _publish(self, payload: Any, error: ReplyFault | None) -> None:
        own, callbackId = self._outbox.serverName, self._asked.callbackId
        reply = ServerEvent(REPLY_EVENT, own, payload, [], callbackId, isCallback=True, error=error)
        self._outbox.publish(self._channel, Bridge(reply), 1)


class ClientAsker(Asker):
    """A client asked through another server, and gets the finished frame."""

    __slots__ = ("_outbox", "_replyTo", "_topics")

    def __init__(self, outbox: Outbox, topics: Topics, replyTo: ReplyTo) -> None:
        self._outbox = outbox
        self._topics = topics
        self._replyTo = replyTo

    def reply(self, value: Any) -> None:
        self._publish(encodeReply(self._replyTo.callbackId, value))

    def error(self, code: str, message: str) -> None:
        if self._replyTo.v >= 2:
            self._publish(encodeErrorReply(self._replyTo.callbackId, code, message))

    def _publish(self, frame: bytes) -> None:
        packet = ForSockets(
            frame.decode(),
            socketId=self._replyTo.socketId,
            senderServer=self._outbox.serverName,
            connection=self._replyTo.connection or UNSET,
        )
        self._outbox.publish(self._topics.privateSocket, packet)
