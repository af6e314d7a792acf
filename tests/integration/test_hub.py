"""
The hub on real Unix sockets, in processes that are killed and frozen: whatever happens, no packet is lost without a
trace, and there is one hub.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.protocol import Factory, Protocol

from tests.bus.test_promises import BusPromises, Receiver
from tests.integration import test_cluster
from tests.integration.cluster import HubPath, startPuppet, startPuppets
from tests.integration.process import PATIENCE, ROOT, Process, pause, reactor
from tests.integration.redis import eventually
from tests.integration.test_redis import CHANNELS, Party
from twisted_crossws import hubBus
from twisted_crossws.bus.hubholder import MAX_QUEUED, HubKeeper
from twisted_crossws.bus.hubseat import SeatFault, Vacant
from twisted_crossws.bus.hubunix import UnixSeat
from twisted_crossws.state.counters import Counters

pytestmark = [pytest.mark.integration, pytest.mark.fates]

#: Seconds in which everybody is connected again after the hub has died.
BACK = 1.0

#: Seconds in which there is another hub if one is frozen: a ping, its time-out and half as much, a connection that is
#: not welcomed, and the time in which the frozen one would have noticed if it were not.
DEPOSED = 1.0 + 3.0 + 1.0 + 1.25 + 1.0


def turn() -> None:
    """Let everything arrive that is on its way, in a test that is no coroutine."""
    until = reactor.seconds() + 0.05
    while reactor.seconds() < until:
        reactor.iterate(0.005)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "hub")


class TestPromises(BusPromises):
    """What every bus promises."""

    @pytest.fixture(autouse=True)
    def connect(self, path: str, logged: list[Any]) -> Iterator[None]:
        self.clock = reactor
        self.counters = Counters()
        self.links: list[Any] = []
        bus: Any = hubBus(path)
        attach = bus.attach

        def remembered(*args: Any) -> Any:
            self.links.append(attach(*args))
            return self.links[-1]

        bus.attach = remembered
        self.bus = bus
        yield
        for link in self.links:
            pytest_twisted.blockon(link.stop())

    def flush(self) -> None:
        turn()


class Listening(Factory):
    """Listens, and is not a hub."""

    noisy = False
    protocol = Protocol


class TestSeat:
    """A path, and what may be there already."""

    @pytest.fixture
    def seats(self, path: str) -> Iterator[Callable[[], UnixSeat]]:
        made: list[UnixSeat] = []

        def seat() -> UnixSeat:
            made.append(UnixSeat(path, reactor))
            return made[-1]

        yield seat
        for each in made:
            pytest_twisted.blockon(each.close())
            each.leave()

    def test_mode(self, path: str, seats: Callable[[], UnixSeat]) -> None:
        """Socket and lock are for this user alone, whatever files usually are for."""
        before = os.umask(0)
        try:
            seat = seats()
            assert seat.take()
            seat.listen(Listening())
        finally:
            os.umask(before)
        assert stat.S_IMODE(os.lstat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.lstat(f"{path}.lock").st_mode) == 0o600
        assert os.umask(before) == before

    def test_stale(self, path: str, seats: Callable[[], UnixSeat]) -> None:
        """A socket that nobody listens on is none; who has the lock replaces it."""
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(path)
        seat = seats()
        with pytest.raises(Vacant):
            seat.connect(Protocol())
        assert seat.take()
        seat.listen(Listening())
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)

    def test_living(self, path: str, seats: Callable[[], UnixSeat]) -> None:
        """One that somebody has is not taken, whoever asks."""
        first, second = seats(), seats()
        assert first.take() and not second.take()
        first.listen(Listening())
        assert not second.take() and first.isMine() and not second.isMine()

    def test_left(self, path: str, seats: Callable[[], UnixSeat]) -> None:
        """One that was left is free, and its socket gone."""
        first, second = seats(), seats()
        first.take()
        first.listen(Listening())
        first.close()
        turn()
        assert not os.path.exists(path) and not second.take()
        first.leave()
        assert second.take()

    def test_deposed(self, path: str, seats: Callable[[], UnixSeat]) -> None:
        """Who is deposed knows it, and takes nothing away from its successor."""
        first, second, third = seats(), seats(), seats()
        first.take()
        first.listen(Listening())
        holder = third.holder()
        assert second.depose(holder) and not third.depose(holder)
        assert second.isMine() and not first.isMine()
        second.listen(Listening())
        first.close()
        turn()
        first.leave()
        assert second.isMine() and os.path.exists(path) and not third.take()

    def test_removed(self, path: str, seats: Callable[[], UnixSeat]) -> None:
        """One whose socket somebody has removed knows it."""
        seat = seats()
        seat.take()
        seat.listen(Listening())
        os.unlink(path)
        assert not seat.isMine()

    def test_noSocket(self, path: str, seats: Callable[[], UnixSeat]) -> None:
        """A file that is no socket is left alone, and named."""
        Path(path).write_text("precious")
        seat = seats()
        for attempt in (lambda: seat.connect(Protocol()), lambda: seat.take() and seat.listen(Listening())):  # type: ignore[func-returns-value]
            with pytest.raises(SeatFault, match="hub is no socket"):
                attempt()
        assert Path(path).read_text() == "precious"

    def test_noFolder(self, tmp_path: Path) -> None:
        """A folder that is missing is named."""
        seat = UnixSeat(str(tmp_path / "missing" / "hub"), reactor)
        for attempt in (lambda: seat.connect(Protocol()), seat.take, lambda: seat.depose(None)):
            with pytest.raises(SeatFault, match="there is no folder .*missing"):
                attempt()

    def test_tooLong(self, tmp_path: Path) -> None:
        """A path of 107 bytes works, a longer one is refused."""
        longest = str(tmp_path / ("x" * (106 - len(str(tmp_path)))))
        seat = UnixSeat(longest, reactor)
        assert seat.take()
        seat.listen(Listening())
        seat.close()
        turn()
        seat.leave()
        with pytest.raises(ValueError, match="has 108 bytes"):
            UnixSeat(f"{longest}x", reactor)

    def test_children(self, path: str, seats: Callable[[], UnixSeat]) -> None:
        """A child that is forked or executed does not keep the lock when its parent has left it."""
        first, second = seats(), seats()
        first.take()
        executed = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
        ours, theirs = socket.socketpair()
        forked = os.fork()
        if not forked:
            with suppress(BaseException):
                ours.close()
                theirs.send(b"!")
                theirs.recv(1)
            os._exit(0)
        ours.recv(1)
        first.leave()
        assert second.take()
        ours.close()
        theirs.close()
        os.waitpid(forked, 0)
        executed.communicate(b"\n")


@pytest_twisted.async_yield_fixture
async def party(path: str) -> AsyncIterator[Party]:
    """Two nodes in this process, which have not started yet."""
    party = Party(hubBus(path))
    yield party
    await party.stop()


async def startHub(path: str, name: str, *channels: str, maxQueuedBytes: int = MAX_QUEUED) -> Process:
    """A process with one node, when it is connected. The first one is the hub."""
    code = "from runpy import run_module; run_module('tests.integration.hubnode', run_name='__main__')"
    process = Process.fork(code, path, name, str(maxQueuedBytes), *channels, cwd=ROOT)
    await process.says("healthy")
    return process


class Asking(Receiver):
    """Asks other processes how they are."""

    def __init__(self, bus: Any) -> None:
        super().__init__("asking")
        self.counters = Counters()
        self.link = bus.attach(self, reactor, self.counters)

    async def start(self) -> Asking:
        self.link.start()
        await self.link.subscribe("reported")
        return self

    async def report(self, name: str) -> dict[str, Any]:
        """What a process says of itself."""
        self.came.clear()
        self.link.publish("report", b"")

        def said() -> list[dict[str, Any]]:
            reports = [json.loads(packet) for _, packet in self.came]
            return [report for report in reports if report["name"] == name]

        await eventually(said, f"{name} reports")
        return said()[0]


class TestDelivery:
    @pytest_twisted.ensureDeferred
    async def test_tenThousand(self, party: Party) -> None:
        """Ten thousand packets come to both nodes, each channel's in its order."""
        await party.start()
        party.publish(10_000)
        for receiver in party.receivers:
            await eventually(lambda r=receiver: len(r.came) == 10_000, "everything came")  # type: ignore[misc]
        await eventually(lambda: party.outcomes() == {"confirmed": 10_000}, "everything is confirmed")
        assert party.account() == 0

    @pytest_twisted.ensureDeferred
    async def test_anyBytes(self, party: Party) -> None:
        """Packets are bytes, large ones too; C{publishCounted} says how many subscribers there are."""
        await party.start()
        sender, _ = party.links
        packets = [b"", b"007", b"\xff\x00\r\n", bytes(range(256)) * 40_000]
        for packet in packets:
            assert await sender.publishCounted("room:1", packet) == 2
        assert await sender.publishCounted("nobody", b"") == 0
        (receiver,) = party.receivers[1:]
        await eventually(lambda: len(receiver.came) == 4, "everything came")
        assert [packet for _, packet in receiver.came] == packets


