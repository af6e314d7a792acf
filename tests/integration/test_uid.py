"""
What begins as root, and goes on as another user: C{twistd --uid}.
"""

from __future__ import annotations

import os
import pwd
import shutil
import site
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted

from tests.integration.machine import workersFile
from tests.integration.process import ROOT, Process, reactor
from tests.integration.redis import eventually
from twisted_crossws import Connector

USER = "nobody"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can go on as another user"),
]


@pytest.fixture(scope="module")
def python() -> str:
    """A Python that the other user may run, too."""
    for candidate in (sys.executable, f"/usr/bin/python3.{sys.version_info[1]}"):
        with_ = {"user": pwd.getpwnam(USER).pw_uid, "env": environment(), "capture_output": True}
        try:
            if subprocess.run([candidate, "-c", "import twisted, msgspec"], check=False, **with_).returncode == 0:  # type: ignore
                return candidate
        except OSError:
            continue
    pytest.skip(f"no Python that the user {USER} may run")


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that the other user may read; pytest's own are for this one alone."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def environment() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join([str(ROOT), *site.getsitepackages()]), "TMPDIR": tempfile.gettempdir()}


def privilegedPort() -> int:
    """One below 1024 that nobody listens on."""
    for port in range(601, 1024):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("All ports below 1024 are taken.")


def command(python: str, program: str, *args: str, cwd: Path) -> Process:
    return Process.start(python, "-c", program, *args, cwd=cwd, env={**environment(), "XDG_RUNTIME_DIR": "/root"})


def twistd(python: str, folder: Path, text: str) -> Process:
    (folder / "crossws.toml").write_text(text)
    program = "from twisted.scripts.twistd import run; run()"
    return command(
        python, program, "-n", "--pidfile=", "--uid", USER, "crossws", "--config", "crossws.toml", cwd=folder
    )


async def whoServes(port: int) -> tuple[str, int]:
    """Name and process id of whom a client meets, as soon as it can connect."""
    client = Connector(f"ws://127.0.0.1:{port}/", fastReconnectInterval=0.1)
    try:
        await client.connect().addTimeout(60, reactor)
        name, pid = await client.call("who")
        return name, pid
    finally:
        await client.close()


def userOf(pid: int) -> str:
    return pwd.getpwuid(os.stat(f"/proc/{pid}").st_uid).pw_name


@pytest_twisted.ensureDeferred
async def test_node(python: str, folder: Path, processes: None) -> None:
    """A single node on a hub listens below 1024, and everything of it in the run folder is the user's own."""
    port = privilegedPort()
    service = "tests.integration.hall:makeService"
    node = twistd(
        python,
        folder,
        f'[node]\nserver_name = "hall"\n[websocket]\nlisten = ["tcp:{port}:interface=127.0.0.1"]\n'
        f'[bus]\ntype = "hub"\n[[service]]\nuse = "{service}"\n',
    )
    await node.says("has joined")
    assert userOf(node.pid) == USER
    assert await whoServes(port) == ("hall", node.pid)
    assert "cannot be commanded" not in node.output and "no hub can be here" not in node.output
    await node.stop()
    assert "Traceback" not in node.output


@pytest_twisted.ensureDeferred
async def test_workers(python: str, folder: Path, processes: None) -> None:
    """Workers share a port below 1024, and their user commands them."""
    port = privilegedPort()
    master = twistd(python, folder, workersFile(port, 2))
    await master.says("the hub is in this process")
    name, pid = await whoServes(port)
    assert name.startswith("hall.") and userOf(pid) == userOf(master.pid) == USER
    program = f"import os; os.setuid({pwd.getpwnam(USER).pw_uid}); os.environ.pop('XDG_RUNTIME_DIR')\n"
    program += "from twisted_crossws.machine.ctl import main; main()"
    said: list[str] = []

    async def allRun() -> bool:
        listing = command(python, program, "--config", "crossws.toml", "list", cwd=folder)
        status = await listing.wait()
        said.append(listing.output)
        return status == 0 and listing.output.count("running") == 2

    while not await allRun():
        assert len(said) < 50, said[-1]
    await master.stop()
    await eventually(lambda: "Traceback" not in master.output, "nothing was raised")
