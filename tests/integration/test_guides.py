"""
What README and guides say to type, typed: their files in a folder, their commands in a shell, on the ports they name.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from tests.integration.chromium import Browser, needsChromium
from tests.integration.process import ROOT, Process, isFree
from tests.integration.redis import eventually
from tests.test_docs import GUIDES, blocks
from twisted_crossws import Connector
from twisted_crossws.redisserver import RedisServer

pytestmark = pytest.mark.integration

README = ROOT / "README.md"
CLUSTER = ROOT / "docs" / "cluster.md"
MACHINE = ROOT / "docs" / "machine.md"

#: Commands of README and guides that are run elsewhere, or cannot be.
ELSEWHERE = {
    # .ci/run types them in a fresh clone; the second is this very suite.
    "python3 -m venv .venv && .venv/bin/pip install -q -e . && .venv/bin/twistd -n crossws --config "
    "examples/chat/crossws.toml",
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/python -m pytest -q",
    # tests/integration/test_uid.py, as a user that every machine has.
    "twistd -n --uid crossws crossws --config crossws.toml",
}


def commands(guide: Path) -> list[str]:
    """What a guide says to type: indented lines that begin with a command of ours, or of Python."""
    lines = re.findall(r"^    ((?:twistd|twist|crossws-ctl|python3?|pip)\s.*)$", guide.read_text("utf-8"), re.MULTILINE)
    return [line.split("   ")[0].strip() for line in lines]


def write(folder: Path, guide: Path, heading: str) -> None:
    """The files of a section: blocks that begin with a comment that names one."""
    text = guide.read_text("utf-8")
    begin = text.index(f"\n## {heading}\n")
    end = text.find("\n## ", begin + 1)
    section = text[begin : end if end > 0 else None]
    found = re.findall(r"^```\w+\n(?:# |<!-- )([\w./-]+)(?: -->)?\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert found
    for name, content in found:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)


class Shell:
    """
    A person at a terminal, in a folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[Process] = []

    def type(self, command: str, guide: Path) -> Process:
        """Start a command, which must stand in the guide."""
        assert command in commands(guide), f"{guide.name} does not say: {command}"
        # As after activating the environment that the package is installed in.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {"PATH": path, "XDG_RUNTIME_DIR": str(self.folder)}
        # Not by a shell of its own: signals are for the command.
        process = Process.start("/bin/sh", "-c", f"exec {command}", cwd=self.folder, env=environment)
        self._running.append(process)
        return process

    async def close(self) -> None:
        for process in self._running:
            await process.stop(signal.SIGTERM)


@pytest_twisted.async_yield_fixture
async def shell(tmp_path: Path, processes: None) -> AsyncIterator[Shell]:
    """In an empty folder, with the ports of the guides free."""
    await eventually(lambda: isFree(9000) and isFree(9001), "the ports 9000 and 9001, which the guides name, are free")
    shell = Shell(tmp_path)
    yield shell
    await shell.close()


async def connect(port: int = 9000, **options: Any) -> Connector:
    """A client, as soon as somebody listens."""
    client = Connector(f"ws://localhost:{port}/", fastReconnectInterval=0.1, **options)
    await client.connect()
    return client


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_everyCommandIsRun(guide: Path) -> None:
    """Whoever adds a command to a guide adds it to a test."""
    tests = Path(__file__).read_text("utf-8").replace('" \\\n', "")
    for command in commands(guide):
        assert command in ELSEWHERE or f'"{command}"' in tests, command


