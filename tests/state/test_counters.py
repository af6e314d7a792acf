"""What happened how often."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from twisted_crossws.state import counters
from twisted_crossws.state.counters import MEANINGS, Counters


def test_start() -> None:
    """There is a number for each meaning, and it begins at 0."""
    assert Counters() == dict.fromkeys(MEANINGS, 0)


def test_count() -> None:
    """Each node counts for itself."""
    one, other = Counters(), Counters()
    one["events_received"] += 1
    one["events_received"] += 1
    assert one["events_received"] == 2
    assert other["events_received"] == 0


def test_unknown() -> None:
    """What has no meaning is not counted in silence."""
    with pytest.raises(KeyError):
        Counters()["events_recieved"] += 1


@pytest.mark.parametrize("name", MEANINGS)
def test_meaning(name: str) -> None:
    """Each counter has a name that metrics systems take, and a meaning on one line."""
    assert name.isascii() and name.islower() and name.isidentifier()
    assert MEANINGS[name] and MEANINGS[name].isprintable()


def test_nothingElseIsCounted() -> None:
    """Every counter that the package's code counts by name has a meaning."""
    package = Path(counters.__file__).parents[1]
    counted = {name for path in package.rglob("*.py") for name in namesCounted(path)}
    assert "frames_malformed" in counted
    assert counted - set(MEANINGS) == set()


def namesCounted(path: Path) -> set[str]:
    """The string constants in square brackets after anything that is called C{counters}."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Subscript):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if owner.strip("_") == "counters":
                inside = (inner for inner in ast.walk(node.slice) if isinstance(inner, ast.Constant))
                found |= {inner.value for inner in inside if isinstance(inner.value, str)}
    return found
