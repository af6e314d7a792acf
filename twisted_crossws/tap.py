"""
C{twistd crossws}: from the command line to a running node, or to a master of several.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from msgspec.structs import replace
from twisted.application.service import IService
from twisted.internet.interfaces import IReactorTime
from twisted.python.usage import Options as BaseOptions

from twisted_crossws.bus.hub import hubBus
from twisted_crossws.bus.memory import memoryBus
from twisted_crossws.bus.redis import redisBus
from twisted_crossws.clusterfile.reading import readPlan
from twisted_crossws.clusterfile.sections import Said
from twisted_crossws.clusterfile.summary import summaryOfNode, summaryOfPlan
from twisted_crossws.config import BusConfig, Config
from twisted_crossws.interfaces import IBus
from twisted_crossws.machine.agent import UNDER_MASTER
from twisted_crossws.machine.binding import KernelPorts
from twisted_crossws.machine.commandline import commandLine
from twisted_crossws.machine.control import Refused
from twisted_crossws.machine.making import addAgent, makeMaster
from twisted_crossws.machine.workerports import WorkerPorts
from twisted_crossws.node import Node
from twisted_crossws.places import Source, subject
from twisted_crossws.plan import Plan, ServerPlan, chosen
from twisted_crossws.runfolder import hubPath, makeRunFolder
from twisted_crossws.services.applications import Application, useApplication
from twisted_crossws.services.collector import SteadyCollector
from twisted_crossws.services.command import Command, CommandService, refuse
from twisted_crossws.services.ports import ListenError, PortService, WhenOpen
from twisted_crossws.services.trying import Trial
from twisted_crossws.steady import steady


class Options(BaseOptions):
    """
    What the command line says, and what the configuration file says that it names. Whatever is wrong with either is
    found here, before anything runs: one sentence for each fault on standard error, and exit status 1.

    @ivar path: of the file, absolute.
    @ivar plan: all that the file asks for.
    @ivar servers: those of its servers that are to run.
    @ivar process: the one process that this is to be, or C{None}: the master of all processes of L{servers}.
    @ivar config: of that one process.
    @ivar applications: what its services name.
    """

    synopsis = "[options]"
    longdesc = "Serves WebSocket clients: events with replies, rooms, and servers that call each other."
    optParameters = [
        ["config", "c", None, "The configuration file (TOML)."],
        ["environment", None, None, "The environment whose sections hold, instead of the file's [master] environment."],
        ["host", None, None, "What this machine is called in the file, instead of its [master] host."],
        ["server", None, None, "The one server of the file, or the one process of a server, that is to run."],
        ["server-index", None, None, "The number of the one process that is to run, from 0."],
        ["server-name", None, None, "The name of this node, instead of the file's server_name."],
    ]
    optFlags = [["check", None, "Say what would run and what is wrong with the file, and do nothing else."]]

    path: str
    plan: Plan
    source: Source
    config: Config
    applications: list[Application]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []
        self.servers: tuple[ServerPlan, ...] = ()
        self.process: str | None = None

    def opt_listen(self, description: str) -> None:
        """A Twisted endpoint to listen on, instead of those of the file; may be given several times."""
        self["listen"].append(description)

    def postOptions(self) -> None:
        self._leavePidFile()
        if not self["config"]:
            refuse(["crossws needs a configuration file: --config FILE."])
        self.path = os.path.abspath(self["config"])
        self.plan, self.source, faults = self.read()
        # An application stands beside its configuration file.
        folder = os.path.dirname(self.path)
        if folder not in sys.path:
            sys.path.insert(0, folder)
        faults += self._faultsOfOptions()
        try:
            wanted = chosen(self.plan, self["server"], self._index())
        except LookupError as fault:
            self._nothingChosen(faults, str(fault))
        self.servers, self.process = wanted.servers, wanted.process
        faults += self._faultsOfUse()
        if faults:
            # What is wrong for all servers of a kind was found for each.
            refuse(list(dict.fromkeys(faults)))
        if self["check"]:
            self._summarize()

    def _leavePidFile(self) -> None:
        """
        In the foreground C{twistd} needs no pid file, and with its default one, in the folder that it was started from,
        would refuse a second node there. One that was named is kept.
        """
        isNamed = any(word.startswith("--pi") for word in sys.argv)
        if self.parent is not None and self.parent.get("nodaemon") and not isNamed:
            self.parent["pidfile"] = ""

    def read(self) -> tuple[Plan, Source, list[str]]:
        """What the file says now, and what is wrong with that."""
        instead: Said = {}
        if self["server-name"] and self["server-name"].strip():
            instead["node"] = {"server_name": self["server-name"]}
        if self["listen"]:
            instead["websocket"] = {"listen": tuple(self["listen"])}
        return readPlan(self.path, self["environment"], host=self["host"] or "", instead=instead, uid=self.uid)

    @property
    def uid(self) -> int | None:
        """The user that C{twistd} goes on as, once ports are open; C{None}: the one that it began as."""
        parent: Mapping[str, Any] = self.parent or {}
        uid: int | None = parent.get("uid")
        return uid

    def hubPath(self, server: ServerPlan) -> str:
        """Where the hub of a server is, if its bus is one."""
        return hubPath(self.path, self.plan.runFolder, server.config.bus.hub.path)

    def place(self) -> str:
        """Where the endpoints come from, to begin a sentence with."""
        if self["listen"]:
            return "--listen"
        (server,) = self.servers
        if server.stands and "websocket.listen" not in server.places:
            return f"{self.source.name}: {subject(server.stands, 'port')}"
        return f"{self.source.name}: {subject(server.place('websocket', 'listen'), 'listen')}"

    def commandLine(self, process: str) -> list[str]:
        """The command that starts one of the processes of L{servers}."""
        own = ["--config", self.path, "--environment", self.plan.environment, "--server", process]
        for name in ("host", "server-name"):
            own += [f"--{name}", self[name]] if self[name] else []
        for description in self["listen"]:
            own += ["--listen", description]
        return commandLine(self.parent or {}, process, own)

    def _index(self) -> int | None:
        said = self["server-index"]
        return int(said) if said is not None and said.isdecimal() else None

    def _faultsOfOptions(self) -> list[str]:
        faults, name, index = [], self["server-name"], self["server-index"]
        if name is not None and not name.strip():
            faults.append("--server-name must be a name that is not blank.")
        if index is not None and self._index() is None:
            faults.append(f"--server-index must be a whole number, 0 or above, and is {index!r}.")
        if self.plan.isCluster:
            for option, key in (("server-name", "id"), ("listen", "port")):
                if self[option]:
                    says = f"--{option} is for a file that describes one node; in {self.source.name} every [[server]]"
                    faults.append(f"{says} has its own {key}. One of them is chosen by --server.")
        return faults

    def _faultsOfUse(self) -> list[str]:
        """What can only be told by trying."""
        faults = []
        server = self.servers[0]
        try:
            busOf(server.config.bus, self.hubPath(server))
        except ValueError as fault:
            section, key = ("bus.hub", "path") if server.config.bus.type == "hub" else ("bus.redis", "urls")
            faults.append(self.source.fault(server.place(section, key), key, f"cannot be used: {fault}"))
        if self.process is not None:
            (server,) = self.servers
            os.environ.update(server.env)
            self.config = replace(server.config, node=replace(server.config.node, server_name=self.process or None))
        for server in self.servers:
            trial = Trial(server, self.source, "--listen" if self["listen"] else "")
            faults += trial.faults
            self.applications = trial.applications
        return faults

    def _nothingChosen(self, faults: list[str], says: str) -> NoReturn:
        if self["check"] and not faults and self["server"] is None and self["server-index"] is None:
            self._summarize()
        # Servers that are not there may be so because of what is wrong with the file.
        refuse(faults or [says])

    def _summarize(self) -> NoReturn:
        """What would run: of a file that describes many servers all, unless some were asked for."""
        isAsked = self["server"] is not None or self["server-index"] is not None
        if self.process is not None and (isAsked or not self.plan.isCluster):
            print(summaryOfNode(self.config, self.source.name))
        else:
            print(summaryOfPlan(self.plan, self.servers if isAsked else self.plan.servers, self.source.name))
        raise SystemExit(0)


def busOf(config: BusConfig, hub: str) -> IBus:
    """
    The bus that a configuration asks for.

    @param hub: where the socket of the hub is.
    @raise ValueError: a URL of a Redis is faulty, or two are of one server; or the path of the hub is too long.
    """
    if config.type == "hub":
        local: IBus = hubBus(hub, makesFolder=not config.hub.path, maxQueuedBytes=config.hub.max_queued_bytes)
        return local
    if config.type == "redis":
        redis = config.redis
        bus: IBus = redisBus(
            redis.urls,
            strategy=redis.strategy,
            forcePing=redis.force_ping,
            pingInterval=redis.ping_interval,
            pingTimeout=redis.ping_timeout,
            maxWaitingPackets=redis.max_waiting_packets,
            maxWaitingBytes=redis.max_waiting_bytes,
            maxWaitingSeconds=redis.max_waiting_seconds,
        )
        return bus
    memory: IBus = memoryBus()
    return memory


def makeService(options: Options) -> IService:
    """
    The node of the configuration, with its ports and applications, or the master of many.
    """
    from twisted.internet import reactor

    steady(IReactorTime(reactor))
    return _master(options, reactor) if options.process is None else _node(options, reactor)


def _node(options: Options, reactor: Any) -> IService:
    (server,) = options.servers
    config = options.config
    if config.bus.type == "hub" and not config.bus.hub.path:
        try:
            makeRunFolder(options.plan.runFolder, options.uid)
        except ValueError as fault:
            refuse([str(fault)])
    node = Node(bus=busOf(config.bus, options.hubPath(server)), config=config)
    for number, (application, service) in enumerate(zip(options.applications, config.service, strict=True)):
        try:
            useApplication(node, application, service.options)
        except LookupError as fault:
            refuse([options.source.fault(server.services[number], "use", f"{service.use!r} {fault.args[0]}")])
    ports = portsOf(server, reactor)
    for description in config.websocket.listen:
        place = options.place()
        endpoint = None if ports is None else ports.endpoint(description, place)
        if endpoint is not None and isinstance(ports, WorkerPorts):
            endpoint = WhenOpen(node, endpoint)
        PortService(node, description, place, reactor, endpoint).setServiceParent(node.ports)
    if isinstance(ports, KernelPorts):
        # The system gives connections to whoever listens; there are others who can serve them.
        node.lifecycle.on("draining", node.ports.stopService)
    elif ports is not None:
        node.lifecycle.on("draining", ports.withdraw)
    command = CommandService(node, options, reactor, isChild=UNDER_MASTER in os.environ)
    shared = ports if isinstance(ports, WorkerPorts) else None
    addAgent(command, node, server.kind, options.plan.runFolder, reactor, shared, options.uid)
    if config.node.collector == "steady":
        SteadyCollector().setServiceParent(command)
    return command


def portsOf(server: ServerPlan, reactor: Any) -> WorkerPorts | KernelPorts | None:
    """
    What the processes of a server listen with, if they are several.
    """
    if len(server.processes) == 1:
        return None
    # Whoever starts processes in other ways than by a master has the system spread their connections.
    isAlone = UNDER_MASTER not in os.environ
    return KernelPorts(reactor) if isAlone or server.config.workers.spread == "kernel" else WorkerPorts(reactor)


def _master(options: Options, reactor: Any) -> IService:
    def reread() -> Plan:
        plan, _, faults = options.read()
        if faults:
            raise Refused("\n".join(faults))
        return plan

    command = Command(options, reactor, (ListenError, Refused))
    try:
        master = makeMaster(
            options.plan,
            options.servers,
            options.commandLine,
            reread,
            reactor,
            failed=command.fail,
            uid=options.uid,
        )
    except (ValueError, ListenError) as fault:
        refuse([str(fault)])
    master.setServiceParent(command)
    return command