class TestFaults:
    @pytest_twisted.ensureDeferred
    async def test_killedHub(self, path: str, party: Party) -> None:
        """SIGKILL of the hub under traffic: all are connected again within a second, and what is missed is known."""
        hub = await startHub(path, "hub", *CHANNELS)
        await party.start()
        party.begin()
        await pause(0.5)
        await hub.kill()
        killed = reactor.seconds()
        await eventually(lambda: not party.isHealthy, "it is noticed")
        await eventually(lambda: party.isHealthy, "both are healthy", BACK)
        assert reactor.seconds() - killed < BACK
        await pause(0.5)
        party.end()
        await party.settled()
        party.account()
        assert party.counters["bus_gaps"] == 1 and party.counters["bus_queued"] > 0
        assert all(len(receiver.gaps) == 1 for receiver in party.receivers)
        await eventually(
            lambda: all(receiver.gone == ["hub"] for receiver in party.receivers), "it is told who is gone"
        )

    @pytest_twisted.ensureDeferred
    async def test_endedHub(self, path: str, party: Party) -> None:
        """SIGTERM of the hub under traffic: nothing at all is lost."""
        hub = await startHub(path, "hub")
        await party.start()
        party.begin()
        await pause(0.5)
        await hub.stop()
        await pause(0.5)
        party.end()
        await party.settled()
        assert party.account() == 0
        assert set(party.outcomes()) == {"confirmed"}

    @pytest_twisted.ensureDeferred
    async def test_killedAgainAndAgain(self, path: str, party: Party) -> None:
        """Hub after hub is killed, with others at hand: one of them takes over each time."""
        hubs = [await startHub(path, f"hub{number}") for number in range(3)]
        await party.start()
        party.begin()
        for hub in hubs:
            await pause(0.3)
            await hub.kill()
            await eventually(lambda: party.isHealthy, "both are healthy", BACK)
        await pause(0.3)
        party.end()
        await party.settled()
        party.account()

    @pytest_twisted.ensureDeferred
    async def test_stuck(self, path: str, party: Party) -> None:
        """
        A process that is frozen harms no other: beyond its bound it is cut off, the others get everything in time, and
        it comes back by itself and knows that it has missed something.
        """
        await party.start(CHANNELS)
        stuck = await startHub(path, "stuck", *CHANNELS)
        asking = await Asking(hubBus(path)).start()
        stuck.sendSignal(signal.SIGSTOP)
        packet = b"x" * 1_000_000
        for _ in range(80):
            assert await asking.link.publishCounted("room:1", packet) >= 2
        assert party.counters["bus_hub_slow"] == 1
        for receiver in party.receivers:
            await eventually(lambda r=receiver: len(r.came) == 80, "everything came", 1.0)  # type: ignore[misc]
            await eventually(lambda r=receiver: r.gone == ["stuck"], "it is told who is gone")  # type: ignore[misc]
        stuck.sendSignal(signal.SIGCONT)
        await eventually(lambda: stuck.output.count("healthy") == 2, "it is back", BACK)
        about = await asking.report("stuck")
        assert (about["counters"]["bus_gaps"], about["counters"]["bus_reconnects"]) == (1, 1)
        await asking.link.stop()
        await stuck.stop()
        assert stuck.errors == ""

    @pytest_twisted.ensureDeferred
    async def test_frozenHub(self, path: str, party: Party) -> None:
        """
        SIGSTOP of the hub: another one takes its place, and nobody is left behind. When it goes on, it serves nobody
        any more, and comes to the new one.
        """
        hub = await startHub(path, "hub", *CHANNELS)
        await party.start()
        party.begin()
        await pause(0.2)
        hub.sendSignal(signal.SIGSTOP)
        frozen = reactor.seconds()
        await eventually(lambda: not party.isHealthy, "it is noticed", DEPOSED)
        await eventually(lambda: party.isHealthy, "both are healthy", DEPOSED)
        assert reactor.seconds() - frozen < DEPOSED
        hub.sendSignal(signal.SIGCONT)
        await eventually(lambda: hub.output.count("healthy") == 2, "it is back", BACK + 1.0)
        party.end()
        await party.settled()
        party.account()
        asking = await Asking(hubBus(path)).start()
        about = await asking.report("hub")
        assert (about["counters"]["bus_gaps"], about["counters"]["bus_hub_taken"]) == (1, 1)
        assert await asking.link.publishCounted(CHANNELS[0], b"999999999") == 3
        await asking.link.stop()
        await hub.stop()
        assert hub.errors == "" and "Traceback" not in hub.output

    @pytest_twisted.ensureDeferred
    async def test_removedSocket(self, path: str, party: Party) -> None:
        """Somebody removes the socket file: the hub makes another one, so that newcomers find it."""
        await party.start()
        os.unlink(path)
        await eventually(lambda: os.path.exists(path), "there is a socket", 2.0)
        await party.settled()
        asking = await Asking(hubBus(path)).start()
        assert await asking.link.publishCounted(CHANNELS[0], b"999999999") == 2
        await asking.link.stop()

    @pytest_twisted.ensureDeferred
    async def test_stranger(self, path: str, party: Party) -> None:
        """Who connects and sends rubbish is cut off, and nobody else notices."""
        await party.start()
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(path)
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            stranger.setblocking(False)
            await pause(0.1)
            with suppress(ConnectionResetError):
                assert stranger.recv(1) == b""
        await party.settled()
        assert party.account() == 0
        assert sum(link._holder._counters["bus_hub_faulty"] for link in party.links) == 1


