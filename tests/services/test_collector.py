"""
Full collections of a node are short, and nothing is lost by it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest

from twisted_crossws.services.collector import HEADROOM, THRESHOLDS, SteadyCollector


class FakeCollector:
    """Says what it is told, in order."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[str, dict[str, int]], None]] = []
        self.told: list[Any] = []
        self.threshold = (700, 10, 10)
        self.frozen = 0

    def get_threshold(self) -> tuple[int, int, int]:
        return self.threshold

    def set_threshold(self, *threshold: int) -> None:
        self.told.append(threshold)

    def get_freeze_count(self) -> int:
        return self.frozen

    def collect(self) -> None:
        self.told.append("collect")

    def freeze(self) -> None:
        self.told.append("freeze")

    def unfreeze(self) -> None:
        self.told.append("unfreeze")

    def collected(self, generation: int) -> list[Any]:
        """
        A collection happens by itself.

        @return: what it was told meanwhile.
        """
        self.told.clear()
        for phase in ("start", "stop"):
            for callback in self.callbacks:
                callback(phase, {"generation": generation})
        return self.told


class Running:
    """A collector that is kept steady, in a process of so many blocks."""

    def __init__(self) -> None:
        self.blocks = 1_000_000
        self.collector = FakeCollector()
        self.steady = SteadyCollector(self.collector, lambda: self.blocks)
        self.steady.startService()


@pytest.fixture
def running() -> Running:
    return Running()


def test_start(running: Running) -> None:
    """What is there at the start is looked at once, and then left alone; later looks come earlier."""
    assert running.collector.told == ["collect", "freeze", THRESHOLDS]


def test_young(running: Running) -> None:
    """Collections of the younger generations are as ever."""
    assert running.collector.collected(0) == running.collector.collected(1) == []


def test_full(running: Running) -> None:
    """What has survived a full collection is left out of the next."""
    assert running.collector.collected(2) == ["freeze"]


def test_grown(running: Running) -> None:
    """A process that has grown much is looked at as a whole, once, and not again until it has grown as much again."""
    running.blocks = 2_000_000 + HEADROOM
    assert running.collector.collected(2) == ["freeze"]
    running.blocks += 1
    assert running.collector.collected(2) == ["unfreeze"]
    running.blocks -= 500_000
    assert running.collector.collected(2) == ["freeze"]
    running.blocks = 2 * running.blocks + HEADROOM
    assert running.collector.collected(2) == ["freeze"]
    running.blocks += 1
    assert running.collector.collected(2) == ["unfreeze"]


def test_stop(running: Running) -> None:
    """Stopping leaves all as it was before."""
    running.collector.told.clear()
    running.steady.stopService()
    assert running.collector.told == [(700, 10, 10), "unfreeze"] and running.collector.callbacks == []


def test_frozenBefore() -> None:
    """What an application has frozen itself before stays so."""
    collector = FakeCollector()
    collector.frozen = 5
    steady = SteadyCollector(collector, lambda: 0)
    steady.startService()
    collector.told.clear()
    steady.stopService()
    assert collector.told == [(700, 10, 10)]


def test_real() -> None:
    """Python's own collector does what it is told: old containers are left out, and cycles of new ones are freed."""

    class Cycle:
        def __init__(self) -> None:
            self.me = self

    before = (gc.get_threshold(), len(gc.callbacks))
    steady = SteadyCollector()
    steady.startService()
    try:
        assert gc.get_freeze_count() > 1000 and len(gc.get_objects()) < 1000
        for _ in range(10):
            Cycle()
        assert gc.collect() >= 10
    finally:
        steady.stopService()
    assert (gc.get_threshold(), len(gc.callbacks)) == before
