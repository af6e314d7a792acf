"""
What is said of a server: one row of C{crossws-ctl list}.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

#: What a server can be. C{unreachable}: its process is there, and does not answer; C{elsewhere}: on another machine.
STATES = (
    "starting",
    "running",
    "draining",
    "stopping",
    "stopped",
    "waiting",
    "given up",
    "unreachable",
    "elsewhere",
)

_HEADS = ("NAME", "KIND", "STATE", "PID", "ADDRESS", "CLIENTS", "ROOMS", "MEMORY", "UPTIME")

#: The columns of figures, which stand below each other at their right ends.
_FIGURES = frozenset({"PID", "CLIENTS", "ROOMS", "MEMORY", "UPTIME"})


class Row(Struct, frozen=True, kw_only=True):
    """
    One server. What is C{None} is not known.

    @ivar name: unique in the cluster.
    @ivar kind: what kind of server it is, or empty.
    @ivar state: one of L{STATES}.
    @ivar pid: of its process.
    @ivar address: where clients reach it, or where it runs.
    @ivar clients: how many are connected.
    @ivar rooms: how many have a member there.
    @ivar memory: bytes that its process has resident.
    @ivar uptime: seconds.
    """

    name: str
    kind: str = ""
    state: str = "running"
    pid: int | None = None
    address: str = ""
    clients: int | None = None
    rooms: int | None = None
    memory: int | None = None
    uptime: float | None = None

    def but(self, **changes: object) -> Row:
        """The same row with something else in it."""
        return replace(self, **changes)


def table(rows: Iterable[Row]) -> str:
    """Rows for people, one line each under a line of heads."""
    lines = [_HEADS, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_line(cells, widths) for cells in lines)


def duration(seconds: float) -> str:
    """Seconds as people say them: C{42s}, C{3m 5s}, C{2h 10m}, C{9d 4h}."""
    whole = int(seconds)
    for size, unit, inner, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // inner}{smaller}"
    return f"{whole}s"


def _cells(row: Row) -> Sequence[str]:
    return (
        row.name,
        row.kind or "-",
        row.state,
        _shown(row.pid),
        row.address or "-",
        _shown(row.clients),
        _shown(row.rooms),
        "-" if row.memory is None else f"{row.memory / 2**20:.1f} MiB",
        "-" if row.uptime is None else duration(row.uptime),
    )


def _shown(number: int | None) -> str:
    return "-" if number is None else str(number)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    placed = (
        cell.rjust(width) if head in _FIGURES else cell.ljust(width)
        for head, cell, width in zip(_HEADS, cells, widths, strict=True)
    )
    return "  ".join(placed).rstrip()
