"""
One connection to a Redis: commands out, replies in, in the same order. What they mean is up to others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Protocol

import hiredis
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol as BaseProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_crossws.bus.watch import Watch
from twisted_crossws.bus.writing import writeNow
from twisted_crossws.wire.text import shown

#: Seconds for which answers may stay unread that nobody waits for. A busy node reads many of them at once then, where
#: each would have woken it.
POSTPONED = 0.01

_MORE = object()


class ErrorReply(Exception):
    """
    What a Redis answered is an error; its first word is a code.
    """

    @property
    def code(self) -> str:
        return str(self).partition(" ")[0]

    @property
    def shown(self) -> str:
        """For people. Some errors repeat what they were asked, and that may be a password: it is left out."""
        return shown(str(self).partition(", with args")[0])


class ConnectionOver(Exception):
    """The connection ended before the reply came."""


class Asked:
    """
    Stands in L{RedisConnection.awaited} for a command that somebody wants the reply of.

    @ivar reply: fires with it, or fails with L{ErrorReply} or L{ConnectionOver}.
    """

    __slots__ = ("reply",)

    def __init__(self) -> None:
        self.reply: Deferred[Any] = Deferred()

    def answered(self, reply: Any) -> None:
        if isinstance(reply, Exception):
            self.reply.errback(reply)
        else:
            self.reply.callback(reply)


class Attendant(Protocol):
    """Whoever a connection belongs to."""

    def made(self, connection: RedisConnection) -> None:
        """There is a connection."""

    def received(self, replies: list[Any]) -> None:
        """Replies and messages, in the order in which they came. An error is an L{ErrorReply}."""

    def writable(self) -> None:
        """What was written has left, after there had been too much of it."""

    def over(self, connection: RedisConnection, reason: str, unanswered: list[Any]) -> None:
        """
        Nothing more will come; called once.

        @param reason: why, for people.
        @param unanswered: what was in C{awaited}, but for those who are told here.
        """

    def gone(self, connection: RedisConnection) -> None:
        """The transport is closed."""


@implementer(IPushProducer)
class RedisConnection(BaseProtocol):
    """
    Bytes to replies. One that owes an answer and stays silent for the time-out is cut.

    @ivar awaited: one mark for each command that was sent and is not answered yet. Who receives takes them out.
    @ivar isOver: nothing comes any more, and nothing is sent.
    @ivar isFull: more was written than the transport likes; L{Attendant.writable} says when that is over.
    """

    def __init__(self, attendant: Attendant, clock: IReactorTime, timeout: float) -> None:
        """
        @param timeout: seconds.
        """
        self.awaited: deque[Any] = deque()
        self.isOver = False
        self.isFull = False
        self._attendant = attendant
        self._clock = clock
        self._postponed: IDelayedCall | None = None
        self._reader = hiredis.Reader(replyError=ErrorReply, notEnoughData=_MORE)
        self._watch = Watch(clock, timeout, self._owes, self._silent)
        self._timeout = timeout

    def command(self, *words: str | bytes) -> Deferred[Any]:
        """
        @return: fires with the reply; fails with L{ErrorReply} or L{ConnectionOver}.
        """
        if self.isOver:
            return fail(ConnectionOver("The connection is over."))
        asked = Asked()
        self.send(packed(*words), (asked,))
        self.hurry()
        return asked.reply

    def send(self, data: bytes, marks: Iterable[Any]) -> None:
        """
        @param data: whole commands.
        @param marks: one for each, or for each group of replies.
        """
        if not self.isOver:
            self.awaited.extend(marks)
            self._watch.begin()
            writeNow(self.transport, data)

    def postpone(self) -> None:
        """Nobody waits for the answers that are owed."""
        if self._postponed is None and not self.isOver:
            transport: Any = self.transport
            transport.pauseProducing()
            self._postponed = self._clock.callLater(POSTPONED, self._listen)

    def hurry(self) -> None:
        """Somebody waits for an answer."""
        if self._postponed is not None:
            self._postponed.cancel()
            self._listen()

    def cut(self, reason: str) -> None:
        """End it at once, without waiting for the other side."""
        if not self.isOver:
            self._end(reason)
            transport: Any = self.transport
            transport.abortConnection()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        # A socket of this machine has neither.
        for option in ("setTcpNoDelay", "setTcpKeepAlive"):
            getattr(transport, option, bool)(True)
        transport.registerProducer(self, True)
        self._attendant.made(self)

    def dataReceived(self, data: bytes) -> None:
        if self.isOver:
            return
        self._watch.heard = True
        replies: list[Any] = []
        reader = self._reader
        reader.feed(data)
        isRedis = True
        try:
            while (reply := reader.gets()) is not _MORE:
                replies.append(reply)
        except hiredis.ProtocolError:
            isRedis = False
        if replies:
            self._attendant.received(replies)
        if not isRedis:
            self.cut("it is no Redis: it sends something else than replies")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.isOver:
            self._end(words(reason))
        self._attendant.gone(self)

    def pauseProducing(self) -> None:
        self.isFull = True

    def resumeProducing(self) -> None:
        self.isFull = False
        if not self.isOver:
            self._attendant.writable()

    def stopProducing(self) -> None:
        pass

    def _listen(self) -> None:
        self._postponed = None
        transport: Any = self.transport
        transport.resumeProducing()

    def _end(self, reason: str) -> None:
        self.isOver = True
        if self._postponed is not None:
            self._postponed.cancel()
            self._postponed = None
        self._watch.end()
        unanswered = list(self.awaited)
        self.awaited.clear()
        self._attendant.over(self, reason, [mark for mark in unanswered if mark.__class__ is not Asked])
        for mark in unanswered:
            if mark.__class__ is Asked:
                mark.answered(ConnectionOver(reason))

    def _owes(self) -> bool:
        return bool(self.awaited)

    def _silent(self) -> None:
        self.cut(f"it has not answered for {self._timeout:g} seconds")


def messageCommand(channel: str, packet: bytes) -> bytes:
    """PUBLISH. For the many of them faster than hiredis."""
    return b"%b$%d\r\n%b\r\n" % (_publishOn(channel), len(packet), packet)


@lru_cache(1024)
def _publishOn(channel: str) -> bytes:
    name = channel.encode("utf-8", "surrogatepass")
    return b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n" % (len(name), name)


def packed(*words: str | bytes) -> bytes:
    """Any command."""
    return hiredis.pack_command(words)  # type: ignore[arg-type, no-any-return]


def words(failure: Failure) -> str:
    """Why there is no connection, for people."""
    if failure.check(ConnectionDone):
        return "it closed the connection"
    if failure.check(ConnectionLost):
        return "the connection was lost"
    return shown(failure.getErrorMessage().rstrip("."))
