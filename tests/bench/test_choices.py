"""
What the command is asked for, and what it makes of it.
"""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import arguments, chosen, openFiles, remarks
from bench.contestants import CONTESTANTS, OURS
from bench.measured import Measured
from bench.picture import CannotDrawError, bars, draw, limit
from bench.programs import PACKAGE, REQUIREMENTS, MissingError, compiled, exactVersions
from bench.results import Found, Results, machine
from bench.scenarios import scenarios


class TestArguments:
    def test_all(self) -> None:
        """Everything is measured, three times."""
        options = arguments([])
        assert (options.only, options.scenarios, options.sections, options.rounds) == (None, None, None, 3)

    def test_chosen(self) -> None:
        """Contestants and scenarios are chosen by name, and are those of one node."""
        options = arguments(["--only", "floor,ours", "--scenarios", "connect"])
        assert [each.name for each in chosen(CONTESTANTS, options.only)] == ["ours", "floor"]
        assert [each.name for each in chosen(scenarios(), options.scenarios)] == ["connect"]
        assert options.sections == ["node"]

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--only", "ours,nobody"], "--only: there is no nobody; there are ours,"),
            (["--scenarios", "dance"], "--scenarios: there is no dance"),
            (["--sections", "zoo"], "--sections: there is no zoo"),
            (["--rounds", "0"], "have to be positive"),
            (["--seconds", "0"], "have to be positive"),
        ],
    )
    def test_senseless(self, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
        """What does not exist is refused, with what does."""
        with pytest.raises(SystemExit):
            arguments(words)
        assert said in capsys.readouterr().err

    def test_quick(self) -> None:
        """One turn, with a tenth of the connections."""
        assert arguments(["--quick"]).rounds == 1
        few, many = scenarios(quick=True), scenarios()
        assert [each.name for each in few] == [each.name for each in many]
        assert few[-1].conns * 10 == many[-1].conns


class TestOpenFiles:
    @pytest.mark.parametrize(
        ("limits", "allowed", "raised"),
        [
            ((1024, 20_000), 10_200, (10_200, 20_000)),
            ((1024, 4096), 4096, (4096, 4096)),
            ((20_000, 20_000), 20_000, None),
            ((1024, resource.RLIM_INFINITY), 10_200, (10_200, resource.RLIM_INFINITY)),
            ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 10_200, None),
        ],
    )
    def test_raised(
        self, limits: tuple[int, int], allowed: int, raised: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The limit is raised as far as needed, and as far as the hard limit lets it."""
        done: list[Any] = []
        monkeypatch.setattr(resource, "getrlimit", lambda kind: limits)
        monkeypatch.setattr(resource, "setrlimit", lambda kind, wanted: done.append(wanted))
        assert openFiles(10_200) == allowed
        assert done == ([raised] if raised else [])

    def test_fewer(self) -> None:
        """Where not enough files can be open, fewer connections are held, and the table says so."""
        todo = scenarios(4096)
        assert todo[-1].conns == 3896
        said = list(remarks(todo, CONTESTANTS[:1], False, 4096))
        assert said == ["idle: 3,896 connections, and not 10,000, for the hard limit of open files is 4,096 here."]

    def test_enough(self) -> None:
        """Otherwise it says how many were held, and by whom fewer."""
        assert list(remarks(scenarios(), CONTESTANTS, False, 20_000)) == [
            "idle: 10,000 connections.",
            "idle, Channels: 2,000 connections; more would take it longer than a minute.",
        ]


class TestPrograms:
    def test_exact(self) -> None:
        """Every package that is installed for a contestant has an exact version."""
        lines = [line for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]
        assert len(exactVersions(REQUIREMENTS)) == len(lines)
        assert all(version[0].isdigit() for version in exactVersions(PACKAGE).values())

    def test_noCompiler(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a C compiler the sentence says what to do."""
        source = tmp_path / "some.c"
        source.touch()
        monkeypatch.setenv("PATH", "")
        with pytest.raises(MissingError, match="install a C compiler"):
            compiled(source, tmp_path / "built")

    def test_machine(self) -> None:
        """Its kind, and not its name."""
        assert " cores, " in machine()


class TestPicture:
    def results(self, **costs: float) -> Results:
        measured = [Measured("connect", OURS if name == "ours" else name, cost) for name, cost in costs.items()]
        return Results("2026-01-02", 1, 1.0, "", {}, [Found("One node", measured)])

    def test_order(self) -> None:
        """The cheapest is on top."""
        found = bars(self.results(b=3.0, ours=1.0, a=2.0), "connect")
        assert [each.contestant for each in found] == [OURS, "a", "b"]

    @pytest.mark.parametrize(("costs", "most"), [({"ours": 1.0, "a": 5.0}, 5.0), ({"ours": 1.0, "a": 70.0}, 6.0)])
    def test_limit(self, costs: dict[str, float], most: float) -> None:
        """A bar that would leave no room for ours is broken."""
        assert limit(bars(self.results(**costs), "connect")) == most

    def test_draw(self, tmp_path: Path) -> None:
        """It is drawn in both formats, whichever scenarios there are."""
        pytest.importorskip("matplotlib")
        files = tmp_path / "speed.png", tmp_path / "speed.svg"
        draw(self.results(ours=1.0, floor=0.5, other=70.0), *files)
        assert files[0].read_bytes().startswith(b"\x89PNG")
        assert "<svg" in files[1].read_text()

    def test_nothing(self, tmp_path: Path) -> None:
        """Without any of them there is no picture, and a sentence."""
        pytest.importorskip("matplotlib")
        with pytest.raises(CannotDrawError, match="none of its scenarios"):
            draw(Results("", 1, 1.0, "", {}, []), tmp_path / "speed.png")
        assert not list(tmp_path.iterdir())
