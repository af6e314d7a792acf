"""
Writing in this turn of the reactor, and not in the next one.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.abstract import FileDescriptor


def writeNow(transport: Any, data: bytes) -> None:
    """
    @param transport: of any kind. One with a socket would wait for the reactor's next turn. What the socket does not
        take goes out then, and an error shows then.
    """
    transport.write(data)
    if isinstance(transport, FileDescriptor):
        transport.doWrite()
