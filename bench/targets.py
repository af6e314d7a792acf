"""
What is to be reached, and whether it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.contestants import FLOOR, OURS, WS
from bench.measured import Measured

#: Every measurement of a run, by scenario and contestant.
Cells = Mapping[tuple[str, str], Measured]


@dataclass(frozen=True)
class Target:
    """
    A promise in figures.

    @ivar title: what it is about.
    @ivar limit: what is not to be exceeded.
    @ivar unit: of the limit, in words that follow the number.
    @ivar figure: finds it in a run; raises L{KeyError} where the run has not measured it.
    """

    title: str
    limit: float
    unit: str
    figure: Callable[[Cells], float]

    def reached(self, cells: Cells) -> float | None:
        """The figure, or C{None} where the run has not measured it."""
        try:
            return self.figure(cells)
        except KeyError:
            return None


def verdict(target: Target, reached: float | None) -> str:
    """In two words."""
    if reached is None:
        return "not measured"
    return "holds" if reached <= target.limit else "does not hold"


def cost(scenario: str) -> Callable[[Cells], float]:
    """What ours cost."""
    return lambda cells: cells[scenario, OURS].cost


def against(scenario: str, peer: str, other: str = "") -> Callable[[Cells], float]:
    """What ours cost by what a peer did, in the same scenario or in another one."""
    return lambda cells: cells[scenario, OURS].cost / cells[other or scenario, peer].cost


def againstBest(scenario: str) -> Callable[[Cells], float]:
    """What ours cost by what the cheapest of the others did."""

    def figure(cells: Cells) -> float:
        others = [each.cost for (title, who), each in cells.items() if title == scenario and who != OURS]
        if not others:
            raise KeyError(scenario)
        return cells[scenario, OURS].cost / min(others)

    return figure


def tail(scenario: str) -> Callable[[Cells], float]:
    """The p99 of ours by its p50."""

    def figure(cells: Cells) -> float:
        measured = cells[scenario, OURS]
        if not measured.p50 or measured.p99 is None:
            raise KeyError(scenario)
        return measured.p99 / measured.p50

    return figure


_TIMES_FLOOR = "× the floor"
_TIMES_WS = "× plain `ws` with JSON"

#: One node.
NODE = (
    Target("ack 100 × 4, 32 B", 1.2, _TIMES_FLOOR, against("ack 100 × 4, 32 B", FLOOR)),
    Target("ack 100 × 4, 32 B", 0.5, _TIMES_WS, against("ack 100 × 4, 32 B", WS)),
    Target("ack 100 × 1, 32 B", 1.7, _TIMES_FLOOR, against("ack 100 × 1, 32 B", FLOOR)),
    Target("ack 100 × 1, 32 B", 1.0, _TIMES_WS, against("ack 100 × 1, 32 B", WS)),
    Target("ack 100 × 4, 4,000 B", 2.0, _TIMES_FLOOR, against("ack 100 × 4, 4,000 B", FLOOR)),
    Target("fanout to 1,000", 1.0, _TIMES_FLOOR, against("fanout to 1,000", FLOOR)),
    Target("connect", 5.0, _TIMES_FLOOR, against("connect", FLOOR)),
    Target("idle, resident memory of a connection", 10.0, "kB", cost("idle, kB")),
)

_ACROSS, _ALONE = "fanout to 1,000, half on each of two", "fanout to 1,000, all on one node"
_CALL = "call between two servers, 32 in flight, 32 B"

#: Two nodes and a Redis.
CLUSTER = (
    Target("delivery to a room of 1,000 on two nodes", 1.1, "× the same on one node", against(_ACROSS, OURS, _ALONE)),
    Target(_CALL, 45.0, "µs, both ends together", cost(_CALL)),
    Target(_CALL, 0.5, "× the best peer", againstBest(_CALL)),
)
