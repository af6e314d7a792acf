"""
Where the hub sits: a Unix socket, and a lock beside it that says whose it is.

C{flock} on C{PATH.lock} decides: who has it is the hub, and the system takes it from a process that dies. A stale
socket file is replaced by who has the lock, and by nobody else.

A process that is frozen keeps its lock, and nobody can take that from it. So if a hub does not answer, the file itself
is taken away, and another one is locked in its place. A hub looks again and again whether the file that it has locked
is still the one that lies there (L{UnixSeat.isMine}), and serves nobody once it is not.

Files, or their folder, that somebody has removed (a logout, a cleaner of temporary files) are made again by the hub:
who is connected notices nothing. So that this cannot be taken for a deposing, both hold a lock on the folder meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from contextlib import suppress
from functools import cache
from typing import Any
from weakref import WeakSet

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.internet.tcp import Connection
from twisted.internet.tcp import Port as TcpPort
from twisted.internet.unix import Port as UnixPort

from twisted_crossws.bus.hubseat import SeatFault, Unanswered, Vacant
from twisted_crossws.runfolder import identity, identityOf, makeRunFolder

#: Bytes of the longest path that a Unix socket can have.
MAX_PATH = 107

#: Connections that wait to be accepted. All processes of a machine may come at once.
BACKLOG = 1024

_LOCK_FILE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def checkPath(path: str) -> str:
    """
    @return: the path of a hub, absolute.
    @raise ValueError: it cannot be that of a Unix socket.
    """
    if not path or "\0" in path:
        raise ValueError("A hub needs the path of its Unix socket.")
    absolute = os.path.abspath(path)
    size = len(os.fsencode(absolute))
    if size > MAX_PATH:
        raise ValueError(
            f"The path {absolute} has {size} bytes, and a Unix socket can have {MAX_PATH}: choose a shorter one."
        )
    return absolute


class UnixSeat:
    """
    The place that a path names.
    """

    def __init__(self, path: str, reactor: Any, *, makesFolder: bool = False) -> None:
        """
        @param reactor: for sockets.
        @param makesFolder: the folder is made if it is missing; without it only a folder that was there once is.
        @raise ValueError: the path cannot be that of a Unix socket.
        """
        self._path = checkPath(path)
        self._makesFolder = makesFolder
        self.shown = f"hub:{self._path}"
        self._lockPath = f"{self._path}.lock"
        self._reactor = reactor
        self._lock: int | None = None
        self._port: _Port | None = None
        self._socket: tuple[int, int] | None = None

    def take(self) -> bool:
        while self._lock is None:
            lock = self._openLock()
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                return False
            except OSError as fault:
                os.close(lock)
                raise self._fault(fault) from None
            if identity(os.fstat(lock)) == self.holder():
                self._lock = lock
                _watchForks()
                _locked.add(self)
            else:
                # Between opening and locking it was taken away.
                os.close(lock)
        return True

    def holder(self) -> tuple[int, int] | None:
        return identityOf(self._lockPath)

    def restore(self) -> bool:
        if self._lock is None:
            return False
        try:
            folder = self._openFolder()
        except SeatFault:
            return False
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self.holder() is None:
                self._lockAgain(self._lock)
            if identity(os.fstat(self._lock)) != self.holder():
                return False
            if self._port is not None and not self.isMine():
                port = self._port
                self.listen(self._factory)
                port.stopListening()
            return True
        except (OSError, SeatFault):
            return False
        finally:
            os.close(folder)

    def depose(self, holder: object) -> bool:
        folder = self._openFolder()
        try:
            # Two who depose the same holder would take away each other's locks.
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self.holder() != holder:
                return False
            if holder is not None:
                os.unlink(self._lockPath)
            if not self.take():
                return False
            # Nobody need try whether the former hub answers.
            with suppress(SeatFault):
                self._removeStale()
            return True
        except OSError:
            return False
        finally:
            os.close(folder)

    def isMine(self) -> bool:
        if self._lock is None or identity(os.fstat(self._lock)) != self.holder():
            return False
        return self._socket is None or identityOf(self._path) == self._socket

    def listen(self, factory: IProtocolFactory) -> None:
        self._factory = factory
        try:
            self._removeStale()
            self._port = _listening(self._path, factory, self._reactor)
            self._socket = identityOf(self._path)
        except OSError as fault:
            raise self._fault(fault) from None

    def close(self) -> Deferred[Any]:
        if self._port is None:
            return maybeDeferred(lambda: None)
        if self.isMine():
            os.unlink(self._path)
        port, self._port, self._socket = self._port, None, None
        return maybeDeferred(port.stopListening)

    def leave(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def connect(self, protocol: IProtocol) -> None:
        try:
            connection = _connected(self._path)
            self._makesFolder = True
        except (FileNotFoundError, ConnectionRefusedError):
            self._checkSocket()
            raise Vacant from None
        except BlockingIOError:
            raise Unanswered from None
        except OSError as fault:
            raise self._fault(fault) from None
        protocol.makeConnection(_UnixConnection(connection, protocol, self._reactor))

    def _openLock(self) -> int:
        self._makeFolder()
        try:
            lock = os.open(self._lockPath, _LOCK_FILE, 0o600)
        except OSError as fault:
            raise self._fault(fault) from None
        self._makesFolder = True
        return lock

    def _lockAgain(self, former: int) -> None:
        """
        @raise FileExistsError: somebody else was quicker.
        """
        self._lock = lock = os.open(self._lockPath, _LOCK_FILE | os.O_EXCL, 0o600)
        os.close(former)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _makeFolder(self) -> None:
        folder = os.path.dirname(self._path)
        if self._makesFolder and not os.path.isdir(folder):
            try:
                makeRunFolder(folder)
            except ValueError as fault:
                raise SeatFault(str(fault).rstrip(".")) from None

    def _openFolder(self) -> int:
        self._makeFolder()
        try:
            return os.open(os.path.dirname(self._path), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as fault:
            raise self._fault(fault) from None

    def _removeStale(self) -> None:
        self._checkSocket()
        with suppress(FileNotFoundError):
            os.unlink(self._path)

    def _checkSocket(self) -> None:
        """
        @raise SeatFault: something else than a socket is there, or no folder for it.
        """
        try:
            isSocket = stat.S_ISSOCK(os.lstat(self._path).st_mode)
        except OSError as fault:
            isFolder = self._makesFolder or os.path.isdir(os.path.dirname(self._path))
            if isinstance(fault, FileNotFoundError) and isFolder:
                return
            raise self._fault(fault) from None
        if not isSocket:
            raise SeatFault(f"{self._path} is no socket; remove it, or give the hub another path")

    def _fault(self, fault: OSError) -> SeatFault:
        folder = os.path.dirname(self._path)
        if isinstance(fault, FileNotFoundError | NotADirectoryError):
            return SeatFault(f"there is no folder {folder} for its socket")
        if isinstance(fault, PermissionError):
            return SeatFault(f"this user may not use {self._path}")
        return SeatFault(f"{self._path} cannot be used: {fault.strerror or fault}")


class _UnixConnection(Connection):
    """
    As Twisted's own of a Unix socket, but without the descriptors that may come by one: looking for these costs as much
    as everything else.
    """

    def __init__(self, connection: socket.socket, protocol: Any, reactor: Any) -> None:
        super().__init__(connection, protocol, reactor)
        self.logstr = type(protocol).__name__
        self.connected = 1
        self.startReading()

    def getPeer(self) -> UNIXAddress:
        return UNIXAddress(None)

    getHost = getPeer


class _Port(UnixPort):
    """As Twisted's own, but the socket's file is somebody else's business."""

    def connectionLost(self, reason: Any) -> None:
        TcpPort.connectionLost(self, reason)


def _connected(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.setblocking(False)
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _listening(path: str, factory: IProtocolFactory, reactor: Any) -> _Port:
    port = _Port(path, factory, BACKLOG, 0o600, reactor)  # type: ignore[arg-type]
    port.transport = lambda connection, protocol, *_: _UnixConnection(connection, protocol, reactor)  # type: ignore
    # For this user alone from its first moment on.
    before = os.umask(0o177)
    try:
        port.startListening()
    finally:
        os.umask(before)
    return port


_locked: WeakSet[UnixSeat] = WeakSet()


@cache
def _watchForks() -> None:
    """
    A lock belongs to all who have inherited it: a child that was merely forked, and not executed, would keep it when
    this process dies.
    """
    os.register_at_fork(after_in_child=_forked)


def _forked() -> None:
    for seat in _locked:
        seat.leave()
