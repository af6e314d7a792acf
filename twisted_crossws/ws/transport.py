"""
What a transport is asked beyond Twisted's interfaces.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.abstract import FileDescriptor


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


def _lowest(transport: Any) -> Any:
    """The transport at the bottom: below TLS, the one of the socket."""
    while not isinstance(transport, FileDescriptor) and (below := getattr(transport, "transport", None)) is not None:
        transport = below
    return transport
