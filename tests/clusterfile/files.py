"""
Plans of samples, as they are made of files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted_crossws.clusterfile.layers import Layers
from twisted_crossws.clusterfile.machines import Machine
from twisted_crossws.clusterfile.reading import planOf, readPlan
from twisted_crossws.places import Source
from twisted_crossws.plan import Plan, ServerPlan

#: What "cores" stands for in these tests.
CORES = 3

#: What this machine is called in them.
MACHINE = "web1"


def written(folder: Path, text: str, name: str = "cluster.toml") -> str:
    """A file that says this."""
    path = folder / name
    path.write_text(text)
    return str(path)


def planned(folder: Path, text: str, environment: str | None = None, **more: Any) -> Plan:
    """The plan of a file that has no faults."""
    plan, _, faults = readPlan(written(folder, text), environment, **{"host": MACHINE, "cores": CORES, **more})
    assert faults == []
    return plan


def faultsOf(folder: Path, text: str, environment: str | None = None, **more: Any) -> list[str]:
    """What is wrong with a file, each without its name."""
    _, _, faults = readPlan(written(folder, text), environment, **{"host": MACHINE, "cores": CORES, **more})
    assert all(fault.startswith("cluster.toml") and fault.endswith((".", "?")) for fault in faults)
    assert not any("\n" in fault for fault in faults)
    return [fault.removeprefix("cluster.toml").removeprefix(":").removeprefix(",").strip() for fault in faults]


def planOfMapping(mapping: Any, environment: str | None = None) -> tuple[Plan, list[str]]:
    """The plan of what a file would say, and all of its faults."""
    faults: list[str] = []
    source = Source("configuration")
    layers = Layers(mapping, lambda *fault: faults.append(source.fault(*fault)), environment)
    plan, more = planOf(layers, source, "/etc/crossws.toml", Machine(MACHINE), CORES)
    return plan, faults + more


def named(plan: Plan, name: str) -> ServerPlan:
    """A server of a plan."""
    (server,) = [server for server in plan.servers if server.name == name]
    return server
