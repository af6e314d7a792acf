"""
What a proxy says in the name of its client: a close frame that is not masked.

Caddy 2.6 sends one to the node for each WebSocket when its configuration is loaded again or it stops, between two
frames of the client. It speaks as servers do, and a node may not take that (RFC 6455 section 5.1: the connection must
be closed). But no client has done it, and no client has closed.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted_crossws.errors import CloseCode

#: What listeners of C{close} are told, with code 1006.
CLOSED_BY_PROXY = "closed by a proxy: a close frame that is not masked"

#: Its first byte: final, no reserved bit, a close frame.
_CLOSE = 0x88


class ProxyCloses:
    """
    To be put before Autobahn's server protocol: ends a connection whose proxy closes it, without a word of a fault.
    """

    data: bytes
    wasClean: bool
    sendCloseFrame: Callable[..., None]
    dropConnection: Callable[..., None]
    _why: str | None

    def _protocol_violation(self, reason: str) -> bool:
        # Autobahn tells what it has found by this sentence alone.
        if reason == "unmasked client-to-server frame" and self.data[0] == _CLOSE:
            self._why = self._why or CLOSED_BY_PROXY
            self.sendCloseFrame(CloseCode.PROTOCOL_ERROR, CLOSED_BY_PROXY.encode())
            self.wasClean = False
            self.dropConnection()
            return True
        return bool(super()._protocol_violation(reason))  # type: ignore[misc]
