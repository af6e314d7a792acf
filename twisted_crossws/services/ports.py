"""
Listening, and saying in a sentence why it cannot be done.
"""

from __future__ import annotations

from typing import Any

from twisted.application.internet import StreamServerEndpointService
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.errors import CrossWSError
from twisted_crossws.node import Node

_log = Logger()

#: How many connections may wait to be accepted. With Twisted's 50, a burst of 200 gets 65 a second.
BACKLOG = 4096

_WITH_BACKLOG = ("tcp:", "tcp6:", "ssl:", "unix:")


class ListenError(CrossWSError):
    """A port cannot be listened on. The message names it, and where it is configured."""


def withBacklog(description: str) -> str:
    """An endpoint string with our backlog, if it has none of its own and its kind knows of one."""
    if description.startswith(_WITH_BACKLOG) and ":backlog=" not in description:
        return f"{description}:backlog={BACKLOG}"
    return description


class PortService(StreamServerEndpointService):
    """
    Listens for a node. Its C{listening} event is fired for each port; what goes wrong is its C{serverError}, and
    raised from starting as L{ListenError}.
    """

    _raiseSynchronously = True

    def __init__(self, node: Node, description: str, place: str, reactor: Any) -> None:
        """
        @param description: a Twisted endpoint string.
        @param place: where it was configured, to begin the error message with.
        @raise ValueError: the description is no endpoint.
        """
        super().__init__(serverFromString(reactor, withBacklog(description)), node.webSocketFactory())
        self._node = node
        self._description = description
        self._place = place

    def privilegedStartService(self) -> None:
        try:
            super().privilegedStartService()
        except (CannotListenError, OSError) as fault:
            reason = getattr(fault, "socketError", fault)
            text = getattr(reason, "strerror", None) or str(reason)
            error = ListenError(f"{self._place}: {self._description!r} cannot be listened on: {text}.")
            self._node.lifecycle.fire("serverError", Failure(error))
            raise error from None
        waiting: Any = self._waitingForPort
        waiting.addCallback(self._listening)

    def _listening(self, port: IListeningPort | None) -> IListeningPort | None:
        if port is not None:
            _log.info("{server} listens on {address}", server=self._node.serverName, address=port.getHost())
            self._node.lifecycle.fire("listening", port)
        return port
