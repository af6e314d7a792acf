"""
When a connection to a Redis writes, and when it reads: as seldom as possible, and not later than needed.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.abstract import FileDescriptor
from twisted.internet.task import Clock

from tests.bus.test_redis import Site, result
from twisted_crossws.bus.connection import POSTPONED, RedisConnection, messageCommand


class Armed:
    """A reactor that notes who wants to write."""

    def __init__(self) -> None:
        self.writers: set[Any] = set()

    def addWriter(self, writer: Any) -> None:
        self.writers.add(writer)

    def removeWriter(self, writer: Any) -> None:
        self.writers.discard(writer)

    def removeReader(self, reader: Any) -> None:
        pass


class Descriptor(FileDescriptor):
    """
    A transport with a socket that takes as much as it is told.

    @ivar takes: bytes that it takes at once.
    @ivar sent: what it took.
    """

    def __init__(self) -> None:
        super().__init__(Armed())  # type: ignore[arg-type]
        self.connected = 1
        self.takes = 1000
        self.sent = b""

    def writeSomeData(self, data: bytes) -> int:
        self.sent += data[: self.takes]
        return min(self.takes, len(data))


class Nobody:
    """An attendant that is not interested."""

    def made(self, connection: RedisConnection) -> None:
        pass

    received = over = gone = writable = made  # type: ignore[assignment]


@pytest.fixture
def descriptor(clock: Clock) -> Descriptor:
    return Descriptor()


@pytest.fixture
def connection(clock: Clock, descriptor: Descriptor) -> RedisConnection:
    connection = RedisConnection(Nobody(), clock, 2.0)  # type: ignore[arg-type]
    connection.makeConnection(descriptor)  # type: ignore[arg-type]
    return connection


class TestSending:
    def test_atOnce(self, descriptor: Descriptor, connection: RedisConnection) -> None:
        """What is sent leaves at once, where the transport has a socket."""
        connection.send(b"one", ())
        assert descriptor.sent == b"one"
        assert not descriptor.reactor.writers

    def test_rest(self, descriptor: Descriptor, connection: RedisConnection) -> None:
        """What the socket does not take leaves when it does, before everything that is sent later."""
        descriptor.takes = 2
        connection.send(b"first ", ())
        assert descriptor.reactor.writers == {descriptor}
        descriptor.takes = 1
        connection.send(b"second", ())
        while descriptor.reactor.writers:
            descriptor.doWrite()
        assert descriptor.sent == b"first second"


def publisherOf(site: Site) -> Any:
    (publisher,) = site.only.publishers
    return publisher.transport


class TestAnswering:
    def test_together(self, clock: Clock) -> None:
        """What is published in answer to packets that came together leaves in one write, and in the same turn."""
        site = Site(clock)
        link, receiver = site.link("node", "x")
        receiver.packetReceived = lambda channel, packet: link.publish("y", packet)  # type: ignore[method-assign]
        (subscriber,) = site.only.subscribers
        transport = publisherOf(site)
        writes: list[bytes] = []
        transport.write = writes.append
        came = b"".join(b"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n%d\r\n" % number for number in range(3))
        subscriber.protocol.dataReceived(came)
        assert writes == [b"".join(messageCommand("y", b"%d" % number) for number in range(3))]
        assert all(call.getTime() > clock.seconds() for call in clock.getDelayedCalls())
        del transport.write

    def test_afterwards(self, clock: Clock) -> None:
        """A packet that fails does not keep back what is published later."""
        site = Site(clock)
        link, _ = site.link("node", "x")
        pair = link._pairs[0]
        pair.deliver = lambda channel, packet: {}["missing"]
        (subscriber,) = site.only.subscribers
        with pytest.raises(KeyError):
            subscriber.protocol.dataReceived(b"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n1\r\n")
        link.publish("y", b"later")
        site.flush()
        assert site.only.published == [("y", b"later")]


class TestPostponing:
    def test_confirmations(self, clock: Clock) -> None:
        """Confirmations that nobody waits for are not read one by one, but soon."""
        site = Site(clock)
        link, _ = site.link()
        link.publish("x", b"1")
        clock.advance(0)
        assert publisherOf(site).producerState == "paused"
        clock.advance(POSTPONED)
        assert publisherOf(site).producerState == "producing"

    def test_awaited(self, clock: Clock) -> None:
        """One that somebody waits for is read at once, also after others."""
        site = Site(clock)
        link, _ = site.link()
        link.publish("x", b"1")
        clock.advance(0)
        counted = result(link.publishCounted("x", b"2"))
        clock.advance(0)
        assert publisherOf(site).producerState == "producing"
        site.flush()
        assert counted == [0]

    def test_pinged(self, clock: Clock) -> None:
        """A Redis that is asked whether it is alive is listened to."""
        site = Site(clock, pingInterval=1.0, pingTimeout=0.5)
        link, _ = site.link()
        clock.advance(1.0 - POSTPONED / 2)
        link.publish("x", b"1")
        clock.advance(0)
        assert publisherOf(site).producerState == "paused"
        clock.advance(POSTPONED / 2)
        assert publisherOf(site).producerState == "producing"

    def test_over(self, clock: Clock) -> None:
        """When the connection ends meanwhile, nothing is left of it."""
        site = Site(clock)
        link, _ = site.link()
        link.publish("x", b"1")
        clock.advance(0)
        site.stop()