class TestTyped:
    """One class, as one process of the suite runs it: the ports that the guides name are there once."""

    @needsChromium
    @pytest_twisted.ensureDeferred
    async def test_tenLines(self, shell: Shell) -> None:
        """The page comes from the node and hears itself; one from the disk is not let in, and page and log say so."""
        write(shell.folder, README, "Ten lines")
        node = shell.type("twistd -n crossws --config crossws.toml", README)
        await node.says("has joined")
        browser = await Browser.start()
        try:
            tab = await browser.newTab("http://localhost:9000/", 800, 600)
            await tab.waitFor("document.body && document.body.textContent.includes('Sam: I see Sam')")
            page = shell.folder / "static" / "index.html"
            text = page.read_text().replace('"/crossws.js"', '"http://localhost:9000/crossws.js"')
            page.write_text(text.replace('CrossWS("/")', 'CrossWS("ws://localhost:9000/")'))
            other = await browser.newTab(page.as_uri(), 800, 600)
            await node.says("refused")
            await eventually(lambda: any("cannot connect" in message.text for message in other.console), "it is told")
            assert "Origin: null" in node.output and "allowed_origins" in node.output
        finally:
            await browser.stop()
        assert not (shell.folder / "twistd.pid").exists()
        assert "Traceback" not in node.output

    @pytest_twisted.ensureDeferred
    async def test_moreThanOneCore(self, shell: Shell) -> None:
        """Whole as it stands: four processes that are one, which are listed, and restarted while clients go on."""
        write(shell.folder, README, "Ten lines")
        write(shell.folder, README, "More than one core")
        master = shell.type("twistd -n crossws --config crossws.toml", README)
        clients = [await connect() for _ in range(4)]
        for number, client in enumerate(clients):
            names = await client.call("join", {"name": f"sam{number}", "room": "lobby"})
            assert names == [f"sam{each}" for each in range(number + 1)]
        heard: list[Any] = []
        clients[3].on("said", heard.append)
        clients[0].emit("say", {"room": "lobby", "text": "hi"})
        await eventually(lambda: heard == [{"by": "sam0", "text": "hi"}], "it is heard on another process")
        listing = shell.type("crossws-ctl --config crossws.toml list", README)
        assert await listing.wait() == 0 and listing.output.count("running") == 4, listing.output
        restart = shell.type("crossws-ctl --config crossws.toml restart", README)
        assert await restart.ended == 0 and restart.output.endswith("4 restarted.\n"), restart.output
        await eventually(lambda: all(client.isConnected for client in clients), "all are back")
        for client in clients:
            await client.close()
        assert "Traceback" not in master.output

    @pytest_twisted.ensureDeferred
    async def test_twoNodes(self, shell: Shell) -> None:
        """Both run from one folder and file, and a client of one hears that of the other."""
        if not isFree(6379):
            pytest.skip("port 6379, which the guide names, is taken")
        redis = RedisServer(port=6379)
        await deferToThread(redis.start)
        try:
            write(shell.folder, CLUSTER, "Two nodes")
            nodes = [
                shell.type("twistd -n crossws --config crossws.toml", CLUSTER),
                shell.type("twistd -n crossws --config crossws.toml --server-name serverB --listen tcp:9001", CLUSTER),
            ]
            clients = [await connect(port, params={"name": f"at{port}"}) for port in (9000, 9001)]
            heard: list[Any] = []
            clients[1].on("said", heard.append)
            for client in clients:
                await client.call("join", "lobby")
            clients[0].emit("say", "hi")
            await eventually(lambda: heard == [{"by": "at9000", "text": "hi"}], "it is heard at the other node")
            for client in clients:
                await client.close()
            await shell.close()
            assert not any("Traceback" in node.output for node in nodes)
        finally:
            await deferToThread(redis.stop)

    @pytest_twisted.ensureDeferred
    async def test_oneFile(self, shell: Shell) -> None:
        """The file of a cluster is checked, and its servers run, also those of production."""
        shutil.copytree(ROOT / "examples" / "cluster", shell.folder, dirs_exist_ok=True)
        check = shell.type("twistd -n crossws --config cluster.toml --check", MACHINE)
        assert await check.wait() == 0, check.output
        master = shell.type("twistd -n crossws --config cluster.toml", MACHINE)
        await master.says("is started, as process")
        await master.stop()
        assert "Traceback" not in master.output
        production = shell.type("twistd -n crossws --config cluster.toml --environment production", MACHINE)
        await production.says("starting up")
        await production.stop()
        assert "Traceback" not in production.output

    @pytest_twisted.ensureDeferred
    async def test_check(self, shell: Shell) -> None:
        """C{--check} says what would run, and does nothing."""
        write(shell.folder, README, "Ten lines")
        guide = ROOT / "docs" / "configuration.md"
        check = shell.type("twistd crossws --config crossws.toml --check", guide)
        assert await check.wait() == 0, check.output
        assert "serverA" in check.output


def test_htmlBlocks() -> None:
    """Every page in the README says which file it is."""
    assert all("<!-- static/" in block for block in blocks(README, "html"))
