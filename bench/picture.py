"""
The picture for the README: what one message costs, by contestant.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.contestants import FLOOR, OURS
from bench.measured import Measured
from bench.results import Results

#: The scenarios that are drawn, with what stands above each, and of what each is the cost.
PANELS = (
    ("ack 100 × 4, 32 B", "A reply, 4 in flight on each of 100 connections"),
    ("ack 100 × 1, 32 B", "A reply, 1 in flight on each of 100 connections"),
    ("fanout to 1,000", "A delivery to one of 1,000 in a room"),
    ("connect", "A new connection"),
)

#: A bar longer than so many of ours is broken, or ours and the floor's could not be told apart.
LONGEST = 6.0

_OURS, _FLOOR, _OTHER, _INK, _FAINT = "#0b6e4f", "#b9bec4", "#7f9bb8", "#22272b", "#6b7278"


class CannotDrawError(Exception):
    """There is no picture; the message says why, and what to do."""


def draw(results: Results, *files: Path) -> None:
    """
    Draw it.

    @param files: where it goes; the ending of each says in what format.
    @raise CannotDrawError: there is nothing to draw it with, or nothing to be drawn.
    """
    try:
        import matplotlib
    except ImportError:
        raise CannotDrawError(
            "The picture is drawn with matplotlib, which is not installed: pip install '.[bench]'"
        ) from None
    panels = [(title, bars(results, scenario)) for scenario, title in PANELS]
    panels = [(title, found) for title, found in panels if found]
    if not panels:
        raise CannotDrawError("There is no picture: none of its scenarios was measured.")

    matplotlib.use("agg")
    # The same figures give the same SVG, and it looks the same wherever it is seen.
    matplotlib.rcParams.update({"svg.fonttype": "path", "svg.hashsalt": "bench", "font.family": "DejaVu Sans"})
    from matplotlib import pyplot

    height = 0.55 + 0.32 * max(len(found) for _, found in panels)
    rows = (len(panels) + 1) // 2
    figure, axes = pyplot.subplots(rows, 2, figsize=(11, 0.9 + rows * height), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (title, found) in zip(axes.flat, panels, strict=False):
        _panel(axis, title, found)
    figure.suptitle("µs of the server's processor time", x=0.012, ha="left", fontsize=13, color=_INK, weight="bold")
    about = (
        f"floor: a bare epoll server in C, without JSON. {results.date}; {results.machine}. "
        "Versions and all figures: bench/RESULTS.md"
    )
    figure.text(0.012, 0.012, about, fontsize=8, color=_FAINT)
    figure.tight_layout(rect=(0, 0.03, 1, 0.98), h_pad=1.6, w_pad=2.5)
    for file in files:
        metadata: dict[str, Any] = {"Date": None} if file.suffix == ".svg" else {}
        figure.savefig(file, dpi=160, facecolor="white", metadata=metadata)
    pyplot.close(figure)


def bars(results: Results, scenario: str) -> list[Measured]:
    """Who takes part in a scenario, the cheapest first."""
    found = [each for (title, _), each in results.cells().items() if title == scenario]
    return sorted(found, key=lambda each: each.cost)


def limit(found: list[Measured]) -> float:
    """The cost at which bars are broken."""
    ours = [each.cost for each in found if each.contestant == OURS]
    longest = max(each.cost for each in found)
    return min(longest, max(ours[0], 1e-9) * LONGEST) if ours else longest


def _panel(axis: Any, title: str, found: list[Measured]) -> None:
    most = limit(found)
    axis.set_title(title, loc="left", fontsize=11, color=_INK, pad=6, x=-0.345)
    axis.set_xlim(0, most * 1.14)
    axis.set_ylim(len(found) - 0.4, -0.6)
    for at, each in enumerate(found):
        ours = each.contestant == OURS
        colour = _OURS if ours else _FLOOR if each.contestant == FLOOR else _OTHER
        weight = "bold" if ours else "normal"
        length = min(each.cost, most)
        axis.barh(at, length, height=0.66, color=colour)
        if each.cost > most:
            _break(axis, at, length * 0.94, most)
        said = f"{each.cost:,.0f}" if each.cost >= 100 else f"{each.cost:.1f}"
        axis.text(length + most * 0.012, at, said, va="center", fontsize=9.5, color=_INK, weight=weight)
        axis.text(-most * 0.02, at, each.contestant, va="center", ha="right", fontsize=9.5, color=_INK, weight=weight)


def _break(axis: Any, at: int, where: float, most: float) -> None:
    """Two white strokes through a bar that would be longer."""
    for shift in (0.0, 0.018):
        left = where + shift * most
        axis.plot([left, left + 0.012 * most], [at + 0.4, at - 0.4], color="white", linewidth=2, solid_capstyle="butt")
