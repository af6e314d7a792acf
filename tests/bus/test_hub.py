"""
The bus over a hub, on a machine in memory where processes die and freeze on command.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from tests.bus.fakehub import FakeSeat, Machine, Place, Process, result
from tests.bus.test_promises import BusPromises
from twisted_crossws import BusUnavailable, Node, hubBus
from twisted_crossws.bus import hubsent
from twisted_crossws.bus.hubconnection import HELLO_TIMEOUT, PORTION
from twisted_crossws.bus.hubholder import SETTLING, HubKeeper
from twisted_crossws.bus.hubline import RETRY, VACANT_TIMEOUT, WELCOME_TIMEOUT
from twisted_crossws.bus.hubserver import LEAVE_TIMEOUT, TRUSTED_FOR, Hub
from twisted_crossws.state.counters import Counters
from twisted_crossws.wire import hubframes
from twisted_crossws.wire.hubframes import frame
from twisted_crossws.wire.packets import MAX_PACKET_SIZE

UP = [("publisher", True, "connected"), ("subscriber", True, "connected")]

#: Seconds in which everybody is connected again after the hub has died: two attempts.
BACK = 2 * RETRY

#: Seconds in which there is another hub after one was frozen: until the next ping, its time-out and half as much, a
#: connection that is not welcomed, and what the new one waits.
DEPOSED = 1.0 + 3.0 + RETRY + WELCOME_TIMEOUT + SETTLING + RETRY


def down(reason: str) -> list[tuple[str, bool, str]]:
    return [("publisher", False, reason), ("subscriber", False, reason)]


class TestHubBus(BusPromises):
    @pytest.fixture(autouse=True)
    def connect(self, clock: Clock) -> None:
        self.clock = clock
        self.counters = Counters()
        self.bus = hubBus("/hub", seats=Place(clock).seat, random=Random(1))

    def flush(self) -> None:
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)


@pytest.fixture
def machine() -> Machine:
    return Machine()


class TestBus:
    def test_leavesProcess(self, machine: Machine) -> None:
        """A node on it needs a name; it is never sure to be alone, and has to claim its name."""
        link = machine.start("a").link
        assert hubBus("/hub").leavesProcess is True
        assert (link.isAlone, link.refusesNames, link.redisCount()) == (False, False, 0)
        with pytest.raises(ValueError, match="redisBus only"):
            link.addRedis("redis://h")

    @pytest.mark.parametrize("path", ["", "a\0b", "x" * 108, "/" + "ü" * 54])
    def test_faultyPath(self, path: str) -> None:
        """A path that no Unix socket can have is refused."""
        with pytest.raises(ValueError):
            hubBus(path)

    def test_faultyBound(self) -> None:
        """So is a bound that lets nothing through."""
        with pytest.raises(ValueError, match="maxQueuedBytes"):
            hubBus("/hub", maxQueuedBytes=0)

    def test_names(self, machine: Machine) -> None:
        """Who is on the bus is known to all, and to nobody while there is no hub."""
        first = machine.prepare("a")
        assert first.link.serverNames() is None
        first.link.start()
        machine.flush()
        assert first.link.serverNames() == {"a"}
        second = machine.start("b")
        assert first.link.serverNames() == second.link.serverNames() == {"a", "b"}
        machine.stop()
        assert first.link.serverNames() is None


class TestConnecting:
    def test_firstIsHub(self, machine: Machine) -> None:
        """Who finds no hub becomes it, and is told as everybody is; who finds one does not."""
        first, second = machine.start("a"), machine.start("b")
        assert (first.isHub, second.isHub) == (True, False)
        assert (first.counters["bus_hub_taken"], second.counters["bus_hub_taken"]) == (1, 0)
        for process in (first, second):
            assert process.link.isHealthy
            assert [change.url for change in process.receiver.changes] == ["hub:place"] * 2
            assert [change.gap for change in process.receiver.changes] == [None] * 2
            assert [change.counts["publisher"] for change in process.receiver.changes] == [1, 1]
            assert [change.counts["subscriber"] for change in process.receiver.changes] == [0, 1]
            assert process.states == UP

    @pytest.mark.parametrize("fault", ["there is no folder", "this user may not"])
    def test_fault(self, machine: Machine, fault: str) -> None:
        """What is wrong with the path is told once; it is tried for ever, and works as soon as it was mended."""
        machine.place.fault = fault
        process = machine.prepare("a")
        process.link.start()
        subscribed = result(process.link.subscribe("x"))
        machine.advance(60.0)
        assert process.states == down(fault)
        machine.place.fault = ""
        machine.advance(BACK)
        assert process.states == UP and subscribed == [None]
        machine.stop()

    def test_overrun(self, machine: Machine) -> None:
        """A hub that accepts nobody for long is none."""
        machine.start("a")
        machine.place.isOverrun = True
        second = machine.start("b")
        machine.advance(2 * WELCOME_TIMEOUT - 0.1)
        assert machine.hub is not second and not second.link.isHealthy
        machine.advance(0.3)
        machine.place.isOverrun = False
        machine.advance(SETTLING + BACK)
        assert machine.hub is second and all(process.link.isHealthy for process in machine.processes)
        machine.stop()

    def test_startedAgain(self, machine: Machine) -> None:
        """A link that was stopped can be started again, and begins anew; stopping twice does nothing."""
        process = machine.start("a", "x")
        for _ in range(2):
            machine.stop()
        process.states  # noqa: B018
        process.link.start()
        machine.flush()
        assert process.states == UP and process.counters["bus_gaps"] == 0
        assert process.counters["bus_reconnects"] == 0
        process.link.publish("x", b"1")
        machine.flush()
        assert process.came("x") == [1]
        machine.stop()


class TestPublishing:
    def test_oneWrite(self, machine: Machine) -> None:
        """All packets of one turn leave in one write, from the sender and from the hub."""
        machine.start("hub")
        sender, other = machine.start("a"), machine.start("b", "x")
        writes: list[str] = []
        for name, transport in (
            ("sender", machine.place.wireOf(sender.seat).transports[0]),
            ("hub", machine.place.wireOf(other.seat).transports[1]),
        ):
            write = transport.write

            def noted(data: bytes, name: str = name, write: Any = write) -> None:
                writes.append(name)
                write(data)

            transport.write = noted  # type: ignore[method-assign]
        for number in range(50):
            assert sender.link.publish("x", b"%d" % number)
        assert writes == []
        machine.flush()
        assert writes == ["sender", "hub"]
        assert other.came("x") == list(range(50))
        assert sender.outcomes() == {"confirmed": 50}

    def test_answers(self, machine: Machine) -> None:
        """What is published in answer to packets that came together leaves in one write, and in the same turn."""
        machine.start("a")
        other = machine.start("b", "x")
        receiver: Any = other.receiver
        receiver.packetReceived = lambda channel, packet: other.link.publish("y", packet)
        transport = machine.place.wireOf(other.seat).transports[0]
        writes: list[bytes] = []
        transport.write = writes.append  # type: ignore[assignment,method-assign]
        came = b"".join(hubframes.message("x", b"%d" % number) for number in range(3))
        machine.place.wireOf(other.seat).protocols[0].dataReceived(came)
        assert writes == [came.replace(b"\1x", b"\1y")]
        assert all(call.getTime() > other.clock.seconds() for call in other.clock.getDelayedCalls())

    def test_unheard(self, machine: Machine) -> None:
        """If fewer heard it than had to, the difference is counted; if more did, nothing is."""
        process = machine.start("a", "x")
        process.link.publish("x", b"1", 3)
        process.link.publish("x", b"2", 1)
        process.link.publish("x", b"3")
        process.link.publish("y", b"4", 1)
        machine.flush()
        assert process.counters["bus_unheard"] == 3
        assert process.outcomes() == {"confirmed": 4}

    def test_tooLarge(self, machine: Machine) -> None:
        """A packet that no node would read is rejected, and who waits is told; the largest one is carried."""
        process = machine.start("a", "x")
        assert not process.link.publish("x", bytes(MAX_PACKET_SIZE + 1))
        assert not process.link.publish("x" * (hubframes.MAX_CHANNEL + 1), b"")
        (failure,) = result(process.link.publishCounted("x", bytes(MAX_PACKET_SIZE + 1)))
        assert failure.check(BusUnavailable) and "larger than a hub carries" in failure.getErrorMessage()
        assert process.link.publish("x", bytes(MAX_PACKET_SIZE))
        machine.flush()
        assert process.outcomes() == {"confirmed": 1, "rejected": 3}
        assert len(process.receiver.came) == 1

    def test_hubDoesNotRead(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        """While the hub does not read, no more waits than there is room for."""
        monkeypatch.setattr(hubsent, "MAX_UNSENT", 1000)
        machine.start("hub")
        process = machine.start("a")
        transport = machine.place.wireOf(process.seat).transports[0]
        transport.isStalled = True
        process.link.publish("x", bytes(70_000))
        machine.flush()
        taken = [process.link.publish("x", bytes(100)) for _ in range(20)]
        assert taken == [True] * 11 + [False] * 9
        transport.isStalled = False
        transport.read()
        machine.flush()
        assert process.outcomes() == {"confirmed": 12, "dropped_full": 9}

    def test_stopped(self, machine: Machine) -> None:
        """What was published before the link stops is sent; what comes later is dropped, and counted."""
        machine.start("hub")
        sender, other = machine.start("a"), machine.start("b", "x")
        sender.link.publish("x", b"1")
        stopped = result(sender.link.stop())
        assert not sender.link.publish("x", b"2")
        machine.flush()
        assert stopped == [None]
        assert other.came("x") == [1]
        assert sender.outcomes() == {"confirmed": 1, "dropped_stopped": 1}

    def test_stoppedInVain(self, machine: Machine) -> None:
        """A hub that is frozen keeps nobody from stopping."""
        hub, sender = machine.start("hub"), machine.start("a")
        machine.freeze(hub)
        counted = result(sender.link.publishCounted("x", b"1"))
        stopped = result(sender.link.stop())
        machine.advance(0.5)
        assert stopped == [None] and counted[0].check(BusUnavailable)
        assert sender.outcomes() == {"unconfirmed": 1}


class TestWaiting:
    def test_noHub(self, machine: Machine) -> None:
        """While there is no hub packets wait, and leave in their order, before everything that comes later."""
        process = machine.prepare("a")
        machine.place.fault = "there is no folder"
        process.link.start()
        process.link.subscribe("x")
        for number in range(5):
            assert process.link.publish("x", b"%d" % number)
        counted = result(process.link.publishCounted("x", b"5"))
        machine.advance(1.0)
        machine.place.fault = ""
        machine.advance(BACK)
        assert process.came("x") == [0, 1, 2, 3, 4, 5]
        assert counted == [1]
        assert process.counters["bus_queued"] == 6 and process.outcomes() == {"confirmed": 6}

    def test_bounds(self, machine: Machine) -> None:
        """Only so many wait, and only so long."""
        machine.place.fault = "there is no folder"
        process = machine.prepare("a", maxWaitingPackets=3)
        process.link.start()
        assert [process.link.publish("x", b"") for _ in range(4)] == [True, True, True, False]
        machine.advance(1.0)
        counted = result(process.link.publishCounted("x", b""))
        assert "too many wait" in counted[0].getErrorMessage()
        machine.advance(1.0)
        assert process.outcomes() == {"dropped_full": 2, "dropped_old": 3}
        counted = result(process.link.publishCounted("x", b""))
        machine.advance(2.0)
        assert "no hub became healthy" in counted[0].getErrorMessage()
        process.link.publish("x", b"")
        machine.stop()
        assert process.outcomes() == {"dropped_full": 2, "dropped_old": 4, "dropped_stopped": 1}


class TestSubscribing:
    def test_confirmed(self, machine: Machine) -> None:
        """A subscription fires when it is confirmed, and not before."""
        machine.start("hub")
        process = machine.start("a")
        first, second = result(process.link.subscribe("x")), result(process.link.subscribe("x"))
        assert first == second == []
        machine.flush()
        assert first == second == [None]
        assert result(process.link.subscribe("x")) == [None]

    def test_changedItsMind(self, machine: Machine) -> None:
        """Left and wanted again at once: only the confirmation of the last one counts."""
        machine.start("hub")
        process = machine.start("a")
        first = result(process.link.subscribe("x"))
        process.link.unsubscribe("x")
        assert first[0].check(BusUnavailable)
        second = result(process.link.subscribe("x"))
        protocol = machine.place.wireOf(process.seat).protocols[0]
        machine.freeze(machine.processes[0])
        protocol.dataReceived(frame(hubframes.SUBSCRIBED, b"x"))
        assert second == []
        protocol.dataReceived(frame(hubframes.SUBSCRIBED, b"x"))
        assert second == [None]

    def test_waits(self, machine: Machine) -> None:
        """While there is no hub it waits, until the link stops."""
        machine.place.fault = "there is no folder"
        process = machine.prepare("a")
        subscribed = result(process.link.subscribe("x"))
        process.link.start()
        machine.advance(10.0)
        assert subscribed == []
        machine.stop()
        assert subscribed[0].check(BusUnavailable)
        assert result(process.link.subscribe("x"))[0].check(BusUnavailable)

    def test_tooLong(self, machine: Machine) -> None:
        """A channel that is too long is refused with a sentence."""
        process = machine.start("a")
        (failure,) = result(process.link.subscribe("x" * 16_384))
        assert failure.check(BusUnavailable) and "16383 characters" in failure.getErrorMessage()
        assert result(process.link.subscribe("x" * 16_383)) == []


class TestKilled:
    def test_replaced(self, machine: Machine) -> None:
        """If the hub dies, another one takes its place; everybody is back, with what was subscribed, and knows it."""
        hub = machine.start("hub")
        others = [machine.start(name, "x", "y") for name in ("a", "b", "c")]
        machine.advance(5.0)
        assert [process.states for process in others] == [UP] * 3
        machine.kill(hub)
        machine.flush()
        assert not any(process.link.isHealthy for process in others)
        machine.advance(BACK)
        assert machine.hub in others
        for process in others:
            assert process.states[-2:] == UP
            assert (process.counters["bus_gaps"], process.counters["bus_reconnects"]) == (1, 1)
        others[0].link.publish("y", b"1", 3)
        machine.advance(0.5)
        assert [process.came("y") for process in others] == [[1]] * 3
        assert sum(process.counters["bus_unheard"] for process in others) == 0
        machine.stop()

    def test_gap(self, machine: Machine) -> None:
        """The gap counts from when the last ping was sent that was answered."""
        hub, process = machine.start("hub"), machine.start("a")
        machine.advance(10.5)
        machine.kill(hub)
        machine.advance(BACK)
        (gap,) = [change.gap for change in process.receiver.changes if change.gap is not None]
        assert 0.5 <= gap <= 0.5 + BACK

    def test_underWay(self, machine: Machine) -> None:
        """What was sent and not confirmed is counted so; what was not sent goes to the next hub, and to everybody."""
        hub = machine.start("hub")
        one, two = machine.start("a", "x"), machine.start("b", "x")
        machine.freeze(hub)
        one.link.publish("x", b"1")
        counted = result(one.link.publishCounted("x", b"2"))
        machine.flush()
        one.link.publish("x", b"3")
        machine.kill(hub)
        machine.advance(0.0)
        one.link.publish("x", b"4")
        assert counted[0].check(BusUnavailable) and "perhaps" in counted[0].getErrorMessage()
        machine.advance(1.0)
        assert one.came("x") == two.came("x")
        assert one.came("x")[-1] == 4
        assert sum(one.outcomes().values()) == 4 and one.outcomes()["unconfirmed"] >= 2
        assert one.counters["bus_unheard"] == 0

    def test_heardByAll(self, machine: Machine) -> None:
        """What is published while there is no hub is heard by all who come back, however late they are subscribed."""
        keeper = HubKeeper("/hub", clock=machine.clock, seat=machine.place.seat())
        keeper.start()
        one, two = machine.start("a", "x"), machine.start("b", *"uvwx")
        machine.advance(1.0)
        keeper.stop()
        machine.flush()
        one.link.publish("x", b"1", 2)
        # The second one comes, and is slow to say what it wants.
        line, held = two.link._line, list[bytes]()
        send, line.send = line.send, held.append
        machine.advance(BACK)
        assert one.link.isHealthy and line.isReady and one.came("x") == []
        for data in held:
            send(data)
            machine.flush()
        assert one.came("x") == two.came("x") == [1]

    def test_gone(self, machine: Machine) -> None:
        """Who has died is told as gone after a second, and until then counts as there; the others are not told of."""
        hub = machine.start("hub")
        one, two, three = (machine.start(name) for name in "abc")
        machine.kill(two)
        machine.advance(0.9)
        assert one.link.serverNames() == {"hub", "a", "b", "c"} and one.receiver.gone == []
        machine.advance(0.2)
        assert one.link.serverNames() == {"hub", "a", "c"}
        assert one.receiver.gone == hub.receiver.gone == three.receiver.gone == ["b"]
        machine.kill(hub)
        machine.advance(0.3)
        assert one.link.serverNames() == {"hub", "a", "c"}
        machine.advance(1.0)
        assert one.receiver.gone == three.receiver.gone == ["b", "hub"]
        assert one.link.serverNames() == {"a", "c"}

    def test_stoppedIsGone(self, machine: Machine) -> None:
        """A link that has stopped is told of nobody, and starts without memories."""
        hub, other = machine.start("hub"), machine.start("a")
        machine.kill(other)
        machine.advance(0.5)
        machine.stop()
        machine.advance(5.0)
        hub.link.start()
        machine.advance(5.0)
        assert hub.receiver.gone == []
        assert hub.link.serverNames() == {"hub"}

    def test_hearsNothing(self, machine: Machine) -> None:
        """Who has died, or has left a channel, is not counted any more."""
        machine.start("hub", "x")
        one, two, three = (machine.start(name, "x") for name in "abc")
        machine.kill(two)
        three.link.unsubscribe("x")
        machine.flush()
        counted = result(one.link.publishCounted("x", b"1"))
        machine.flush()
        assert counted == [2]

    def test_toldOfNobody(self, machine: Machine) -> None:
        """While a link stops it is told of nobody."""
        hub, one, two = machine.start("hub"), machine.start("a"), machine.start("b")
        machine.kill(two)
        machine.advance(0.8)
        machine.freeze(hub)
        one.link.publish("x", b"1")
        stopped = result(one.link.stop())
        machine.advance(0.4)
        assert stopped == [] and one.receiver.gone == []
        machine.advance(0.4)
        assert stopped == [None] and one.receiver.gone == []

    def test_flapping(self, machine: Machine) -> None:
        """A hub that lets everybody in and cuts them off at once is not asked all the time."""
        machine.start("hub")
        process = machine.start("a")
        attempts = []
        connect = process.seat.connect
        process.seat.connect = lambda protocol: (attempts.append(1), connect(protocol))[1]  # type: ignore[method-assign,func-returns-value]
        for _ in range(1000):
            for wire in machine.place.wires:
                if wire.sides[0] is process.seat:
                    wire.transports[1].abortConnection()
            machine.advance(0.01)
        assert 50 <= len(attempts) <= 250

    def test_twoOfOneName(self, machine: Machine) -> None:
        """Two of one name are let in, as one may be the other's next life; the name is there until both are gone."""
        machine.start("hub")
        watching, one, two = machine.start("w"), machine.start("a"), machine.start("a")
        machine.kill(one)
        machine.advance(2.0)
        assert "a" in watching.link.serverNames() and watching.receiver.gone == []
        machine.kill(two)
        machine.advance(2.0)
        assert watching.receiver.gone == ["a"]


