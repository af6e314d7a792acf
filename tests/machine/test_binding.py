"""
Listening sockets of endpoint strings.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.internet.testing import MemoryReactor
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface.verify import verifyObject

from tests.machine.descriptors import sameDescriptors
from twisted_crossws.machine.binding import KernelPorts, Listens, keyOf, listeningSocket, ownSocket
from twisted_crossws.services.ports import BACKLOG, ListenError

PLACE = "crossws.toml: [websocket] listen"
NOT_SHARED = "cannot be listened on: processes can share what begins with tcp:, tcp6:, ssl:, tls: or haproxy:tcp:."


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with sameDescriptors() as stack:
        yield stack


@pytest.mark.parametrize(
    ("description", "family", "host", "key"),
    [
        ("tcp:0", socket.AF_INET, "0.0.0.0", "tcp:0.0.0.0:0"),
        ("tcp:0:interface=127.0.0.1", socket.AF_INET, "127.0.0.1", "tcp:127.0.0.1:0"),
        (r"tcp:0:interface=\:\:1", socket.AF_INET6, "::1", "tcp:[::1]:0"),
        ("tcp6:0", socket.AF_INET6, "::", "tcp:[::]:0"),
        ("haproxy:tcp:0:interface=127.0.0.1", socket.AF_INET, "127.0.0.1", "tcp:127.0.0.1:0"),
    ],
)
def test_listens(stack: ExitStack, description: str, family: int, host: str, key: str) -> None:
    """What listens is as Twisted's own endpoint would make it, and nobody inherits it."""
    made, listening = listeningSocket(description, PLACE)
    with listening:
        assert made == keyOf(description, PLACE) == key
        assert listening.family == family and listening.getsockname()[0] == host and listening.getsockname()[1]
        assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert not listening.get_inheritable() and listening.gettimeout() == 0


def test_backlog(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many can wait to be accepted, or as many as the description says."""
    asked: list[int] = []
    monkeypatch.setattr(
        "twisted_crossws.machine.binding.openSocket", lambda port, backlog, interface: asked.append(backlog)
    )
    listeningSocket("tcp:9000", PLACE)
    listeningSocket("tcp:9000:backlog=7", PLACE)
    assert asked == [BACKLOG, 7]


def test_taken(stack: ExitStack) -> None:
    """A port that is taken is said to be, with the place where it was asked for."""
    _, listening = listeningSocket("tcp:0:interface=127.0.0.1", PLACE)
    with listening, pytest.raises(ListenError) as raised:
        listeningSocket(f"tcp:{listening.getsockname()[1]}:interface=127.0.0.1", PLACE)
    assert str(raised.value).startswith(f"{PLACE}: 'tcp:") and str(raised.value).endswith(
        "' cannot be listened on: Address already in use."
    )


def test_noSuchInterface(stack: ExitStack) -> None:
    """So is one on an interface that this machine does not have."""
    with pytest.raises(ListenError, match="cannot be listened on: Cannot assign requested address"):
        listeningSocket("tcp:0:interface=192.0.2.1", PLACE)


@pytest.mark.parametrize("description", ["unix:/run/crossws.sock", "unix:/run/crossws.sock:mode=600", "stdio:"])
def test_notShared(description: str) -> None:
    """Others cannot be shared, and that is said too."""
    for make in (listeningSocket, keyOf):
        with pytest.raises(ListenError) as raised:
            make(description, PLACE)
        assert str(raised.value) == f"{PLACE}: {description!r} {NOT_SHARED}"


def test_noEndpoint() -> None:
    """What is no endpoint at all is a fault as well."""
    with pytest.raises(ListenError, match="'nonsense:1' is no endpoint: .*nonsense"):
        listeningSocket("nonsense:1", PLACE)


def test_encrypted() -> None:
    """Where a reactor would wrap connections in TLS, they are."""
    made: list[Any] = []
    Listens(lambda *args: made.append(args)).listenSSL(443, Factory(), CertificateOptions(), backlog=5, interface="::1")
    ((port, factory, backlog, interface),) = made
    assert (port, backlog, interface) == (443, 5, "::1") and isinstance(factory, TLSMemoryBIOFactory)


class TestKernelPorts:
    def test_listens(self) -> None:
        """Each process binds the port by itself, in a way that allows others the same."""
        reactor = MemoryReactor()
        endpoint = KernelPorts(reactor).endpoint("tcp:9000:interface=127.0.0.1", PLACE)
        assert verifyObject(IStreamServerEndpoint, endpoint)
        factory = Factory()
        endpoint.listen(factory)
        ((binding, listens, backlog, interface),) = reactor.tcpServers
        assert listens is factory and backlog == BACKLOG and interface == "127.0.0.1"
        assert (binding._address, binding._port, binding._reuseAddress, binding._reusePort) == (
            "127.0.0.1",
            9000,
            True,
            True,
        )

    def test_anyPort(self) -> None:
        """Any port there is would be another one for each process."""
        listening: Any = KernelPorts(MemoryReactor()).endpoint("tcp:0", PLACE).listen(Factory())
        failures: list[Any] = []
        listening.addErrback(failures.append)
        assert "every process would get a port of its own" in str(failures[0].value)


def test_ownSocket(stack: ExitStack) -> None:
    """What another process has sent is inherited by no third; what is no socket is closed."""
    with socket.socket() as theirs:
        number = os.dup(theirs.fileno())
        os.set_inheritable(number, True)
        with ownSocket(number) as received:
            assert not received.get_inheritable() and received.gettimeout() == 0
    with pytest.raises(OSError):
        ownSocket(os.open("/", os.O_RDONLY))
