"""
The client: a connection that comes back by itself, with events both ways and calls with replies.

::

    from twisted_crossws import Connector

    client = Connector("ws://localhost:9000/chat", params={"id": 16, "name": "Sam"})
    client.on("said", print)
    await client.connect()
    reply = await client.call("say", {"text": "hi"}, timeout=5.0)

What is decided is in L{reconnector<twisted_crossws.state.reconnector>} and
L{conversation<twisted_crossws.state.conversation>}, the translation from Autobahn in
L{line<twisted_crossws.client.line>}; here is what an application calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from random import random as _systemRandom
from typing import Any, TypeVar, overload

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.task import Clock

from twisted_crossws.client.line import AutobahnLine, endpointTo, globalReactor, requestFor, webSocketFactory
from twisted_crossws.state.backoff import ReconnectSchedule
from twisted_crossws.state.conversation import ClientListeners, Conversation, OnPending
from twisted_crossws.state.reconnector import ReconnectOn, Reconnector
from twisted_crossws.steady import steady
from twisted_crossws.wire.request import Params, targetOf

_L = TypeVar("_L", bound=Callable[..., Any])


class Connector:
    """
    A client of one server.

    It connects when it is told to, and after a loss connects again: the first few attempts come quickly, later ones
    after waits that double. A close from the server with code 4001, 4010, 4011 or 4012 is final.

    What happens to the connection is told to the listeners of L{lifecycle}::

        open()           close(code, reason)       error(failure)     an attempt to connect failed
        ping()           pong(latency)             pongTimeout()      the heartbeat
        message(text)    every text but the heartbeat's answer
        unreachable(reason, attempt)               the same as a sentence, and how many in a row have failed
        reconnect(attempt, delay)                  the next attempt comes after so many seconds
        repeatLimit(limit)                         so many attempts to reconnect failed, there will be no other

    C{close} comes once for each C{open}: with 1006 if there was no close frame, with 4002 if the heartbeat was not
    answered.
    """

    def __init__(
        self,
        url: str,
        *,
        params: Params | None = None,
        pingInterval: float = 10.0,
        pongTimeout: float = 2.0,
        fastReconnectThreshold: int = 3,
        fastReconnectInterval: float = 3.0,
        reconnectMaxInterval: float = 120.0,
        pingMessage: str = "",
        callTimeout: float = 5.0,
        repeatLimit: int | None = None,
        attempts: int | None = None,
        pendingAfter: float = 0.1,
        reconnectOn: ReconnectOn | None = None,
        headers: Mapping[str, str] | None = None,
        endpoint: IStreamClientEndpoint | None = None,
        clock: IReactorTime | Clock | None = None,
        random: Callable[[], float] | None = None,
    ) -> None:
        """
        All times are seconds. Nothing is connected yet.

        @param url: C{ws://} or C{wss://}, with a path and a query if wanted.
        @param params: go into the query: a list repeats its key, C{None} is left out.
        @param pingInterval: from one heartbeat to the next; 0 turns it off.
        @param pongTimeout: a heartbeat without an answer for so long ends the connection.
        @param fastReconnectThreshold: how many attempts to reconnect come quickly.
        @param fastReconnectInterval: the longest wait before each of these; later waits double from it.
        @param reconnectMaxInterval: no wait is longer.
        @param pingMessage: the heartbeat's text, the same as the server has.
        @param callTimeout: how long a call waits for its reply.
        @param repeatLimit: after so many failed attempts to reconnect in a row it is given up; C{None} is never.
        @param attempts: after so many failed attempts in a row L{connect} fails, and the client rests; C{None} is
            never. While nobody waits for L{connect}, C{repeatLimit} counts alone.
        @param pendingAfter: a call without a reply for so long is pending, see L{call}.
        @param reconnectOn: called with code and reason when a connection that was open has ended, says whether to
            reconnect, in place of the rule of the final codes. It must not call methods of the client.
        @param headers: more headers for the handshake.
        @param endpoint: to connect through, in place of the host and port of the URL.
        @param clock: for every timer; the global reactor by default.
        @param random: gives a number from 0 to 1, for the jitter.
        @raise ValueError: the URL, a header or a number is none that can be used.
        @raise TypeError: a parameter or a header is of a type that cannot be sent.
        """
        target = targetOf(url, params or {})
        clock = steady(IReactorTime(globalReactor() if clock is None else clock))
        random = _systemRandom if random is None else random
        self._name = target.name
        self._conversation = Conversation(
            clock,
            target.name,
            pingMessage=pingMessage,
            pingInterval=pingInterval,
            pongTimeout=pongTimeout,
            callTimeout=callTimeout,
            pendingAfter=pendingAfter,
            callPrefix=f"{int(random() * 2**32):x}",
        )
        makeLine = partial(
            AutobahnLine,
            endpointTo(target, clock) if endpoint is None else endpoint,
            requestFor(target, headers or {}),
            webSocketFactory(clock),
        )
        self._reconnector = Reconnector(
            clock,
            makeLine,
            self._conversation,
            self.lifecycle.fire,
            schedule=ReconnectSchedule(fastReconnectThreshold, fastReconnectInterval, reconnectMaxInterval),
            random=random,
            repeatLimit=repeatLimit,
            attempts=attempts,
            reconnectOn=reconnectOn,
            name=target.name,
        )

    def __repr__(self) -> str:
        return f"<Connector to {self._name}, {'connected' if self.isConnected else 'not connected'}>"

    @property
    def lifecycle(self) -> ClientListeners:
        """Listeners of what happens to the connection: C{on}, C{once} and C{off}."""
        return self._conversation.lifecycle

    @property
    def isConnected(self) -> bool:
        """Whether events and calls can be sent now."""
        return self._reconnector.isConnected

    @property
    def isReconnecting(self) -> bool:
        """From a loss or a failed attempt until the next connection is open, or it is given up."""
        return self._reconnector.isReconnecting

    @property
    def latency(self) -> float | None:
        """Seconds that the last heartbeat of this connection took; C{None} before the first answer."""
        return self._conversation.pulse.latency

    @property
    def pingInterval(self) -> float:
        """Seconds from one heartbeat to the next; 0 is never. Setting it counts from now."""
        return self._conversation.pulse.interval

    @pingInterval.setter
    def pingInterval(self, seconds: float) -> None:
        self.setPingInterval(seconds)

    def setPingInterval(self, seconds: float, immediate: bool = False) -> None:
        """
        Set L{pingInterval}.

        @param seconds: 0 turns the heartbeat off.
        @param immediate: send one now, too.
        @raise ValueError: it is negative.
        """
        self._conversation.pulse.setInterval(seconds, immediate)

    def connect(self) -> Deferred[None]:
        """
        Connect, unless that is done or under way. After the first attempt that fails, a line in the log says what is
        the matter; the lifecycle event C{unreachable} says it of each.

        @return: fires when the connection is open, however many attempts that takes. Fails with L{NotConnected} when it
            is given up: by L{close}, after so many C{attempts}, or at C{repeatLimit}; and with L{HandshakeRefused} when
            the server answers with an HTTP status from 400 to 499, although the client goes on trying then. Cancelling
            it ends the waiting only.
        """
        return self._reconnector.connect()

    def reconnect(self, reset: bool = False) -> Deferred[None]:
        """
        Drop the present connection, if there is one, and connect now.

        @param reset: count the attempts from 0 again.
        @return: as L{connect}.
        """
        return self._reconnector.reconnect(reset)

    def close(self) -> Deferred[None]:
        """
        Close with code 4001, and stay closed until L{connect} or L{reconnect}.

        @return: fires when the connection is gone; a server that does not answer is cut after 3 seconds.
        """
        return self._reconnector.close()

    @overload
    def on(self, event: str, listener: None = None, *, tag: object = None) -> Callable[[_L], _L]: ...

    @overload
    def on(self, event: str, listener: _L, *, tag: object = None) -> _L: ...

    def on(self, event: str, listener: Callable[..., Any] | None = None, *, tag: object = None) -> Any:
        """
        Call a listener with the payload every time the event comes from the server. Where the server asks, what the
        listener returns (or its Deferred or coroutine results in) is the answer: of several listeners the first result
        that is not C{None}. One that raises L{ReplyError<twisted_crossws.errors.ReplyError>} answers with that error.

        Arguments and result are those of L{Listeners.on<twisted_crossws.state.listeners.Listeners.on>}.
        """
        return self._conversation.listeners.on(event, listener, tag=tag)

    @overload
    def once(self, event: str, listener: None = None, *, tag: object = None) -> Callable[[_L], _L]: ...

    @overload
    def once(self, event: str, listener: _L, *, tag: object = None) -> _L: ...

    def once(self, event: str, listener: Callable[..., Any] | None = None, *, tag: object = None) -> Any:
        """As L{on}, but the first time only."""
        return self._conversation.listeners.once(event, listener, tag=tag)

    def off(self, event: str, listenerOrTag: object = None) -> None:
        """Remove that listener, or all with that tag, or without either all listeners of the event."""
        self._conversation.listeners.off(event, listenerOrTag)

    def emit(self, event: str, payload: object = None) -> None:
        """
        Send an event.

        @raise NotConnected: there is no connection now.
        @raise TypeError: the event is not a non-empty string, or the payload holds something that JSON has no form for.
        @raise ValueError: the payload is bigger than 16 MiB.
        """
        self._conversation.emit(event, payload)

    def call(
        self,
        event: str,
        payload: object = None,
        *,
        timeout: float | None = None,
        onPending: OnPending | None = None,
        pendingAfter: float | None = None,
    ) -> Deferred[Any]:
        """
        Send an event that wants a reply.

        @param timeout: seconds for the reply; C{callTimeout} by default.
        @param onPending: called with C{True} if there is no reply after C{pendingAfter}, and then with C{False} when
            the call ends, however it ends. Not called for a quick reply.
        @param pendingAfter: seconds; that of the client by default.
        @return: fires with the payload of the reply. Fails with L{NotConnected} if there is no connection, or it ends
            before the reply; with L{CallTimeout}; and with L{RemoteError} if the reply is an error.
        @raise TypeError: as L{emit}.
        @raise ValueError: as L{emit}, or a number is negative.
        """
        return self._conversation.call(event, payload, timeout, onPending, pendingAfter)
