"""
The configuration as it is written: a file is read and checked, and every fault of it is reported at once.

Each fault is a sentence that starts with its place::

    crossws.toml, line 7: [websocket] ping_interval must be a number of seconds, 0 or above, and is "often".
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from twisted_crossws.config import Config
from twisted_crossws.configcheck import check, label, shown
from twisted_crossws.errors import ConfigError

_HEADER = re.compile(r"""\s*\[(\[?)([\w.\-"' ]+)\]\]?\s*(?:#.*)?""")
_QUOTES = str.maketrans("", "", "\"' ")
_KEY = re.compile(r"""\s*(["']?)([\w.-]+)\1\s*=""")
_PLAIN = re.compile(r"[\w.-]{0,60}")


def loadConfig(path: str) -> Config:
    """
    @param path: a TOML file.
    @raise ConfigError: every fault of it.
    """
    config, _, faults = readConfig(path)
    if faults:
        raise ConfigError(faults)
    return config


def configFromMapping(mapping: Mapping[str, Any], source: str = "configuration") -> Config:
    """
    The same checks, on what a file would have said.

    @param source: what the faults start with.
    @raise ConfigError: every fault of it.
    """
    config, faults = _check(mapping, Source(source))
    if faults:
        raise ConfigError(faults)
    return config


def readConfig(path: str) -> tuple[Config, Source, list[str]]:
    """
    For a caller that has more to check, and reports everything together.

    @return: what L{check} could use of the file, what to make further faults with, and those that were found. A
        file that cannot be read has the defaults, and one fault.
    """
    source = Source(os.path.basename(os.path.normpath(path)))
    try:
        text = _read(path, source.name)
        source = Source(source.name, text)
        config, faults = _check(_parse(text, source.name), source)
    except ConfigError as unreadable:
        return Config(), source, list(unreadable.faults)
    return config, source, faults


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

    def fault(self, section: str, key: str, says: str, number: int = 0) -> str:
        """
        A sentence with its place: C{fault("websocket", "static", 'names "www", which is no folder.')} is
        C{crossws.toml, line 9: [websocket] static names "www", which is no folder.}

        @param section: without brackets, such as C{bus.redis}; empty outside of every section.
        @param key: empty for a fault of the whole section.
        @param says: the rest of the sentence. What may be a secret must not be in it.
        @param number: which of the C{[[service]]} sections it is, from 1.
        """
        line = self._line(section, key, number)
        place = self.name if line is None else f"{self.name}, line {line}"
        subject = [label(section)] if section else []
        subject += [f"number {number}:"] if number else []
        subject += [key if _PLAIN.fullmatch(key) else shown(key)] if key else []
        return f"{place}: {' '.join(subject)} {says}"

    def _line(self, section: str, key: str, number: int) -> int | None:
        """Of the key, or else of what it would stand in."""
        place = ".".join(part for part in (section, str(number or ""), key) if part)
        while place and place not in self._lines:
            place = place.rpartition(".")[0]
        return self._lines.get(place)


def _linesOf(text: str) -> dict[str, int]:
    """
    A tolerant look at TOML: the lines of sections and keys, by their names joined by dots. After a string of several
    lines nothing would be certain, so it ends there.
    """
    found: dict[str, int] = {}
    section, services = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.fullmatch(line.rstrip()):
            section = header[2].translate(_QUOTES)
            services += header[1] == "[" and section == "service"
            if services and section.partition(".")[0] == "service":
                section = f"service.{services}{section.removeprefix('service')}"
            found.setdefault(section, number)
        elif key := _KEY.match(line):
            found.setdefault(f"{section}.{key[2]}".lstrip("."), number)
        if '"""' in line or "'''" in line:
            break
    return found


def _read(path: str, name: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as fault:
        raise ConfigError([f"{name} cannot be read: {fault.strerror} ({os.path.abspath(path)})."]) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        raise ConfigError([f"{name}, line {line}: this is not UTF-8; save the file as UTF-8."]) from None


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError([f"{name}: this is nested too deeply."]) from None
    except ValueError as fault:
        what, _, where = str(fault).rpartition(" (at ")
        place = f"{name}, {where.rstrip(')')}" if what else name
        raise ConfigError([f"{place}: this is not TOML: {what or where}."]) from None


def _check(table: Mapping[str, Any], source: Source) -> tuple[Config, list[str]]:
    faults: list[str] = []
    config = check(table, lambda *fault: faults.append(source.fault(*fault)))
    return config, faults
