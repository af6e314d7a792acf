"""
Text from peers, made fit to be shown to people.
"""

from __future__ import annotations

#: Enough to recognize a name by, too little to flood a log with.
MAX_SHOWN = 200


def shown(text: object) -> str:
    """
    A name that a peer chose, for a log line or a message: in quotes, on one line, without control
    characters or escape sequences, and at most L{MAX_SHOWN} characters of it.
    """
    whole = str(text)
    return repr(whole[:MAX_SHOWN]) + ("…" if len(whole) > MAX_SHOWN else "")


def sentence(text: object) -> str:
    """A text, such as what an exception says, with a full stop at its end."""
    return str(text).rstrip(".") + "."


def closeReason(text: str) -> bytes:
    """
    A reason as a close frame can carry it: UTF-8, cut to the 123 bytes that fit (RFC 6455 section 5.5).
    """
    return text.encode("utf-8", "replace")[:123].decode("utf-8", "ignore").encode("utf-8")