class TestEnded:
    def test_nothingIsLost(self, machine: Machine) -> None:
        """A hub that ends passes on everything, and the next one goes on: nothing is lost, and order holds."""
        hub = machine.start("hub")
        one, two = machine.start("a", "x"), machine.start("b", "x")
        stopped: list[Any] = []
        for number in range(1000):
            if number == 500:
                hub.link.stop().addCallback(lambda _: stopped.append(machine.clock.seconds()))
            one.link.publish("x", b"%d" % number)
            if number % 7 == 0:
                machine.advance(0.001)
        machine.advance(1.0)
        assert one.came("x") == two.came("x") == list(range(1000))
        assert one.outcomes() == {"confirmed": 1000}
        assert hub.outcomes() == {}
        assert stopped[0] < LEAVE_TIMEOUT / 2
        machine.stop()

    def test_stoppedTwice(self, machine: Machine) -> None:
        """Whoever stops a hub that stops already waits for the same, and nobody else is the hub before that."""
        hub, frozen, other = machine.start("hub"), machine.start("a"), machine.start("b")
        machine.freeze(frozen)
        first, second = result(hub.link.stop()), result(hub.link.stop())
        machine.advance(LEAVE_TIMEOUT - 0.01)
        assert first == second == [] and machine.place.owner is hub.seat
        machine.advance(0.01)
        assert first == second == [None] and machine.place.owner is None
        machine.advance(BACK)
        assert machine.hub is other

    def test_stoppedByListener(self, machine: Machine) -> None:
        """A node that stops when it is told that the bus is healthy leaves nothing behind."""
        hub, one = machine.start("hub"), machine.start("a", "x")
        told = one.receiver.healthChanged

        def stop(change: Any) -> None:
            told(change)
            if change.healthy:
                one.link.stop()

        one.receiver.healthChanged = stop  # type: ignore[method-assign]
        machine.kill(hub)
        machine.advance(2.0)
        assert one.clock.getDelayedCalls() == [] and machine.place.wires == []
        assert machine.place.owner is None

    def test_nothingAfterBye(self, machine: Machine) -> None:
        """Who is told that the hub ends sends what it has, and then nothing more."""
        hub = machine.start("hub")
        one = machine.start("a", "x")
        machine.freeze(hub)
        wire = machine.place.wireOf(one.seat)
        one.link.publish("x", b"1")
        wire.protocols[0].dataReceived(frame(hubframes.LEAVING))
        one.link.publish("x", b"2")
        machine.flush()
        assert wire.transports[0].value() == hubframes.message("x", b"1") + frame(hubframes.BYE)
        assert one.counters["bus_queued"] == 1

    def test_isNotKept(self, machine: Machine) -> None:
        """A process that is frozen does not keep it, nor one that does not say who it is."""
        hub, frozen, other = machine.start("hub"), machine.start("a"), machine.start("b")
        Stranger(machine)
        machine.freeze(frozen)
        stopped = result(hub.link.stop())
        machine.advance(LEAVE_TIMEOUT - 0.1)
        assert stopped == []
        machine.advance(0.1 + BACK)
        assert stopped == [None] and machine.hub is other and other.link.isHealthy
        machine.thaw(frozen)
        machine.advance(1.0)
        assert frozen.link.isHealthy
        machine.stop()


