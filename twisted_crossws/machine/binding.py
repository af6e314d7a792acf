"""
Making listening sockets of endpoint strings.

Twisted's endpoints know how to read C{tcp:}, C{ssl:} and all others with their options, and in the end ask a reactor to
listen. L{Listens} stands there for the reactor, so that listening can be done otherwise: by a master that only opens a
socket, by a worker that is given one.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from twisted.internet.abstract import isIPv6Address
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IProtocolFactory, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.tcp import makeBinding
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from twisted_crossws.services.ports import ListenError, listenError, withBacklog


class Listens:
    """
    Stands for the reactor where an endpoint listens: what it would do for TCP is done by a function.
    """

    def __init__(self, listen: Callable[[int, IProtocolFactory, int, str], Any]) -> None:
        """
        @param listen: gets port, factory, backlog and interface, and returns what the endpoint's C{listen} fires with.
        """
        self._listen = listen

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> Any:
        """As of L{IReactorTCP<twisted.internet.interfaces.IReactorTCP>}."""
        return self._listen(port, factory, backlog, interface)

    def listenSSL(
        self, port: int, factory: IProtocolFactory, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> Any:
        """As of L{IReactorSSL<twisted.internet.interfaces.IReactorSSL>}."""
        return self._listen(port, TLSMemoryBIOFactory(contextFactory, False, factory), backlog, interface)

    def listenUNIX(self, *args: object, **kwargs: object) -> NoReturn:
        raise CannotBeShared()

    def adoptStreamPort(self, *args: object) -> NoReturn:
        raise CannotBeShared()


class CannotBeShared(OSError):
    """An endpoint of another kind."""

    def __init__(self) -> None:
        super().__init__(
            errno.EOPNOTSUPP, "processes can share what begins with tcp:, tcp6:, ssl:, tls: or haproxy:tcp:"
        )


def endpointOf(listens: Listens, description: str) -> IStreamServerEndpoint:
    """
    @return: the endpoint of a description, with our backlog, which listens so.
    @raise ValueError: the description is no endpoint.
    """
    endpoint: IStreamServerEndpoint = serverFromString(listens, withBacklog(description))
    return endpoint


def keyOf(description: str, place: str) -> str:
    """
    @param place: where it was configured, to begin an error message with.
    @return: by what name all processes know the listening socket of an endpoint. It is the same for any two endpoints
        that listen on the same port, whatever they do there.
    @raise ListenError: it cannot be shared, or is no endpoint.
    """
    key: str = _listen(description, place, lambda port, factory, backlog, interface: keyOfPort(port, interface))
    return key


def keyOfPort(port: int, interface: str) -> str:
    """
    @return: such as C{tcp:0.0.0.0:9000}, or C{tcp:[::]:9000}.
    """
    host = f"[{interface}]" if isIPv6Address(interface) else interface or "0.0.0.0"
    return f"tcp:{host}:{port}"


def listeningSocket(description: str, place: str) -> tuple[str, socket.socket]:
    """
    @param place: where it was configured, to begin an error message with.
    @return: the L{key<keyOf>} of an endpoint, and a socket that listens, as the endpoint's own would: not blocking, and
        closed on exec.
    @raise ListenError: it cannot be listened on, not be shared, or is no endpoint.
    """
    made: tuple[str, socket.socket] = _listen(
        description,
        place,
        lambda port, factory, backlog, interface: (keyOfPort(port, interface), openSocket(port, backlog, interface)),
    )
    return made


def openSocket(port: int, backlog: int, interface: str) -> socket.socket:
    """
    @raise CannotListenError: as of C{reactor.listenTCP}.
    """
    family = socket.AF_INET6 if isIPv6Address(interface) else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        address: Any = (interface, port)
        if family == socket.AF_INET6:
            # With its scope, such as of fe80::1%eth0.
            address = socket.getaddrinfo(interface, port, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)[0][4]
        listening.bind(address)
        listening.listen(backlog)
    except OSError as fault:
        listening.close()
        raise CannotListenError(interface, port, fault) from None
    return listening


def ownSocket(number: int) -> socket.socket:
    """
    @param number: a descriptor that another process has sent, which is ours from now on.
    @return: the socket that it is, which does not block, nor is inherited by programs that are started.
    @raise OSError: it is no socket, and is closed.
    """
    try:
        received = socket.socket(fileno=number)
    except OSError:
        os.close(number)
        raise
    received.setblocking(False)
    received.set_inheritable(False)
    return received


class KernelPorts:
    """
    Processes that listen on the same port each by itself, as C{SO_REUSEPORT} allows: the system gives each connection
    to one of them, by chance. Connections that wait to be accepted by a process that ends are reset.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def endpoint(self, description: str, place: str) -> IStreamServerEndpoint:
        """
        @raise ValueError: the description is no endpoint.
        """
        return endpointOf(Listens(self._listen), description)

    def _listen(self, port: int, factory: IProtocolFactory, backlog: int, interface: str) -> Any:
        if port == 0:
            raise OSError(errno.EINVAL, 'with spread = "kernel" every process would get a port of its own; name one')
        binding = makeBinding(interface, port, reuseAddress=True, reusePort=True)
        return self._reactor.listenTCP(binding, factory, backlog, interface)


def _listen(description: str, place: str, listen: Callable[[int, IProtocolFactory, int, str], Any]) -> Any:
    """What C{listen} returns for an endpoint."""
    asked: list[Any] = []

    def ask(port: int, factory: IProtocolFactory, backlog: int, interface: str) -> None:
        asked.append(listen(port, factory, backlog, interface))

    try:
        endpoint = endpointOf(Listens(ask), description)
    except Exception as fault:
        raise ListenError(f"{place}: {description!r} is no endpoint: {fault}.") from fault
    failures: list[Failure] = []
    maybeDeferred(endpoint.listen, Factory()).addErrback(failures.append)
    if failures and failures[0].check(CannotListenError, OSError):
        raise listenError(description, place, failures[0].value)
    if len(asked) != 1:
        raise listenError(description, place, CannotBeShared())
    return asked[0]
