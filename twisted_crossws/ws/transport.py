"""
What a transport is asked beyond Twisted's interfaces.
"""

from __future__ import annotations

import struct
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address, IPv6Address

try:
    from fcntl import ioctl
    from termios import TIOCOUTQ
except ImportError:  # pragma: no cover: not a Unix system
    ioctl = None  # type: ignore[assignment]


#: What L{progress} says when the other side's system has taken all.
NOTHING_WAITS = (0, 0)


def unsentBytes(transport: Any) -> int | None:
    """
    How many bytes wait in a transport, or in the one under it (TLS); C{None} where that cannot be told.

    Twisted has no public way to ask; a test holds this to what Twisted really does.
    """
    lowest = _lowest(transport)
    if not isinstance(lowest, FileDescriptor):
        return None
    return len(lowest.dataBuffer) - lowest.offset + lowest._tempDataLen


def isBehind(transport: Any) -> bool:
    """
    Whether the socket under a transport did not take all of what was written before; C{False} where that cannot be
    told. What was written since the last try does not count.

    Twisted collects what is written apart from what it has tried to send and did not get rid of. A transport that is
    not Twisted's, such as a fake, may say it by a method of this name.
    """
    lowest = _lowest(transport)
    if isinstance(lowest, FileDescriptor):
        return len(lowest.dataBuffer) > lowest.offset
    told = getattr(lowest, "isBehind", None)
    return told is not None and bool(told())


def progress(transport: Any) -> object:
    """
    What changes when the other side takes something of what waits for it, and, nearly always, only then. C{None} where
    that cannot be told.

    That are the bytes which the socket was offered and did not take (what is written meanwhile is added when it takes
    something, and not before), and those which the system has taken and the other side's has not. The latter change in
    small steps; the former only whenever a third of the system's buffer has become free, which can be megabytes.
    """
    lowest = _lowest(transport)
    if not isinstance(lowest, FileDescriptor):
        return None
    return len(lowest.dataBuffer) - lowest.offset, _unacknowledged(lowest)


def offer(transport: Any) -> bool:
    """
    Let the socket under a transport take what it can of what waits, as the reactor does when it is its turn. What goes
    wrong with that is left to the reactor, to which it happens again.

    @return: whether it took anything.
    """
    lowest = _lowest(transport)
    if not isinstance(lowest, FileDescriptor):
        return False
    first, before = unsentBytes(lowest), None
    while before != (before := unsentBytes(lowest)) and before and lowest.connected:
        lowest.doWrite()
    return before != first


def peerName(peer: object) -> str:
    """Address and port of the other side of a connection, for people."""
    if isinstance(peer, IPv4Address):
        return f"{peer.host}:{peer.port}"
    if isinstance(peer, IPv6Address):
        return f"[{peer.host}]:{peer.port}"
    return "unix"


def _unacknowledged(transport: Any) -> int:
    """Bytes that the system still keeps, as the other side's has not taken them; 0 where it does not say."""
    try:
        found = ioctl(transport.fileno(), TIOCOUTQ, b"\0\0\0\0")
    except (OSError, TypeError, ValueError):
        return 0
    return int(struct.unpack("i", found)[0])


def _lowest(transport: Any) -> Any:
    """The transport at the bottom: below TLS, the one of the socket."""
    while not isinstance(transport, FileDescriptor) and (below := getattr(transport, "transport", None)) is not None:
        transport = below
    return transport
