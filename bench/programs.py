"""
What a measurement needs built or installed: programs in C, and what the contestants import.

All of it lies in one folder, and is made again only when its source has changed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Where this package lies: the sources of all that is built.
HERE = Path(__file__).resolve().parent

#: Where the package that is measured lies.
ROOT = HERE.parent

#: Where things are built unless somebody says otherwise; not under version control.
FOLDER = ROOT / "build" / "bench"

#: What the contestants of other systems import.
REQUIREMENTS = HERE / "contestants" / "requirements.txt"

#: The same for those on Node.js.
PACKAGE = HERE / "contestants" / "package.json"

#: Seconds that an installation may take.
INSTALL_TIMEOUT = 300


class MissingError(Exception):
    """
    Something cannot be built or installed on this machine; the message says what, in words that may be published, and
    the notes what was printed.
    """


@dataclass(frozen=True)
class Tools:
    """
    What was built, and a place for what is built when it is needed first.

    @ivar folder: where it all lies.
    @ivar wsload: the load generator.
    @ivar floor: the least that a server can do.
    """

    folder: Path
    wsload: Path
    floor: Path

    @classmethod
    def build(cls, folder: Path = FOLDER) -> Tools:
        """
        @raise MissingError: there is no C compiler, or it failed.
        """
        return cls(folder, *(compiled(HERE / source, folder) for source in ("wsload.c", "floor.c")))

    def python(self, requirements: Path = REQUIREMENTS) -> Path:
        """
        @param requirements: a file as pip reads it, with exact versions.
        @return: an interpreter that has them, in an environment of its own.
        @raise MissingError: they could not be installed.
        """
        folder = self._folder("python", requirements)
        interpreter = folder / "bin" / "python"
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            venv.create(folder, with_pip=True)
            _install([interpreter, "-m", "pip", "install", "-q", "-r", requirements], requirements)
            (folder / "done").touch()
        return interpreter

    def nodeModules(self, package: Path = PACKAGE) -> Path:
        """
        @param package: a C{package.json} with exact versions.
        @return: a folder with what it names, for C{NODE_PATH}.
        @raise MissingError: there is no Node.js or no npm, or they could not be installed.
        """
        for program in ("node", "npm"):
            if shutil.which(program) is None:
                raise MissingError(f"There is no {program} on the PATH.")
        folder = self._folder("npm", package)
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            shutil.copy(package, folder / "package.json")
            _install(["npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--no-package-lock"], package)
            (folder / "done").touch()
        return folder / "node_modules"

    def _folder(self, kind: str, source: Path) -> Path:
        return self.folder / f"{kind}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"


def compiled(source: Path, folder: Path) -> Path:
    """
    A program of one file of C.

    @raise MissingError: there is no C compiler, or it failed.
    """
    program = folder / source.stem
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    compiler = shutil.which("cc")
    if compiler is None:
        raise MissingError("The load generator is written in C, and there is no cc on the PATH; install a C compiler.")
    folder.mkdir(parents=True, exist_ok=True)
    built = subprocess.run([compiler, "-O2", "-o", program, source], capture_output=True, text=True)
    if built.returncode:
        error = MissingError(f"The C compiler could not build {source.name}.")
        error.add_note(built.stderr.strip())
        raise error
    return program


def exactVersions(source: Path) -> dict[str, str]:
    """What a C{requirements.txt} or C{package.json} asks for, by name."""
    text = source.read_text("utf-8")
    if source.suffix == ".json":
        return dict(json.loads(text)["dependencies"])
    return dict(re.findall(r"^([\w.-]+)(?:\[.*\])?==(\S+)", text, re.MULTILINE))


def interpreterVersion(program: str | Path = sys.executable) -> str:
    """What C{python} or C{node} says of its version: a number."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return said.strip().removeprefix("Python ").removeprefix("v")


def _install(argv: Sequence[str | Path], source: Path) -> None:
    try:
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_TIMEOUT, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise MissingError(f"What {source.name} names was not installed within {INSTALL_TIMEOUT} s.") from None
    if ran.returncode:
        error = MissingError(f"What {source.name} names could not be installed.")
        error.add_note(ran.stderr.strip())
        raise error
