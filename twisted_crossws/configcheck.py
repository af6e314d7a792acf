"""
Holds what a configuration says to what L{twisted_crossws.config} declares, and finds every fault of it.

What a value must be stands in the types there, and is not repeated here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar, get_args, get_origin

from msgspec import UNSET, Struct, ValidationError, convert
from msgspec.structs import fields as _fields

from twisted_crossws.clusterfile.sections import FileConfig, KindConfig, Said, ServerConfig
from twisted_crossws.config import EVENT_BURST, NOISE_BURST, Config, MasterConfig, Says
from twisted_crossws.nearest import thereAre
from twisted_crossws.places import EVERY, Place, label, shown

#: Reading the annotations of a class takes longer than checking a file.
fields = cache(_fields)

#: Where it is, the key, and the rest of the sentence.
Report = Callable[[Place, str, str], None]

_S = TypeVar("_S", bound=Struct)


def checked(table: Mapping[str, Any], report: Report) -> Said:
    """
    @param table: what a whole file says, with the sections of every environment.
    @param report: called with each fault of a key or section by itself, in their order.
    @return: what is right of it, and only what was said. A C{[[service]]} without a proper C{use} stays, so that the
        numbers of the others hold.
    """
    names = environmentsOf(table)
    checker = _Checker(report, names)
    said = checker.table(FileConfig, {key: value for key, value in table.items() if key not in names}, ())
    for name in names:
        if name in table and (inner := checker.value(FileConfig, table[name], (), name)) is not UNSET:
            said[name] = inner
            for key in {"environment", "environments"} & inner.get("master", {}).keys():
                report((name, "master"), key, "belongs to [master]: it is what such a section is chosen by.")
                del inner["master"][key]
    return said


def environmentsOf(table: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of sections that hold what is said of one environment alone."""
    master = table.get("master")
    said = master.get("environments") if isinstance(master, Mapping) else None
    names = said if isinstance(said, list | tuple) else MasterConfig().environments
    sections = {field.name for field in fields(FileConfig)}
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name not in sections))


def made(kind: type[_S], said: Said) -> _S:
    """
    @return: the section that was said, with defaults for what was not.
    """
    values: dict[str, Any] = {}
    for field in fields(kind):
        if field.name in said:
            inner, form = _structOf(field.type)
            value = said[field.name]
            if inner is not None:
                value = made(inner, value) if form is None else tuple(made(inner, each) for each in value)
            values[field.name] = value
        elif field.required:
            values[field.name] = ""  # That it is missing is a fault already.
    return kind(**values)


def contradictions(config: Config) -> Iterator[tuple[str, str, str]]:
    """
    @return: section, key and the rest of a sentence for each fault that shows only where every key by itself is right.
    """
    bus, node, master = config.bus, config.node, config.master
    if node.lost_after <= node.announce_interval:
        says = f"must be above announce_interval ({node.announce_interval:g}), or every node would be lost at once."
        yield "node", "lost_after", says
    if node.stop_deadline <= node.drain_seconds:
        says = f"must be above drain_seconds ({node.drain_seconds:g}), or clients would not be spread over that time."
        yield "node", "stop_deadline", says
    if bus.bridge_prefix == bus.room_prefix:
        yield "bus", "room_prefix", f"must differ from bridge_prefix, and both are {shown(bus.room_prefix)}."
    for channel in config.channels.subscribe:
        if channel.startswith((bus.bridge_prefix, bus.room_prefix)):
            says = f"names {shown(channel)}, but channels with a prefix of [bus] belong to the cluster itself."
            yield "channels", "subscribe", says
    for key, burst in (("max_noise_per_second", NOISE_BURST), ("max_events_per_second", EVENT_BURST)):
        if 0 < getattr(config.websocket, key) * burst < 1:
            yield "websocket", key, f"must be 0, for no limit, or {1 / burst} and above; less lets nothing through."
    if master.restart_max_delay < master.restart_delay:
        says = f"must not be below restart_delay ({master.restart_delay:g}), with which the delays begin."
        yield "master", "restart_max_delay", says
    for name in master.environments:
        if any(field.name == name for field in fields(FileConfig)):
            yield "master", "environments", f"names {shown(name)}, which is a section of every configuration."
    if master.environment not in master.environments:
        says = f"is {shown(master.environment)}, which is none of environments{thereAre(master.environments)}."
        yield "master", "environment", says


