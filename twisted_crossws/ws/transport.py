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
    while transport is not None and not isinstance(transport, FileDescriptor):
        transport = getattr(transport, "transport", None)
    if transport is None:
        return None
    return len(transport.dataBuffer) - transport.offset + transport._tempDataLen
