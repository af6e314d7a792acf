"""
Two nodes and a Redis: deliveries to a room that both have members of, and calls from one to the other.

The cost of a delivery or a call is the processor time of both nodes together. What Redis spends on it, which is the
same process for all, stands in a line of its own.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.contestants import OURS, SOURCES, WS
from bench.measured import Measured
from bench.processes import Server, freePort
from bench.programs import ROOT
from bench.scenarios import PATIENCE, LoadError, parsed
from twisted_crossws.redisserver import RedisServer

#: Members of the room, the speaker included.
MEMBERS = 1000

#: How many calls are under way at a time.
IN_FLIGHT = (1, 32)

#: Messages to the room that are under way at a time. With several a node joins what it has for one connection into one
#: write, and how many it has differs with the number of nodes.
_WINDOW = 1

#: One who is not in the room yet when the first message comes is waited for in vain. A server that is still busy with
#: the end of the scenario before may take longer to let all in than wsload waits.
_TRIES = 3

#: Seconds that servers run before they are measured: Node.js compiles meanwhile what it runs often.
_WARM = 1.0

#: wsload deals connections out to ports in turn, and takes this many: all but the first are the other node's.
_MOST_PORTS = 64

#: By scenario, the ports that connections are dealt out to. The speaker is at the first one.
SPREADS: dict[str, Callable[[int, int], list[int]]] = {
    "all on one node": lambda here, there: [here],
    "half on each of two": lambda here, there: [here, there],
    "98 % not on the speaker's": lambda here, there: [here] + [there] * (_MOST_PORTS - 1),
}

_SOURCES = SOURCES / "cluster"


@dataclass(frozen=True)
class Tools:
    """
    What is used, and was built before.

    @ivar wsload: the load generator.
    @ivar nodeModules: the folder of the contestants' npm packages.
    @ivar python: the interpreter that has the contestants' Python packages.
    """

    wsload: Path
    nodeModules: Path
    python: Path


@dataclass(frozen=True)
class Place:
    """Where one of two nodes runs."""

    name: str
    port: int
    control: int
    redis: str
    folder: Path


#: The command that starts a node.
Command = Callable[[Tools, Place], list[str]]


@dataclass(frozen=True)
class Contestant:
    """
    @ivar rooms: starts a node that has clients; C{None}: there is none.
    @ivar calls: starts a node that calls and is called; C{None} where servers have no such thing.
    @ivar dialect: what wsload is to speak.
    """

    name: str
    rooms: Command | None
    calls: Command | None
    dialect: str = "crossws"


def _crossws(tools: Tools, place: Place) -> list[str]:
    config = place.folder / f"{place.name}.toml"
    config.write_text(
        f'[node]\nserver_name = "{place.name}"\n'
        f'[websocket]\nlisten = ["tcp:{place.port}:interface=127.0.0.1"]\n'
        f'[bus]\ntype = "redis"\n[bus.redis]\nurls = ["{place.redis}"]\n'
        '[[service]]\nuse = "crossws_app:makeService"\n'
    )
    twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
    return [*twistd, "-n", "--pidfile=", "crossws", "--config", str(config)]


def _node(script: str) -> Command:
    return lambda tools, place: ["node", str(_SOURCES / script)]


def _uvicorn(tools: Tools, place: Place) -> list[str]:
    options = ["--log-level", "warning", "--loop", "uvloop", "--port", str(place.port)]
    return [str(tools.python), "-m", "uvicorn", *options, "pysocketio_app:application"]


def _daphne(tools: Tools, place: Place) -> list[str]:
    options = ["--verbosity", "0", "--bind", "127.0.0.1", "--port", str(place.port)]
    return [str(tools.python), "-m", "daphne", *options, "channels_app:application"]


def _channelsCalls(tools: Tools, place: Place) -> list[str]:
    return [str(tools.python), str(_SOURCES / "channels_calls.py")]


CONTESTANTS = (
    Contestant(OURS, _crossws, _crossws),
    Contestant(WS, _node("ws_app.js"), _node("ws_app.js")),
    Contestant("Socket.IO (Node.js)", _node("socketio_app.js"), _node("socketio_app.js"), "socketio"),
    Contestant("python-socketio", _uvicorn, None, "socketio"),
    Contestant("Channels", _daphne, _channelsCalls),
)


#: What belongs under the table.
REMARKS = (
    "Costs are those of both nodes together; what Redis itself spent on it stands in the lines that say so.",
    f"fanout: {_WINDOW} message in flight, so that none are joined into one write by chance.",
    "call: Socket.IO's serverSideEmitWithAck; Channels: a message that names a channel for the reply; "
    "python-socketio: its servers have no call with a reply, so these cells are empty.",
)


def measureOne(tools: Tools, contestant: Contestant, seconds: float) -> Iterator[Measured]:
    """One turn of one contestant."""
    with RedisServer() as redis:
        if contestant.rooms is not None:
            with _twoNodes(tools, contestant.rooms, redis, waitsForPeer=contestant.rooms is contestant.calls) as nodes:
                for _ in _deliveries(tools, contestant, nodes, redis, "half on each of two", _WARM):
                    pass
                for spread in SPREADS:
                    yield from _deliveries(tools, contestant, nodes, redis, spread, seconds)
        if contestant.calls is not None:
            with _twoNodes(tools, contestant.calls, redis, waitsForPeer=True) as nodes:
                for inFlight in IN_FLIGHT:
                    yield from _calls(contestant, nodes, redis, inFlight, seconds)


@dataclass(frozen=True)
class _Nodes:
    """Both nodes, running: their process ids, their ports for clients, and where the first is told to call."""

    pids: list[int]
    ports: tuple[int, int]
    control: int

    def seconds(self) -> float:
        return sum(map(processorSeconds, self.pids))


@contextmanager
def _twoNodes(tools: Tools, command: Command, redis: RedisServer, *, waitsForPeer: bool) -> Iterator[_Nodes]:
    with TemporaryDirectory() as folder:
        a, b = (Place(name, freePort(), freePort(), redis.url, Path(folder)) for name in ("nodeA", "nodeB"))

        def server(place: Place, port: int) -> Server:
            environment = {
                "NAME": place.name,
                "PORT": str(place.port),
                "CONTROL": str(place.control),
                "REDIS": place.redis,
                "NODE_PATH": str(tools.nodeModules),
                "PYTHONPATH": os.pathsep.join(
                    [str(_SOURCES), *filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)]
                ),
            }
            return Server(command(tools, place), port, environment=environment, folder=place.folder)

        # Who listens to be told knows the other one.
        with server(b, b.port) as there, server(a, a.control if waitsForPeer else a.port) as here:
            yield _Nodes([here.pid, there.pid], (a.port, b.port), a.control)


def _deliveries(
    tools: Tools, contestant: Contestant, nodes: _Nodes, redis: RedisServer, spread: str, seconds: float
) -> Iterator[Measured]:
    scenario = f"fanout to {MEMBERS:,}, {spread}"
    ports = SPREADS[spread](*nodes.ports)
    options: dict[str, object] = {
        "--port": ",".join(map(str, ports)),
        "--pid": ",".join(map(str, nodes.pids)),
        "--conns": MEMBERS,
        "--window": _WINDOW,
        "--seconds": seconds,
        "--dialect": contestant.dialect,
    }
    words = [str(word) for option in options.items() for word in option]
    for _ in range(_TRIES):
        before = processorSeconds(_pid(redis))
        try:
            ran = subprocess.run(
                [tools.wsload, "fanout", *words], capture_output=True, text=True, timeout=seconds + PATIENCE
            )
        except subprocess.TimeoutExpired:
            raise LoadError(f"{scenario} did not end within {seconds + PATIENCE:.0f} s.") from None
        if ran.returncode:
            said = ran.stderr.strip() or "it said nothing"
            raise LoadError(f"In {scenario} wsload ended with {ran.returncode}: {said}")
        spent = processorSeconds(_pid(redis)) - before
        deliveries = json.loads(ran.stdout)["received"]
        if deliveries >= MEMBERS:
            break
    else:
        raise LoadError(f"In {scenario} a message did not reach all {MEMBERS:,} within {seconds:g} s.")
    yield parsed(ran.stdout, scenario, contestant.name)
    if len(ports) > 1:
        yield Measured(f"{scenario}: Redis", contestant.name, spent * 1e6 / deliveries)


def _calls(
    contestant: Contestant, nodes: _Nodes, redis: RedisServer, inFlight: int, seconds: float
) -> Iterator[Measured]:
    scenario = f"call between two servers, {inFlight} in flight, 32 B"
    with socket.create_connection(("127.0.0.1", nodes.control), seconds + 30) as connection:
        control = connection.makefile("rw")

        def tell(*words: object) -> list[float]:
            print(*words, file=control, flush=True)
            said = control.readline()
            try:
                return [float(word) for word in said.split()]
            except ValueError:
                raise LoadError(f"In {scenario} a call failed: {said.strip()}") from None

        tell("call", inFlight, _WARM)
        before, redisBefore = nodes.seconds(), processorSeconds(_pid(redis))
        (count,) = tell("call", inFlight, seconds)
        spent, redisSpent = nodes.seconds() - before, processorSeconds(_pid(redis)) - redisBefore
        p50, p99 = tell("latencies")
    yield Measured(scenario, contestant.name, spent * 1e6 / count, count / seconds, p50, p99)
    yield Measured(f"{scenario}: Redis", contestant.name, redisSpent * 1e6 / count)


def processorSeconds(pid: int) -> float:
    """What a process has used so far, its own and the system's for it."""
    # What clock_getcpuclockid of the C library gives, which Python does not have: Linux's clock of a process.
    return time.clock_gettime(~pid << 3 | 2)


def _pid(redis: RedisServer) -> int:
    assert redis.process is not None
    return redis.process.pid
