"""
A machine for a test: a configuration file, the master that runs it, and C{crossws-ctl}.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from msgspec import to_builtins
from twisted.internet.error import ConnectionClosed

from tests.integration.process import PATIENCE, ROOT, Process, pause, reactor, twistd, within
from tests.integration.redis import eventually
from twisted_crossws import Connector
from twisted_crossws.machine.control import Refused
from twisted_crossws.machine.ctl import find, parser

#: Seconds in which a cluster is whole again after whatever was done to it, where the machine has nothing else to do.
WHOLE = 2.0

_CTL = "from twisted_crossws.machine.ctl import main; main()"


class _Ctl(Process):
    """
    @ivar printed: its standard output alone.
    """

    printed = ""

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if childFD == 1:
            self.printed += data.decode()
        super().childDataReceived(childFD, data)


class Machine:
    """
    @ivar config: the configuration file.
    @ivar master: the process of the master that was started last.
    """

    def __init__(self, folder: Path, text: str, name: str = "crossws.toml") -> None:
        """
        @param folder: the test's own. The sockets will be in it, too.
        """
        self.config = folder / name
        self.config.write_text(text)
        self._clients: list[Connector] = []
        self._masters: list[Process] = []

    @property
    def master(self) -> Process:
        return self._masters[-1]

    async def start(self, *args: str, count: int | None = None) -> None:
        """
        Start a master.

        @param count: wait until so many processes are running.
        """
        self._masters.append(twistd("--config", str(self.config), *args, cwd=self.config.parent))
        if count is not None:
            await self.whole(count, PATIENCE)

    async def ctl(self, *args: str) -> tuple[int, str, str]:
        """C{crossws-ctl}: its exit status, and what it printed."""
        process = _Ctl.fork(_CTL, "--config", str(self.config), *args, cwd=ROOT)
        # To restart all takes as many starts as there are processes.
        status = await process.ended.addTimeout(PATIENCE * 2, reactor)
        return status, process.printed, process.errors

    async def rows(self) -> dict[str, dict[str, Any]]:
        """What C{list} says, by name; empty if nobody answers."""
        try:
            found = await find(reactor, parser().parse_args(["--config", str(self.config), "list"]))
        except Refused:
            return {}
        try:
            rows = await found.rows()
        except (Refused, ConnectionClosed):
            return {}
        finally:
            found.close()
        return {row.name: to_builtins(row) for row in rows}

    async def whole(self, count: int, promised: float = WHOLE) -> dict[str, dict[str, Any]]:
        """
        Wait until so many processes are running.

        @param promised: as for L{soon}.
        @return: their rows.
        """
        return await self.until(lambda rows: sum(row["state"] == "running" for row in rows.values()) == count, promised)

    async def until(
        self, check: Callable[[dict[str, dict[str, Any]]], bool], promised: float = WHOLE
    ) -> dict[str, dict[str, Any]]:
        """
        Wait until C{list} says what it should.

        @param promised: as for L{soon}.
        """
        rows: dict[str, dict[str, Any]] = {}

        async def isSo() -> bool:
            rows.clear()
            rows.update(await self.rows())
            return check(rows)

        await soon(isSo, lambda: f"C{{list}} says {rows}; the master says:\n{self.master.output}", promised)
        return rows

    async def connect(self, port: int, **options: Any) -> Connector:
        """A client, connected."""
        client = Connector(f"ws://127.0.0.1:{port}/", **options)
        self._clients.append(client)
        await client.connect()
        return client

    def pids(self) -> list[int]:
        """Of all processes that run by this file, the master included."""
        found = []
        for each in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                if str(self.config).encode() in Path(f"/proc/{each}/cmdline").read_bytes():
                    found.append(int(each))
        return found

    async def killMaster(self) -> None:
        """End the master as a crash would, and let its processes live."""
        self.master.sendSignal(signal.SIGKILL)
        await eventually(lambda: self.master.isGone, "the master is gone")

    async def close(self) -> None:
        """End everything."""
        for client in self._clients:
            with suppress(Exception):
                await client.close()
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while self.pids():
            await pause(0.01)
        for master in self._masters:
            await master.wait()


async def soon(check: Callable[[], Awaitable[bool]], what: Callable[[], str], promised: float = WHOLE) -> None:
    """
    Wait until something is so.

    @param what: says what is so instead.
    @param promised: in how many seconds, as for L{within}.
    """
    async with within(promised, "it is so again"):
        end = monotonic() + PATIENCE
        while not await check():
            assert monotonic() < end, what()
            await pause(0.05)


def copy(example: str, *names: str, to: Path) -> None:
    """Files and folders of an example."""
    for name in names:
        source = ROOT / "examples" / example / name
        if source.is_dir():
            shutil.copytree(source, to / name)
        else:
            shutil.copy(source, to)


def workersFile(port: int, count: int, *more: str, service: str = "") -> str:
    """A file of one node description that several processes run."""
    lines: Sequence[str] = [
        "[node]",
        'server_name = "hall"',
        "drain_seconds = 1.0",
        "[workers]",
        f"count = {count}",
        "[websocket]",
        f'listen = ["tcp:{port}:interface=127.0.0.1"]',
        "[bus]",
        'type = "hub"',
        *more,
        "[[service]]",
        f'use = "{service or "tests.integration.hall:makeService"}"',
    ]
    return "\n".join(lines) + "\n"
