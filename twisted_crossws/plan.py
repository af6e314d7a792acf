"""
What one configuration file asks for: the servers that there are to be, on this machine and on others, and the processes
of each.

A file without C{[[server]]} describes one server, which is this machine's. One with them stands for many: each section
for as many as its range has ports, on whatever machine they are meant for.
"""

from __future__ import annotations

import os

from msgspec import Struct

from twisted_crossws.config import Config, MasterConfig
from twisted_crossws.nearest import nearest
from twisted_crossws.places import Place, shown


class ServerPlan(Struct, frozen=True, kw_only=True):
    """
    One server.

    @ivar name: unique in the cluster; empty, if the file describes one that has none.
    @ivar kind: of server, or empty.
    @ivar host: the machine that it is meant for, as the file says.
    @ivar isHere: whether that is this one.
    @ivar config: all that holds for it. What is said there of its name is L{name}, whatever its processes are called.
    @ivar env: of its processes, beside what they inherit.
    @ivar processes: their names: its own, or C{serverA.1} and so on for several.
    @ivar port: its own, if it has one.
    @ivar stands: where it is described: C{("server", 2)}, or empty for that of a file without C{[[server]]}.
    @ivar places: where keys are said for it that are said at all, by names such as C{websocket.static}.
    @ivar services: where each service of L{config} is said.
    """

    name: str
    kind: str = ""
    host: str = ""
    isHere: bool = True
    config: Config
    env: dict[str, str] = {}
    processes: tuple[str, ...]
    port: int | None = None
    stands: Place = ()
    places: dict[str, Place] = {}
    services: tuple[Place, ...] = ()

    def place(self, section: str, key: str) -> Place:
        """The section in which a key is said, or could be for all."""
        return self.places.get(f"{section}.{key}", tuple(section.split(".")))


class Plan(Struct, frozen=True, kw_only=True):
    """
    All that a file asks for.

    @ivar path: of the file, absolute.
    @ivar environment: that of its environments which holds.
    @ivar isCluster: whether the file describes servers by C{[[server]]}.
    @ivar machine: what this machine is called.
    @ivar servers: of all machines, in the order of the file.
    @ivar master: how their processes are kept running.
    @ivar runFolder: where they find each other. It need not exist.
    """

    path: str
    environment: str
    isCluster: bool
    machine: str
    servers: tuple[ServerPlan, ...]
    master: MasterConfig
    runFolder: str

    @property
    def here(self) -> tuple[ServerPlan, ...]:
        """Those that are meant for this machine."""
        return tuple(server for server in self.servers if server.isHere)


class Chosen(Struct, frozen=True):
    """
    What of a plan is to run.

    @ivar servers: the servers, at least one.
    @ivar process: the one process of one of them that is to be this one, or C{None}: a master for all of theirs.
    """

    servers: tuple[ServerPlan, ...]
    process: str | None


def chosen(plan: Plan, name: str | None = None, index: int | None = None) -> Chosen:
    """
    @param name: of a server, whatever machine it is meant for, or of one of its processes. By default all servers that
        are meant for this machine.
    @param index: which of their processes, from 0.
    @raise LookupError: there is none; a sentence.
    """
    file = os.path.basename(plan.path)
    owners = {process: server for server in plan.servers for process in server.processes}
    servers = plan.here
    processes = [process for server in servers for process in server.processes]
    if name is not None and name in owners:
        servers, processes = (owners[name],), [name]
    elif name is not None:
        servers = tuple(server for server in plan.servers if server.name == name)
        processes = [process for server in servers for process in server.processes]
        if not servers:
            known = dict.fromkeys([*(server.name for server in plan.servers), *owners])
            says = f"has no server {shown(name)} in the environment {shown(plan.environment)}{nearest(name, known)}"
            raise LookupError(f"{file} {says}")
    if not servers:
        hosts = dict.fromkeys(server.host for server in plan.servers)
        raise LookupError(
            f"{file} has no server for this machine, {shown(plan.machine)}, in the environment "
            f"{shown(plan.environment)}: its servers are for {', '.join(map(shown, hosts))}. Say what this machine is "
            "called in the file by --host or [master] host, or start a server in spite of it by --server."
        )
    if index is not None:
        if not 0 <= index < len(processes):
            says = f"--server-index counts from 0, and {index} is none of {len(processes)} processes"
            raise LookupError(f"{says}: {', '.join(processes)}.")
        processes = [processes[index]]
        servers = (owners[processes[0]],)
    return Chosen(servers, processes[0] if len(processes) == 1 else None)
