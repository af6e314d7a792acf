"""
One node: what is done to each contestant, by C{wsload}.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass

from bench.contestants import Contestant
from bench.measured import Measured
from bench.processes import Server
from bench.programs import Tools

#: Seconds beside those of the measurement that C{wsload} may take: to open its connections, above all.
PATIENCE = 60.0


class LoadError(Exception):
    """C{wsload} did not measure; the message says why."""


@dataclass(frozen=True)
class Scenario:
    """
    A call of C{wsload}.

    @ivar name: for the command line.
    @ivar title: for tables.
    @ivar mode: C{ack}, C{fanout}, C{connect} or C{idle}.
    @ivar conns: connections.
    @ivar window: messages in flight; on each connection for C{ack}.
    @ivar payload: bytes of each message's text.
    @ivar fresh: whether it wants a server that has not had a client yet.
    """

    name: str
    title: str
    mode: str
    conns: int
    window: int = 1
    payload: int = 32
    fresh: bool = False


def _ack(conns: int, window: int, payload: int) -> Scenario:
    return Scenario(f"ack-{window}-{payload}", f"ack {conns} × {window}, {payload:,} B", "ack", conns, window, payload)


#: Files that a server with the connections of C{idle} has open beside them.
SPARE_FILES = 200

#: The connections of C{idle}.
IDLE = 10_000


def scenarios(files: int = IDLE + SPARE_FILES, *, quick: bool = False) -> tuple[Scenario, ...]:
    """
    All of them, in the order of the table.

    @param files: how many a process may have open; C{idle} holds fewer connections where it has to.
    @param quick: with a tenth of the connections, for a look at whether everything works.
    """
    part = 10 if quick else 1
    idle = min(IDLE // part, files - SPARE_FILES)
    return (
        *(_ack(100, window, payload) for payload in (32, 1000, 4000) for window in (1, 4)),
        *(_ack(20, window, 60_000) for window in (1, 4)),
        Scenario("fanout", f"fanout to {1000 // part:,}", "fanout", 1000 // part, 2),
        # No less of them: the system counts processor time in units of 10 ms.
        Scenario("connect", "connect", "connect", 2000, fresh=True),
        Scenario("idle", "idle, kB", "idle", idle, fresh=True),
    )


def wsload(tools: Tools, scenario: Scenario, server: Server, dialect: str, seconds: float) -> str:
    """
    Put a server under load.

    @return: what C{wsload} printed.
    @raise LoadError: it failed, or did not end.
    """
    options = {
        "--port": server.port,
        "--pid": server.pid,
        "--conns": scenario.conns,
        "--window": scenario.window,
        "--payload": scenario.payload,
        "--seconds": seconds,
        "--dialect": dialect,
    }
    words = [str(word) for option in options.items() for word in option]
    return ran([str(tools.wsload), scenario.mode, *words], seconds)


def ran(argv: list[str], seconds: float) -> str:
    """
    Run C{wsload} to its end.

    @return: what it printed.
    @raise LoadError: it failed, or did not end.
    """
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + PATIENCE)
    except subprocess.TimeoutExpired:
        raise LoadError(f"It did not end within {seconds + PATIENCE:.0f} s.") from None
    if done.returncode:
        raise LoadError(f"wsload ended with {done.returncode}: {done.stderr.strip() or 'it said nothing'}")
    return done.stdout


def parsed(text: str, scenario: str, contestant: str) -> Measured:
    """
    What C{wsload} printed, as a measurement.

    @raise LoadError: nothing came back, or it took less processor time than the system counts.
    """
    said = json.loads(text)
    if said["mode"] == "idle":
        return Measured(scenario, contestant, said["kb_per_conn"])
    if not said.get("received", 1):
        raise LoadError(f"Of {said['sent']} messages none came back.")
    cost = said["cpu_us_per_conn" if said["mode"] == "connect" else "cpu_us_per_msg"]
    if not cost:
        raise LoadError("It took less processor time than the system counts; it has to run for longer.")
    if said["mode"] == "connect":
        return Measured(scenario, contestant, cost, said["per_second"])
    return Measured(scenario, contestant, cost, said["per_second"], float(said["p50_us"]), float(said["p99_us"]))


def run(tools: Tools, scenario: Scenario, contestant: Contestant, server: Server, seconds: float) -> Measured:
    """
    One turn.

    @raise LoadError: nothing could be measured.
    """
    # What is asked of idle is what each connection costs; they need no time for that.
    held = min(seconds, 1.0) if scenario.mode == "idle" else seconds
    text = wsload(tools, scenario, server, contestant.dialect, held)
    return parsed(text, scenario.title, contestant.title)


def warmUp(tools: Tools, contestant: Contestant, server: Server, seconds: float) -> None:
    """
    Let it compile what it compiles while it runs, as Node.js does.

    @raise LoadError: it does not answer.
    """
    wsload(tools, _ack(100, 4, 32), server, contestant.dialect, seconds)
