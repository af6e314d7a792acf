"""
How long the garbage collector stops a server that has many connections.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.grown import load
from bench.processes import Server
from bench.programs import Tools


def longestPause(tools: Tools, server: Server, file: Path, connections: int, seconds: float) -> float:
    """
    Open connections, talk on all of them, close them, and do it again.

    @param file: where the server writes its pauses.
    @return: milliseconds.
    @raise bench.scenarios.LoadError: the connections could not be opened.
    """
    before = len(file.read_text().splitlines())
    for _ in range(2):
        load(tools, "ack", [server], seconds, {"conns": connections, "window": 1})
    return 1000 * max(taken(file.read_text().splitlines()[before:]), default=0.0)


def taken(lines: Iterable[str]) -> list[float]:
    """
    What the server has written: a line for each pause.

    @return: seconds of each.
    """
    return [float(line.split()[1]) for line in lines]
