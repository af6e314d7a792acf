"""
A connection on a real socket, on a reactor of its own that is turned by hand: what Twisted's own transport makes of a
script, and what ours does.
"""

from __future__ import annotations

import socket
from itertools import cycle, islice
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IHalfCloseableProtocol, IPullProducer, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Server
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_crossws.ws.direct import DirectServer
from twisted_crossws.ws.turn import Turn

Step = tuple[Any, ...]


class World:
    """
    @ivar journal: what the protocol was told, in order.
    @ivar asked: what its producers were told, in order, and that one way was closed: when, is a matter of turns.
    @ivar came: what the other side has read.
    @ivar hasLeft: the other side has closed its end.
    @ivar isCut: this side has been cut.
    @ivar cutAt: how much was written before that.
    @ivar isAsked: there has been a producer that is asked.
    @ivar isHalf: this side has said that it has nothing more to say.
    @ivar isLosing: this side has begun to close.
    @ivar isClosed: that was in an earlier turn.
    """

    def __init__(self, *, isDirect: bool, buffered: int = 400_000, beside: World | None = None) -> None:
        """
        @param buffered: what the socket takes, about, before somebody reads.
        @param beside: another connection, of the same port.
        """
        self.reactor: Any = EPollReactor() if beside is None else beside.reactor
        self._turn = Turn(self.reactor) if beside is None else beside._turn
        self.journal: list[Any] = []
        self.asked: list[str] = []
        self.came = b""
        self.hasLeft = self.isCut = self.isAsked = self.isHalf = self.isLosing = self.isClosed = False
        own, self.peer = socket.socketpair()
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffered)
        own.setblocking(False)
        self.peer.setblocking(False)
        self.cutAt = self._written = 0
        self._letters = cycle(bytes(range(1, 252)))
        self.inside: list[Step] = []
        self.protocol = _Recorder(self)
        arguments: Any = (own, self.protocol, ("192.0.2.1", 54321), None, 0, self.reactor)
        self.transport: Any = DirectServer(self._turn, *arguments) if isDirect else Server(*arguments)
        self.protocol.makeConnection(self.transport)

    def run(self, steps: list[Step]) -> None:
        """Each step is the name of a method and its arguments. Then let everything come to its end."""
        self.do(steps)
        self.finish()
        self.close()

    def do(self, steps: list[Step]) -> None:
        """Some of them. What is written long after one of the ways to close may go out or not: it is not."""
        for name, *args in steps:
            if not ((self.isClosed or self.isHalf) and name.startswith("write")):
                getattr(self, name)(*args)

    # What the application does

    def write(self, size: int) -> None:
        self.transport.write(self.letters(size))

    def writeSequence(self, *sizes: int) -> None:
        self.transport.writeSequence([self.letters(size) for size in sizes])

    def writeOdd(self, size: int) -> None:
        """What is not exactly C{bytes}: some of it is taken, and some of it is a fault."""
        data = self.letters(size)
        self.transport.write(_Letters(data))
        with pytest.raises(TypeError):
            self.transport.write(bytearray(data))

    def push(self) -> None:
        """A producer that only listens."""
        if self.transport.producer is None and not self.isAsked:
            self.transport.registerProducer(_Push(self), True)

    def pull(self, size: int, times: int) -> None:
        """A producer that writes so often when it is asked; the last one, as it ends by itself."""
        if self.transport.producer is None and not self.isAsked and not self.isHalf:
            self.isAsked = True
            self.transport.registerProducer(_Pull(self, size, times), False)

    def unregister(self) -> None:
        if not self.isAsked:
            self.asked.append("over")
            self.transport.unregisterProducer()

    def lose(self) -> None:
        self.isLosing = True
        self.transport.loseConnection()

    def loseWrite(self) -> None:
        # Twisted's own transport fails if it is told so late or twice, and forgets it after a producer that it asks.
        if self.transport.connected and not self.transport.disconnecting and not (self.isAsked or self.isHalf):
            self.isHalf = True
            self.transport.loseWriteConnection()

    def startTLS(self, context: Any) -> None:
        self.transport.startTLS(context)

    def boom(self, fault: BaseException) -> None:
        raise fault

    def abort(self) -> None:
        if not self.isCut:
            self.isCut, self.cutAt = True, self._written
        self.transport.abortConnection()

    def pause(self) -> None:
        self.transport.pauseProducing()

    def resume(self) -> None:
        if self.transport.connected and not self.transport.disconnecting:
            self.transport.resumeProducing()
            self.turn()

    # What the other side does

    def peerReads(self, size: int) -> None:
        self.turn()
        if self.hasLeft:
            return
        try:
            self.came += self.peer.recv(size)
        except (BlockingIOError, ConnectionResetError):
            pass

    def peerWrites(self, data: bytes, inside: list[Step]) -> None:
        """The application does some of the above in C{dataReceived}."""
        self.turn()
        if self.hasLeft:
            return
        self.inside = inside
        try:
            self.peer.send(data)
        except OSError:
            pass
        self.turn()

    def peerShuts(self) -> None:
        self.turn()
        if not self.hasLeft:
            try:
                self.peer.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def peerLeaves(self) -> None:
        self.turn()
        self.hasLeft = True
        self.peer.close()

    # Time

    def turn(self) -> None:
        """So many turns of the reactor that both kinds of transport have done what they do at once."""
        for _ in range(3):
            self.reactor.runUntilCurrent()
            self.reactor.doIteration(0)
        self.isClosed = self.isLosing

    def finish(self) -> None:
        """The other side reads all there is; then this one closes."""
        for _ in range(2):
            before: Any = None
            while before != (now := (len(self.came), len(self.journal), len(self.asked))):
                before = now
                self.peerReads(10_000_000)
            self.transport.unregisterProducer()
            self.transport.loseConnection()
        self.turn()
        self.peer.close()
        self.turn()

    def close(self) -> None:
        """The end of the reactor. Nothing of any connection is left on it."""
        assert not [each for each in self.reactor.getReaders() if isinstance(each, (Server, Turn))]
        assert not self.reactor.getWriters()
        self.reactor.waker.connectionLost(Failure(connectionDone.value))
        self.reactor._poller.close()

    def letters(self, size: int) -> bytes:
        """No two parts of what is written are the same, so that order shows."""
        self._written += size
        return bytes(islice(self._letters, size))


