"""
From a plan to a master, and from a node to its agent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_crossws.bus.hubholder import HubKeeper
from twisted_crossws.machine.agent import UNDER_MASTER, Agent, SharedPorts
from twisted_crossws.machine.children import Children
from twisted_crossws.machine.control import MASTER_SOCKET, Refused
from twisted_crossws.machine.master import Master
from twisted_crossws.machine.rows import Row
from twisted_crossws.machine.server import Server
from twisted_crossws.machine.shares import Shares
from twisted_crossws.machine.supervised import Patience, Supervised, isThere, kill
from twisted_crossws.node import Node
from twisted_crossws.plan import Plan, ServerPlan
from twisted_crossws.runfolder import HUB_SOCKET, hubPath, makeRunFolder

_log = Logger()

#: Seconds that a process has, beside its C{stop_deadline}, until it is killed.
MARGIN = 5.0

#: The command line of a process, by its name.
Argv = Callable[[str], list[str]]


def makeMaster(
    plan: Plan,
    servers: Sequence[ServerPlan],
    argv: Argv,
    reread: Callable[[], Plan],
    reactor: Any,
    *,
    failed: Callable[[str], None],
    uid: int | None = None,
) -> IService:
    """
    @param servers: those whose processes it is to run.
    @param reread: reads the file again; raises L{Refused} with its faults.
    @param failed: called with a sentence when no server can listen, so that nothing runs.
    @param uid: the user that the processes run as; by default that of this one.
    @return: the service; starting it may raise L{Refused}, if another master is at work.
    @raise ValueError: the run folder cannot be used.
    @raise ListenError: an endpoint cannot be shared.
    """
    makeRunFolder(plan.runFolder, uid)
    wanted = {server.name for server in servers}

    def again(name: str) -> Server:
        for server in reread().here:
            if name in (server.name, *server.processes):
                return _server(plan, server, argv, reactor)
        raise Refused(f"{os.path.basename(plan.path)} has no server {name!r} for this machine")

    elsewhere = [
        Row(name=server.name, kind=server.kind, state="elsewhere", address=server.host)
        for server in plan.servers
        if not server.isHere and server.name not in wanted
    ]
    made = [_server(plan, server, argv, reactor) for server in servers]
    master = Master(made, elsewhere, plan.runFolder, reactor, reread=again, failed=failed)
    bus = servers[0].config.bus
    if bus.type == "hub":
        path = hubPath(plan.path, plan.runFolder, bus.hub.path)
        HubService(path, bus.hub.max_queued_bytes, makesFolder=not bus.hub.path).setServiceParent(master)
    return master


class HubService(Service):
    """
    The hub of all processes, as long as no other process had to take its place.
    """

    def __init__(self, path: str, maxQueuedBytes: int, *, makesFolder: bool = False) -> None:
        """
        @raise ValueError: no socket can be at that path.
        """
        self._keeper = HubKeeper(path, maxQueuedBytes=maxQueuedBytes, makesFolder=makesFolder)

    def startService(self) -> None:
        super().startService()
        self._keeper.start()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return self._keeper.stop()


def addAgent(
    parent: MultiService,
    node: Node,
    kind: str,
    folder: str,
    reactor: Any,
    ports: SharedPorts | None = None,
    uid: int | None = None,
) -> None:
    """
    Let a node be commanded, and found by its master.

    @param folder: the run folder. If it cannot be used, the node runs without, and the log says so.
    @param uid: the user that the process runs as, once it has started; by default the one of now.
    """
    try:
        if f"{node.serverName}.sock" in (MASTER_SOCKET, HUB_SOCKET):
            raise ValueError("its name is that of another socket in the run folder.")
        makeRunFolder(folder, uid)
    except ValueError as fault:
        _log.warn("{server} cannot be commanded: {fault}", server=node.serverName, fault=fault)
        return
    Agent(node, kind, folder, reactor, ports).setServiceParent(parent)


def _server(plan: Plan, server: ServerPlan, argv: Argv, reactor: Any) -> Server:
    master, config = plan.master, server.config
    patience = Patience(
        first=master.restart_delay,
        longest=master.restart_max_delay,
        deaths=master.max_restarts,
        stop=config.node.stop_deadline + MARGIN,
    )
    environment = {**server.env, UNDER_MASTER: "1"}
    children = Children(argv, environment, reactor)
    processes = [
        Supervised(name, children.launch, reactor, patience, kill=kill, isThere=isThere) for name in server.processes
    ]
    shares = None
    if len(processes) > 1 and config.workers.spread != "kernel" and config.websocket.listen:
        place = f"{os.path.basename(plan.path)}: {server.name}"
        shares = Shares(config.websocket.listen, place, config.workers.spread, reactor)
    return Server(server.name, server.kind, processes, shares, reactor)