class Stranger:
    """Connects to the hub, and says what the test wants."""

    def __init__(self, machine: Machine) -> None:
        from twisted.internet.protocol import Protocol

        self.protocol: Any = Protocol()
        self.seat = FakeSeat(machine.place)
        self.seat.connect(self.protocol)
        machine.flush()

    def say(self, data: bytes) -> None:
        self.protocol.transport.write(data)

    @property
    def isCut(self) -> bool:
        return bool(self.protocol.transport.isEnded)


class TestProtocol:
    @pytest.mark.parametrize(
        "said",
        [
            [b"GET / HTTP/1.1\r\n\r\n"],
            [frame(hubframes.PING)],
            [hubframes.message("x", b"")],
            [frame(hubframes.HELLO, b"\7name")],
            [b"\0\0\0\0x"],
            [hubframes.hello("n"), hubframes.hello("n")],
            [hubframes.hello("n"), frame(hubframes.WELCOME)],
            [hubframes.hello("n"), frame(hubframes.MESSAGE, b"\0\0")],
            [hubframes.hello("n"), frame(99, b"x")],
            [hubframes.hello("n") + frame(hubframes.READY), frame(hubframes.READY)],
            [hubframes.hello("n") + b"\xff\xff\xff\xffrubbish"],
        ],
    )
    def test_toHub(self, machine: Machine, said: list[bytes]) -> None:
        """Whoever sends something else than the hub reads is cut off and counted, and nobody else notices."""
        hub, process = machine.start("hub"), machine.start("a", "x")
        stranger = Stranger(machine)
        for data in said:
            assert not stranger.isCut
            stranger.say(data)
            machine.flush()
        assert stranger.isCut
        assert hub.counters["bus_hub_faulty"] == 1
        process.link.publish("x", b"1")
        machine.flush()
        assert process.came("x") == [1] and process.counters["bus_reconnects"] == 0

    def test_saysNothing(self, machine: Machine) -> None:
        """Whoever does not say who it is is cut off, too."""
        hub, stranger = machine.start("hub"), Stranger(machine)
        machine.advance(HELLO_TIMEOUT)
        assert stranger.isCut and hub.counters["bus_hub_faulty"] == 1

    @pytest.mark.parametrize(
        "said",
        [
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            hubframes.welcome(["a"]),
            frame(99),
            frame(hubframes.SUBSCRIBED, b"never"),
            hubframes.numbers(hubframes.CONFIRMED, 1, 0),
            hubframes.numbers(hubframes.COUNTED, 1, 0),
            frame(hubframes.CONFIRMED, b"1"),
            frame(hubframes.JOINED, b"\xff"),
        ],
    )
    def test_toNode(self, machine: Machine, said: bytes) -> None:
        """A hub that says something else than a node understands is left, and another connection made."""
        machine.start("hub")
        process = machine.start("a", "x")
        machine.advance(1.0)
        process.states  # noqa: B018
        machine.place.wireOf(process.seat).protocols[0].dataReceived(said)
        assert process.states[0][2].startswith("it breaks the protocol of a hub: ")
        machine.advance(BACK)
        assert process.link.isHealthy and process.counters["bus_gaps"] == 1


