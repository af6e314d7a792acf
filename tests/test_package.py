"""
The package as it is installed and imported.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins

import twisted_crossws

ROOT = Path(__file__).parents[1]


def test_names() -> None:
    """C{__all__} is what the module imports, and nothing else is public."""
    public = {name for name, value in vars(twisted_crossws).items() if not name.startswith("_")}
    modules = {path.stem for path in (ROOT / "twisted_crossws").iterdir()}
    assert set(twisted_crossws.__all__) == (public - modules) | {"__version__"}


@pytest.mark.parametrize("name", sorted(set(twisted_crossws.__all__) - {"__version__"}))
def test_documented(name: str) -> None:
    """Everything that an application imports says what it is."""
    assert getattr(twisted_crossws, name).__doc__


def test_usage() -> None:
    """The example of the docstring is Python."""
    blocks = (twisted_crossws.__doc__ or "").split("::\n")[1:]
    for block in blocks:
        lines = block.lstrip("\n").splitlines()
        code = [line for line in lines if not line or line.startswith("    ")]
        ast.parse(textwrap.dedent("async def example():\n" + textwrap.indent(textwrap.dedent("\n".join(code)), "  ")))
    assert len(blocks) == 2


def test_plugin() -> None:
    """C{twistd} finds the command."""
    assert "twisted_crossws.tap" in {
        plugin.module for plugin in getPlugins(IServiceMaker) if plugin.tapname == "crossws"
    }


def test_importInstallsNoReactor() -> None:
    """Importing the package, or the module of the command, leaves the choice of the reactor to the application."""
    check = "import sys, twisted_crossws, twisted_crossws.tap; sys.exit('twisted.internet.reactor' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=False).returncode == 0


def test_wheel(tmp_path: Path) -> None:
    """A wheel holds the plugin, the browser's client and the mark of types, and no file that belongs to Twisted."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("twisted", "twisted_crossws"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    command = [sys.executable, "-c", build, str(tmp_path)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "twisted/plugins/crossws_plugin.py",
        "twisted_crossws/py.typed",
        "twisted_crossws/browser/crossws.js",
    } <= names
    twisted = {name for name in names if name.startswith("twisted/")}
    assert twisted == {"twisted/plugins/crossws_plugin.py"}
    assert not any(name.startswith(("tests/", "examples/", "docs/")) for name in names)
