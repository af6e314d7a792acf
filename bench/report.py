"""
The tables: in a terminal, and in C{RESULTS.md}.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.contestants import FLOOR
from bench.measured import Measured
from bench.results import Found, Results
from bench.targets import Target, verdict

EMPTY = "–"

INTRODUCTION = """\
# Results

What `python -m bench` found on {date}; it writes this file, so do not edit it. [README.md](README.md) says what each
scenario does. Every figure is the median of {turns} turns of {seconds:g} s, in which all contestants took part
one after the other; `idle` was measured once.

Costs are µs of the server's own processor time, user and system, for a message, a delivery or a connection; of `idle`,
kB of resident memory. In brackets: how many times that of the floor. The load generator needs a core of its own, so
throughput and latency depend on the machine more than costs do.
"""


def number(value: float | None) -> str:
    """With as many digits as it deserves."""
    if value is None:
        return EMPTY
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def times(measured: Measured, floor: Measured | None) -> str:
    """The cost as a multiple of the floor's; empty for the floor itself, and where it has none."""
    if floor is None or floor is measured or not floor.cost:
        return ""
    ratio = measured.cost / floor.cost
    return f"{ratio:.0f} ×" if ratio >= 10 else f"{ratio:.1f} ×"


def costs(found: Found) -> list[list[str]]:
    """The table of a section: a row for each scenario, a column for each contestant. The first row is the head."""
    titles = _unique(each.contestant for each in found.measured)
    cells = {(each.scenario, each.contestant): each for each in found.measured}
    rows = [["", *titles]]
    for scenario in _unique(each.scenario for each in found.measured):
        floor = cells.get((scenario, FLOOR))
        row = [scenario]
        for title in titles:
            measured = cells.get((scenario, title))
            ratio = times(measured, floor) if measured else ""
            row.append((number(measured.cost) if measured else EMPTY) + (f" ({ratio})" if ratio else ""))
        rows.append(row)
    return rows


def details(found: Found, scenario: str) -> list[list[str]]:
    """All figures of one scenario: a row for each contestant, the cheapest first."""
    measured = sorted((each for each in found.measured if each.scenario == scenario), key=lambda each: each.cost)
    floor = next((each for each in measured if each.contestant == FLOOR), None)
    rows = [["", "cost", "by the floor's", "per second", "p50, ms", "p99, ms"]]
    for each in measured:
        p50, p99 = (None if figure is None else figure / 1000 for figure in (each.p50, each.p99))
        ratio = times(each, floor) or EMPTY
        rows.append([each.contestant, number(each.cost), ratio, number(each.rate), number(p50), number(p99)])
    return rows


def judged(results: Results, targets: Iterable[Target]) -> list[list[str]]:
    """The targets, next to what was reached."""
    cells = results.cells()
    rows = [["", "at most", "reached", ""]]
    for target in targets:
        reached = target.reached(cells)
        rows.append([target.title, f"{target.limit:g} {target.unit}", number(reached), verdict(target, reached)])
    return rows


def left(found: Found) -> list[str]:
    """Why cells are empty, and whatever else is to be known, in sentences."""
    return [
        *(f"{each.contestant}{f', {each.scenario}' if each.scenario else ''}: {each.reason}" for each in found.absent),
        *found.remarks,
    ]


def plain(rows: Sequence[Sequence[str]]) -> str:
    """A table for a terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        rest = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *rest]).rstrip())
    return "\n".join(lines)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table for a page."""
    head, *body = rows
    rule = ["---", *("--:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))


def terminal(results: Results, targets: Iterable[Target]) -> str:
    """All that a run prints; of targets, those that it has measured."""
    parts = []
    for found in results.sections:
        parts.append(f"{found.title}: cost\n\n{plain(costs(found))}\n")
        parts += left(found)
    known = [target for target in targets if target.reached(results.cells()) is not None]
    if known:
        parts.append(f"\nTargets\n\n{plain(judged(results, known))}")
    return "\n".join(parts)


def page(results: Results, targets: Iterable[Target]) -> str:
    """C{RESULTS.md}."""
    parts = [INTRODUCTION.format(date=results.date, turns=results.turns, seconds=results.seconds)]
    versions = "".join(f"\n- {title}: {words}" for title, words in results.versions.items())
    parts.append(f"Machine: {results.machine}.\n{versions}\n")
    parts.append(f"## Targets\n\n{markdown(judged(results, targets))}\n")
    for found in results.sections:
        parts.append(f"## {found.title}\n\n{markdown(costs(found))}\n")
        parts += [f"- {sentence}" for sentence in left(found)] + [""] * bool(left(found))
    for found in results.sections:
        parts.append(f"## {found.title}: throughput and latency\n")
        for scenario in _unique(each.scenario for each in found.measured if each.rate is not None):
            parts.append(f"### {scenario}\n\n{markdown(details(found, scenario))}\n")
    return "\n".join(parts)


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