class TestKeeper:
    @pytest_twisted.ensureDeferred
    async def test_takesOver(self, path: str, party: Party) -> None:
        """A process that is no node is the hub as soon as there is none, and leaves it to others when it ends."""
        await party.start()
        keeper = HubKeeper(path)
        keeper.start()
        await pause(0.2)
        assert not keeper.isServing
        holder = next(link for link in party.links if link._holder.isServing)
        party.begin()
        await pause(0.2)
        await holder._holder.stop()
        await eventually(lambda: keeper.isServing, "it is the hub", BACK)
        await pause(0.3)
        await keeper.stop()
        await pause(0.3)
        party.end()
        await party.settled()
        assert party.account() == 0
        assert not keeper.isServing and keeper.counters["bus_hub_taken"] == 1


@pytest_twisted.async_yield_fixture
async def kept(path: str) -> AsyncIterator[HubPath]:
    """A hub in this process, for nodes in others."""
    keeper = HubKeeper(path)
    keeper.start()
    yield HubPath(path)
    await keeper.stop()


class TestTogether(test_cluster.TestTogether):
    """What nodes do together is the same as on a Redis."""

    @pytest.fixture
    def redis(self, kept: HubPath) -> HubPath:
        return kept


class TestNodes(test_cluster.TestNodes):
    """So is what happens when they die, but that a hub knows it sooner."""

    @pytest.fixture
    def redis(self, kept: HubPath) -> HubPath:
        return kept

    @pytest_twisted.ensureDeferred
    async def test_killedAndRestarted(self, redis: HubPath, tmp_path: Path) -> None:
        """After a crash a node is lost within two seconds, and its name is free for its next life."""
        one, two = await startPuppets(tmp_path, redis, ["serverA", "serverB"])
        await two.kill()
        killed = reactor.seconds()
        await one.hears("down", "serverB", "lost")
        assert reactor.seconds() - killed < 2.0
        again = await startPuppet(tmp_path, redis, "serverB")
        await again.process.says("has joined")
        assert await one.do("servers.whenServers", 2, timeout=PATIENCE)
        assert await one.do("servers.callOne", "who", to="serverB") == "serverB"
        await gatherResults([ensureDeferred(puppet.stop()) for puppet in (one, again)])


