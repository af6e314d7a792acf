"""
From what a file says to a master.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.application.service import MultiService
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock

from tests.machine.fakes import fired
from twisted_crossws import Node
from twisted_crossws.clusterfile.reading import readPlan
from twisted_crossws.machine.agent import Agent
from twisted_crossws.machine.control import Refused
from twisted_crossws.machine.making import HubService, addAgent, makeMaster
from twisted_crossws.machine.master import Master
from twisted_crossws.machine.rows import Row
from twisted_crossws.plan import Plan

FILE = """
[bus]
type = "hub"
[[server]]
id = "a"
port = 4021
instances = 2
[[server]]
id = "b"
"""


def planOf(folder: Path, text: str) -> Plan:
    path = folder / "cluster.toml"
    path.write_text('[master]\nrun_dir = "run"\n' + text)
    plan, _, faults = readPlan(str(path))
    assert faults == []
    return plan


def masterOf(plan: Plan, reread: Any = None) -> Master:
    master = makeMaster(plan, plan.here, lambda name: [name], reread, MemoryReactorClock(), failed=print)
    assert isinstance(master, Master)
    return master


def test_master(tmp_path: Path) -> None:
    """It has the servers of the plan, each with its processes, and the hub; the run folder is for its user alone."""
    master = masterOf(planOf(tmp_path, FILE))
    assert {name: list(server.processes) for name, server in master.servers.items()} == {
        "a": ["a.1", "a.2"],
        "b": ["b"],
    }
    assert [type(child) for child in master] == [HubService]
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


def test_noHub(tmp_path: Path) -> None:
    """With a Redis there is no hub."""
    assert list(masterOf(planOf(tmp_path, FILE.replace("hub", "redis")))) == []


def test_elsewhere(tmp_path: Path) -> None:
    """Servers of other machines are listed, and not run."""
    text = FILE.replace("hub", "redis").replace('"a"', '"a"\nhost = "here"') + 'host = "there"\n'
    path = tmp_path / "cluster.toml"
    path.write_text('[master]\nrun_dir = "run"\nhost = "here"\n' + text)
    plan, _, faults = readPlan(str(path))
    master = masterOf(plan)
    assert (faults, list(master.servers)) == ([], ["a"])
    assert master.elsewhere == [Row(name="b", state="elsewhere", address="there")]


def test_reread(tmp_path: Path) -> None:
    """A server that was added to the file can be added to the master."""
    plan = planOf(tmp_path, FILE)
    later = planOf(tmp_path, FILE + '[[server]]\nid = "c"\n')
    master = masterOf(plan, lambda: later)
    assert list(master.reread("c").processes) == ["c"]
    assert master.reread("a.2").name == "a"
    with pytest.raises(Refused, match="cluster.toml has no server 'd' for this machine"):
        master.reread("d")


def test_folder(tmp_path: Path) -> None:
    """A run folder that others can write into is refused."""
    plan = planOf(tmp_path, FILE)
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o777)
    with pytest.raises(ValueError, match="Other users can write into the folder"):
        masterOf(plan)


def test_agent(tmp_path: Path) -> None:
    """A node gets an agent; where it can have no control socket, it runs without."""
    clock = Clock()
    parent = MultiService()
    addAgent(parent, Node(clock=clock), "web", str(tmp_path / "run"), MemoryReactorClock())
    assert [type(each) for each in parent] == [Agent]
    (tmp_path / "file").touch()
    other = MultiService()
    addAgent(other, Node(clock=clock), "web", str(tmp_path / "file"), MemoryReactorClock())
    addAgent(other, Node("hub", clock=clock), "", str(tmp_path / "run"), MemoryReactorClock())
    assert list(other) == []


@pytest_twisted.ensureDeferred
async def test_hub(tmp_path: Path) -> None:
    """The master is the hub from its start to its end."""
    path = tmp_path / "hub.sock"
    hub = HubService(str(path), 1000)
    hub.startService()
    assert path.exists()
    await hub.stopService()
    assert not path.exists() and fired(hub.stopService()) == [None]
