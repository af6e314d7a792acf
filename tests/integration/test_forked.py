"""
Processes that are forked to save time, beside those that are started.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
import pytest_twisted

from tests.integration.process import Process

pytestmark = pytest.mark.integration

#: Prints all that a process has from whoever starts it, and ends with a status of its own.
PROGRAM = """
import os, sys
print(sys.argv, sys.path[0], os.getcwd(), os.environ["OWN"], sorted({*os.environ} - {"LC_CTYPE"}), __name__)
print(os.getpid(), file=sys.stderr)
print(sorted(os.listdir("/proc/self/fd")), "twisted.internet.reactor" in sys.modules)
sys.exit(3)
"""


@pytest_twisted.ensureDeferred
async def test_same(tmp_path: Path) -> None:
    """One that is forked has the arguments, folder, environment and descriptors of one that is started."""
    started = Process.start(sys.executable, "-c", PROGRAM, "x", cwd=tmp_path, env={"OWN": "1"})
    forked = Process.fork(PROGRAM, "x", cwd=tmp_path, env={"OWN": "1"})
    pids = started.pid, forked.pid
    assert [await started.wait(), await forked.wait()] == [3, 3]
    said = []
    for process, pid in zip((started, forked), pids, strict=True):
        assert process.errors == f"{pid}\n"
        said.append(process.output.replace(process.errors, ""))
    assert said[0] == said[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest_twisted.ensureDeferred
async def test_killed(number: signal.Signals, tmp_path: Path) -> None:
    """What ends it is told as of any other."""
    process = Process.fork("print('here', flush=True); import time; time.sleep(600)", cwd=tmp_path)
    await process.says("here")
    assert not process.isGone
    assert await process.stop(number) == -number
    assert process.isGone


@pytest_twisted.ensureDeferred
async def test_well(tmp_path: Path) -> None:
    """One that comes to its end has the status 0."""
    assert await Process.fork("print('well')", cwd=tmp_path).wait() == 0
