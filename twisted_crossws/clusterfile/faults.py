"""
What is wrong with the servers of a plan together, where each by itself is right: names, ports, machines, the bus.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import combinations
from urllib.parse import quote

from msgspec import Struct

from twisted_crossws.clusterfile.layers import Layers
from twisted_crossws.clusterfile.machines import isAnywhere
from twisted_crossws.configcheck import Report
from twisted_crossws.places import Place, shown, subject
from twisted_crossws.plan import Plan, ServerPlan

#: Bytes of the path of a Unix socket: what every system takes. Linux takes four more.
MAX_SOCKET_PATH = 103

#: Sockets in the run folder that belong to no server.
_RESERVED = ("master", "hub")

#: What endpoints begin with that several processes can listen at.
_SHAREABLE = ("tcp:", "tcp6:", "ssl:", "tls:", "haproxy:tcp:")

#: So many names or ports are listed in a sentence.
_LISTED = 5

#: Interfaces that stand for all of a machine.
_ALL = ("", "0.0.0.0", "::")


class Address(Struct, frozen=True):
    """
    Where a server listens.

    @ivar at: a port, or the path of a Unix socket.
    @ivar interface: of the machine; empty for all of them, and for a Unix socket.
    """

    at: int | str
    interface: str = ""

    def overlaps(self, other: Address) -> bool:
        """Whether not both can be listened on."""
        isShared = self.interface == other.interface or self.interface in _ALL or other.interface in _ALL
        return self.at == other.at and isShared


def findFaults(plan: Plan, layers: Layers, report: Report) -> None:
    """
    @param report: called with each fault.
    """
    if not plan.servers:
        everywhere = [entry.get("environment") or [plan.environment] for entry in layers.said.get("server", ())]
        if not any(plan.environment in names for names in everywhere):
            report((), "", f"there is no [[server]] for the environment {shown(plan.environment)}.")
        return
    _nameFaults(plan, layers, report)
    _portFaults(plan, report)
    _machineFaults(plan, layers, report)
    _busFaults(plan, layers, report)
    _folderFaults(plan, layers, report)


def addressOf(description: str) -> Address | None:
    """
    @param description: an endpoint string.
    @return: where it would listen; C{None} for an endpoint of another kind, or one that is faulty.
    """
    kind, *rest = [re.sub(r"\\(.)", r"\1", part) for part in re.split(r"(?<!\\):", description)]
    named = dict(part.split("=", 1) for part in rest if "=" in part)
    plain = [part for part in rest if "=" not in part]
    if kind == "unix":
        path = named.get("address", plain[0] if plain else "")
        return Address(os.path.abspath(path)) if path else None
    index = {"tcp": 0, "tcp6": 0, "ssl": 0, "tls": 1}.get(kind, len(plain))
    port = named.get("port", plain[index] if index < len(plain) else "")
    return Address(int(port), named.get("interface", "")) if port.isdecimal() else None


def _nameFaults(plan: Plan, layers: Layers, report: Report) -> None:
    isOne = _count(plan) == 1
    for server in plan.servers:
        if not server.name and (not isOne or server.config.bus.type != "memory"):
            says = "is missing; a node that others can reach needs a name, unique in the cluster (or --server-name)."
            report(layers.place(("node",), "server_name"), "server_name", says)
        if plan.isCluster and server.name in _RESERVED:
            says = f"makes {shown(server.name)}, and no server can be called that: the sockets of master and hub are."
            report(server.stands, "id", says)
    taken: dict[str, ServerPlan] = {}
    twice: dict[tuple[Place, Place], list[str]] = {}
    for server in plan.servers:
        for name in dict.fromkeys((server.name, *server.processes)):
            first = taken.setdefault(name, server)
            if first is not server:
                twice.setdefault((first.stands, server.stands), []).append(name)
    for (one, other), names in twice.items():
        says = f"makes {_listed(map(shown, names))}, and so does {_called(one)}; all names must differ."
        report(other, "id", says)


def _portFaults(plan: Plan, report: Report) -> None:
    users: dict[int | str, list[tuple[ServerPlan, Address]]] = {}
    for server in plan.servers:
        if len(server.processes) > 1:
            _sharingFaults(server, report)
        for address in {addressOf(description) for description in server.config.websocket.listen}:
            if address is not None:
                users.setdefault(address.at, []).append((server, address))
    shared: dict[tuple[Place, Place], list[str]] = {}
    for at, everybody in users.items():
        for (first, one), (second, other) in combinations(everybody, 2):
            if first is second or not one.overlaps(other) or not _areTogether(first, second):
                continue
            if at == first.port and at == second.port:
                shared.setdefault((first.stands, second.stands), []).append(str(at))
            else:
                says = f"lets {shown(first.name)} and {shown(second.name)} listen at the same {at}"
                place = second.place("websocket", "listen")
                report(place, "listen", f"{says}; write {{port}} or {{name}} there.")
    for (here, there), ports in shared.items():
        says = f"overlaps that of {_called(here)}: both have {_listed(dict.fromkeys(ports))} on the same machine."
        report(there, "port", says)


def _sharingFaults(server: ServerPlan, report: Report) -> None:
    for description in server.config.websocket.listen:
        if not description.startswith(_SHAREABLE):
            says = f"names {shown(description)}, which several processes cannot share; they can share what begins with"
            report(server.place("websocket", "listen"), "listen", f"{says} {', '.join(_SHAREABLE)}.")


def _machineFaults(plan: Plan, layers: Layers, report: Report) -> None:
    hosts = {server.host.lower(): server.host for server in plan.servers if not isAnywhere(server.host)}
    if len(hosts) < 2:
        return
    names = _listed(map(shown, hosts.values()))
    if any(server.config.bus.type == "hub" for server in plan.servers):
        says = f'must be "redis": "hub" is for the processes of one machine, and these servers are for {names}.'
        report(layers.place(("bus",), "type"), "type", says)
    anywhere = {server.stands: server for server in plan.servers if isAnywhere(server.host)}
    for place, server in anywhere.items():
        says = f"must be one of the machines that others are for ({names}): each would start a {shown(server.name)}."
        report(place, "host", says)


def _busFaults(plan: Plan, layers: Layers, report: Report) -> None:
    count = _count(plan)
    if count > 1 and any(server.config.bus.type == "memory" for server in plan.servers):
        says = f'must be "hub" or "redis": "memory" does not leave a process, and this file asks for {count} of them.'
        report(layers.place(("bus",), "type"), "type", says)


def _folderFaults(plan: Plan, layers: Layers, report: Report) -> None:
    if _count(plan) == 1:
        return
    longest = max(
        (process for server in plan.servers for process in server.processes), key=lambda name: len(_file(name))
    )
    path = os.path.join(plan.runFolder, _file(longest))
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        says = f"is too long: the path of a socket has {MAX_SOCKET_PATH} bytes at most, and one would be {path}."
        report(layers.place(("master",), "run_dir"), "run_dir", says)


def _file(process: str) -> str:
    return f"{quote(process, safe='')}.sock"


def _count(plan: Plan) -> int:
    return sum(len(server.processes) for server in plan.servers)


def _areTogether(one: ServerPlan, other: ServerPlan) -> bool:
    """Whether some machine runs both."""
    isAny = isAnywhere(one.host) or isAnywhere(other.host)
    return isAny or one.host.lower() == other.host.lower() or (one.isHere and other.isHere)


def _called(place: Place) -> str:
    return subject(place, "").removesuffix(":")


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    rest = len(every) - _LISTED
    return ", ".join(every[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")
