"""
Servers that call each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn
from weakref import WeakSet

from msgspec import UNSET
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twisted_crossws.cluster.answering import Answering, Asker, ServerMessage
from twisted_crossws.cluster.askers import ClientAsker, RemoteAsker, SelfAsker
from twisted_crossws.cluster.audience import Audience
from twisted_crossws.cluster.early import EarlyEvents
from twisted_crossws.cluster.gathered import Replies
from twisted_crossws.cluster.membership import Membership
from twisted_crossws.cluster.outbox import Outbox
from twisted_crossws.cluster.requests import OnReply, Requests, Waiting
from twisted_crossws.errors import CallTimeout, CrossWSError, NoSuchServer, RemoteError, ServerLost
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.listeners import Listener, Listeners, checkEvent
from twisted_crossws.state.members import ServerInfo
from twisted_crossws.state.unheard import Unheard
from twisted_crossws.wire.packets import Bridge, ReplyTo, ServerEvent
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
        self,
        *,
        outbox: Outbox,
        membership: Membership,
        topics: Topics,
        clock: IReactorTime,
        counters: Counters,
        incarnation: str,
    ) -> None:
        """
        @param incarnation: what tells this life of the server from earlier ones of the same name.
        """
        super().__init__("message")
        self._outbox = outbox
        self._membership = membership
        self._topics = topics
        self._clock = clock
        self._counters = counters
        self._requests = Requests(clock, counters, f"{outbox.serverName[-6:]}-{incarnation}-")
        self._audience = Audience(outbox, membership, self._requests, counters, topics.bridge)
        self._unheard = Unheard(outbox.serverName, "servers", self)
        # Weakly: what a listener never answers, and has forgotten, need not be remembered here.
        self._answering: WeakSet[Answering] = WeakSet()
        self._ownListeners: dict[str, tuple[Listener, ...]] = {}
        # Calls that were made before this server has joined.
        self._held: list[Callable[[], None]] = []
        self._early = EarlyEvents(counters)
        membership.onJoined(lambda: self._early.serve(self._eventReceived))
        membership.onDown(self._gone)
        membership.onEntered(self._entered)

    def names(self) -> frozenset[str]:
        """
        All servers that are known to be alive and do not drain, this one included. Node.js peers announce nothing, and
        are not.
        """
        return self._membership.names()

    def alive(self, name: str) -> bool:
        """Whether that server is known to be alive: it is neither gone, nor drains."""
        return name in self._membership.names()

    def info(self, name: str) -> ServerInfo | None:
        """
        What that server says of itself, or said last before it was gone, with its C{state}; C{None} if it is not known,
        or has been gone for long.
        """
        return self._membership.info(name)

    def whenServers(
        self, count: int, role: str | None = None, timeout: float | None = None
    ) -> Deferred[frozenset[str]]:
        """
        Wait for others.

        @param count: how many there must be, this one included.
        @param role: count those of this role only.
        @param timeout: seconds.
        @return: fires with their names, at once if they are there: they serve what is sent to them from then on. Fails
            with L{CallTimeout}. Cancelling it ends the wait.
        """
        waiting = self._membership.when(count, role)
        if timeout is None:
            return waiting

        def late(_: Any, seconds: float) -> NoReturn:
            raise CallTimeout(f"There were not {count} servers within {seconds:g} seconds.")

        return waiting.addTimeout(timeout, self._clock, late)

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
        Tell servers something. Before this one has joined it leaves at once, or when there is a bus, and reaches all
        who have.

        @param to: a name, or several; empty means every server.
        @param onReply: called with a L{Reply<twisted_crossws.cluster.gathered.Reply>} for each reply, and once more if
            time runs out; without it no reply is wanted. This node's own reply comes before C{emit} returns.
        @param expected: how many replies of servers that listen end the wait; it also ends when nobody is left who
            could give one. By default each server that is asked is waited for, and that it does not listen is a reply.
        @param timeout: seconds.
        @param exceptSelf: this node is not asked.
        @return: the id of the request, for L{cancel}, if replies are wanted.
        @raise TypeError: the event or a name is not a non-empty string, or the bus has no form for the payload.
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
        @return: fires with the payload of its reply; fails with L{CallTimeout}, L{RemoteError}, L{ServerLost} if
            it had announced itself and is gone, L{BusUnavailable<twisted_crossws.errors.BusUnavailable>} if the
            question was not carried, or L{NoSuchServer} where the bus can tell.
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

    def ask(
        self, event: str, payload: object, to: Iterable[str], onReply: OnReply | None, timeout: float, exceptSelf: bool
    ) -> Waiting:
        """
        As L{emit} and L{call} in one, for the cluster's own questions.

        @return: the call, with its Deferred and its id.
        """
        return self._ask(event, payload, to, onReply, None, timeout, exceptSelf)

    def serve(self, event: str, listener: Listener) -> None:
        """Answer one of the cluster's own events: no listener of an application gets it, or can take it away."""
        self._ownListeners[event] = (listener,)

    def openCalls(self) -> set[object]:
        """What this server has been asked and has not answered, and what it has asked itself."""
        return {each for each in self._answering if each.isOpen} | self._requests.ids()

    def stop(self) -> None:
        """No reply will come any more: every call ends with what came so far."""
        self._held.clear()
        self._early.drop()
        self._requests.endAll()

    def received(self, message: ServerEvent) -> None:
        """Something came over the bus. What this node sent itself it has served already."""
        own = self._outbox.serverName
        if message.senderServer == own:
            return
        if message.isCallback:
            self._replyReceived(message)
        elif not message.targetServer or own in message.targetServer:
            if self._membership.isEntering and not self._membership.isJoined:
                self._early.add(message)
            else:
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
        own = self._outbox.serverName
        if isHeld := self._membership.isEntering and targets != [own]:
            payload = self._outbox.codec.copy(payload)
        asked = (targets or [own]) if isHeld else self._asked(targets, exceptSelf)
        known = self._outbox.serverNames()
        # Where the bus knows everyone, and where names are given, nobody else can answer.
        hasStrangers = known is None and expected is not None and not targets
        waiting = self._requests.begin(event, asked, expected, timeout, onReply, replyTo is not None, hasStrangers)
        deadline = (self._clock.seconds() + timeout) * 1000
        message = ServerEvent(
            event, own, payload, targets, callbackId=waiting.requestId, replyTo=replyTo, deadline=deadline
        )
        if isHeld:
            waiting.isHeld = True
            self._held.append(lambda: self._release(waiting, message, expected, exceptSelf))
        else:
            self._put(waiting, message, asked, known, exceptSelf)
        return waiting

    def _asked(self, targets: list[str], exceptSelf: bool) -> list[str]:
        own = self._outbox.serverName
        return [name for name in targets or sorted(self._membership.everyone()) if not (exceptSelf and name == own)]

    def _entered(self) -> None:
        held, self._held = self._held, []
        for release in held:
            release()

    def _release(self, waiting: Waiting, message: ServerEvent, expected: int | None, exceptSelf: bool) -> None:
        if self._requests.isOpen(waiting.requestId):
            asked = self._asked(message.targetServer or [], exceptSelf)
            self._requests.release(waiting, asked, expected)
            self._put(waiting, message, asked, self._outbox.serverNames(), exceptSelf)

    def _put(
        self, waiting: Waiting, message: ServerEvent, asked: list[str], known: frozenset[str] | None, exceptSelf: bool
    ) -> None:
        try:
            self._send(message, exceptSelf)
        except BaseException:
            self._requests.forget(waiting.requestId)
            raise
        for name in asked:
            if (fault := self._faultOf(name, known)) is not None:
                self._requests.unreachable(waiting.requestId, name, fault)
        if waiting.gathered.isDone:
            self._requests.settle(waiting.requestId)

    def _faultOf(self, name: str, known: frozenset[str] | None) -> CrossWSError | None:
        """Why no reply can come from that server, if that is known already."""
        if known is not None and name not in known:
            return NoSuchServer(f"There is no server named {name!r}.")
        if self._membership.isGone(name):
            return ServerLost(f"The server {name!r} is gone.")
        return None

    def _gone(self, name: str, reason: str) -> None:
        """No reply will come from that server."""
        self._requests.lost(name, ServerLost(f"The server {name!r} is gone ({reason}) before it replied."))

    def _send(self, message: ServerEvent, exceptSelf: bool) -> None:
        own, targets = self._outbox.serverName, message.targetServer
        if not self._outbox.isAlone and targets != [own]:
            self._publish(message)
        if not exceptSelf and (not targets or own in targets):
            asker = (
                Asker() if message.callbackId is None else SelfAsker(self._outbox, self._requests, message.callbackId)
            )
            self._serve(message, self._outbox.codec.copy(message.payload), asker)

    def _publish(self, message: ServerEvent) -> None:
        targets = message.targetServer
        channel = self._channelTo(targets[0]) if targets and len(targets) == 1 else self._topics.bridge
        if message.callbackId is None:
            self._outbox.publish(channel, Bridge(message), 1)
        else:
            heard = self._audience.ofAll if channel == self._topics.bridge else self._audience.ofOne
            self._outbox.publishQuestion(channel, Bridge(message), heard, self._audience.lost, message.callbackId)

    def _channelTo(self, name: str) -> str:
        """What is for one server need not be read by all; but Node.js peers, which announce nothing, hear no other."""
        return self._membership.channelTo(name) or self._topics.bridge

    def _serve(self, message: ServerEvent, payload: Any, asker: Asker) -> None:
        asked = ServerMessage(message.event, payload, message.senderServer, message.callbackId)
        answering = Answering(asked, asker, self._counters)
        listeners = self._ownListeners.get(message.event) or self.take(message.event)
        if not listeners:
            self._unheard.tell(message.event, message.senderServer)
        answering.run(listeners)
        if answering.isOpen:
            self._answering.add(answering)

    def _eventReceived(self, message: ServerEvent) -> None:
        if message.deadline is not None:
            until = self._membership.toMine(message.senderServer, message.deadline / 1000)
            if until < self._clock.seconds():
                self._counters["calls_expired"] += 1
                return
        if message.error is not None:
            # It is beyond a limit of what can be read.
            self._askerOf(message).error(message.error.code, message.error.message)
            return
        payload = None if message.payload is UNSET else message.payload
        self._serve(message, payload, self._askerOf(message))

    def _askerOf(self, message: ServerEvent) -> Asker:
        if message.replyTo is not None:
            return ClientAsker(self._outbox, self._topics, message.replyTo)
        if message.callbackId is not None:
            return RemoteAsker(self._outbox, self._channelTo(message.senderServer), message)
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


def _targets(event: str, to: str | Iterable[str]) -> list[str]:
    checkEvent(event)
    names = [to] if isinstance(to, str) else list(dict.fromkeys(to))
    for name in names:
        if not (isinstance(name, str) and name):
            raise TypeError(f"A server's name must be a non-empty string, not {name!r}.")
    return names
