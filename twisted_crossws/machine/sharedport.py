"""
A port of the master: it accepts connections, and hands each over to a worker.

It accepts only while there is a worker that can take one. Until then connections wait where the system has them: none
is refused, and a worker that is there again finds them.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_crossws.machine.giver import Giver
from twisted_crossws.machine.handover import REST
from twisted_crossws.machine.spread import Spread

_log = Logger()

#: Of accepting: try the next one.
_NEXT = {errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.EINTR}

#: By how much more is accepted in a turn than in the last one, as Twisted does.
_MORE = 20


@implementer(IReadDescriptor)
class SharedPort:
    """
    One listening socket, and the channels to those who serve it.

    @ivar key: by what name all processes know the socket.
    @ivar tally: C{accepted} connections; C{handed} to workers; C{returned}, as a worker died or had no room, and
        handed to another; C{failed}: times in which none could be accepted.
    """

    def __init__(self, key: str, listening: socket.socket, spread: Spread, reactor: Any) -> None:
        """
        @param listening: is the port's own from now on.
        """
        listening.setblocking(False)
        listening.set_inheritable(False)
        self.key = key
        self.tally = dict.fromkeys(("accepted", "handed", "returned", "failed"), 0)
        self._listening = listening
        self._spread = spread
        self._reactor = reactor
        self._givers: dict[str, Giver] = {}
        self._returned: deque[socket.socket] = deque()
        self._accepts = 1
        self._rests = 0.0
        self._timer: Any = None
        self._isReading = False
        self._isClosed = False

    def getHost(self) -> IPv4Address | IPv6Address:
        """
        @return: where it listens, with the port that it really has.
        """
        address = IPv6Address if self._listening.family == socket.AF_INET6 else IPv4Address
        return address("TCP", *self._listening.getsockname())

    def descriptor(self) -> int:
        """
        @return: of the listening socket, to be sent to workers. It stays ours.
        """
        return self._listening.fileno()

    def addWorker(self, name: str) -> socket.socket:
        """
        Have another worker. It gets connections as soon as it has said that it listens.

        @return: its end of the channel. It is to be sent to it, and then closed here: as long as it is open here too,
            it cannot be known that the worker has died.
        """
        self.removeWorker(name)
        ours, its = socket.socketpair()
        self._givers[name] = Giver(name, ours, self, self._reactor)
        return its

    def removeWorker(self, name: str) -> None:
        """
        One has ended, or has stopped listening. Any other begins to accept by itself, as if the master had died.
        """
        giver = self._givers.get(name)
        if giver is not None:
            giver.close()
            self._givers.pop(name, None)  # Unless it was gone before.
            self._go()

    def pause(self, name: str) -> None:
        """Give it no further connections. A name that there is not is left alone, as it may have just ended."""
        if name in self._givers:
            self._givers[name].isPaused = True

    def resume(self, name: str) -> None:
        """Give it connections again."""
        if name in self._givers:
            self._givers[name].isPaused = False
            self._go()

    def loads(self) -> dict[str, int]:
        """
        @return: by the names of those that listen how many connections each has, those on the way to it included.
        """
        return {name: giver.load for name, giver in self._givers.items() if giver.isReady}

    def close(self) -> None:
        """The master ends. Workers that listen go on by themselves."""
        self._isClosed = True
        self._watch(False)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for giver in list(self._givers.values()):
            giver.close()
        self._givers.clear()
        for connection in self._returned:
            connection.close()
        self._returned.clear()
        self._listening.close()

    # For the channels

    def reported(self, giver: Giver) -> None:
        if not self._isReading:
            self._go()

    def returned(self, giver: Giver, connections: Sequence[socket.socket]) -> None:
        self.tally["returned"] += len(connections)
        self._returned.extend(connections)
        self._go()

    def ended(self, giver: Giver, connections: Sequence[socket.socket]) -> None:
        del self._givers[giver.name]
        self.returned(giver, connections)

    # For the reactor

    def fileno(self) -> int:
        return self._listening.fileno()

    def logPrefix(self) -> str:
        return "crossws"

    def doRead(self) -> None:
        taken = self._hand(self._accepts)
        self._accepts = self._accepts + _MORE if taken == self._accepts else max(1, taken)
        self._go()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends."""
        if not self._isClosed:
            self.close()

    def _go(self) -> None:
        """Hand over what was returned, and accept further ones if, and only if, somebody can take them."""
        if self._isClosed:
            return
        while self._returned and self._hand(len(self._returned)):
            pass
        now = self._reactor.seconds()
        canGive = not self._returned and any(giver.serves(now) and giver.room() for giver in self._givers.values())
        self._watch(canGive and now >= self._rests)
        if not self._isReading and self._timer is None:
            changes = [self._rests, *(giver.changesAt() for giver in self._givers.values())]
            if coming := [moment for moment in changes if moment > now]:
                self._timer = self._reactor.callLater(min(coming) - now, self._onTime)

    def _onTime(self) -> None:
        self._timer = None
        self._go()

    def _watch(self, isReading: bool) -> None:
        if isReading != self._isReading:
            self._isReading = isReading
            (self._reactor.addReader if isReading else self._reactor.removeReader)(self)

    def _hand(self, most: int) -> int:
        """
        @return: how many connections there were.
        """
        now = self._reactor.seconds()
        loads = {name: giver.load for name, giver in self._givers.items() if giver.serves(now)}
        rooms = {name: self._givers[name].room() for name in loads}
        full = {name for name, room in rooms.items() if not room}
        given: dict[str, list[socket.socket]] = {}
        taken = 0
        while taken < most and len(full) < len(loads):
            connection = self._returned.popleft() if self._returned else self._accept()
            if connection is None:
                break
            name = self._spread.choose(loads, full)
            if name is None:
                self._returned.appendleft(connection)
                break
            taken += 1
            given.setdefault(name, []).append(connection)
            loads[name] += 1
            rooms[name] -= 1
            if not rooms[name]:
                full.add(name)
        for name, connections in given.items():
            if self._givers[name].give(connections):
                self.tally["handed"] += len(connections)
            else:
                self._returned.extend(connections)
        return taken

    def _accept(self) -> socket.socket | None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except BlockingIOError:
                return None
            except OSError as fault:
                if fault.errno in _NEXT:
                    continue
                # Such as no descriptors left. Those who wait are not lost by waiting.
                self.tally["failed"] += 1
                self._rests = self._reactor.seconds() + REST
                _log.error("{key} cannot accept for now: {fault}", key=self.key, fault=fault)
                return None
            self.tally["accepted"] += 1
            return connection
