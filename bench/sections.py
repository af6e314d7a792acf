"""
What a run consists of, beside the scenarios of one node: two nodes and a Redis, and growth.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import cluster, growth, targets
from bench.measured import Absent, Measured, median
from bench.onenode import say
from bench.processes import StartError
from bench.programs import PACKAGE, REQUIREMENTS, MissingError, Tools, exactVersions
from bench.results import Found
from bench.scenarios import LoadError
from twisted_crossws.redisserver import findRedis

#: Seconds of each scenario of two nodes in each turn, and of a look at whether they work.
CLUSTER_SECONDS, CLUSTER_QUICK = 2.0, 0.3

#: All that is to be reached.
TARGETS = (*targets.NODE, *targets.CLUSTER, *growth.TARGETS)


@dataclass(frozen=True)
class Section:
    """
    A part of a run, with a table of its own.

    @ivar name: for the command line.
    @ivar run: does it, with what was built, in so many turns, quickly or not.
    """

    name: str
    run: Callable[[Tools, int, bool], Found]


def twoNodes(tools: Tools, turns: int, quick: bool) -> Found:
    """The section C{cluster} of a run."""
    title = "Two nodes and a Redis"
    try:
        findRedis()
    except FileNotFoundError as error:
        return Found.of(title, [Absent("", "all of it", str(error))])
    built, missing = _builtForCluster(tools)
    found: dict[tuple[str, str], list[Measured]] = {}
    absent: dict[str, Absent] = {}
    for number in range(1, turns + 1):
        say(f"{title}, turn {number} of {turns}")
        for contestant in cluster.CONTESTANTS:
            if contestant.name in absent:
                continue
            try:
                for each in cluster.measureOne(built, contestant, CLUSTER_QUICK if quick else CLUSTER_SECONDS):
                    found.setdefault((each.scenario, each.contestant), []).append(each)
                    say(f"  {each.scenario}, {each.contestant}: {each.cost:.1f}")
            except (StartError, LoadError, subprocess.SubprocessError, RuntimeError, OSError) as error:
                reason = missing or (str(error) if isinstance(error, StartError | LoadError) else "It failed.")
                absent[contestant.name] = Absent("", contestant.name, reason)
                say("\n".join([f"  {contestant.name}: {error!r}", *getattr(error, "__notes__", ())]))
    return Found.of(title, [*map(median, found.values()), *absent.values()], [*cluster.REMARKS, _versions()])


def _versions() -> str:
    npm, pypi = exactVersions(PACKAGE), exactVersions(REQUIREMENTS)
    said = subprocess.run([findRedis(), "--version"], capture_output=True, text=True).stdout
    server = re.search(r"v=(\S+)", said)
    named = [f"{package} {npm[package]}" for package in ("@socket.io/redis-adapter", "redis", "ioredis", "notepack.io")]
    listed = f"from npm {', '.join(named)}; from PyPI channels_redis {pypi['channels_redis']}, redis {pypi['redis']}"
    return f"Redis {server[1] if server else '?'}; {listed}."


def _builtForCluster(tools: Tools) -> tuple[cluster.Tools, str]:
    """What two nodes need, and what of it there is not; those that need that will not start."""
    paths, missing = [], []
    for make in (tools.nodeModules, tools.python):
        try:
            paths.append(make())
        except MissingError as error:
            paths.append(Path("missing"))
            missing.append(str(error))
    return cluster.Tools(tools.wsload, *paths), " ".join(missing)


#: Those after the scenarios of one node.
MORE = (Section("cluster", twoNodes), Section("growth", growth.growth))
