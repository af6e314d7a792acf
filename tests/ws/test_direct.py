"""
Direct writes change only when something is sent: Twisted's own transport and ours, side by side on real sockets.
"""

from __future__ import annotations

import ssl
from asyncio import CancelledError
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLContextFactory
from zope.interface import implementer

from tests.ws.sockets import Step, World

SIZES = [0, 1, 2, 100, 1000, 5000, 40_000, 65_535, 65_536, 65_537, 131_072, 131_073, 300_000]

#: What both transports are to say as often as the other.
COUNTED = ["pull", "write lost", "over"]


class Steps:
    """Draws what happens to a connection."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        pick = chance.choice
        self._most = pick([4, 7, len(SIZES)])
        writing: list[Any] = [self._write, self._write, self._write, self._sequence, self._odd]
        self._own = [*writing, *self._some([self._push, self._pull, self._plain("unregister")], 2)]
        ends = [self._plain("lose"), self._plain("loseWrite"), self._plain("abort")]
        self._ends = self._some([*ends, self._plain("peerShuts"), self._plain("peerLeaves")], 2)
        self._others = [self._plain("turn"), self._reads, self._inside, self._plain("pause"), self._plain("resume")]

    def draw(self) -> list[Step]:
        """Twenty at most; the ends not often."""
        steps = []
        for _ in range(self._chance.randint(2, 20)):
            kinds = self._chance.choice([self._own, self._own, self._others, self._others, self._others])
            if self._ends and not self._chance.randint(0, 9):
                kinds = self._ends
            steps.append(self._chance.choice(kinds)())
        return steps

    def _some(self, of: list[Any], most: int) -> list[Any]:
        return [self._chance.choice(of) for _ in range(self._chance.randint(0, most))]

    def _size(self) -> int:
        return self._chance.choice(SIZES[: self._most])

    def _plain(self, name: str) -> Any:
        return lambda: (name,)

    def _write(self) -> Step:
        return ("write", self._size())

    def _sequence(self) -> Step:
        return ("writeSequence", *(self._size() for _ in range(self._chance.randint(0, 4))))

    def _odd(self) -> Step:
        return ("writeOdd", self._size())

    def _push(self) -> Step:
        return ("push",)

    def _pull(self) -> Step:
        return ("pull", self._size() + 1, self._chance.randint(1, 5))

    def _reads(self) -> Step:
        return ("peerReads", self._size() + 1)

    def _inside(self) -> Step:
        kinds = [*self._own, *self._ends]
        inside = [self._chance.choice(kinds)() for _ in range(self._chance.randint(0, 4))]
        own = [step for step in inside if not step[0].startswith("peer")]
        return ("peerWrites", b"x" * self._chance.randint(1, 9), own)


def assertSame(steps: list[Step], buffered: int) -> None:
    """Both transports tell their protocol and its producers the same, and the other side reads the same."""
    direct, ordinary = World(isDirect=True, buffered=buffered), World(isDirect=False, buffered=buffered)
    direct.run(steps)
    ordinary.run(steps)
    if ordinary.hasLeft:
        # Ours sends to one who has left before it has looked, and so learns of it in another way.
        assert direct.journal[-1][0] == ordinary.journal[-1][0] == "lost"
        return
    assert direct.journal == ordinary.journal
    if ordinary.isCut:
        # What waits when a connection is cut is lost, and ours may have sent it already.
        assert direct.came.startswith(ordinary.came) and len(direct.came) <= direct.cutAt
    else:
        assert direct.came == ordinary.came
        # Ours sends sooner, so that a producer may have been paused by one of them alone.
        assert [direct.asked.count(each) for each in COUNTED] == [ordinary.asked.count(each) for each in COUNTED]
        assert direct.asked[-1:] != ["pause"] and ordinary.asked[-1:] != ["pause"]


def test_same() -> None:
    """Whatever is written, by whom, however slowly the other side reads, and however it ends."""
    for number in range(300):
        chance = Random(number)
        steps, buffered = Steps(chance).draw(), chance.choice([1, 20_000, 400_000])
        try:
            assertSame(steps, buffered)
        except AssertionError:
            raise AssertionError(f"number {number}: {steps}, {buffered}") from None


@pytest.fixture(params=[True, False], ids=["direct", "ordinary"])
def isDirect(request: Any) -> bool:
    return bool(request.param)


class TestPromises:
    """What Twisted's own transport does, and ours."""

    @pytest.mark.parametrize("inside", [True, False])
    def test_pauses(self, isDirect: bool, inside: bool) -> None:
        """A producer is paused while it writes more than 64 KiB, and goes on when the other side has read it."""
        world = World(isDirect=isDirect, buffered=1)
        writing = [("write", 65_536), ("write", 1), ("write", 1)]
        world.do([("push",), *([("peerWrites", b"x", writing)] if inside else writing)])
        assert world.asked == ["pause", "pause"]
        world.finish()
        world.close()
        assert world.asked == ["pause", "pause", "resume"] and len(world.came) == 65_538

    def test_writeAfterHalfClose(self, isDirect: bool) -> None:
        """Who has said that nothing more comes is not heard any more, and still reads."""
        world = World(isDirect=isDirect)
        world.do([("write", 10), ("loseWrite",), ("turn",)])
        assert world.asked == ["write lost"]
        world.transport.write(b"late")
        world.transport.writeSequence([b"late"])
        world.do([("turn",), ("peerWrites", b"hello", []), ("peerLeaves",), ("turn",)])
        world.close()
        assert world.journal[:1] == [("data", b"hello")] and world.journal[-1][0] == "lost"

    def test_lateWrites(self, isDirect: bool) -> None:
        """What is written right after C{loseConnection} still goes out; after C{abortConnection} nothing does."""
        for ending, came in [("lose", 30), ("abort", 0)]:
            world = World(isDirect=isDirect)
            world.do([("peerWrites", b"x", [("write", 10), (ending,), ("write", 20)])])
            world.finish()
            world.close()
            assert len(world.came) == came

    @pytest.mark.parametrize("fault", [RuntimeError("on purpose"), CancelledError(), GeneratorExit()])
    def test_failure(self, isDirect: bool, fault: BaseException, logged: list[Any]) -> None:
        """Whatever is raised while one connection is read ends that one, and no other of the same turn."""
        worlds = [World(isDirect=isDirect)]
        worlds += [World(isDirect=isDirect, beside=worlds[0]) for _ in range(2)]
        for world in worlds:
            world.inside = [("write", 7)]
            world.peer.send(b"x")
        worlds[1].inside.append(("boom", fault))
        worlds[0].turn()
        assert [failure.type for failure in logged] == [type(fault)]
        logged.clear()
        assert [world.journal[1:] for world in worlds] == [[], [("lost", type(fault).__name__)], []]
        for world in worlds:
            world.finish()
        worlds[0].close()
        assert [len(world.came) for world in (worlds[0], worlds[2])] == [7, 7]

    @pytest.mark.parametrize("inside", [True, False])
    def test_startTLS(self, isDirect: bool, inside: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is written before C{startTLS} goes out as it is, before it; what is written after it never does."""
        world = World(isDirect=isDirect)
        # For some of what it writes, TLS waits on the clock of the reactor that everybody has.
        monkeypatch.setattr("twisted.protocols.tls._get_default_clock", lambda: world.reactor)
        steps: list[Step] = [("write", 5), ("startTLS", ServerContext()), ("write", 50)]
        world.do([("peerWrites", b"x", steps)] if inside else steps)
        world.turn()
        world.peerReads(5)
        clear, world.came = world.came, b""
        assert clear == bytes(range(1, 6))
        client = TLSClient(world)
        assert client.read(50) == bytes(range(6, 56))
        assert bytes(range(6, 16)) not in client.wire
        client.write(b"secret")
        assert world.journal[-1] == ("data", b"secret")
        world.write(70_000)
        assert len(client.read(70_000)) == 70_000
        world.finish()
        world.close()


class TLSClient:
    """
    The other side of a connection that has become an encrypted one.

    @ivar wire: all that came.
    """

    def __init__(self, world: World) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.wire = b""
        self._world = world
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)

    def read(self, size: int) -> bytes:
        """So many bytes, or what there is after a while."""
        data = b""
        for _ in range(100):
            try:
                while len(data) < size:
                    data += self._tls.read(size - len(data))
                return data
            except ssl.SSLWantReadError:
                self._pump()
        return data

    def write(self, data: bytes) -> None:
        self._tls.write(data)
        self._pump()

    def _pump(self) -> None:
        if sending := self._outgoing.read():
            self._world.peer.send(sending)
        self._world.turn()
        self._world.peerReads(100_000)
        came, self._world.came = self._world.came, b""
        self.wire += came
        self._incoming.write(came)


@implementer(IOpenSSLContextFactory)
class ServerContext:
    """With a new certificate for nobody."""

    def getContext(self) -> SSL.Context:
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(key, hashes.SHA256())
        )
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate(certificate)
        context.use_privatekey(key)
        return context
