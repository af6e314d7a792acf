"""
The command itself, on real servers, for a moment.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.contestants import FLOOR, OURS
from bench.processes import Server, StartError, freePort
from bench.programs import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.fates]


def bench(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """C{python -m bench}."""
    return subprocess.run([sys.executable, "-m", "bench", *words], cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(shutil.which("cc") is None, reason="The load generator is written in C, and there is no cc.")
def test_table(tmp_path: Path) -> None:
    """It measures who was asked for, prints the table, and writes the page and the figures where it was told to."""
    output = tmp_path / "output"
    words = ["--quick", "--only", "ours,floor", "--scenarios", "ack-4-32,connect", "--output", output]
    ran = bench(*words, "--folder", tmp_path / "built")
    head, *rows = [line.split("  ") for line in ran.stdout.splitlines()[2:5]]
    assert [cell.strip() for cell in head if cell] == [OURS, FLOOR], ran.stderr
    assert [row[0] for row in rows] == ["ack 100 × 4, 32 B", "connect"]
    assert "× the floor" in ran.stdout
    measured = json.loads((output / "results.json").read_text())["sections"][0]["measured"]
    assert len(measured) == 4 and all(each["cost"] > 0 for each in measured)
    assert "ack 100 × 4, 32 B" in (output / "RESULTS.md").read_text()


def test_notStarted() -> None:
    """A server that ends instead of listening is an error that holds what it said, apart from the sentence."""
    server = Server([sys.executable, "-c", "print('no ' + 'way'); raise SystemExit(3)"], freePort())
    with pytest.raises(StartError) as caught, server:
        pass
    assert str(caught.value) == "It ended with 3 before it accepted."
    assert "no way" in caught.value.__notes__[0]


def test_leavesNothing() -> None:
    """With a server its children end."""
    port = freePort()
    # The one that listens is a child.
    listen = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {listen!r}])"
    with Server([sys.executable, "-c", start], port):
        assert accepts(port)
    deadline = time.monotonic() + 10
    while accepts(port) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not accepts(port)


def test_talkative() -> None:
    """A server may print as much as it likes."""
    port = freePort()
    listen = (
        f"import socket, time; print('x' * 1_000_000); s = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    )
    with Server([sys.executable, "-c", listen], port):
        assert accepts(port)


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
