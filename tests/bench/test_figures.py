"""
What is made of measurements: medians, targets, tables.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.contestants import FLOOR, OURS, WS
from bench.measured import Absent, Measured, median
from bench.report import costs, details, judged, left, markdown, number, page, plain, terminal
from bench.results import Found, Results
from bench.scenarios import LoadError, parsed
from bench.targets import NODE, Target, against, againstBest, cost, tail, verdict

ACK = "ack 100 × 4, 32 B"


def results(*measured: Measured, absent: tuple[Absent, ...] = ()) -> Results:
    """A run of one section."""
    return Results("2026-01-02", 3, 2.0, "2 cores", {OURS: "1.2.3"}, [Found.of("One node", [*measured, *absent])])


BOTH = results(Measured(ACK, OURS, 6.0, 100_000.0, 1500.0, 3000.0), Measured(ACK, FLOOR, 5.0, 150_000.0, 900.0, 1800.0))


class TestMedian:
    def test_each(self) -> None:
        """Of each figure the one in the middle is taken, of whichever turn."""
        turns = [
            Measured("a", "b", *figures)
            for figures in ((3.0, 10.0, 1.0, 9.0), (1.0, 90.0, 2.0, 7.0), (2.0, 20.0, 8.0, 8.0))
        ]
        assert median(turns) == Measured("a", "b", 2.0, 20.0, 2.0, 8.0)

    def test_even(self) -> None:
        """Of two turns it lies between them."""
        assert median([Measured("a", "b", 1.0), Measured("a", "b", 2.0)]).cost == 1.5

    def test_none(self) -> None:
        """A figure that was never measured stays unknown; one that was in some turns is of those."""
        assert median([Measured("a", "b", 1.0, rate=4.0), Measured("a", "b", 1.0)]) == Measured("a", "b", 1.0, 4.0)


class TestParsed:
    def test_ack(self) -> None:
        """Replies and deliveries: the cost of each, throughput and latency."""
        text = '{"mode":"ack","sent":9,"received":9,"per_second":5,"p50_us":1,"p99_us":2,"cpu_us_per_msg":6.5}'
        assert parsed(text, "a", "b") == Measured("a", "b", 6.5, 5, 1.0, 2.0)

    def test_connect(self) -> None:
        """Connections: processor time of each."""
        text = '{"mode":"connect","conns":9,"per_second":5,"cpu_us_per_conn":45.5,"kb_per_conn":8.5}'
        assert parsed(text, "a", "b") == Measured("a", "b", 45.5, 5)

    def test_idle(self) -> None:
        """Idle connections: memory of each, and no throughput."""
        text = '{"mode":"idle","conns":9,"per_second":5,"cpu_us_per_conn":45.5,"kb_per_conn":8.5}'
        assert parsed(text, "a", "b") == Measured("a", "b", 8.5)

    def test_nothing(self) -> None:
        """A server that did not reply at all costs nothing, and has not been measured."""
        text = '{"mode":"ack","sent":9,"received":0,"per_second":0,"p50_us":0,"p99_us":0,"cpu_us_per_msg":0}'
        with pytest.raises(LoadError, match="^Of 9 messages none came back.$"):
            parsed(text, "a", "b")

    def test_tooShort(self) -> None:
        """Nothing is free: a cost of zero is one that was not seen."""
        text = '{"mode":"connect","conns":9,"per_second":5,"cpu_us_per_conn":0.0,"kb_per_conn":0}'
        with pytest.raises(LoadError, match="less processor time than the system counts"):
            parsed(text, "a", "b")


class TestTargets:
    cells = results(
        Measured("x", OURS, 6.0, None, 10.0, 25.0), Measured("x", WS, 10.0), Measured("x", "other", 8.0)
    ).cells()

    @pytest.mark.parametrize(
        ("figure", "expected"),
        [(cost("x"), 6.0), (against("x", WS), 0.6), (againstBest("x"), 0.75), (tail("x"), 2.5)],
        ids=["cost", "against", "againstBest", "tail"],
    )
    def test_figure(self, figure: object, expected: float) -> None:
        """It is found among the measurements of a run."""
        assert Target("", 1.0, "", figure).reached(self.cells) == pytest.approx(expected)  # type: ignore[arg-type]

    @pytest.mark.parametrize("figure", [cost("y"), against("x", FLOOR), againstBest("y"), tail("y")])
    def test_notMeasured(self, figure: object) -> None:
        """A run that has not measured it says so, and does not fail."""
        target = Target("", 1.0, "", figure)  # type: ignore[arg-type]
        assert target.reached(self.cells) is None
        assert verdict(target, None) == "not measured"

    def test_verdict(self) -> None:
        """The limit itself still holds."""
        target = Target("", 2.0, "", cost("x"))
        assert [verdict(target, reached) for reached in (1.9, 2.0, 2.001)] == ["holds", "holds", "does not hold"]

    def test_judged(self) -> None:
        """The table has every target, with what was reached."""
        rows = judged(BOTH, NODE[:2])
        assert rows == [
            ["", "at most", "reached", ""],
            [ACK, "1.2 × the floor", "1.20", "holds"],
            [ACK, "0.5 × plain `ws` with JSON", "–", "not measured"],
        ]


class TestTables:
    def test_costs(self) -> None:
        """A column for each contestant, and by how much it is above the floor."""
        (found,) = BOTH.sections
        assert costs(found) == [["", OURS, FLOOR], [ACK, "6.00 (1.2 ×)", "5.00"]]

    def test_empty(self) -> None:
        """A contestant that did not do something has an empty cell, and a sentence."""
        absent = Absent("connect", OURS, "It was tired.")
        out = Absent("", WS, "There is no npm on the PATH.")
        (found,) = results(Measured(ACK, OURS, 6.0), Measured("connect", FLOOR, 45.0), absent=(absent, out)).sections
        assert costs(found)[1:] == [[ACK, "6.00", "–"], ["connect", "–", "45.0"]]
        assert left(found) == [f"{OURS}, connect: It was tired.", f"{WS}: There is no npm on the PATH."]

    def test_remarks(self) -> None:
        """Whatever else is to be known stands below the empty cells."""
        absent = Absent("", WS, "There is no npm on the PATH.")
        assert left(Found.of("", [absent], ["idle: 10 connections."]))[1:] == ["idle: 10 connections."]

    def test_details(self) -> None:
        """The cheapest comes first; latency is in milliseconds."""
        (found,) = BOTH.sections
        assert details(found, ACK)[1:] == [
            [FLOOR, "5.00", "–", "150,000", "0.90", "1.80"],
            [OURS, "6.00", "1.2 ×", "100,000", "1.50", "3.00"],
        ]

    @pytest.mark.parametrize(
        ("value", "text"),
        [(None, "–"), (0.714, "0.71"), (5.0, "5.00"), (45.04, "45.0"), (285.5, "286"), (98000.4, "98,000")],
    )
    def test_number(self, value: float | None, text: str) -> None:
        """Three digits are enough."""
        assert number(value) == text

    def test_plain(self) -> None:
        """In a terminal columns stand below each other, numbers to the right."""
        assert plain([["", "b"], ["aa", "10"], ["a", "9"]]) == "     b\naa  10\na    9"

    def test_markdown(self) -> None:
        """On a page it is a table."""
        assert markdown([["", "b"], ["a", "1"]]) == "|  | b |\n| --- | --: |\n| a | 1 |"


class TestPages:
    def test_page(self) -> None:
        """It has the date, the machine, the versions, every target, and all figures."""
        text = page(BOTH, NODE)
        for part in ("2026-01-02", "Machine: 2 cores.", f"- {OURS}: 1.2.3", "6.00 (1.2 ×)", "150,000", "not measured"):
            assert part in text

    def test_terminal(self) -> None:
        """What was not measured is no target of this run."""
        text = terminal(BOTH, NODE)
        assert "6.00 (1.2 ×)" in text and "holds" in text
        assert "not measured" not in text

    def test_kept(self, tmp_path: Path) -> None:
        """What was found can be read again, so that pages can be made without measuring."""
        run = results(Measured(ACK, OURS, 6.0, 1.0), absent=(Absent("a", "b", "c"),))
        run.write(tmp_path / "results.json")
        assert Results.read(tmp_path / "results.json") == run