class TestStuck:
    def test_cut(self) -> None:
        """
        Who does not read is cut off at its bound, and not before; the others get everything at once. It comes back by
        itself, and counts a gap.
        """
        machine = Machine(maxQueuedBytes=1_000_000)
        hub, stuck = machine.start("hub"), machine.start("stuck", "x")
        one, two = machine.start("a", "x"), machine.start("b", "x")
        # What the hub has written to it lies in the socket.
        machine.place.wireOf(stuck.seat).transports[1].isStalled = True
        for number in range(30):
            one.link.publish("x", b"%d" % number + b" " * 50_000)
            machine.flush()
            assert len(two.receiver.came) == number + 1
            assert hub.counters["bus_hub_slow"] == (number > 20)
        machine.advance(1.0)
        assert hub.counters["bus_hub_slow"] == 1
        assert stuck.link.isHealthy and stuck.counters["bus_gaps"] == 1
        assert one.receiver.gone == []
        machine.stop()

    def test_slow(self) -> None:
        """Who reads slowly gets everything, in order, however much waits for it."""
        machine = Machine(maxQueuedBytes=10_000_000)
        machine.start("hub")
        slow, sender = machine.start("slow", "x"), machine.start("a")
        transport = machine.place.wireOf(slow.seat).transports[1]
        transport.isStalled = True
        for number in range(90):
            sender.link.publish("x", b"%d" % number + b" " * 100_000)
            machine.flush()
        while len(slow.receiver.came) < 90:
            assert len(transport.value()) <= PORTION + 2 * 100_100
            before = len(slow.receiver.came)
            transport.isStalled = False
            machine.place.wireOf(slow.seat).move()
            transport.isStalled = True
            transport.read()
            machine.flush()
            assert len(slow.receiver.came) > before
        assert slow.came("x") == list(range(90))
        assert slow.counters["bus_reconnects"] == 0


