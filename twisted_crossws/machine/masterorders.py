"""
What a master does when C{crossws-ctl} says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Protocol

from twisted.internet.defer import Deferred, ensureDeferred

from twisted_crossws.machine.control import Order, Refused
from twisted_crossws.machine.controlled import OnProgress
from twisted_crossws.machine.server import Server


class Mastery(Protocol):
    """What the orders need of a L{Master<twisted_crossws.machine.master.Master>}."""

    servers: dict[str, Server]
    reactor: Any
    isLeaving: bool
    reread: Callable[[str], Server]

    def begin(self, server: Server, names: Any) -> None: ...

    def homeOf(self, name: str) -> Server | None: ...


#: A server, and the name of one of its processes.
_Process = tuple[Server, str]


class MasterOrders:
    """
    Each order is carried out by the method of its name. A name in an order is that of a process, or of a server, which
    stands for all of its processes; no name is all.
    """

    def __init__(self, master: Mastery) -> None:
        self._master = master
        self._orders: dict[str, Callable[[dict[str, Any], OnProgress], Any]] = {
            "stop": self._stop,
            "restart": self._restart,
            "add": self._add,
            "remove": self._remove,
            "drain": self._drain,
            "detach": self._detach,
            "kick": self._byAnyNode("kick"),
            "send": self._byAnyNode("send"),
        }

    def order(self, verb: str, words: dict[str, Any], progress: OnProgress) -> Deferred[Sequence[str]]:
        """
        @return: fires with sentences, or fails with L{Refused}.
        """

        async def carryOut() -> Sequence[str]:
            if verb not in self._orders:
                raise Refused(f"there is no order {verb!r}; the orders are {', '.join(sorted(self._orders))}")
            said: Sequence[str] = await self._orders[verb](words, progress)
            return said

        return ensureDeferred(carryOut())

    async def _stop(self, words: dict[str, Any], progress: OnProgress) -> list[str]:
        if words.get("name") is None:
            self._endProcess(isLeaving=False)
            return ["The master stops, and all servers of this machine with it."]
        return [await self._stopped(each) for each in self._named(words)]

    async def _restart(self, words: dict[str, Any], progress: OnProgress) -> list[str]:
        wanted = [*self._named(words)] if words.get("name") is not None else [*self._all()]
        for done, (server, name) in enumerate(wanted):
            progress(f"{name} is drained and started again.")
            if not await server.restart(name):
                left = ", ".join(each for _, each in wanted[done + 1 :]) or "none"
                raise Refused(f"{name} did not come back; see the log. Not restarted: {left}")
        return [f"{len(wanted)} restarted."]

    async def _add(self, words: dict[str, Any], progress: OnProgress) -> list[str]:
        name = _nameIn(words)
        server = self._master.servers.get(name) or self._master.homeOf(name)
        if server is None:
            server = self._master.reread(name)
            self._master.servers[server.name] = server
        wanted = [name] if name in server.processes else list(server.processes)
        running = [each for each in wanted if server.processes[each].pid is not None]
        if len(running) == len(wanted):
            raise Refused(f"{name} is running already")
        self._master.begin(server, wanted)
        for each in wanted:
            if not await server.processes[each].whenReady():
                raise Refused(f"{each} could not be started; see the log")
        return [f"{name} is running."]

    async def _remove(self, words: dict[str, Any], progress: OnProgress) -> list[str]:
        name = _nameIn(words)
        found = [*self._named(words)]
        if name not in self._master.servers:
            raise Refused(f"{name} is one process of {found[0][0].name}; it can be stopped, but not removed by itself")
        for each in found:
            progress(await self._stopped(each))
        self._master.servers.pop(name).close()
        return [f"{name} was removed; crossws-ctl add {name} brings it back."]

    async def _drain(self, words: dict[str, Any], progress: OnProgress) -> list[str]:
        _nameIn(words)
        said = []
        for server, name in self._named(words):
            agent = server.processes[name].agent
            if agent is None:
                raise Refused(f"{name} is not reachable; it is {server.processes[name].state}")
            server.pause(name)
            said += (await agent.callRemote(Order, verb="drain", words={}))["said"]
        return said

    async def _detach(self, words: dict[str, Any], progress: OnProgress) -> list[str]:
        self._endProcess(isLeaving=True)
        return ["The master ends; its servers run on, and the next master finds them."]

    def _byAnyNode(self, verb: str) -> Callable[[dict[str, Any], OnProgress], Any]:
        """What any node can do for all of the cluster."""

        async def carryOut(words: dict[str, Any], progress: OnProgress) -> list[str]:
            for server, name in self._all():
                process = server.processes[name]
                if process.state == "running" and process.agent is not None:
                    answer = await process.agent.callRemote(Order, verb=verb, words=words)
                    return list(answer["said"])
            raise Refused("no server of this machine is running")

        return carryOut

    def _endProcess(self, *, isLeaving: bool) -> None:
        self._master.isLeaving = isLeaving
        # Later, so that whoever gave the order hears that it was understood.
        self._master.reactor.callLater(0.1, self._master.reactor.stop)

    async def _stopped(self, process: _Process) -> str:
        server, name = process
        await server.stop(name)
        return f"{name} has stopped."

    def _all(self) -> Iterator[_Process]:
        for server in self._master.servers.values():
            for name in server.processes:
                yield server, name

    def _named(self, words: dict[str, Any]) -> Iterator[_Process]:
        name = _nameIn(words)
        if name in self._master.servers:
            server = self._master.servers[name]
            return iter([(server, each) for each in server.processes])
        home = self._master.homeOf(name)
        if home is not None:
            return iter([(home, name)])
        known = [*self._master.servers, *(each for _, each in self._all())]
        close = get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(dict.fromkeys(known)) or 'none'}"
        raise Refused(f"no server is named {name}; {hint}")


def _nameIn(words: dict[str, Any]) -> str:
    name = words.get("name")
    if not (isinstance(name, str) and name):
        raise Refused("the name of a server is missing")
    return name
