"""
From what a file says to the servers that it stands for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from twisted_crossws.clusterfile.layers import Layers, merged
from twisted_crossws.clusterfile.sections import Said
from twisted_crossws.config import FAST_PATH, Config
from twisted_crossws.configcheck import Report, contradictions, made
from twisted_crossws.nearest import nearest
from twisted_crossws.places import Place, label, shown
from twisted_crossws.plan import ServerPlan

#: Where a server of a cluster file listens, unless it is said otherwise.
DEFAULT_LISTEN = ("tcp:{port}",)

#: The sections that kinds and servers may say anew. Of the bus and the master there is one for all.
_OWN = ("node", "websocket", "rooms", "channels", "workers")

#: Those that hold for a server also if neither it nor its kind says them.
_SHARED = (*_OWN, "bus", "master")


def expanded(layers: Layers, isHere: Callable[[str], bool], cores: int, report: Report) -> tuple[ServerPlan, ...]:
    """
    @param isHere: says of a host whether it is this machine.
    @param cores: what C{"cores"} stands for.
    @param report: called with each fault of one server by itself.
    @return: the servers of the chosen environment, as far as they can be told.
    """
    return _Expansion(layers, isHere, cores, report).servers()


class _Layer(Struct, frozen=True):
    """Something said of a server, and where."""

    place: Place
    said: Said


class _Expansion:
    def __init__(self, layers: Layers, isHere: Callable[[str], bool], cores: int, report: Report) -> None:
        self._layers = layers
        self._isHere = isHere
        self._cores = cores
        self._report = report

    def servers(self) -> tuple[ServerPlan, ...]:
        layers = self._layers
        if not layers.isCluster:
            return (self._alone(),)
        names = layers.said.get("node", {}).keys() & {"server_name"}
        for key in names:
            self._say(("node",), key, "names one server, and this file has many: their names stand in [[server]] id.")
        entries = enumerate(layers.said.get("server", ()), 1)
        return tuple(server for number, said in entries for server in self._entry(said, ("server", number)))

    def _alone(self) -> ServerPlan:
        """The one server of a file without C{[[server]]}."""
        shared = _Layer((), self._layers.said)
        config = made(Config, self._layers.said)
        name = config.node.server_name or ""
        return self._checked(
            ServerPlan(
                name=name,
                config=config,
                processes=self._processes(name, config),
                places=self._places([shared]),
                services=tuple(self._services([shared])),
            )
        )

    def _entry(self, said: Said, place: Place) -> Iterator[ServerPlan]:
        """The servers that one C{[[server]]} stands for; none, if it is for other environments."""
        kind, host = said.get("kind", ""), said.get("host", "")
        layers = [
            _Layer((), {key: value for key, value in self._layers.said.items() if key in (*_SHARED, "service")}),
            *self._kind(kind, place),
            _Layer(place, said),
        ]
        for layer in layers[1:]:
            self._misplaced(layer)
        if not self._isMeant(said.get("environment", ()), place):
            return
        settings: Said = {"node": {"role": kind}} if kind else {}
        services: tuple[Said, ...] = ()
        for layer in layers:
            settings = merged(settings, _settings(layer.said))
            services += layer.said.get("service", ())
        env = {name: value for layer in layers[1:] for name, value in layer.said.get("env", {}).items()}
        if FAST_PATH in env:
            settings = merged({"websocket": {"fast_path": env[FAST_PATH] != "off"}}, settings)
        places, stand = self._places(layers), tuple(self._services(layers))
        for name, port in self._names(said, place):
            own: Said = {
                "node": {"server_name": name},
                "websocket": {"listen": self._listen(settings, name, port, place)},
            }
            config = made(Config, {**merged(settings, own), "service": services})
            yield self._checked(
                ServerPlan(
                    name=name,
                    kind=kind,
                    host=host,
                    isHere=self._isHere(host),
                    config=config,
                    env=env,
                    processes=self._processes(name, config),
                    port=port,
                    stands=self._layers.place(place),
                    places=places,
                    services=stand,
                )
            )

    def _kind(self, name: str, place: Place) -> list[_Layer]:
        kinds = self._layers.said.get("kind", {})
        if name and name not in kinds:
            self._say(
                place,
                "kind",
                f"is {shown(name)}, and there is no section {label(('kind', name))}{nearest(name, kinds)}",
            )
        return [_Layer(("kind", name), kinds[name])] if name in kinds else []

    def _isMeant(self, environments: tuple[str, ...], place: Place) -> bool:
        known = self._layers.environments
        for name in environments:
            if name not in known:
                says = f"names {shown(name)}, which is no environment of this file{nearest(name, known)}"
                self._say(place, "environment", says)
        return not environments or self._layers.environment in environments

    def _misplaced(self, layer: _Layer) -> None:
        """What C{[node]} has for one server is said of many in other ways."""
        for key in layer.said.get("node", {}).keys() & {"server_name", "role", "tags"}:
            home = "[[server]] id" if key == "server_name" else label(layer.place)
            self._say((*layer.place, "node"), key, f"belongs to {home}.")

    def _names(self, said: Said, place: Place) -> Iterator[tuple[str, int | None]]:
        """The name and port of each server."""
        name, port, start = said.get("id", ""), said.get("port"), said.get("id_start")
        if not name:
            return  # That it is missing is a fault already.
        if not isinstance(port, tuple):
            yield (name if start is None else f"{name}{start}"), port
            return
        first, last = port
        if first > last:
            self._say(place, "port", f"is [{first}, {last}], and no port lies between these; the lower comes first.")
        for number, each in enumerate(range(first, last + 1), 1 if start is None else start):
            yield f"{name}{number}", each

    def _listen(self, settings: Said, name: str, port: int | None, place: Place) -> tuple[str, ...]:
        """Its endpoints: those that want a port are not for a server that has none."""
        said = settings.get("websocket", {}).get("listen")
        templates = DEFAULT_LISTEN if said is None else said
        wanting = [each for each in templates if "{port}" in each]
        if port is not None and not wanting:
            says = f'is {port}, but no endpoint of listen has a place for it; write one such as "tcp:{{port}}" there.'
            self._say(place, "port", says)
        quoted = re.sub(r"[\\:=]", r"\\\g<0>", name)
        return tuple(
            each.replace("{port}", str(port)).replace("{name}", quoted)
            for each in templates
            if port is not None or each not in wanting
        )

    def _processes(self, name: str, config: Config) -> tuple[str, ...]:
        count = config.workers.count
        many = self._cores if count == "cores" else count
        return (name,) if many == 1 else tuple(f"{name}.{number}" for number in range(1, many + 1))

    def _checked(self, server: ServerPlan) -> ServerPlan:
        for section, key, says in contradictions(server.config):
            self._report(server.place(section, key), key, says)
        return server

    def _places(self, layers: list[_Layer]) -> dict[str, Place]:
        """The last of the layers that says a key is the one that counts."""
        found = {}
        for layer in layers:
            for section, key in _keys({name: layer.said[name] for name in _SHARED if name in layer.said}):
                place = (*layer.place, *section)
                found[".".join((*section, key))] = self._layers.place(place, key)
        return found

    def _services(self, layers: list[_Layer]) -> Iterator[Place]:
        for layer in layers:
            for number in range(1, len(layer.said.get("service", ())) + 1):
                yield self._layers.place((*layer.place, "service", number))

    def _say(self, place: Place, key: str, says: str) -> None:
        self._report(self._layers.place(place, key), key, says)


def _settings(said: Said) -> Said:
    """What a file, a kind or a server says of all sections of a node."""
    settings: Said = {name: said[name] for name in _SHARED if name in said}
    about = {key: said[key] for key in ("role", "tags") if key in said}
    count = {"count": said["instances"]} if "instances" in said else {}
    return merged(settings, {name: keys for name, keys in (("node", about), ("workers", count)) if keys})


def _keys(said: dict[str, Any], section: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every key in sections within sections."""
    for key, value in said.items():
        if isinstance(value, dict):
            yield from _keys(value, (*section, key))
        else:
            yield section, key
