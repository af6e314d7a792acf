"""
What is said over the control sockets of a machine, in AMP (U{https://amp-protocol.net}), by Twisted's implementation.

There are three who speak, over Unix sockets in the run folder of a cluster file, which only their user can reach::

    server → master   Register            here I am; the connection stays, and is made again when a master is back
    master → server   Offer, Give         the ports that processes share
    master → server   List, Order         as from a person
    person → master   List, Order         crossws-ctl; a server understands the same, for itself alone
    master → person   Progress            what an order that takes its time has done so far

Whoever is asked for something that cannot be done answers with L{Refused}: a sentence.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols import amp
from twisted.python.failure import Failure

#: Seconds in which a server that is asked for its row has to answer. A healthy one needs a millisecond.
ANSWER_TIMEOUT = 1.0

#: Rows in one answer: AMP carries 65,535 bytes in a value, and a row may have several hundred.
PAGE = 50

#: What C{SO_PEERCRED} gives: numbers of a process, its user, and its group.
_PEERCRED = struct.Struct("3i")

#: The control socket of the master, in the run folder.
MASTER_SOCKET = "master.sock"


Arguments = list[tuple[bytes, amp.Argument]]


class Refused(Exception):
    """It cannot be done. The message is a sentence that says why."""


class Json(amp.Argument):
    """Any value that JSON has a form for."""

    def toString(self, inObject: Any) -> bytes:
        return msgspec.json.encode(inObject)

    def fromString(self, inString: bytes) -> Any:
        return msgspec.json.decode(inString)


class Register(amp.Command):
    """A server says to its master that it is there. C{ports}: the keys of the sockets that it shares."""

    arguments: ClassVar[Arguments] = [(b"name", amp.Unicode()), (b"pid", amp.Integer()), (b"ports", Json())]
    response: ClassVar[Arguments] = []
    errors: ClassVar[dict[type[Exception], bytes]] = {Refused: b"REFUSED"}


class Ready(amp.Command):
    """A server says that it has joined its cluster and listens."""

    arguments: ClassVar[Arguments] = []
    response: ClassVar[Arguments] = []


class Offer(amp.Command):
    """A shared port: the listening socket, and the end of the channel by which its connections come."""

    arguments: ClassVar[Arguments] = [
        (b"key", amp.Unicode()),
        (b"listening", amp.Descriptor()),
        (b"channel", amp.Descriptor()),
    ]
    response: ClassVar[Arguments] = []


class Give(amp.Command):
    """A new master asks for a listening socket, which the master before it has made."""

    arguments: ClassVar[Arguments] = [(b"key", amp.Unicode())]
    response: ClassVar[Arguments] = [(b"listening", amp.Descriptor())]
    errors: ClassVar[dict[type[Exception], bytes]] = {Refused: b"REFUSED"}


class List(amp.Command):
    """Rows (L{Row<twisted_crossws.machine.rows.Row>}), from one on. C{more}: there are further ones."""

    arguments: ClassVar[Arguments] = [(b"start", amp.Integer())]
    response: ClassVar[Arguments] = [(b"rows", Json()), (b"more", amp.Boolean())]
    errors: ClassVar[dict[type[Exception], bytes]] = {Refused: b"REFUSED"}


class Order(amp.Command):
    """Something is to be done; C{said} are sentences about what was."""

    arguments: ClassVar[Arguments] = [(b"verb", amp.Unicode()), (b"words", Json())]
    response: ClassVar[Arguments] = [(b"said", Json())]
    errors: ClassVar[dict[type[Exception], bytes]] = {Refused: b"REFUSED"}


class Progress(amp.Command):
    """A sentence about an order that is being carried out. Nobody waits for its answer."""

    arguments: ClassVar[Arguments] = [(b"sentence", amp.Unicode())]
    requiresAnswer = False


class Connection(amp.AMP):
    """Twisted's protocol, without its lines in the log for each connection that comes and goes."""

    transport: Any

    def makeConnection(self, transport: Any) -> None:
        amp.BinaryBoxProtocol.makeConnection(self, transport)

    def close(self) -> None:
        """End it, if it has not ended already."""
        if self.transport is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        amp.BinaryBoxProtocol.connectionLost(self, reason)
        self.transport = None


class ControlFactory(Factory):
    """Makes the connections of one end."""

    noisy = False

    def __init__(self, make: Callable[[], Connection]) -> None:
        self._make = make

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        return self._make()


def connect(reactor: Any, path: str, protocol: Connection) -> Deferred[Any]:
    """
    @return: fires with the protocol, connected to a control socket; fails as Twisted's endpoints do.
    """
    connected: Deferred[Any] = UNIXClientEndpoint(reactor, path).connect(ControlFactory(lambda: protocol))
    return connected


def isAnswered(path: str) -> bool:
    """Whether a process listens at a control socket. Whatever else is there is left over from one that is gone."""
    return listenerAt(path) is not None


def listenerAt(path: str) -> int | None:
    """
    @return: the number of the process that listens at a control socket; 0 if there is one and the system does not say
        which; C{None} if nobody listens.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except BlockingIOError:
            return 0  # Its queue is full: it is there, and does not take what comes.
        except OSError:
            return None
        if not hasattr(socket, "SO_PEERCRED"):
            return 0
        # unix(7): of who called listen(), as it was then.
        pid, _, _ = _PEERCRED.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size))
        return int(pid)


def listen(reactor: Any, path: str, factory: Any) -> Any:
    """
    Listen at a control socket, in the place of one that was left over.

    @return: the port.
    @raise Refused: a living process listens there.
    @raise CannotListenError: the system does not let us.
    """
    if isAnswered(path):
        raise Refused(f"another process listens at {path}")
    if os.path.exists(path):
        os.unlink(path)
    return reactor.listenUNIX(path, factory, mode=0o600)


def locked(path: str) -> int | None:
    """
    Take a lock that the system gives back when this process ends, however it does.

    @return: its descriptor, to be closed in the end; C{None} if another process has it.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def memoryOf(pid: int) -> int | None:
    """Bytes that a process has resident, where the system tells it in C{/proc}."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError, IndexError):
        return None
