"""
The guides: their examples run, their links lead somewhere, and they leave nothing out.

A C{python} block that begins with an import, or with a comment that names a file, is a complete example. It is executed
in a folder with an empty C{crossws.toml}; its C{makeService} is called with a node, its C{test_} functions are called,
and one that names its file can be imported by those after it. Every other block is a piece of one, and must compile.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec.structs import fields
from twisted.internet.task import Clock

from twisted_crossws import CloseCode, Node, WebSocketConfig
from twisted_crossws.clusterfile.reading import readPlan
from twisted_crossws.configfile import configFromMapping
from twisted_crossws.services.applications import addApplication
from twisted_crossws.state.counters import MEANINGS

ROOT = Path(__file__).parents[1]
GUIDES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]

everyGuide = pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)


def blocks(guide: Path, language: str) -> list[str]:
    """The blocks of a language, each with so many empty lines before it that line numbers are those of the guide."""
    text = guide.read_text("utf-8")
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return ["\n" * text.count("\n", 0, match.start(1)) + match[1] for match in found]


def words(guide: str) -> dict[str, list[str]]:
    """The rows of a guide's tables whose first cell is one name: the other cells by that name."""
    rows = re.findall(r"^\| `?(\w+)`? \|(.*)\|$", (ROOT / "docs" / guide).read_text("utf-8"), re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in rows}


def run(code: Any, name: str) -> ModuleType:
    """Execute a complete example."""
    module = ModuleType(name)
    exec(code, vars(module))
    if hasattr(module, "makeService"):
        addApplication(Node(clock=Clock()), module.makeService, {})
    for each in [value for key, value in vars(module).items() if key.startswith("test_")]:
        each()
    return module


@everyGuide
def test_python(guide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every example compiles, and runs if it is complete."""
    (tmp_path / "crossws.toml").touch()
    monkeypatch.chdir(tmp_path)
    for block in blocks(guide, "python"):
        code = compile(block, str(guide), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if begins := re.match(r"\s*(?:# (\w+)\.\w+\n|from |import )", block):
            name = begins[1] or "example"
            monkeypatch.setitem(sys.modules, name, run(code, name))


@everyGuide
def test_toml(guide: Path) -> None:
    """Every configuration has no faults; that of the guide to it has tests of its own."""
    for block in blocks(guide, "toml") if guide.name != "configuration.md" else []:
        configFromMapping(tomllib.loads(block), str(guide))


@everyGuide
def test_plans(guide: Path, tmp_path: Path) -> None:
    """Every file with servers has a plan in every environment, and so has every one with workers."""
    path = tmp_path / "crossws.toml"
    for block in blocks(guide, "toml") if guide.name != "configuration.md" else []:
        path.write_text(block)
        for environment in ("development", "production") if "[[server]]" in block or "[workers]" in block else ():
            assert readPlan(str(path), environment)[2] == []


def anchors(target: Path) -> set[str]:
    """What the headings of a guide are called in links."""
    heads = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}


@everyGuide
def test_links(guide: Path) -> None:
    """Every relative link leads to something that is there."""
    for link in re.findall(r"\]\(([^)\s]+)\)", guide.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (guide.parent / path) if path else guide
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_counters() -> None:
    """Every counter is described, and no other."""
    described = {name for name in words("operating.md") if "_" in name}
    assert described == set(MEANINGS)


def test_limits() -> None:
    """Every limit of the configuration is in the table of limits, with its default."""
    rows = words("security.md")
    limits = {field.name: field.default for field in fields(WebSocketConfig) if type(field.default) in (int, float)}
    assert limits
    for name, default in limits.items():
        (said,) = re.findall(r"^[\d_]+", rows[name][0])
        assert int(said) == default, name


def test_closeCodes() -> None:
    """Every close code is explained."""
    rows = (ROOT / "docs" / "clients.md").read_text("utf-8")
    explained = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", rows, re.MULTILINE) for code in row.split(",")}
    assert explained == set(CloseCode)