class TestFrozen:
    def test_deposed(self, machine: Machine) -> None:
        """
        A hub that is frozen is deposed by who notices; when it goes on, it serves nobody any more, and its node comes
        to the new one.
        """
        hub = machine.start("hub", "x")
        others = [machine.start(name, "x") for name in "ab"]
        machine.advance(0.3)
        machine.freeze(hub)
        machine.advance(DEPOSED)
        assert machine.hub in others
        assert all(process.link.isHealthy and process.counters["bus_gaps"] == 1 for process in others)
        machine.thaw(hub)
        assert not hub.isHub
        machine.advance(1.0)
        for process in (hub, *others):
            process.receiver.came.clear()
        counted = result(hub.link.publishCounted("x", b"1"))
        machine.flush()
        assert counted == [3]
        assert [process.came("x") for process in (hub, *others)] == [[1]] * 3
        assert hub.counters["bus_gaps"] == 1
        machine.stop()

    def test_underWay(self, machine: Machine) -> None:
        """What lies unread in a hub that was deposed is delivered to nobody when it goes on."""
        hub = machine.start("hub")
        one, two = machine.start("a", "x"), machine.start("b", "x")
        machine.freeze(hub)
        one.link.publish("x", b"1")
        machine.advance(DEPOSED)
        assert one.outcomes() == {"unconfirmed": 1}
        machine.thaw(hub)
        machine.advance(1.0)
        assert one.came("x") == two.came("x") == []

    def test_hiccup(self, machine: Machine) -> None:
        """One that pauses for a moment stays the hub, and nothing is lost."""
        hub = machine.start("hub")
        one, two = machine.start("a", "x"), machine.start("b", "x")
        for _ in range(5):
            machine.freeze(hub)
            one.link.publish("x", b"1")
            machine.advance(1.5)
            machine.thaw(hub)
            machine.advance(3.0)
        assert machine.hub is hub
        assert two.came("x") == [1] * 5 and one.outcomes() == {"confirmed": 5}
        assert two.counters["bus_reconnects"] == 0

    def test_ownFreeze(self, machine: Machine) -> None:
        """A process that was frozen itself does not take the hub for silent, and has missed nothing."""
        hub = machine.start("hub")
        one, two = machine.start("a", "x"), machine.start("b")
        machine.advance(0.5)
        machine.freeze(one)
        two.link.publish("x", b"1")
        machine.advance(60.0)
        machine.thaw(one)
        machine.advance(10.0)
        assert one.came("x") == [1]
        assert (one.counters["bus_reconnects"], one.counters["bus_gaps"]) == (0, 0)
        assert machine.hub is hub

    def test_twice(self, machine: Machine) -> None:
        """The hub that has deposed one is deposed itself, and both come back."""
        first = machine.start("hub", "x")
        others = [machine.start(name, "x") for name in "abc"]
        machine.freeze(first)
        machine.advance(DEPOSED)
        second = machine.hub
        machine.freeze(second)
        machine.advance(DEPOSED)
        third = machine.hub
        assert third not in (first, second)
        for process in (first, second):
            machine.thaw(process)
        machine.advance(2.0)
        assert machine.hub is third and all(process.link.isHealthy for process in (first, *others))
        machine.stop()

    def test_whileSettling(self, machine: Machine) -> None:
        """One that is frozen before it serves is deposed, too, and does not serve when it goes on."""
        first = machine.start("hub")
        others = [machine.start(name) for name in "ab"]
        machine.freeze(first)
        while not any(process.link._holder.isHolding for process in others):
            machine.advance(0.01)
        (second,) = [process for process in others if process.link._holder.isHolding]
        (third,) = [process for process in others if process is not second]
        machine.freeze(second)
        machine.advance(VACANT_TIMEOUT + SETTLING + 2 * BACK)
        assert machine.hub is third and third.link.isHealthy
        machine.thaw(first)
        machine.thaw(second)
        machine.advance(1.0)
        assert machine.hub is third
        assert all(process.link.isHealthy for process in machine.processes)
        machine.stop()

    def test_killedAfterwards(self, machine: Machine) -> None:
        """One that is killed while it is frozen is replaced at once."""
        hub, other = machine.start("hub"), machine.start("a")
        machine.freeze(hub)
        machine.advance(1.0)
        machine.kill(hub)
        machine.advance(BACK)
        assert machine.hub is other and other.link.isHealthy

    def test_lockRemoved(self, machine: Machine) -> None:
        """If somebody removes the lock, the hub notices, and there is another one."""
        hub, other = machine.start("hub"), machine.start("a", "x")
        machine.place.lock, machine.place.owner = object(), None
        machine.place.factory = None
        machine.advance(0.5 + BACK)
        assert machine.hub in (hub, other)
        assert hub.link.isHealthy and other.link.isHealthy and other.counters["bus_gaps"] == 1
        machine.stop()


