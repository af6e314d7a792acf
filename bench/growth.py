"""
How costs grow: with connections, rooms, listeners and nodes; and what a room takes of memory.

Each figure is of servers that have just been started, so that none has the memory of another size.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.contestants import FLOOR, OURS
from bench.grown import Option, grown, load, silent
from bench.latency import halfRate
from bench.measured import Absent, Measured, median
from bench.onenode import say
from bench.pauses import longestPause
from bench.processes import Server, StartError, freePort
from bench.programs import MissingError, Tools
from bench.results import Found
from bench.scenarios import LoadError
from bench.targets import Cells, Target, against, cost, tail
from twisted_crossws.redisserver import RedisServer

#: Seconds of each figure in each turn.
SECONDS = 2.0

CONNECTIONS = (100, 1_000, 10_000)
SILENT = (0, 900, 9_900)
ROOMS = (1, 1_000, 100_000)
LISTENERS = (1, 100, 10_000)
NODES = (1, 2, 3, 4, 5)

#: Members of each room, when it is about the number of rooms.
MEMBERS = 10

#: Members of the one room, when it is about the number of nodes.
SPREAD = 1_000

#: Seconds that a server is used before it is measured. What it does as it starts counts for nothing.
_WARM = 0.2

_HALF = "ack on 100 connections at half the rate they can have"
_ROOM = "memory of a room with one member, kB"


def _connections(count: int) -> str:
    return f"ack on {count:,} connections"


def _beside(count: int) -> str:
    return f"ack on 100 connections, beside {count:,} that are silent"


def _rooms(count: int) -> str:
    return f"delivery to {MEMBERS} members of a room, with {count:,} room{'s' * (count > 1)}"


def _listeners(count: int) -> str:
    return f"ack on 100 connections, with listeners of {count:,} event{'s' * (count > 1)}"


def _nodes(count: int) -> str:
    return f"delivery to {SPREAD:,} members on {count} node{'s' * (count > 1)}"


def _pause(count: int) -> str:
    return f"longest pause of the collector with {count:,} connections, ms"


def _within(title: Callable[[int], str], sizes: tuple[int, ...]) -> Target:
    few, many = title(sizes[0]), title(sizes[-1])
    return Target(many, 1.2, f"× {few}", against(many, OURS, few))


def _asTheFloor(title: Callable[[int], str], sizes: tuple[int, ...]) -> Target:
    """The memory of many sockets fits no cache, and a server that does nothing else waits for it, too."""
    few, many = title(sizes[0]), title(sizes[-1])

    def figure(cells: Cells) -> float:
        return against(many, FLOOR)(cells) / against(few, FLOOR)(cells)

    return Target(f"{many}, by the floor's", 1.2, f"× {few}, by the floor's", figure)


TARGETS = (
    _within(_connections, CONNECTIONS),
    _asTheFloor(_connections, CONNECTIONS),
    _within(_beside, SILENT),
    _within(_rooms, ROOMS),
    _within(_listeners, LISTENERS),
    Target(_ROOM, 1.0, "kB", cost(_ROOM)),
    Target(_HALF, 3.0, "× p50 is p99", tail(_HALF)),
    Target(_pause(CONNECTIONS[-1]), 20.0, "ms", cost(_pause(CONNECTIONS[-1]))),
)


@dataclass(frozen=True)
class Step:
    """
    One figure of one contestant.

    @ivar measure: finds it, with what was built, a folder of its own, and so many seconds.
    """

    title: str
    contestant: str
    measure: Callable[[Tools, Path, float], Measured]


def growth(tools: Tools, turns: int, quick: bool) -> Found:
    """
    The section C{growth} of a run.

    @param quick: the smallest sizes only, each for a moment.
    """
    found: dict[tuple[str, str], list[Measured]] = {}
    absent: dict[tuple[str, str], Absent] = {}
    todo = list(steps(quick))
    for number in range(1, turns + 1):
        say(f"Growth, turn {number} of {turns}")
        for step in todo:
            key = step.title, step.contestant
            try:
                with TemporaryDirectory(prefix="bench-") as folder:
                    measured = step.measure(tools, Path(folder), 0.3 if quick else SECONDS)
            except (LoadError, StartError, MissingError, FileNotFoundError) as error:
                absent[key] = Absent(*key, str(error))
                say(f"  {step.title}, {step.contestant}: {error}")
            else:
                found.setdefault(key, []).append(measured)
                say(f"  {step.title}, {step.contestant}: {measured.cost:.2f}")
    missing = [each for key, each in absent.items() if key not in found]
    return Found.of("Growth", [*map(median, found.values()), *missing])


def steps(quick: bool) -> Iterator[Step]:
    """All of them, in the order of the table."""

    def some(sizes: tuple[int, ...]) -> tuple[int, ...]:
        return sizes[:2] if quick else sizes

    for contestant in (OURS, FLOOR):
        for count in some(CONNECTIONS):
            yield Step(_connections(count), contestant, partial(_ackOn, contestant, count))
        for count in some(SILENT):
            yield Step(_beside(count), contestant, partial(_ackBeside, contestant, count))
    for count in some(LISTENERS):
        yield Step(_listeners(count), OURS, partial(_ackAmong, count))
    for count in some(ROOMS):
        yield Step(_rooms(count), OURS, partial(_toOneOf, count))
    for count in some(NODES):
        yield Step(_nodes(count), OURS, partial(_across, count))
    yield Step(_ROOM, OURS, partial(_roomMemory, some(ROOMS)[-1]))
    for contestant in (OURS, FLOOR):
        yield Step(_HALF, contestant, partial(_half, contestant))
    most = some(CONNECTIONS)[-1]
    yield Step(_pause(most), OURS, partial(_pauses, most))


@contextmanager
def _server(contestant: str, tools: Tools, folder: Path, **options: Option) -> Iterator[Server]:
    """A server that has just been started, and has answered once."""
    port = freePort()
    made = Server([tools.floor, str(port)], port) if contestant == FLOOR else grown(folder, port, options)
    with made as server:
        load(tools, "ack", [server], _WARM, {"conns": 1})
        yield server


def _ackOn(contestant: str, count: int, tools: Tools, folder: Path, seconds: float) -> Measured:
    with _server(contestant, tools, folder) as server:
        said = load(tools, "ack", [server], seconds, {"conns": count, "window": 1})
    return _measured(_connections(count), contestant, said)


def _ackBeside(contestant: str, count: int, tools: Tools, folder: Path, seconds: float) -> Measured:
    with _server(contestant, tools, folder) as server, silent(tools, server, count):
        said = load(tools, "ack", [server], seconds, {"conns": 100, "window": 1})
    return _measured(_beside(count), contestant, said)


def _ackAmong(count: int, tools: Tools, folder: Path, seconds: float) -> Measured:
    with _server(OURS, tools, folder, listeners=count) as server:
        said = load(tools, "ack", [server], seconds, {"conns": 100, "window": 1})
    return _measured(_listeners(count), OURS, said)


def _toOneOf(count: int, tools: Tools, folder: Path, seconds: float) -> Measured:
    with _server(OURS, tools, folder, rooms=count, members=MEMBERS) as server:
        said = load(tools, "fanout", [server], seconds, {"conns": MEMBERS, "window": 4})
    return _measured(_rooms(count), OURS, said)


def _across(count: int, tools: Tools, folder: Path, seconds: float) -> Measured:
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        servers = []
        for number in range(1, count + 1):
            port, told = freePort(), freePort()
            ready = f"tcp:{told}:interface=127.0.0.1" if number == count else ""
            server = grown(folder, port, {"nodes": count, "ready": ready}, name=f"node{number}", redis=redis.url)
            # The last one is waited for until it knows all of them.
            server.port = told if ready else port
            servers.append(stack.enter_context(server))
            server.port = port
        said = load(tools, "fanout", servers, seconds, {"conns": SPREAD, "window": 2})
    return _measured(_nodes(count), OURS, said)


def _roomMemory(count: int, tools: Tools, folder: Path, seconds: float) -> Measured:
    resident = []
    for rooms in (0, count):
        with _server(OURS, tools, folder, rooms=rooms) as server:
            pages = Path(f"/proc/{server.pid}/statm").read_text().split()[1]
            resident.append(int(pages) * os.sysconf("SC_PAGESIZE"))
    return Measured(_ROOM, OURS, (resident[1] - resident[0]) / 1024 / count)


def _half(contestant: str, tools: Tools, folder: Path, seconds: float) -> Measured:
    with _server(contestant, tools, folder) as server:
        return _measured(_HALF, contestant, halfRate(tools, server, seconds))


def _pauses(count: int, tools: Tools, folder: Path, seconds: float) -> Measured:
    file = folder / "pauses"
    with _server(OURS, tools, folder, pauses=str(file)) as server:
        return Measured(_pause(count), OURS, longestPause(tools, server, file, count, seconds))


def _measured(title: str, contestant: str, said: dict[str, float]) -> Measured:
    return Measured(title, contestant, said["cpu_us_per_msg"], said["per_second"], said["p50_us"], said["p99_us"])
