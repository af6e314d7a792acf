"""
What a configuration file asks for, in words for people: the answer of C{--check}.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twisted_crossws.config import Config
from twisted_crossws.plan import Plan, ServerPlan


def summaryOfNode(config: Config, file: str) -> str:
    """
    @param config: of the one process that would run.
    """
    websocket = config.websocket
    lines = [
        f"{file} has no faults. It runs",
        f"  node      {config.node.server_name or 'without a name'}",
        f"  bus       {config.bus.type}",
        *(f"  listen    {description}" for description in websocket.listen or ["nowhere"]),
        f"  path      {'/' + websocket.path.strip('/') if websocket.path else 'any'}",
        f"  static    {websocket.static or 'nothing'}",
        *(f"  service   {use}" for use in _services(config)),
    ]
    return "\n".join(lines)


def summaryOfPlan(plan: Plan, servers: Sequence[ServerPlan], file: str) -> str:
    """
    @param servers: those of the plan that are of interest.
    """
    lines = [
        f"{file} has no faults. It runs",
        f"  environment  {plan.environment}",
        f"  machine      {plan.machine}",
        f"  bus          {servers[0].config.bus.type}",
        f"  sockets      {plan.runFolder}",
    ]
    return "\n".join([*lines, *(line for server in servers for line in _server(server))])


def _server(server: ServerPlan) -> Iterator[str]:
    yield f"  server       {server.name}{'' if server.isHere else ', on another machine'}"
    if server.kind:
        yield f"    kind       {server.kind}"
    if server.host:
        yield f"    host       {server.host}"
    for description in server.config.websocket.listen or ["nowhere"]:
        yield f"    listen     {description}"
    if len(server.processes) > 1:
        first, last = server.processes[0], server.processes[-1]
        yield f"    processes  {len(server.processes)}, {first} to {last}, {server.config.workers.spread}"
    for use in _services(server.config):
        yield f"    service    {use}"


def _services(config: Config) -> list[str]:
    return [service.use for service in config.service] or ["none: nobody listens to what clients send"]
