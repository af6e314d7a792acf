"""
What a run has found, and where it found it; kept as JSON, from which the tables and the picture can be made again.
"""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bench.measured import Absent, Measured


@dataclass(frozen=True)
class Found:
    """
    One section of the results.

    @ivar title: of its table.
    @ivar measured: its cells, each a median.
    @ivar absent: those that stay empty.
    @ivar remarks: sentences that belong under its table.
    """

    title: str
    measured: list[Measured]
    absent: list[Absent] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, title: str, entries: Iterable[Measured | Absent], remarks: Iterable[str] = ()) -> Found:
        """A section of whatever has been found, in one list."""
        listed = list(entries)
        return cls(
            title,
            [each for each in listed if isinstance(each, Measured)],
            [each for each in listed if isinstance(each, Absent)],
            list(remarks),
        )


@dataclass(frozen=True)
class Results:
    """
    A run.

    @ivar date: when it began, C{YYYY-MM-DD}.
    @ivar turns: of how many the medians are.
    @ivar seconds: that each scenario ran in each turn.
    @ivar machine: its kind, in words.
    @ivar versions: by contestant, what it consisted of.
    @ivar sections: what was found.
    """

    date: str
    turns: int
    seconds: float
    machine: str
    versions: dict[str, str]
    sections: list[Found]

    def cells(self) -> dict[tuple[str, str], Measured]:
        """Every measurement, by scenario and contestant."""
        return {(each.scenario, each.contestant): each for found in self.sections for each in found.measured}

    def write(self, path: Path) -> None:
        """Keep it."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        """
        @raise msgspec.MsgspecError: the file is not what L{write} wrote.
        """
        return msgspec.json.decode(path.read_bytes(), type=cls)


def today() -> str:
    """The date, as in L{Results}."""
    return datetime.date.today().isoformat()


def machine() -> str:
    """What kind of machine this is, without its name."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    kinds = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    kernel = ".".join(platform.release().split(".")[:2])
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {kinds[0] if kinds else platform.machine()}, {platform.system()} {kernel}"
