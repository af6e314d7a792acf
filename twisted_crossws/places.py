"""
Where something stands in a configuration file: how that is written in a sentence, and on which line it is.

A place is the names of sections and, after the name of a section that is repeated, which one it is, from 1::

    ("bus", "redis")                 [bus.redis]
    ("service", 2)                   [[service]] number 2:
    ("server", 3, "websocket")       [[server]] number 3: [server.websocket]
    ("production", "bus")            [production.bus]
    ()                               outside of every section
"""

from __future__ import annotations

import json
import re

Place = tuple[str | int, ...]

#: Which of a repeated section: none of them, but the section as such.
EVERY = 0

#: A value in a fault is for finding its place, and not for reading it.
_SHOWN_LENGTH = 60

_HEADER = re.compile(r"""\s*\[(\[?)([\w.\-"' ]+)\]\]?\s*(?:#.*)?""")
_QUOTES = str.maketrans("", "", "\"' ")
_KEY = re.compile(r"""\s*(["']?)([\w.-]+)\1\s*=""")
_PLAIN = re.compile(r"[\w.-]{0,60}")


def shown(value: object) -> str:
    """A value as it is shown in a fault: on one line, and not more of it than helps."""
    try:
        # TOML's dates and times stand there without quotes.
        isJson = value is None or isinstance(value, str | int | float | list | dict)
        text = json.dumps(value, ensure_ascii=False, default=str, skipkeys=True) if isJson else str(value)
    except ValueError:
        return "a value that cannot be shown"
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 3] + "..."


def label(place: Place) -> str:
    """How its section is written in a file, in brackets."""
    names = ".".join(_written(part) for part in place if isinstance(part, str))
    return f"[[{names}]]" if place and isinstance(place[-1], int) else f"[{names}]"


def subject(place: Place, key: str) -> str:
    """What a sentence about it begins with."""
    parts = []
    for end, part in enumerate(place, 1):
        if isinstance(part, int):
            parts.append(f"{label(place[:end])} number {part}:" if part else label(place[:end]))
    if place and isinstance(place[-1], str):
        parts.append(label(place))
    return " ".join([*parts, _written(key)] if key else parts)


class Source:
    """
    Where a configuration came from, for whoever finds a fault in it.

    @ivar name: of the file, without its folder.
    """

    def __init__(self, name: str, text: str = "") -> None:
        """
        @param text: the whole file, where there is one.
        """
        self.name = name
        self._lines = _linesOf(text)

    def fault(self, section: str | Place, key: str, says: str, number: int = 0) -> str:
        """
        A sentence with its place: C{fault("websocket", "static", 'names "www", which is no folder.')} is
        C{crossws.toml, line 9: [websocket] static names "www", which is no folder.}

        @param section: a place, or the name of a section without brackets, such as C{bus.redis}; empty outside of every
            section.
        @param key: empty for a fault of the whole section.
        @param says: the rest of the sentence. What may be a secret must not be in it.
        @param number: which of the C{[[service]]} sections it is, from 1, if only the name of the section is given.
        """
        place = _placeOf(section, number)
        line = self._line((*place, *key.split(".")) if key else place)
        at = self.name if line is None else f"{self.name}, line {line}"
        return f"{at}: {subject(place, key)} {says}" if place or key else f"{at}: {says}"

    def _line(self, place: Place) -> int | None:
        """Of what stands there, or else of what it would stand in."""
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place)


def _placeOf(section: str | Place, number: int) -> Place:
    if isinstance(section, tuple):
        return section
    names: Place = tuple(section.split(".")) if section else ()
    return (*names, number) if number else names


def _written(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else shown(name)


def _linesOf(text: str) -> dict[Place, int]:
    """
    A tolerant look at TOML: the lines of sections and keys. After a string of several lines nothing would be certain,
    so it ends there.
    """
    found: dict[Place, int] = {}
    counts: dict[Place, int] = {}
    section: Place = ()
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.fullmatch(line.rstrip()):
            section = _entered(header[2].translate(_QUOTES).split("."), header[1] == "[", counts)
            found.setdefault(section, number)
            if header[1]:
                found.setdefault(section[:-1], number)
        elif key := _KEY.match(line):
            found.setdefault((*section, *key[2].split(".")), number)
        if '"""' in line or "'''" in line:
            break
    return found


def _entered(names: list[str], isRepeated: bool, counts: dict[Place, int]) -> Place:
    """The place that a head leads to: below a repeated section it is the last of them that is meant."""
    place: Place = ()
    for name in names[:-1]:
        place = (*place, name)
        if place in counts:
            place = (*place, counts[place])
    place = (*place, names[-1])
    if not isRepeated:
        return place
    counts[place] = counts.get(place, 0) + 1
    return (*place, counts[place])
