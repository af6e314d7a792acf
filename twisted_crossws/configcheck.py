"""
Holds what a configuration says to what L{twisted_crossws.config} declares, and finds every fault of it.

What a value must be stands in the types there, and is not repeated here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args, get_origin

from msgspec import UNSET, Struct, ValidationError, convert
from msgspec.structs import fields

from twisted_crossws.config import EVENT_BURST, NOISE_BURST, Config, Says

#: The words for C{type} in C{[bus]} that this version can do something with.
AVAILABLE_BUSES = ("memory", "redis")

#: A value in a fault is for finding its place, and not for reading it.
_SHOWN_LENGTH = 60

#: Section, key, the rest of the sentence, and which C{[[service]]} it is.
Report = Callable[[str, str, str, int], None]

_S = TypeVar("_S", bound=Struct)


def check(table: Mapping[str, Any], report: Report) -> Config:
    """
    @param report: called with each fault, in the order of the keys.
    @return: what is right, with defaults in place of what is not. A C{[[service]]} without a proper C{use} has an
        empty one, so that the numbers of the others hold; of keys that contradict each other both stay.
    """
    config = _Checker(report).section(Config, table, "")
    for section, key, says in _contradictions(config):
        report(section, key, says, 0)
    return config


def label(section: str) -> str:
    """How a section is written in a file."""
    return f"[[{section}]]" if section in _REPEATED else f"[{section}]"


def shown(value: object) -> str:
    """A value as it is shown in a fault: on one line, and not more of it than helps."""
    try:
        # TOML's dates and times stand there without quotes.
        isJson = value is None or isinstance(value, str | int | float | list | dict)
        text = json.dumps(value, ensure_ascii=False, default=str, skipkeys=True) if isJson else str(value)
    except ValueError:
        return "a value that cannot be shown"
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 3] + "..."


class _Checker:
    """Makes structs of tables, key by key."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def section(self, kind: type[_S], table: Mapping[str, Any], name: str, number: int = 0) -> _S:
        """One section; at its keys it goes on with those inside."""
        known = {field.name: field for field in fields(kind)}
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key in known:
                values[key] = self._value(known[key].type, value, name, key, number)
            else:
                self._report(name, str(key), _unknown(name, str(key)), number)
        for field in known.values():
            if field.required and field.name not in table:
                self._report(name, field.name, f"is missing; it must be {_says(field.type).words}.", number)
            if field.required and values.get(field.name, UNSET) is UNSET:
                values[field.name] = ""
        return kind(**{key: value for key, value in values.items() if value is not UNSET})

    def _value(self, kind: Any, value: Any, name: str, key: str, number: int) -> Any:
        """What the key becomes, or C{UNSET}, where it is faulty."""
        if (struct := _structOf(kind)) is not None:
            return self._inner(struct, value, f"{name}.{key}".lstrip("."))
        try:
            return convert(value, kind, strict=True)
        except ValidationError:
            says = _says(kind)
            found = "its value is not shown, since it may hold a secret" if says.secret else f"and is {shown(value)}"
            self._report(name, key, f"must be {says.words}{';' if says.secret else ','} {found}.", number)
            return UNSET

    def _inner(self, kind: type[Struct], value: Any, name: str) -> Any:
        if name in _REPEATED:
            if isinstance(value, list | tuple) and all(isinstance(table, Mapping) for table in value):
                return tuple(self.section(kind, table, name, number) for number, table in enumerate(value, 1))
        elif isinstance(value, Mapping):
            return self.section(kind, value, name)
        times = "once for each" if name in _REPEATED else "once"
        self._report(name, "", f"must be a section, with the head {label(name)} {times}.", 0)
        return UNSET


def _contradictions(config: Config) -> Iterator[tuple[str, str, str]]:
    """What shows only where each key by itself is right."""
    bus, node = config.bus, config.node
    if node.lost_after <= node.announce_interval:
        says = f"must be above announce_interval ({node.announce_interval:g}), or every node would be lost at once."
        yield "node", "lost_after", says
    if bus.type not in AVAILABLE_BUSES:
        words = " or ".join(map(shown, AVAILABLE_BUSES))
        yield "bus", "type", f"{shown(bus.type)} is not available in this version; use {words}."
    if bus.bridge_prefix == bus.room_prefix:
        yield "bus", "room_prefix", f"must differ from bridge_prefix, and both are {shown(bus.room_prefix)}."
    for channel in config.channels.subscribe:
        if channel.startswith((bus.bridge_prefix, bus.room_prefix)):
            says = f"names {shown(channel)}, but channels with a prefix of [bus] belong to the cluster itself."
            yield "channels", "subscribe", says
    for key, burst in (("max_noise_per_second", NOISE_BURST), ("max_events_per_second", EVENT_BURST)):
        if 0 < getattr(config.websocket, key) * burst < 1:
            yield "websocket", key, f"must be 0, for no limit, or {1 / burst} and above; less lets nothing through."


def _unknown(section: str, key: str) -> str:
    """About a key that there is not: what may have been meant."""
    what = "is not a key of this section" if section else "is not a section"
    homes = [label(name) for name, keys in _KEYS.items() if key in keys]
    if homes:
        return f"{what}; it belongs to {' or '.join(homes)}."
    names = {name: name for name in _KEYS[section]} if section else {name: label(name) for name in _KEYS}
    if close := get_close_matches(key, names, 1):
        return f"{what}; did you mean {names[close[0]]}?"
    return f"{what}; {'its keys' if section else 'the sections'} are {', '.join(names.values())}."


def _says(kind: Any) -> Says:
    return next(part for part in kind.__metadata__ if isinstance(part, Says))


def _structOf(kind: Any) -> type[Struct] | None:
    """What a section becomes, or each of several of one name; C{None} for what is no section."""
    inner = get_args(kind)[0] if get_origin(kind) is tuple else kind
    return inner if isinstance(inner, type) and issubclass(inner, Struct) else None


def _keysOf(kind: type[Struct], name: str) -> dict[str, list[str]]:
    """The keys of a section and of those inside, by the names of the sections."""
    found = {name: [field.name for field in fields(kind)]} if name else {}
    for field in fields(kind):
        if (inner := _structOf(field.type)) is not None:
            found |= _keysOf(inner, f"{name}.{field.name}".lstrip("."))
    return found


_KEYS = _keysOf(Config, "")

#: The sections that may come several times.
_REPEATED = {field.name for field in fields(Config) if get_origin(field.type) is tuple}
