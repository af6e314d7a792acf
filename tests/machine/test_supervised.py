"""
A process that is to run is started, watched, started again when it dies, and given up when it dies at once.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from twisted.internet.task import Clock

from tests.machine.fakes import PATIENCE, FakeChild, FakeSystem, fired
from twisted_crossws.machine.control import Refused
from twisted_crossws.machine.supervised import LOOK_INTERVAL, STEADY, Patience, isThere, kill


class House(FakeSystem):
    """One supervised process, and what happens to it."""

    def __init__(self, clock: Clock, patience: Patience = PATIENCE) -> None:
        super().__init__(clock)
        self.it = self.process("a.1", patience)

    @property
    def all(self) -> list[FakeChild]:
        return self.children.get("a.1", [])

    @property
    def last(self) -> FakeChild:
        return self.child("a.1")

    def run(self) -> object:
        """Start it, and let it say that it serves."""
        agent = object()
        self.it.start()
        self.it.registered(self.last.pid, agent)
        self.it.ready()
        return agent

    def live(self, seconds: float) -> None:
        self.clock.advance(seconds)


@pytest.fixture
def house(clock: Clock) -> House:
    return House(clock)


def test_started(house: House) -> None:
    """It is starting when it was launched, and running when it has said so."""
    assert (house.it.state, house.it.pid) == ("stopped", None)
    house.it.start()
    assert (house.it.state, house.it.pid) == ("starting", 100)
    ready = fired(house.it.whenReady())
    house.it.registered(100, "agent")
    assert (house.it.state, ready) == ("starting", [])
    house.it.ready()
    assert (house.it.state, house.it.agent, ready) == ("running", "agent", [True])
    assert fired(house.it.whenReady()) == [True]


def test_startedOnce(house: House) -> None:
    """Who runs is not started again."""
    house.run()
    house.it.start()
    assert len(house.all) == 1


def test_diesLate(house: House) -> None:
    """Who has served is started again without delay, however often that happens."""
    for number in range(1, 10):
        house.run() if number == 1 else house.it.ready()
        house.live(STEADY)
        house.last.end("killed by SIGKILL")
        assert (house.it.state, house.it.pid) == ("waiting", None)
        house.live(0)
        assert (house.it.state, len(house.all)) == ("starting", number + 1)


def test_diesAtOnce(house: House) -> None:
    """Who dies at once waits twice as long each time, up to a limit, and is given up in the end."""
    house.it.start()
    for number, delay in enumerate((0.2, 0.4, 0.8), 1):
        house.last.end("exit status 1")
        house.live(delay * 0.99)
        assert (house.it.state, len(house.all)) == ("waiting", number)
        house.live(delay * 0.02)
        assert (house.it.state, len(house.all)) == ("starting", number + 1)
    ready = fired(house.it.whenReady())
    house.last.end("exit status 1")
    assert (house.it.state, ready, house.clock.getDelayedCalls()) == ("given up", [False], [])
    assert fired(house.it.whenReady()) == [False]


def test_longestDelay(clock: Clock) -> None:
    """The delay stops growing."""
    house = House(clock, Patience(first=0.2, longest=0.5, deaths=100))
    house.it.start()
    for delay in (0.2, 0.4, 0.5, 0.5):
        house.last.end("exit status 1")
        assert house.clock.getDelayedCalls()[0].getTime() == pytest.approx(house.clock.seconds() + delay)
        house.live(delay)


def test_readyAndDead(house: House) -> None:
    """To die in the first second after being ready is to die at once."""
    house.run()
    house.live(STEADY * 0.9)
    house.last.end("killed by SIGSEGV")
    house.live(0.1)
    assert house.it.state == "waiting"
    house.live(0.1)
    assert house.it.state == "starting"


def test_goodLifeForgives(house: House) -> None:
    """A life that was long enough ends the row of deaths."""
    house.it.start()
    for _ in range(3):
        house.last.end("exit status 1")
        house.live(1)
    house.it.ready()
    house.live(STEADY)
    house.last.end("killed by SIGKILL")
    house.live(0)
    house.last.end("exit status 1")
    assert house.it.state == "waiting"


def test_givenUpStartsAgain(house: House) -> None:
    """Who was given up is started on request, and has all its lives again."""
    house.it.start()
    for _ in range(4):
        house.last.end("exit status 1")
        house.live(1)
    assert house.it.state == "given up"
    house.it.start()
    house.last.end("exit status 1")
    assert (house.it.state, len(house.all)) == ("waiting", 5)
    house.it.stop()


def test_cannotBeLaunched(house: House) -> None:
    """A system that does not let it start is a death like any other."""
    house.refuses = OSError(11, "Resource temporarily unavailable")
    house.it.start()
    assert (house.it.state, house.it.pid) == ("waiting", None)
    house.refuses = None
    house.live(0.2)
    assert house.it.state == "starting"


def test_startedWhileWaiting(house: House) -> None:
    """A request to start does not wait for the delay, and the delay does not start it twice."""
    house.it.start()
    house.last.end("exit status 1")
    house.it.start()
    assert (house.it.state, len(house.all)) == ("starting", 2)
    house.live(10)
    assert len(house.all) == 2


def test_stop(house: House) -> None:
    """It is asked to stop, and the Deferred fires when it is gone; it is not started again."""
    house.run()
    gone = fired(house.it.stop())
    assert (house.it.state, house.last.signals, gone) == ("stopping", ["TERM"], [])
    again = fired(house.it.stop())
    assert house.last.signals == ["TERM"]
    house.last.end("exit status 0")
    assert (house.it.state, gone, again) == ("stopped", [None], [None])
    house.live(100)
    assert len(house.all) == 1


def test_killed(house: House) -> None:
    """Who does not stop in time is killed."""
    house.run()
    house.it.stop()
    house.live(5.0)
    assert house.last.signals == ["TERM", "KILL"]
    house.last.end("killed by SIGKILL")
    assert house.it.state == "stopped"


def test_stopWhileStarting(house: House) -> None:
    """Who waits for it to be ready is told that it will not be."""
    house.it.start()
    ready = fired(house.it.whenReady())
    house.it.stop()
    house.it.registered(100, "agent")
    house.it.ready()
    assert (house.it.state, ready) == ("stopping", [])
    house.last.end("exit status 0")
    assert (house.it.state, ready) == ("stopped", [False])


def test_stopWhileWaiting(house: House) -> None:
    """There is no process, so it is stopped at once, and its timer too."""
    house.it.start()
    house.last.end("exit status 1")
    assert fired(house.it.stop()) == [None]
    assert (house.it.state, house.clock.getDelayedCalls()) == ("stopped", [])


def test_adopted(house: House) -> None:
    """A process that is there already is not started again; its end is found by its connection and its number."""
    house.there = {7}
    agent = object()
    house.it.registered(7, agent)
    house.it.ready()
    house.it.start()
    assert (house.it.state, house.it.pid, house.all) == ("running", 7, [])
    house.live(STEADY)
    house.it.unregistered(agent)
    house.live(LOOK_INTERVAL)
    assert house.it.state == "running"
    house.there.clear()
    house.live(LOOK_INTERVAL)
    house.live(0)
    assert (house.it.state, len(house.all)) == ("starting", 1)


def test_adoptedComesBack(house: House) -> None:
    """A connection that was lost and made again is no death."""
    house.there = {7}
    house.it.registered(7, "first")
    house.it.unregistered("first")
    house.it.registered(7, "second")
    house.it.unregistered("first")
    house.live(1)
    assert (house.it.pid, house.it.agent, house.clock.getDelayedCalls()) == (7, "second", [])


def test_adoptedStops(house: House) -> None:
    """One that is no child is stopped, and killed, by its number."""
    house.there = {7}
    house.it.registered(7, "agent")
    gone = fired(house.it.stop())
    house.live(5.0)
    assert house.killed == [(7, "TERM"), (7, "KILL")]
    house.it.unregistered("agent")
    house.there.clear()
    house.live(LOOK_INTERVAL)
    assert (house.it.state, gone) == ("stopped", [None])


def test_secondOfItsName(house: House) -> None:
    """While one process has the name, another is refused, with a sentence."""
    house.run()
    with pytest.raises(Refused, match="a.1 is running already, as process 100"):
        house.it.registered(200, "stranger")
    assert house.it.pid == 100


def test_forgotten(house: House) -> None:
    """A master that leaves its servers leaves no timer."""
    house.it.start()
    house.last.end("exit status 1")
    house.it.forget()
    assert house.clock.getDelayedCalls() == []


def test_isThere() -> None:
    """A process that runs is there; one that was killed is not, even if nobody has asked for its status."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert isThere(process.pid) and isThere(os.getpid())
    kill(process.pid, "KILL")
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not isThere(process.pid)
    process.communicate()
    assert not isThere(process.pid)
    kill(process.pid, "KILL")
