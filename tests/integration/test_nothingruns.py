"""
A master none of whose servers can listen, as it is run.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted

from tests.integration.machine import workersFile
from tests.integration.process import twistd

pytestmark = pytest.mark.integration


@pytest.fixture
def ports() -> Iterator[list[int]]:
    """Two that somebody has."""
    with socket.socket() as one, socket.socket() as other:
        for taken in (one, other):
            taken.bind(("127.0.0.1", 0))
            taken.listen()
        yield [taken.getsockname()[1] for taken in (one, other)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: None) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest_twisted.ensureDeferred
async def test_sharedPort(folder: Path, ports: list[int]) -> None:
    """It says so as a single process does: a sentence on standard error, and exit status 1."""
    (folder / "crossws.toml").write_text(workersFile(ports[0], 2))
    master = twistd("--config", "crossws.toml", cwd=folder)
    assert await master.wait() == 1
    assert f"'tcp:{ports[0]}:interface=127.0.0.1' cannot be listened on: Address already in use." in master.errors
    assert "Traceback" not in master.output


@pytest_twisted.ensureDeferred
async def test_portsOfTheirOwn(folder: Path, ports: list[int]) -> None:
    """It does so too where each server has its own port, once all have been given up."""
    (folder / "crossws.toml").write_text(
        '[bus]\ntype = "hub"\n[master]\nmax_restarts = 1\n'
        '[websocket]\nlisten = ["tcp:{port}:interface=127.0.0.1"]\n'
        f'[[server]]\nid = "a"\nport = {ports[0]}\n[[server]]\nid = "b"\nport = {ports[1]}\n'
    )
    master = twistd("--config", "crossws.toml", cwd=folder)
    assert await master.wait() == 1
    for name, port in zip("ab", ports, strict=True):
        assert f"{name}: a port cannot be listened on.\n" in master.errors
        assert f"'tcp:{port}:interface=127.0.0.1' cannot be listened on: Address already in use." in master.output