class TestKeeper:
    def test_isFirst(self, machine: Machine) -> None:
        """A keeper is the hub when it is there first, and whenever the hub is lost."""
        keeper = HubKeeper("/hub", clock=machine.clock, seat=machine.place.seat())
        keeper.start()
        assert keeper.isServing
        others = [machine.start(name, "x") for name in "ab"]
        assert not any(process.isHub for process in others)
        stopped = result(keeper.stop())
        machine.advance(1.0)
        assert stopped == [None] and not keeper.isServing
        hub = machine.hub
        keeper.start()
        machine.advance(1.0)
        assert not keeper.isServing
        machine.kill(hub)
        machine.advance(BACK)
        assert keeper.isServing and keeper.counters["bus_hub_taken"] == 2
        (left,) = [process for process in others if process is not hub]
        machine.advance(2.0)
        # Nobody is missing on the next hub, so nobody waits for anybody.
        joined = machine.start("c", "x")
        keeper.stop()
        machine.flush()
        for process in (left, joined):
            process.link.publish("x", b"1", 2)
        machine.advance(BACK)
        assert left.came("x") == joined.came("x") == [1, 1]
        assert left.counters["bus_unheard"] == joined.counters["bus_unheard"] == 0
        machine.advance(2.0)

    def test_fault(self, machine: Machine) -> None:
        """What keeps it from being the hub does not keep it from trying."""
        machine.place.fault = "there is no folder"
        keeper = HubKeeper("/hub", clock=machine.clock, seat=machine.place.seat())
        keeper.start()
        machine.advance(10.0)
        assert not keeper.isServing
        machine.place.fault = ""
        machine.advance(0.1)
        assert keeper.isServing
        keeper.stop()
        machine.flush()
        assert machine.clock.getDelayedCalls() == []