class TestHolder:
    """Nodes alone, of which one is the hub."""

    @pytest_twisted.ensureDeferred
    async def test_killed(self, path: str, tmp_path: Path) -> None:
        """
        The node with the hub is killed under traffic: the others know it within two seconds, have lost none of each
        other, and go on.
        """
        hub = await startPuppet(tmp_path, HubPath(path), "hub")
        await hub.process.says("has joined")
        others = await startPuppets(tmp_path, HubPath(path), ["serverA", "serverB"])
        one, two = others
        for puppet in others:
            await puppet.do("servers.whenServers", 3, timeout=PATIENCE)
            await puppet.do("rooms.join", "chat", "lobby", puppet.clientId)
            await puppet.client.call("traffic", 0.01)
        await pause(0.3)
        await hub.kill()
        killed = reactor.seconds()
        for puppet in others:
            await puppet.hears("down", "hub", "lost")
        assert reactor.seconds() - killed < 2.0
        heard = two.receives("say")
        await one.do("clients.toRoom", "chat", "lobby", "say", "on")
        assert await heard == "on"
        for puppet in others:
            await puppet.client.call("traffic", None)
            assert [each for each in await puppet.heard() if each[0] == "down"] == [["down", "hub", "lost"]]
            counters = await puppet.counters()
            assert (counters["bus_gaps"], counters["bus_dropped_full"], counters["bus_dropped_old"]) == (1, 0, 0)
        assert sum([(await puppet.counters())["bus_hub_taken"] for puppet in others]) == 1
        await gatherResults([ensureDeferred(puppet.stop()) for puppet in others])

    @pytest_twisted.ensureDeferred
    async def test_names(self, path: str, tmp_path: Path) -> None:
        """A hub knows who there is: a call to nobody ends at once."""
        one, two = await startPuppets(tmp_path, HubPath(path), ["serverA", "serverB"])
        began = reactor.seconds()
        replies = await one.do("servers.call", "who", to=["serverB", "serverX"], timeout=30.0)
        assert reactor.seconds() - began < 5.0
        assert replies["byServer"] == {"serverB": "serverB"}
        assert replies["errors"]["serverX"][0] == "NoSuchServer"
        await gatherResults([ensureDeferred(puppet.stop()) for puppet in (one, two)])
