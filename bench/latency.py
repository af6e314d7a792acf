"""
How long replies take from a server that is busy, and not overloaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bench.grown import load
from bench.processes import Server
from bench.programs import Tools

#: Of the rate that the server has when there are always events waiting for it.
SHARE = 0.5

_CONNECTIONS = 100


def halfRate(tools: Tools, server: Server, seconds: float) -> dict[str, float]:
    """
    Find the rate at which the server is saturated, and give it half of that: events at even distances, whatever comes
    back. Latency counts from the time at which an event was to be sent, so no pause of the server hides another one.

    Saturated is what it is with one event under way on each connection: as with events at even distances, each comes
    in a read of its own. With more of them it could do more, and half of that would be nearly all it can do with these.

    @raise bench.scenarios.LoadError: it could not be measured.
    """
    with apart(server.pid):
        saturated = load(tools, "ack", [server], seconds, {"conns": _CONNECTIONS, "window": 1})
        rate = saturated["per_second"] * SHARE
        return load(tools, "ack", [server], seconds, {"conns": _CONNECTIONS, "rate": f"{rate:.0f}"})


@contextmanager
def apart(pid: int) -> Iterator[None]:
    """
    A process has a processor for itself; this one and what it starts have the others.

    C{wsload} with a rate never sleeps. A server that wakes up on its processor would wait there for the end of a turn
    of the scheduler, which is some 4 ms, and nothing of that would be the server's doing.
    """
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        yield
        return
    os.sched_setaffinity(pid, processors[:1])
    os.sched_setaffinity(0, processors[1:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, processors)