class TestServer:
    def test_frozenWhileReading(self, clock: Clock) -> None:
        """What is read after a pause is passed on only by a hub that has made sure that it still is one."""
        mine = [True]
        hub = Hub(clock, Counters(), 1000, lambda: mine[0])
        connection: Any = hub.buildProtocol(None)
        transport = StringTransport()
        connection.makeConnection(transport)
        connection.dataReceived(hubframes.hello("a") + frame(hubframes.SUBSCRIBE, b"x"))
        clock.advance(TRUSTED_FOR)
        connection.dataReceived(hubframes.message("x", b"1"))
        clock.advance(0)
        assert hubframes.message("x", b"1") in transport.value()
        mine[0] = False
        clock.advance(TRUSTED_FOR + 0.1)
        connection.dataReceived(hubframes.message("x", b"2"))
        clock.advance(0)
        assert hubframes.message("x", b"2") not in transport.value()


class TestNodes:
    def test_lost(self) -> None:
        """A node whose process has died is lost within two seconds, and a call to it ends then."""
        clock = Clock()
        place = Place(clock)
        bus = hubBus("/hub", seats=place.seat, random=Random(1))
        nodes = [Node(name, bus, clock=clock) for name in ("a", "b")]
        for node in nodes:
            node.startService()
        advance(clock, 2.0)
        assert nodes[0].servers.names() == {"a", "b"}
        nodes[1].servers.on("ask", lambda message: None)
        down: list[tuple[str, str]] = []
        nodes[0].lifecycle.on("serverDown", lambda name, reason: down.append((name, reason)))
        replies = result(nodes[0].servers.call("ask", to="c"))
        assert type(replies[0].errors["c"]).__name__ == "NoSuchServer"
        place.seats[1].die()
        called = result(nodes[0].servers.call("ask", to="b", timeout=30.0))
        advance(clock, 1.1)
        assert down == [("b", "lost")]
        assert type(called[0].errors["b"]).__name__ == "ServerLost"
        assert nodes[0].counters["servers_lost"] == 1


