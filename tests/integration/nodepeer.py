"""
A server of a Node.js cluster for a test: C{peer/peer.js} in a process of its own, told what to do line by line.

::

    peer = await NodePeer.run(packages, "peerC", redis.url)
    await peer.do("emit", event="say", payload={"msg": "hi"})
    event = await peer.hears("heard", event="said")
    await peer.finish()

Bytes and dates go through as C{bytes} and C{datetime}.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from tests.integration.process import PATIENCE, Process, reactor

_PEER = Path(__file__).with_name("peer")


class PeerError(Exception):
    """The peer could not do what it was told."""


class NodePeer(Process):
    """
    A running peer.

    @ivar name: its server name.
    @ivar told: what it has told without being asked, oldest first: the kind and what it is about.
    """

    name = ""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, Any]] = []
        self._line = b""
        self._asked: dict[int, Deferred[Any]] = {}
        self._lastId = 0
        self._waiting: list[tuple[Callable[[str, Any], bool], Deferred[Any]]] = []

    @classmethod
    async def run(
        cls,
        packages: Path,
        name: str,
        redis: str,
        *,
        compression: bool = True,
        namespaces: tuple[str, ...] = (),
        channels: tuple[str, ...] = (),
    ) -> NodePeer:
        """
        Start one.

        @param packages: what L{fetchPackages} returned.
        @param redis: the URL.
        @param namespaces: the room namespaces that it hears.
        @param channels: custom ones that it hears.
        @return: fires when it hears everything.
        """
        about = {"name": name, "redis": redis, "compression": compression}
        options = json.dumps({**about, "namespaces": namespaces, "channels": channels})
        environment = {"NODE_PATH": str(packages)}
        peer = cls.start("node", str(_PEER / "peer.js"), options, cwd=_PEER, env=environment)
        assert isinstance(peer, NodePeer)
        peer.name = name
        await peer.hears("ready")
        return peer

    def do(self, what: str, **arguments: Any) -> Deferred[Any]:
        """
        Tell it to do something.

        @return: fires with what came of it; fails with L{PeerError}.
        """
        self._lastId += 1
        asked = self._asked[self._lastId] = Deferred()
        line = json.dumps(_plain({"id": self._lastId, "do": what, **arguments}))
        transport: Any = self.transport
        transport.write(line.encode() + b"\n")
        return asked.addTimeout(PATIENCE, reactor)

    def hears(self, kind: str, **content: Any) -> Deferred[Any]:
        """
        @param content: what must be in it.
        @return: fires with the first thing of that kind and content that the peer has told or will tell, and that
            nobody has asked for before.
        """

        def fits(other: str, about: Any) -> bool:
            return other == kind and all(isinstance(about, dict) and about.get(key) == content[key] for key in content)

        for number, (other, about) in enumerate(self.told):
            if fits(other, about):
                del self.told[number]
                heard: Deferred[Any] = Deferred()
                heard.callback(about)
                return heard
        waiting: Deferred[Any] = Deferred()
        self._waiting.append((fits, waiting))
        return waiting.addTimeout(PATIENCE, reactor)

    def saw(self) -> list[tuple[str, Any]]:
        """Channel and packet of everything that came on its channels so far; nothing of it is taken."""
        return [(about["channel"], about["packet"]) for kind, about in self.told if kind == "saw"]

    def faults(self) -> list[str]:
        """What went wrong in it so far."""
        return [about for kind, about in self.told if kind == "fault"]

    async def finish(self) -> None:
        """End it, as it ends by itself; it must have had no reason to complain."""
        transport: Any = self.transport
        transport.closeStdin()
        assert (await self.wait(), self.errors, self.faults()) == (0, "", [])

    def outReceived(self, data: bytes) -> None:
        first, *others = data.split(b"\n")
        self._line += first
        for other in others:
            line, self._line = self._line, other
            self._lineReceived(json.loads(line, object_hook=_rich))

    def errReceived(self, data: bytes) -> None:
        self.errors += data.decode()

    def processEnded(self, reason: Failure) -> None:
        for waiting in [*self._asked.values(), *(waiting for _, waiting in self._waiting)]:
            if not waiting.called:
                waiting.errback(PeerError(f"The peer ended. It said:\n{self.errors}"))
        super().processEnded(reason)

    def _lineReceived(self, said: dict[str, Any]) -> None:
        if "id" in said:
            asked = self._asked.pop(said["id"])
            if "error" in said:
                asked.errback(PeerError(said["error"]))
            else:
                asked.callback(said["is"])
            return
        ((kind, about),) = said.items()
        for number, (fits, waiting) in enumerate(self._waiting):
            if fits(kind, about):
                del self._waiting[number]
                waiting.callback(about)
                return
        self.told.append((kind, about))


def _plain(value: Any) -> Any:
    """With bytes and dates as the peer reads them."""
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    if isinstance(value, datetime):
        return {"$date": value.timestamp() * 1000}
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _rich(value: dict[str, Any]) -> Any:
    """The opposite."""
    if "$bytes" in value:
        return bytes.fromhex(value["$bytes"])
    if "$date" in value:
        return datetime.fromtimestamp(value["$date"] / 1000, UTC)
    return value


def fetchPackages() -> Path:
    """
    The npm packages of the peer, fetched once for each state of their lock file and kept among the temporary files.

    @return: their folder.
    @raise LookupError: they cannot be had; the sentence says why.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise LookupError("The peer runs in Node.js, and node or npm is not on the PATH.")
    state = sha256((_PEER / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"crossws-peer-{os.getuid()}-{state}"
    if folder.is_dir():
        return folder / "node_modules"
    making = tempfile.mkdtemp()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_PEER / name, making)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        subprocess.run(command, cwd=making, capture_output=True, text=True, check=True, timeout=120)
        os.rename(making, folder)
    except subprocess.SubprocessError as fault:
        reason = getattr(fault, "stderr", "") or fault
        raise LookupError(f"npm cannot fetch the packages of the peer: {reason}") from None
    except OSError:
        if not folder.is_dir():  # If it is one, somebody else has fetched the same meanwhile.
            raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder / "node_modules"
