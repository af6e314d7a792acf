"""
What happens to connections and to the server itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.errors import NotConnected
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.deliver import notify
from twisted_crossws.state.listeners import Listeners
from twisted_crossws.state.sockets import Socket

_log = Logger()


#: The events of C{node.lifecycle}, and what their listeners are called with. There are no others.
NODE_EVENTS = {
    "connection": "socket",
    "close": "socket, code, reason",
    "error": "socket, failure",
    "message": "socket, data",
    "pong": "socket",
    "clientPing": "socket",
    "listening": "port",
    "serverError": "failure",
    "serverUp": "name",
    "serverDraining": "name",
    "serverDown": "name, reason",
    "wasAway": "seconds",
    "draining": "",
    "serverClose": "",
}

#: The same of the C{lifecycle} of a client, L{Connector<twisted_crossws.client.connector.Connector>}.
CLIENT_EVENTS = {
    "open": "",
    "close": "code, reason",
    "error": "failure",
    "unreachable": "reason, attempt",
    "reconnect": "attempt, delay",
    "repeatLimit": "limit",
    "ping": "",
    "pong": "latency",
    "pongTimeout": "",
    "message": "text",
}


class Lifecycle(Listeners):
    """
    The events of L{NODE_EVENTS}, that no client can bring about by sending a frame of that name.
    """

    def __init__(self, serverName: str, counters: Counters) -> None:
        super().__init__(known=NODE_EVENTS)
        self._serverName = serverName
        self._counters = counters

    def fire(self, event: str, *args: Any) -> None:
        """Call the listeners of an event in order; one that fails is logged, and the next one runs."""
        listeners = self.take(event)
        if listeners:
            notify(listeners, args, partial(self._failed, args))

    def _failed(self, args: tuple[Any, ...], listener: Callable[..., Any], failure: Failure) -> None:
        socket = args[0] if args else None
        if isinstance(socket, Socket) and failure.check(NotConnected) and not socket.isOpen:
            # The client went while the listener was at work, which is nobody's fault.
            return
        self._counters["listener_failures"] += 1
        _log.failure(
            "{server}: a lifecycle listener failed: {listener!r}",
            failure=failure,
            server=self._serverName,
            listener=listener,
        )
