"""
Servers that call each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import UNSET
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twisted_crossws.cluster.answering import Answering, Asker, ServerMessage
from twisted_crossws.cluster.gathered import Replies
from twisted_crossws.cluster.outbox import Outbox
from twisted_crossws.cluster.requests import OnReply, Requests, Waiting
from twisted_crossws.errors import CallTimeout, NoSuchServer, RemoteError
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.listeners import Listeners, checkEvent
from twisted_crossws.wire.frames import encodeErrorReply, encodeReply
from twisted_crossws.wire.packets import REPLY_EVENT, Bridge, ForSockets, ReplyFault, ReplyTo, ServerEvent
from twisted_crossws.wire.topics import Topics

#: Seconds that a call waits by default.
DEFAULT_TIMEOUT = 5.0


class Servers(Listeners):
    """
    C{node.servers}: events between servers, and calls with replies.

    A listener is called with a L{ServerMessage}; what it returns (or its Deferred or coroutine results in) is the
    reply, if the caller wants one. A node serves itself at once and without the bus, with a copy of the payload.
    """

    def __init__(
        self, *, outbox: Outbox, topics: Topics, clock: IReactorTime, counters: Counters, incarnation: str
    ) -> None:
        """
        @param incarnation: what tells this life of the server from earlier ones of the same name.
        """
        super().__init__()
        self._outbox = outbox
        self._topics = topics
        self._clock = clock
        self._counters = counters
        self._requests = Requests(clock, counters, f"{outbox.serverName[-6:]}-{incarnation}-")

    def emit(
        self,
        event: str,
        payload: object = None,
        *,
        to: str | Iterable[str] = (),
        onReply: OnReply | None = None,
        expected: int | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        exceptSelf: bool = False,
    ) -> str | None:
        """
        Tell servers something.

        @param to: a name, or several; empty means every server.
        @param onReply: called with a L{Reply<twisted_crossws.cluster.gathered.Reply>} for each reply, and once more if
            time runs out; without it no reply is wanted. This node's own reply comes before C{emit} returns.
        @param expected: how many replies end the wait; by default as many as servers are asked.
        @param timeout: seconds.
        @param exceptSelf: this node is not asked.
        @return: the id of the request, for L{cancel}, if replies are wanted.
        @raise TypeError: the event is not a non-empty string, or the bus has no form for the payload.
        """
        if onReply is not None:
            return self._ask(event, payload, to, onReply, expected, timeout, exceptSelf).requestId
        self._send(ServerEvent(event, self._outbox.serverName, payload, _targets(event, to)), exceptSelf)
        return None

    def call(
        self,
        event: str,
        payload: object = None,
        *,
        to: str | Iterable[str] = (),
        expected: int | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        exceptSelf: bool = False,
    ) -> Deferred[Replies]:
        """
        Ask servers something. The arguments are those of L{emit}.

        @return: fires with L{Replies}, also when time runs out: then they hold what came, and are not
            C{complete}. Cancelling it forgets the call.
        @raise TypeError: as L{emit}.
        """
        return self._ask(event, payload, to, None, expected, timeout, exceptSelf).done

    def callOne(
        self, event: str, payload: object = None, to: str = "", timeout: float = DEFAULT_TIMEOUT
    ) -> Deferred[Any]:
        """
        Ask one server.

        @param to: its name.
        @return: fires with the payload of its reply; fails with L{CallTimeout}, L{RemoteError}, or L{NoSuchServer}
            where the bus can tell.
        @raise TypeError: as L{emit}, or C{to} is not a name.
        """
        if not (isinstance(to, str) and to):
            raise TypeError(f"callOne needs the name of one server in 'to', not {to!r}.")

        def only(replies: Replies) -> Any:
            if to in replies.errors:
                raise replies.errors[to]
            if not replies.complete:
                raise CallTimeout(f"No reply to {event!r} came from {to!r} within {timeout:g} seconds.")
            return replies.byServer[to]

        return self.call(event, payload, to=[to], timeout=timeout).addCallback(only)

    def cancel(self, requestId: str) -> bool:
        """
        Stop waiting; the Deferred of the call fires with what came so far.

        @return: C{True} if it was still open.
        """
        return self._requests.end(requestId)

    def askFor(self, event: str, payload: object, to: str, replyTo: ReplyTo) -> Deferred[Replies]:
        """
        Ask one server to answer a client directly (wire section 3).

        @return: fires with its reply if it answers this node instead, as Node.js peers do. An incomplete one is no
            bad news then: the client may have been answered.
        @raise TypeError: as L{emit}.
        """
        return self._ask(event, payload, to, None, None, DEFAULT_TIMEOUT, False, replyTo).done

    def stop(self) -> None:
        """No reply will come any more: every call ends with what came so far."""
        self._requests.endAll()

    def received(self, message: ServerEvent) -> None:
        """Something came over the bus. What this node sent itself it has served already."""
        own = self._outbox.serverName
        if message.senderServer == own:
            return
        if message.isCallback:
            self._replyReceived(message)
        elif not message.targetServer or own in message.targetServer:
            self._eventReceived(message)

    def _ask(
        self,
        event: str,
        payload: object,
        to: str | Iterable[str],
        onReply: OnReply | None,
        expected: int | None,
        timeout: float,
        exceptSelf: bool,
        replyTo: ReplyTo | None = None,
    ) -> Waiting:
        targets = _targets(event, to)
        own, known = self._outbox.serverName, self._outbox.serverNames()
        asked = [name for name in targets or sorted(known or (own,)) if not (exceptSelf and name == own)]
        waiting = self._requests.begin(event, asked, expected, timeout, onReply)
        deadline = (self._clock.seconds() + timeout) * 1000
        message = ServerEvent(
            event, own, payload, targets, callbackId=waiting.requestId, replyTo=replyTo, deadline=deadline
        )
        try:
            self._send(message, exceptSelf)
        except BaseException:
            self._requests.forget(waiting.requestId)
            raise
        if known is not None:
            for name in asked:
                if name not in known:
                    error = NoSuchServer(f"There is no server named {name!r}.")
                    self._requests.unreachable(waiting.requestId, name, error)
        self._requests.settle(waiting.requestId)
        return waiting

    def _send(self, message: ServerEvent, exceptSelf: bool) -> None:
        own, targets = self._outbox.serverName, message.targetServer
        if not self._outbox.isAlone and targets != [own]:
            self._outbox.publish(self._topics.bridge, Bridge(message))
        if not exceptSelf and (not targets or own in targets):
            asker = (
                Asker() if message.callbackId is None else _SelfAsker(self._outbox, self._requests, message.callbackId)
            )
            self._serve(message, self._outbox.codec.copy(message.payload), asker)

    def _serve(self, message: ServerEvent, payload: Any, asker: Asker) -> None:
        asked = ServerMessage(message.event, payload, message.senderServer, message.callbackId)
        Answering(asked, asker, self._counters).run(self.take(message.event))

    def _eventReceived(self, message: ServerEvent) -> None:
        if message.deadline is not None and message.deadline < self._clock.seconds() * 1000:
            self._counters["calls_expired"] += 1
            return
        payload = None if message.payload is UNSET else message.payload
        self._serve(message, payload, self._askerOf(message))

    def _askerOf(self, message: ServerEvent) -> Asker:
        if message.replyTo is not None:
            return _ClientAsker(self._outbox, self._topics, message.replyTo)
        if message.callbackId is not None:
            return _RemoteAsker(self._outbox, self._topics, message)
        return Asker()

    def _replyReceived(self, message: ServerEvent) -> None:
        if message.callbackId is None:
            self._counters["replies_late"] += 1
        elif message.error is not None:
            error = RemoteError(message.error.code, message.error.message)
            self._requests.failed(message.callbackId, message.senderServer, error)
        else:
            payload = None if message.payload is UNSET else message.payload
            self._requests.replied(message.callbackId, message.senderServer, payload)


class _SelfAsker(Asker):
    """This node asked itself."""

    def __init__(self, outbox: Outbox, requests: Requests, requestId: str) -> None:
        self._outbox = outbox
        self._requests = requests
        self._requestId = requestId

    def reply(self, value: Any) -> None:
        self._requests.replied(self._requestId, self._outbox.serverName, self._outbox.codec.copy(value))

    def error(self, code: str, message: str) -> None:
        self._requests.failed(self._requestId, self._outbox.serverName, RemoteError(code, message))


class _RemoteAsker(Asker):
    """Another server asked, and waits for a packet."""

    def __init__(self, outbox: Outbox, topics: Topics, asked: ServerEvent) -> None:
        self._outbox = outbox
        self._topics = topics
        self._asked = asked

    def reply(self, value: Any) -> None:
        self._publish(payload=value)

    def error(self, code: str, message: str) -> None:
        # A Node.js peer would take an error for a reply of nothing. Only our own requests have a deadline.
        if self._asked.deadline is not None:
            self._publish(error=ReplyFault(code, message))

    def _publish(self, **content: Any) -> None:
        own, callbackId = self._outbox.serverName, self._asked.callbackId
        reply = ServerEvent(REPLY_EVENT, own, targetServer=[], callbackId=callbackId, isCallback=True, **content)
        self._outbox.publish(self._topics.bridge, Bridge(reply))


class _ClientAsker(Asker):
    """A client asked through another server, and gets the finished frame."""

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
        packet = ForSockets(frame.decode(), socketId=self._replyTo.socketId, senderServer=self._outbox.serverName)
        self._outbox.publish(self._topics.privateSocket, packet)


def _targets(event: str, to: str | Iterable[str]) -> list[str]:
    checkEvent(event)
    return [to] if isinstance(to, str) else list(dict.fromkeys(to))
