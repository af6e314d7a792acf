"""
A hub whose files somebody has removed, and who is connected to it.
"""

from __future__ import annotations

from tests.bus.fakehub import Machine


def test_goesOn() -> None:
    """The hub makes its place again; nobody is cut off, nothing is lost, and who comes later finds it."""
    machine = Machine()
    hub, other = machine.start("hub", "x"), machine.start("a", "x")
    assert machine.hub is hub
    machine.place.lock = None
    for number in range(20):
        hub.link.publish("x", b"%d" % number, 2)
        machine.advance(0.1)
    late = machine.start("b", "x")
    late.link.publish("x", b"20", 3)
    machine.advance(0.1)
    assert machine.hub is hub
    assert other.came("x") == hub.came("x") == list(range(21)) and late.came("x") == [20]
    assert [process.counters["bus_gaps"] for process in machine.processes] == [0, 0, 0]
    machine.stop()


def test_takenMeanwhile() -> None:
    """If another process has made itself the hub before, this one is none any more, and all come together again."""
    machine = Machine()
    hub, other = machine.start("hub", "x"), machine.start("a", "x")
    machine.place.lock, machine.place.owner, machine.place.factory = object(), None, None
    machine.advance(2.0)
    assert hub.link.isHealthy and other.link.isHealthy
    hub.link.publish("x", b"1", 2)
    machine.advance(0.1)
    assert other.came("x") == [1]
    machine.stop()
