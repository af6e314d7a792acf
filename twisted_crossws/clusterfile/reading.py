"""
From a configuration file to the plan of its servers.
"""

from __future__ import annotations

import os

from msgspec.structs import replace

from twisted_crossws.clusterfile.expansion import expanded
from twisted_crossws.clusterfile.faults import findFaults
from twisted_crossws.clusterfile.layers import Layers, merged
from twisted_crossws.clusterfile.machines import Machine
from twisted_crossws.clusterfile.sections import Said
from twisted_crossws.config import MasterConfig
from twisted_crossws.configcheck import made
from twisted_crossws.configfile import readLayers
from twisted_crossws.places import Place, Source
from twisted_crossws.plan import Plan, ServerPlan
from twisted_crossws.runfolder import runFolder


def readPlan(
    path: str,
    environment: str | None = None,
    *,
    host: str = "",
    instead: Said | None = None,
    cores: int | None = None,
    uid: int | None = None,
) -> tuple[Plan, Source, list[str]]:
    """
    @param path: a TOML file.
    @param environment: the one whose sections hold; by default C{[master] environment}.
    @param host: what this machine is called in the file; by default C{[master] host}.
    @param instead: what holds, section by section, whatever a file that describes one node says.
    @param cores: what C{"cores"} stands for; by default as many as this process may use.
    @param uid: the user that the processes run as; by default that of this one.
    @return: what could be used of the file, what to make further faults with, and those that were found, all together.
    """
    layers, source, faults = readLayers(path, environment)
    if instead and not layers.isCluster:
        layers.said = merged(layers.said, instead)
    machine = Machine(host or _master(layers).host)
    plan, more = planOf(layers, source, os.path.abspath(path), machine, cores or _cores(), uid)
    # What is wrong for all servers of a kind was found for each.
    return plan, source, list(dict.fromkeys([*faults, *more]))


def planOf(
    layers: Layers, source: Source, path: str, machine: Machine, cores: int, uid: int | None = None
) -> tuple[Plan, list[str]]:
    """
    @param uid: the user that the processes run as; by default that of this one.
    @return: the plan, and what is wrong with it beside what is wrong with single keys.
    """
    faults: list[str] = []

    def report(place: Place, key: str, says: str) -> None:
        faults.append(source.fault(place, key, says))

    master = _master(layers)
    plan = Plan(
        path=path,
        environment=layers.environment,
        isCluster=layers.isCluster,
        machine=machine.name,
        servers=tuple(_located(server, path) for server in expanded(layers, machine.isThis, cores, report)),
        master=master,
        runFolder=runFolder(path, master.run_dir, uid=uid),
    )
    # In an environment that there is not, nothing would be as it was meant.
    if layers.environment in layers.environments:
        findFaults(plan, layers, report)
    return plan, faults


def _located(server: ServerPlan, path: str) -> ServerPlan:
    """With its static folder as it is found from the folder of the file."""
    websocket = server.config.websocket
    if not websocket.static:
        return server
    websocket = replace(websocket, static=os.path.join(os.path.dirname(path), websocket.static))
    return replace(server, config=replace(server.config, websocket=websocket))


def _master(layers: Layers) -> MasterConfig:
    return made(MasterConfig, layers.said.get("master", {}))


def _cores() -> int:
    """Those that this process may use, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
