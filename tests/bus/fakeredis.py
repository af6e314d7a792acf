"""
A Redis in memory: it speaks RESP, and fails in the ways in which real ones do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hiredis
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from zope.interface import implementer

from twisted_crossws.testing import FakeTransport

NOPERM = "NOPERM this user has no permissions to access one of the channels used as arguments"


@implementer(IStreamClientEndpoint)
class FakeRedis:
    """
    Answers in a later turn of the clock. It is the endpoint that leads to itself, too.

    @ivar password: what AUTH must say; C{None}: there is none.
    @ivar isDown: it refuses connections; those that there are it keeps.
    @ivar isUnreachable: attempts to connect hang.
    @ivar isFrozen: it does nothing, as after SIGSTOP.
    @ivar isDeaf: it delivers nothing to subscribers, and answers as if it did.
    @ivar errors: by command, an error that it is answered with.
    @ivar forbidden: channels that nobody may subscribe.
    @ivar latency: seconds that an answer takes.
    @ivar speaks: instead of all that: called with the bytes that came, returns those that go back, or C{None} to close.
    @ivar commands: those that came, as lists of words; a list of channels is not looked into.
    @ivar published: channels and packets of C{PUBLISH}, those for probes left out.
    @ivar attempts: how many there were to connect.
    """

    def __init__(self, clock: Clock) -> None:
        self.password: str | None = None
        self.isDown = False
        self.isUnreachable = False
        self.isFrozen = False
        self.isDeaf = False
        self.errors: dict[str, str] = {}
        self.forbidden: set[str] = set()
        self.latency = 0.0
        self.speaks: Callable[[bytes], bytes | None] | None = None
        self.commands: list[list[bytes]] = []
        self.published: list[tuple[str, bytes]] = []
        self.attempts = 0
        self.clock = clock
        self._all: list[FakeClient] = []

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        self.attempts += 1
        if self.isUnreachable:
            return Deferred()
        if self.isDown:
            return fail(ConnectionRefusedError())
        client = FakeClient(self, protocolFactory.buildProtocol(None))
        self._all.append(client)
        client.open()
        return succeed(client.protocol)

    @property
    def clients(self) -> list[FakeClient]:
        """Those that are connected."""
        return [client for client in self._all if not client.transport.isEnded]

    @property
    def subscribers(self) -> list[FakeClient]:
        """Those connections that are subscribed to anything."""
        return [client for client in self.clients if client.channels]

    @property
    def publishers(self) -> list[FakeClient]:
        """The others."""
        return [client for client in self.clients if not client.channels]

    def channels(self) -> set[str]:
        """What is subscribed by anyone, but for probes: C{PUBSUB CHANNELS}."""
        found = {_text(channel) for client in self.clients for channel in client.channels}
        return {channel for channel in found if not channel.startswith("csbp-probe:")}

    def count(self, command: str) -> int:
        """How often it came."""
        return sum(words[0] == command.encode() for words in self.commands)

    def drop(self, *clients: FakeClient) -> None:
        """Close connections; by default all."""
        for client in clients or self.clients:
            client.transport.leave()

    def kill(self) -> None:
        """Its process ends: connections are closed, and new ones refused."""
        self.isDown = True
        self.drop()

    def thaw(self) -> None:
        """It does all that has come meanwhile."""
        self.isFrozen = False
        for client in self.clients:
            client.read()


class FakeClient:
    """
    One connection, seen from the Redis.

    @ivar channels: that it is subscribed to.
    @ivar isStalled: the Redis does not read from it, and so its buffers are full.
    """

    def __init__(self, redis: FakeRedis, protocol: Any) -> None:
        self.protocol = protocol
        self.channels: set[bytes] = set()
        self._redis = redis
        self._isLet = redis.password is None
        self._reader = hiredis.Reader()
        self.transport = FakeTransport(redis.clock, protocol, self._written)

    def open(self) -> None:
        self.protocol.makeConnection(self.transport)

    @property
    def isStalled(self) -> bool:
        return self.transport.isStalled

    def stall(self) -> None:
        """From now on what is written to it waits."""
        self.transport.isStalled = True

    def flow(self) -> None:
        """It reads again."""
        self.transport.isStalled = False
        self.read()
        self.transport.read()

    def send(self, data: bytes) -> None:
        """These bytes go to the node."""
        self._redis.clock.callLater(self._redis.latency, self._arrive, data)

    def read(self) -> None:
        """Do what has come."""
        if self._redis.isFrozen or self.isStalled or self.transport.isEnded:
            return
        data = self.transport.value()
        self.transport.clear()
        if self._redis.speaks is not None:
            self._speak(self._redis.speaks(data))
            return
        self._reader.feed(data)
        while (words := self._reader.gets()) is not False:
            self._redis.commands.append(words)
            self.send(self._answer(words[0].decode(), words[1:]))

    def _written(self) -> None:
        self._redis.clock.callLater(0, self.read)

    def _arrive(self, data: bytes) -> None:
        if not self.transport.isEnded:
            self.protocol.dataReceived(data)

    def _speak(self, answer: bytes | None) -> None:
        if answer is None:
            self.transport.leave()
        elif answer:
            self.send(answer)

    def _answer(self, command: str, words: list[bytes]) -> bytes:
        if command in self._redis.errors:
            return _error(self._redis.errors[command])
        if command == "AUTH":
            self._isLet = words[-1].decode() == self._redis.password
            return b"+OK\r\n" if self._isLet else _error("WRONGPASS invalid username-password pair")
        if not self._isLet:
            return _error("NOAUTH Authentication required.")
        return getattr(self, f"_{command.lower()}")(*words)  # type: ignore[no-any-return]

    def _select(self, number: bytes) -> bytes:
        return b"+OK\r\n" if int(number) < 16 else _error("ERR DB index is out of range")

    def _ping(self) -> bytes:
        return _list(b"pong", b"") if self.channels else b"+PONG\r\n"

    def _subscribe(self, *channels: bytes) -> bytes:
        if any(_text(channel) in self._redis.forbidden for channel in channels):
            return _error(NOPERM)
        return b"".join(map(self._subscribed, channels))

    def _subscribed(self, channel: bytes) -> bytes:
        self.channels.add(channel)
        return _list(b"subscribe", channel, len(self.channels))

    def _unsubscribe(self, *channels: bytes) -> bytes:
        return b"".join(map(self._unsubscribed, channels))

    def _unsubscribed(self, channel: bytes) -> bytes:
        self.channels.discard(channel)
        return _list(b"unsubscribe", channel, len(self.channels))

    def _publish(self, channel: bytes, packet: bytes) -> bytes:
        if not channel.startswith(b"csbp-probe:"):
            self._redis.published.append((_text(channel), packet))
        heard = [client for client in self._redis.clients if channel in client.channels]
        for client in heard:
            if not self._redis.isDeaf:
                client.send(_list(b"message", channel, packet))
        return b":%d\r\n" % len(heard)

    def _pubsub(self, what: bytes, *channels: bytes) -> bytes:
        assert what == b"NUMSUB"
        counts = [sum(channel in client.channels for client in self._redis.clients) for channel in channels]
        return _list(*(part for pair in zip(channels, counts, strict=True) for part in pair))


def _error(text: str) -> bytes:
    return f"-{text}\r\n".encode()


def _list(*parts: bytes | int) -> bytes:
    coded = [b":%d\r\n" % part if isinstance(part, int) else b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]
    return b"*%d\r\n" % len(parts) + b"".join(coded)


def _text(channel: bytes) -> str:
    return channel.decode("utf-8", "surrogatepass")