class _Letters(bytes):
    """For L{World.writeOdd}."""


@implementer(IHalfCloseableProtocol)
class _Recorder(Protocol):
    def __init__(self, world: World) -> None:
        self._world = world

    def dataReceived(self, data: bytes) -> None:
        self._world.journal.append(("data", data))
        inside, self._world.inside = self._world.inside, []
        self._world.do(inside)

    def readConnectionLost(self) -> None:
        self._world.journal.append(("read lost",))

    def writeConnectionLost(self) -> None:
        self._world.asked.append("write lost")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._world.journal.append(("lost", reason.type.__name__))


@implementer(IPushProducer)
class _Push:
    def __init__(self, world: World) -> None:
        self._asked = world.asked

    def pauseProducing(self) -> None:
        self._asked.append("pause")

    def resumeProducing(self) -> None:
        self._asked.append("resume")

    def stopProducing(self) -> None:
        self._asked.append("stop")


@implementer(IPullProducer)
class _Pull:
    def __init__(self, world: World, size: int, times: int) -> None:
        self._world = world
        self._size = size
        self._times = times

    def resumeProducing(self) -> None:
        self._world.asked.append("pull")
        self._times -= 1
        if self._times < 0:
            self._world.transport.unregisterProducer()
        else:
            self._world.write(self._size)

    def stopProducing(self) -> None:
        self._world.asked.append("stop")
