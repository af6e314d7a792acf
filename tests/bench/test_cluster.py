"""
The part of the benchmark with two nodes and a Redis.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from bench import cluster
from bench.cluster import Contestant, Place, Tools, measureOne, processorSeconds
from bench.contestants import OURS
from bench.programs import HERE, compiled
from bench.scenarios import LoadError

#: A server that says what every call came to.
SAYS = """
import os, socket
port, control = (socket.create_server(("127.0.0.1", int(os.environ[name]))) for name in ("PORT", "CONTROL"))
while True:
    talking, _ = control.accept()
    for line in talking.makefile("rb"):
        talking.sendall({says}[line.split()[0]])
"""


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    """With no contestants to start."""
    return Tools(tmp_path / "wsload", tmp_path, tmp_path)


def saying(**says: bytes) -> Contestant:
    """One whose servers answer the driver with these words."""
    script = SAYS.format(says={word.encode(): said for word, said in says.items()})

    def command(tools: Tools, place: Place) -> list[str]:
        return [sys.executable, "-c", script]

    return Contestant("somebody", None, command)


def test_processorSeconds() -> None:
    """What a process has used is counted, and nothing while it waits."""
    before = processorSeconds(os.getpid())
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    between = processorSeconds(os.getpid())
    assert 0.08 <= between - before < 1.0
    time.sleep(0.1)
    assert processorSeconds(os.getpid()) - between <= 0.02


def test_spreads() -> None:
    """The speaker is at the first port, and there is room for all of them on the command line of wsload."""
    for spread in cluster.SPREADS.values():
        ports = spread(1, 2)
        assert ports[0] == 1 and len(ports) <= 64


@pytest.mark.integration
def test_calls(tools: Tools) -> None:
    """What the servers say of calls is what is found, with the cost of each and what Redis spent on it."""
    found = list(measureOne(tools, saying(call=b"500\n", latencies=b"10.5 20\n"), 0.1))
    assert [each.scenario for each in found] == [
        "call between two servers, 1 in flight, 32 B",
        "call between two servers, 1 in flight, 32 B: Redis",
        "call between two servers, 32 in flight, 32 B",
        "call between two servers, 32 in flight, 32 B: Redis",
    ]
    assert (found[0].rate, found[0].p50, found[0].p99) == (5000.0, 10.5, 20.0)


@pytest.mark.integration
def test_failedCalls(tools: Tools) -> None:
    """A call that failed is not counted as one."""
    with pytest.raises(LoadError, match="a call failed: nobody was there"):
        list(measureOne(tools, saying(call=b"nobody was there\n"), 0.1))


@pytest.mark.integration
@pytest.mark.fates
def test_ours(tmp_path: Path) -> None:
    """Our own nodes do everything that is asked of them."""
    if shutil.which("cc") is None:
        pytest.skip("The load generator is written in C, and there is no cc on the PATH.")
    tools = Tools(compiled(HERE / "wsload.c", tmp_path), tmp_path, tmp_path)
    (ours,) = (each for each in cluster.CONTESTANTS if each.name == OURS)
    found = {each.scenario: each for each in measureOne(tools, ours, 0.3)}
    assert len(found) == 2 * (len(cluster.SPREADS) + len(cluster.IN_FLIGHT)) - 1
    assert all(each.cost > 0 and each.rate for scenario, each in found.items() if "Redis" not in scenario)
