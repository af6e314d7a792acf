"""
Who gets the next connection.
"""

from __future__ import annotations

from random import Random as RandomSource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_crossws.machine.spread import SPREADS, LeastConnection, Random, RoundRobin, Spread, spreadOf

NAMES = ["serverA.1", "serverA.2", "serverA.3", "serverA.4"]


def deal(spread: Spread, loads: dict[str, int], count: int) -> list[str]:
    """That many connections which stay."""
    chosen = []
    for _ in range(count):
        name = spread.choose(loads)
        assert name is not None
        loads[name] += 1
        chosen.append(name)
    return chosen


class TestLeastConnection:
    @given(st.integers(1, 9), st.integers(0, 300))
    def test_even(self, workers: int, count: int) -> None:
        """Connections that stay are spread as evenly as they can be."""
        loads = {f"serverA.{number}": 0 for number in range(workers)}
        deal(LeastConnection(), loads, count)
        assert max(loads.values()) - min(loads.values()) <= 1

    @given(st.lists(st.integers(0, 20), min_size=1, max_size=6))
    def test_catchesUp(self, counts: list[int]) -> None:
        """However uneven they are, who has fewer is served first, until all are even."""
        loads = {f"serverA.{number}": count for number, count in enumerate(counts)}
        spread = LeastConnection()
        for _ in range(sum(max(counts) - count for count in counts)):
            chosen = deal(spread, loads, 1)[0]
            assert loads[chosen] <= max(counts)
        assert set(loads.values()) == {max(counts)}

    def test_equals(self) -> None:
        """Among equals they take turns, so that connections that end at once are spread too."""
        loads = dict.fromkeys(NAMES, 5)
        spread = LeastConnection()
        chosen = [spread.choose(loads) for _ in range(8)]
        assert chosen == NAMES + NAMES

    def test_comingAndGoing(self) -> None:
        """Who is not among those asked about gets none; who is there again finds its place."""
        spread = LeastConnection()
        assert [spread.choose(dict.fromkeys(NAMES[:2], 0)) for _ in range(2)] == NAMES[:2]
        assert spread.choose({NAMES[1]: 0}) == NAMES[1]
        assert [spread.choose(dict.fromkeys(NAMES, 0)) for _ in range(4)] == [NAMES[2], NAMES[3], NAMES[0], NAMES[1]]

    def test_full(self) -> None:
        """Whoever has the fewest is waited for, and with others of as few nobody waits."""
        spread = LeastConnection()
        assert spread.choose({"serverA.1": 5, "serverA.2": 9}, {"serverA.1"}) is None
        assert spread.choose({"serverA.1": 5, "serverA.2": 5}, {"serverA.1"}) == "serverA.2"


@pytest.mark.parametrize("name", ["round-robin", "random"])
def test_full(name: str) -> None:
    """Otherwise nobody waits as long as there is one that is not full."""
    spread = spreadOf(name)
    assert [spread.choose(dict.fromkeys(NAMES, 0), set(NAMES[:3])) for _ in range(3)] == [NAMES[3]] * 3
    assert spread.choose(dict.fromkeys(NAMES, 0), NAMES) is None


@pytest.mark.parametrize("name", SPREADS)
def test_nobody(name: str) -> None:
    """Without anybody there is nobody to choose."""
    assert spreadOf(name).choose({}) is None


def test_roundRobin() -> None:
    """They take turns, however many each has."""
    loads = {"serverA.1": 100, "serverA.2": 0, "serverA.3": 50}
    assert deal(RoundRobin(), loads, 6) == ["serverA.1", "serverA.2", "serverA.3"] * 2


def test_random() -> None:
    """Each of them by chance, and only they."""
    loads = dict.fromkeys(NAMES, 0)
    deal(Random(RandomSource(1)), loads, 4000)
    assert sum(loads.values()) == 4000
    assert all(900 < load < 1100 for load in loads.values())


@pytest.mark.parametrize("name", SPREADS)
def test_byName(name: str) -> None:
    """A configuration knows them by name."""
    assert type(spreadOf(name)) is SPREADS[name]


def test_unknown() -> None:
    """Any other name is a mistake."""
    with pytest.raises(ValueError, match="one of least-connection, round-robin, random, not 'kernel'"):
        spreadOf("kernel")
