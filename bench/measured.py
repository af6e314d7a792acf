"""
What a measurement says.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """
    One scenario with one contestant.

    @ivar scenario: what was done, as in the table: C{"ack 100 × 4, 32 B"}.
    @ivar contestant: who did it, as in the table.
    @ivar cost: of one message, delivery, connection or call: µs of the server's processor time, or, in C{idle}, kB of
        its resident memory.
    @ivar rate: how many each second, on this machine; C{None} where that means nothing.
    @ivar p50: µs of latency that half of them did not exceed; C{None} where none was measured.
    @ivar p99: the same for 99 of 100.
    """

    scenario: str
    contestant: str
    cost: float
    rate: float | None = None
    p50: float | None = None
    p99: float | None = None


@dataclass(frozen=True)
class Absent:
    """
    A cell of the table that stays empty.

    @ivar scenario: what was not done; C{""} for all of a section.
    @ivar contestant: who did not do it.
    @ivar reason: a sentence.
    """

    scenario: str
    contestant: str
    reason: str


def median(turns: Iterable[Measured]) -> Measured:
    """Of several turns of the same: the median of each figure."""
    found = list(turns)

    def middle(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return statistics.median(known) if known else None

    return Measured(
        found[0].scenario,
        found[0].contestant,
        statistics.median(each.cost for each in found),
        middle([each.rate for each in found]),
        middle([each.p50 for each in found]),
        middle([each.p99 for each in found]),
    )
