"""
Listening, and saying in a sentence why it cannot be done.
"""

from __future__ import annotations

from typing import Any, NoReturn

from twisted.application.internet import StreamServerEndpointService
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_crossws.errors import CrossWSError
from twisted_crossws.node import Node
from twisted_crossws.ws.direct import useDirectWrites

_log = Logger()

#: How many connections may wait to be accepted. With Twisted's 50, a burst of 200 gets 65 a second.
BACKLOG = 4096

#: The exit status of a process under a master that cannot listen: EX_UNAVAILABLE of sysexits.h.
CANNOT_LISTEN = 69

_WITH_BACKLOG = ("tcp:", "tcp6:", "ssl:", "unix:")


class ListenError(CrossWSError):
    """A port cannot be listened on. The message names it, and where it is configured."""


def withBacklog(description: str) -> str:
    """An endpoint string with our backlog, if it has none of its own and its kind knows of one."""
    if description.startswith(_WITH_BACKLOG) and ":backlog=" not in description:
        return f"{description}:backlog={BACKLOG}"
    return description


def listenError(description: str, place: str, fault: BaseException | None) -> ListenError:
    """
    @param place: where the endpoint was configured.
    @param fault: why it cannot be listened on.
    """
    reason = getattr(fault, "socketError", fault)
    text = getattr(reason, "strerror", None) or str(reason)
    return ListenError(f"{place}: {description!r} cannot be listened on: {text}.")


@implementer(IStreamServerEndpoint)
class WhenOpen:
    """
    An endpoint that listens when its node lets clients in, and not before: others can serve them meanwhile.
    """

    def __init__(self, node: Node, endpoint: IStreamServerEndpoint) -> None:
        self._node = node
        self._endpoint = endpoint

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        @return: fires with the port; fails with C{CancelledError} if the node stops before.
        """

        def opened(_: None) -> Deferred[IListeningPort]:
            listening: Deferred[IListeningPort] = self._endpoint.listen(factory)
            return listening

        def neverOpened(failure: Failure) -> NoReturn:
            # Why the node stops is told elsewhere.
            raise CancelledError()

        return self._node.whenOpen().addCallbacks(opened, neverOpened)


class PortService(StreamServerEndpointService):
    """
    Listens for a node. Its C{listening} event is fired for each port; what goes wrong is its C{serverError}, and, where
    that is known at once, raised from starting as L{ListenError}.
    """

    _raiseSynchronously = True

    def __init__(
        self,
        node: Node,
        description: str,
        place: str,
        reactor: Any,
        endpoint: IStreamServerEndpoint | None = None,
    ) -> None:
        """
        @param description: a Twisted endpoint string.
        @param place: where it was configured, to begin the error message with.
        @param endpoint: what listens instead of Twisted's endpoint of that description.
        @raise ValueError: the description is no endpoint.
        """
        super().__init__(self, node.webSocketFactory())
        self._listensOn: Any = endpoint or serverFromString(reactor, withBacklog(description))
        self._node = node
        self._description = description
        self._place = place
        self._reactor = reactor

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """This is its own endpoint, so that it is the first to hear what comes of it."""
        listening: Deferred[IListeningPort] = self._listensOn.listen(factory)
        return listening.addCallbacks(self._listening, self._failed)

    def stopService(self) -> Deferred[None]:
        """
        @return: fires when the port is closed, or will not be opened; at once if it was never started, or is being
            stopped already.
        """
        if self._waitingForPort is None:
            return succeed(None)
        stopped: Deferred[None] = super().stopService()
        # Or a second call would cancel the first, and a later start would not listen again.
        self._waitingForPort = None
        return stopped

    def _listening(self, port: IListeningPort) -> IListeningPort:
        _log.info("{server} listens on {address}", server=self._node.serverName, address=port.getHost())
        if self._node.config.websocket.fast_path:
            useDirectWrites(port, self._reactor)
        self._node.lifecycle.fire("listening", port)
        return port

    def _failed(self, failure: Failure) -> Failure:
        if failure.check(CannotListenError, OSError):
            failure = Failure(listenError(self._description, self._place, failure.value))
        if not failure.check(CancelledError):
            self._node.lifecycle.fire("serverError", failure)
        return failure
