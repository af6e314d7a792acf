"""
Why something of an application failed, in a sentence with file and line instead of a traceback.
"""

from __future__ import annotations

from pathlib import Path
from sysconfig import get_path
from traceback import FrameSummary, extract_tb

import twisted_crossws

#: Files of these are not the application's.
_LIBRARIES = (Path(get_path("stdlib")), Path(twisted_crossws.__file__).parent)
_IMPORTERS = (_LIBRARIES[0] / "importlib", Path(__file__).parent)
_INSTALLED = frozenset(("site-packages", "dist-packages"))


def causeOf(fault: BaseException) -> str:
    """
    @return: the type of an exception, what it says, and the place in the application that it comes from: where it was
        raised, or the line that called the library which raised it.
    """
    says = fault.msg if isinstance(fault, SyntaxError) else str(fault)
    place = _placeOf(fault)
    return f"{type(fault).__name__}{f': {says}' if says else ''}{place and f' ({place})'}"


def isOfApplication(fault: BaseException) -> bool:
    """Whether an exception passed through the application's code, and not through libraries and this package alone."""
    return any(not _isLibrary(frame.filename) for frame in _frames(fault))


def _frames(fault: BaseException) -> list[FrameSummary]:
    return [frame for frame in extract_tb(fault.__traceback__) if not _isImporter(frame.filename)]


def _placeOf(fault: BaseException) -> str:
    if isinstance(fault, SyntaxError) and fault.filename:
        return _place(fault.filename, fault.lineno)
    frames = _frames(fault)
    own = [frame for frame in frames if not _isLibrary(frame.filename)]
    last = (own or frames)[-1:]
    return _place(last[0].filename, last[0].lineno) if last else ""


def _place(file: str, line: int | None) -> str:
    return f"{file}, line {line}"


def _isImporter(file: str) -> bool:
    return file.startswith("<frozen importlib") or any(map(Path(file).is_relative_to, _IMPORTERS))


def _isLibrary(file: str) -> bool:
    path = Path(file)
    return not _INSTALLED.isdisjoint(path.parts) or any(map(path.is_relative_to, _LIBRARIES))