def advance(clock: Clock, seconds: float) -> None:
    """Let time pass in small steps."""
    for _ in range(round(seconds / 0.01)):
        clock.advance(0.01)


@pytest.mark.parametrize("seed", range(30))
def test_whatever(seed: int) -> None:
    """
    Processes die, freeze, end and start in any order while all publish: none of those that live hears anything twice or
    in a wrong order, each packet has one outcome, and in the end there is one hub and everybody hears everybody.
    """
    random, machine = Random(seed), Machine(maxQueuedBytes=100_000)
    living = [machine.start(f"p{number}", "x") for number in range(4)]
    published: dict[Process, int] = dict.fromkeys(living, 0)
    frozen: set[Process] = set()
    for _ in range(60):
        process = random.choice(living)
        what = random.random()
        if what < 0.1 and len(living) > 2 and process not in frozen:
            machine.kill(process)
            living.remove(process)
        elif what < 0.2 and process not in frozen:
            machine.freeze(process)
            frozen.add(process)
        elif what < 0.35 and process in frozen:
            machine.thaw(process)
            frozen.discard(process)
        elif what < 0.45:
            living.append(machine.start(f"p{len(machine.processes)}", "x"))
            published[living[-1]] = 0
        elif process not in frozen:
            for _ in range(random.randrange(50)):
                number = published[process]
                process.link.publish("x", b"%d" % (machine.processes.index(process) * 1_000_000 + number))
                published[process] = number + 1
        machine.advance(random.choice([0.0, 0.01, 0.1, 1.0]))
    for process in frozen:
        machine.thaw(process)
    machine.advance(15.0)
    assert machine.hub in living
    for process in living:
        assert process.link.isHealthy
        assert sum(process.outcomes().values()) == published[process]
        came = process.came("x")
        for number in range(len(machine.processes)):
            own = [each for each in came if each // 1_000_000 == number]
            assert own == sorted(set(own))
        assert process.link.serverNames() == {each.receiver.serverName for each in living}
    for process in living:
        assert result(process.link.publishCounted("x", b"9")) == []
        machine.flush()
        assert [each.came("x")[-1] for each in living] == [9] * len(living)
        for each in living:
            each.receiver.came.clear()
    machine.stop()
