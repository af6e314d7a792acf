"""
What the configuration says of the hub, and what becomes of it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.bus.fakehub import Machine
from twisted_crossws.bus import hubunix
from twisted_crossws.config import BusConfig, HubConfig
from twisted_crossws.tap import Options, busOf, makeService


@pytest.fixture
def seats(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of all places of hubs that are asked for; they are in memory."""
    machine, paths = Machine(), list[str]()

    def seat(path: str, reactor: Any, *, makesFolder: bool) -> Any:
        paths.append(path)
        return machine.place.seat()

    monkeypatch.setattr(hubunix, "UnixSeat", seat)
    return paths


def optionsOf(folder: Path, text: str) -> Options:
    path = folder / "crossws.toml"
    path.write_text(f'[node]\nserver_name = "a"\n[bus]\ntype = "hub"\n{text}')
    options = Options()
    options.parseOptions(["--config", str(path)])
    return options


def test_path(tmp_path: Path, seats: list[str]) -> None:
    """The hub is where the file says, counted from the file's folder."""
    makeService(optionsOf(tmp_path, '[bus.hub]\npath = "own.sock"'))
    assert seats == [str(tmp_path / "own.sock")]


def test_noPath(tmp_path: Path, seats: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """If it says nothing, the hub is in the run folder, which is made for this user alone."""
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    makeService(optionsOf(tmp_path, ""))
    (path,) = seats
    folder, name = os.path.split(path)
    assert (os.path.dirname(folder), name) == (str(tmp_path / "run"), "hub.sock")
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_runFolder(tmp_path: Path, seats: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """A run folder that others can write to is refused before anything runs, with a sentence and status 1."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o777)
    with pytest.raises(SystemExit) as ended:
        makeService(optionsOf(tmp_path, '[master]\nrun_dir = "run"'))
    assert ended.value.code == 1 and seats == []
    assert "Other users can write into the folder" in capfd.readouterr().err


def test_tooLong(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A path that is too long for a socket is a fault of the file."""
    with pytest.raises(SystemExit) as ended:
        optionsOf(tmp_path, f'[bus.hub]\npath = "{"x" * 108}"')
    assert ended.value.code == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("crossws.toml, line 6: [bus.hub] path cannot be used: The path ")


def test_maxQueuedBytes() -> None:
    """The bound for a process that does not read is that of the file: with a low one it is cut off sooner."""
    slow = {}
    for bound in (1000, 1_000_000):
        machine = Machine()
        config = BusConfig(type="hub", hub=HubConfig(max_queued_bytes=bound))
        machine.start("hub", maxQueuedBytes=_boundOf(busOf(config, "/hub")))
        stuck, sender = machine.start("stuck", "x"), machine.start("a")
        machine.place.wireOf(stuck.seat).transports[1].isStalled = True
        for _ in range(4):
            sender.link.publish("x", bytes(50_000))
            machine.flush()
        slow[bound] = machine.processes[0].counters["bus_hub_slow"]
    assert slow == {1000: 1, 1_000_000: 0}


def _boundOf(bus: Any) -> int:
    bound: int = bus._maxQueuedBytes
    return bound
