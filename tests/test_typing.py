"""
The package as a type checker sees it, in the code of those who use it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_docs import GUIDES, blocks

ROOT = Path(__file__).parents[1]

#: What the guide with types does not show.
USE = """
from typing import Any

from twisted.internet.task import Clock

from twisted_crossws import Connector, Gap, HealthChange, Node, Replies, Socket, hubBus, memoryBus, redisBus
from twisted_crossws.testing import FakePeer, MemoryCluster, WebSocketPair


def say(socket: Socket, payload: Any) -> str:
    return socket.socketId or "nobody"


async def use() -> None:
    clock = Clock()
    nodes = [Node("a", bus) for bus in (memoryBus(), redisBus(["redis://localhost"]), hubBus("/run/hub.sock"))]
    node = Node("serverA", clock=clock)
    node.setServiceParent(nodes[0])
    peer = FakePeer(node, clock)
    kept = node.clients.on("say", say)
    once = node.clients.once("say", say, tag=kept)
    replies: Replies = await node.servers.call("match", to=["a"])
    client = Connector("ws://localhost/", clock=clock)

    @client.once("said")
    def said(payload: Any) -> None: ...

    @client.lifecycle.on("close")
    def closed(code: int, reason: str) -> None: ...

    def missed(gap: Gap) -> None: ...

    def changed(change: HealthChange) -> None: ...

    node.bus.onGap(missed)
    node.bus.onHealthChange(changed)
    WebSocketPair(node, clock), MemoryCluster(["a"]), peer, once, replies
"""


def mypy(folder: Path, name: str, *options: str) -> str:
    """
    What it says of the modules of a folder: nothing, if all is well.

    @param name: of what it keeps for the next run, which it can use with the same options only.
    """
    cache = ROOT / ".mypy_cache" / "users" / name
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(cache), *options, "."]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[tool.mypy]\nplugins = []\nuntyped_calls_exclude = ['twisted']\n")
    return tmp_path


def complete(guide: Path) -> dict[str, str]:
    """The examples of a guide that run by themselves, by the name of their module."""
    found = {}
    for number, block in enumerate(blocks(guide, "python")):
        if begins := re.match(r"\s*(?:# (\w+)\.\w+\n|from |import )", block):
            found[begins[1] or f"{guide.stem.replace('-', '_')}_{number}"] = block
    return found


def test_annotated(folder: Path) -> None:
    """What is annotated throughout is checked throughout, and passes without a plugin."""
    (folder / "use.py").write_text(USE)
    (folder / "ticker_typed.py").write_text(complete(ROOT / "docs" / "applications.md")["ticker_typed"])
    assert mypy(folder, "annotated") == ""


def test_guides(folder: Path) -> None:
    """The examples of all guides pass, too, but for the annotations that they leave out to be short."""
    for guide in GUIDES:
        for name, block in complete(guide).items():
            (folder / f"{name}.py").write_text(block)
    assert len(list(folder.glob("*.py"))) > 20
    (folder / "pyproject.toml").write_text("[tool.mypy]\nplugins = ['mypy_zope:plugin']\n")
    # override: the options of an INodeService are the service's own, which its interface cannot say.
    left = ("no-untyped-def", "no-untyped-call", "override")
    assert mypy(folder, "guides", "--check-untyped-defs", *(f"--disable-error-code={code}" for code in left)) == ""
