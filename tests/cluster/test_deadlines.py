"""
One timer for all who wait.
"""

from __future__ import annotations

from twisted.internet.task import Clock

from twisted_crossws.cluster import deadlines
from twisted_crossws.cluster.deadlines import Deadlines


class Waiters:
    """
    Those who wait.

    @ivar open: their keys.
    @ivar late: who was told, and when.
    """

    def __init__(self, clock: Clock) -> None:
        self.open: set[str] = set()
        self.late: list[tuple[str, float]] = []
        self.clock = clock
        self.deadlines = Deadlines(clock, self.open, self._late)

    def wait(self, key: str, seconds: float) -> None:
        self.open.add(key)
        self.deadlines.add(key, seconds)

    def _late(self, key: str) -> None:
        self.open.discard(key)
        self.late.append((key, self.clock.seconds()))


class TestDeadlines:
    def test_each(self, clock: Clock) -> None:
        """Each is told at its own time, in whatever order they came, and nothing is left then."""
        waiters = Waiters(clock)
        for key, seconds in (("a", 5.0), ("b", 2.0), ("c", 9.0), ("d", 2.0)):
            waiters.wait(key, seconds)
        clock.pump([0.5] * 20)
        assert waiters.late == [("b", 2.0), ("d", 2.0), ("a", 5.0), ("c", 9.0)]
        assert clock.getDelayedCalls() == []

    def test_one(self, clock: Clock) -> None:
        """However many wait, there is one timer."""
        waiters = Waiters(clock)
        for number in range(100):
            waiters.wait(str(number), 5.0 - number / 50)
            assert len(clock.getDelayedCalls()) == 1

    def test_over(self, clock: Clock) -> None:
        """Whose wait is over is not told, and does not keep others from it."""
        waiters = Waiters(clock)
        waiters.wait("a", 1.0)
        waiters.wait("b", 2.0)
        waiters.open.discard("a")
        clock.advance(1.0)
        assert waiters.late == []
        clock.advance(1.0)
        assert waiters.late == [("b", 2.0)]

    def test_cleared(self, clock: Clock) -> None:
        """When nobody waits, nothing is left; whoever comes later is told all the same."""
        waiters = Waiters(clock)
        waiters.wait("a", 1.0)
        waiters.open.clear()
        waiters.deadlines.clear()
        assert clock.getDelayedCalls() == []
        waiters.wait("b", 3.0)
        clock.advance(3.0)
        assert waiters.late == [("b", 3.0)]

    def test_again(self, clock: Clock) -> None:
        """Who is told may wait again."""
        waiters = Waiters(clock)
        deadlines = Deadlines(clock, waiters.open, lambda key: waiters.wait("b", 1.0))
        waiters.open.add("a")
        deadlines.add("a", 1.0)
        clock.advance(1.0)
        clock.advance(1.0)
        assert waiters.late == [("b", 2.0)]

    def test_memory(self, clock: Clock) -> None:
        """Those whose wait is over take no memory, though their time has not come."""
        waiters = Waiters(clock)
        waiters.wait("a", 5.0)
        for number in range(10 * deadlines._FEW):
            waiters.wait(str(number), 5.0)
            waiters.open.discard(str(number))
        assert len(waiters.deadlines._due) <= deadlines._FEW + 3
        clock.advance(5.0)
        assert waiters.late == [("a", 5.0)]