class _Checker:
    """Keeps of tables what is right, key by key."""

    def __init__(self, report: Report, environments: tuple[str, ...]) -> None:
        self._report = report
        self._environments = environments

    def table(self, kind: type[Struct], table: Mapping[str, Any], place: Place) -> Said:
        """One section; at its keys it goes on with those inside."""
        known = {field.name: field for field in fields(kind)}
        said: Said = {}
        for key, value in table.items():
            if key in known:
                said[key] = self.value(known[key].type, value, place, key)
            else:
                self._report(place, str(key), self._unknown(kind, place, str(key)))
        for field in known.values():
            if field.required and field.name not in table:
                self._report(place, field.name, f"is missing; it must be {_says(field.type).words}.")
        return {key: value for key, value in said.items() if value is not UNSET}

    def value(self, kind: Any, value: Any, place: Place, key: str) -> Any:
        """What the key says, or C{UNSET}, where it is faulty."""
        struct, form = _structOf(kind)
        if struct is not None:
            return self._inner(struct, form, value, (*place, key))
        try:
            return convert(value, kind, strict=True)
        except ValidationError:
            says = _says(kind)
            found = "its value is not shown, since it may hold a secret" if says.secret else f"and is {shown(value)}"
            self._report(place, key, f"must be {says.words}{';' if says.secret else ','} {found}.")
            return UNSET

    def _inner(self, kind: type[Struct], form: Any, value: Any, place: Place) -> Any:
        if form is tuple:
            if isinstance(value, list | tuple) and all(isinstance(table, Mapping) for table in value):
                return tuple(self.table(kind, table, (*place, number)) for number, table in enumerate(value, 1))
            place = (*place, EVERY)
        elif isinstance(value, Mapping):
            if form is None:
                return self.table(kind, value, place)
            named = {str(name): self.value(kind, table, place, str(name)) for name, table in value.items()}
            return {name: table for name, table in named.items() if table is not UNSET}
        head, times = label(place), "once for each" if form is tuple else "once"
        if form is dict:
            head, times = label((*place, "NAME")), "for each"
        self._report(place, "", f"must be a section, with the head {head} {times}.")
        return UNSET

    def _unknown(self, kind: type[Struct], place: Place, key: str) -> str:
        """About a key that there is not: what may have been meant."""
        isFile = kind is FileConfig
        what = "is not a section" if isFile else "is not a key of this section"
        inner = [] if isFile else [(*place, name) for name, keys in _innerKeys(kind).items() if key in keys]
        around = place if isFile else ()
        shared = [(*around, *home) for home, keys in _KEYS.items() if key in keys]
        own = [(*around, *home) for home, keys in _SERVER_KEYS.items() if key in keys]
        if homes := inner or shared or own:
            return f"{what}; it belongs to {' or '.join(map(label, homes))}."
        names = {field.name: field.name for field in fields(kind)}
        if isFile:
            heads = (*_KEYS, *_SERVER_KEYS, *((name,) for name in self._environments if not place))
            names = {_bare(head): label((*place, *head)) for head in heads}
        if close := get_close_matches(key, names, 1):
            return f"{what}; did you mean {names[close[0]]}?"
        return f"{what}; {'the sections' if isFile else 'its keys'} are {', '.join(names.values())}."


def _says(kind: Any) -> Says:
    return next(part for part in kind.__metadata__ if isinstance(part, Says))


def _structOf(kind: Any) -> tuple[type[Struct] | None, Any]:
    """
    @return: what a section becomes, and whether it is one of several in a C{tuple}, or in a C{dict} by their names;
        C{None} for what is no section.
    """
    form = get_origin(kind) if get_origin(kind) in (tuple, dict) else None
    inner = kind if form is None else get_args(kind)[form is dict]
    return (inner, form) if isinstance(inner, type) and issubclass(inner, Struct) else (None, None)


def _innerKeys(kind: type[Struct]) -> dict[str, list[str]]:
    """The keys of the sections just inside of one."""
    inner = {field.name: _structOf(field.type) for field in fields(kind)}
    return {
        name: [field.name for field in fields(struct)]
        for name, (struct, form) in inner.items()
        if struct is not None and form is None
    }


def _keysOf(kind: type[Struct], place: Place) -> dict[Place, list[str]]:
    """The keys of a section and of those inside, by their places."""
    found = {place: [field.name for field in fields(kind)]} if place else {}
    for field in fields(kind):
        inner, form = _structOf(field.type)
        if inner is not None:
            found |= _keysOf(inner, (*place, field.name, EVERY) if form is tuple else (*place, field.name))
    return found


def _bare(place: Place) -> str:
    """What somebody has written who meant this section."""
    return ".".join(name for name in place if isinstance(name, str) and name != "NAME")


_KEYS = _keysOf(Config, ())
_SERVER_KEYS: dict[Place, list[str]] = {
    ("kind", "NAME"): [field.name for field in fields(KindConfig)],
    ("server", EVERY): [field.name for field in fields(ServerConfig)],
}
