"""
A run folder that somebody removes while processes are in it: a logout, or a cleaner of temporary files.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.protocol import Factory, Protocol

from tests.integration.machine import Machine, workersFile
from tests.integration.process import freePort
from tests.integration.redis import eventually
from twisted_crossws.bus.hubunix import UnixSeat
from twisted_crossws.machine import keptsocket
from twisted_crossws.machine.control import Connection, Refused, isAnswered
from twisted_crossws.machine.keptsocket import KeptSocket

pytestmark = pytest.mark.integration

reactor: Any = _reactor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As a run folder is made."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    return folder


def empty(folder: Path) -> None:
    for each in folder.iterdir():
        each.unlink()


class TestSeat:
    """The hub's own part: its socket, and the lock beside it."""

    @pytest.fixture
    def seat(self, folder: Path) -> Iterator[UnixSeat]:
        seat = UnixSeat(str(folder / "hub.sock"), reactor)
        assert seat.take()
        seat.listen(Factory.forProtocol(Protocol))
        yield seat
        pytest_twisted.blockon(seat.close())
        seat.leave()

    @pytest.mark.parametrize("remove", [shutil.rmtree, empty, lambda folder: (folder / "hub.sock").unlink()])
    @pytest_twisted.ensureDeferred
    async def test_madeAgain(self, folder: Path, seat: UnixSeat, remove: Any) -> None:
        """Folder, lock and socket are made again, for this user alone; nobody else can have the seat."""
        remove(folder)
        assert not seat.isMine()
        assert seat.restore() and seat.isMine()
        other = UnixSeat(str(folder / "hub.sock"), reactor)
        assert not other.take()
        client: Any = Protocol()
        other.connect(client)
        client.transport.abortConnection()
        modes = [os.stat(path).st_mode & 0o777 for path in (folder, folder / "hub.sock", folder / "hub.sock.lock")]
        assert modes == [0o700, 0o600, 0o600]

    @pytest_twisted.ensureDeferred
    async def test_takenMeanwhile(self, folder: Path, seat: UnixSeat) -> None:
        """What another process has taken is left to it."""
        empty(folder)
        other = UnixSeat(str(folder / "hub.sock"), reactor)
        assert other.take()
        assert not seat.restore() and other.isMine()
        other.leave()

    @pytest_twisted.ensureDeferred
    async def test_notPossible(self, folder: Path, seat: UnixSeat) -> None:
        """Where a file stands in the folder's place, the seat is lost."""
        shutil.rmtree(folder)
        folder.write_text("in the way")
        assert not seat.restore()

    def test_notMine(self, folder: Path) -> None:
        """Who never had the seat restores nothing."""
        assert not UnixSeat(str(folder / "hub.sock"), reactor).restore()


class TestKeptSocket:
    """The control sockets of masters and servers."""

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keptsocket, "LOOK_INTERVAL", 0.02)

    @pytest.mark.parametrize("takenBy", ["", "Another one is running."], ids=["unlocked", "locked"])
    @pytest_twisted.ensureDeferred
    async def test_madeAgain(self, folder: Path, takenBy: str) -> None:
        """However often it is removed, it is there again, and in the end nothing is left of it."""
        path = str(folder / "a.sock")
        kept = KeptSocket(path, Connection, reactor, takenBy=takenBy)
        kept.open()
        for remove in (shutil.rmtree, empty, lambda _: os.unlink(path)):
            remove(folder)
            await eventually(lambda: isAnswered(path), "it listens again")
        if takenBy:
            with pytest.raises(Refused, match="Another one is running"):
                KeptSocket(path, Connection, reactor, takenBy=takenBy).open()
        await kept.close()
        assert not os.path.exists(path)

    @pytest_twisted.ensureDeferred
    async def test_lockRemoved(self, folder: Path) -> None:
        """Without its lock a second one could start; so the lock is made again, too."""
        path = str(folder / "a.sock")
        kept = KeptSocket(path, Connection, reactor, takenBy="Another one is running.")
        kept.open()
        os.unlink(f"{path}.lock")
        await eventually(lambda: os.path.exists(f"{path}.lock"), "there is a lock again")
        await eventually(lambda: isAnswered(path), "it listens again")
        await kept.close()

    @pytest_twisted.ensureDeferred
    async def test_later(self, folder: Path) -> None:
        """What cannot be made again now is made as soon as it can be."""
        path = str(folder / "a.sock")
        kept = KeptSocket(path, Connection, reactor)
        kept.open()
        shutil.rmtree(folder)
        folder.write_text("in the way")
        await eventually(lambda: kept._fault != "", "it has tried")
        folder.unlink()
        await eventually(lambda: isAnswered(path), "it listens again")
        await kept.close()

    @pytest_twisted.ensureDeferred
    async def test_closedWhileRemoved(self, folder: Path) -> None:
        """It can be closed all the same."""
        kept = KeptSocket(str(folder / "a.sock"), Connection, reactor)
        kept.open()
        shutil.rmtree(folder)
        await kept.close()
        assert os.listdir(folder) == []


@pytest.mark.fates
class TestMachine:
    @pytest_twisted.ensureDeferred
    async def test_runFolder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: None) -> None:
        """All processes can be commanded again within seconds, and the bus is whole, also for who starts later."""
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        port = freePort()
        machine = Machine(tmp_path, workersFile(port, 3))
        try:
            await machine.start(count=3)
            clients = [await machine.connect(port, fastReconnectInterval=0.05) for _ in range(6)]
            for client in clients:
                await client.call("enter")
            heard: list[Any] = []
            for client in clients:
                client.on("said", heard.append)
            (run,) = tmp_path.glob("crossws-*")
            # At once: what is removed file by file is made again meanwhile.
            shutil.rmtree(run.rename(tmp_path / "removed"))
            rows = await machine.whole(3, 20)
            await clients[0].call("shout", "good morning")
            await eventually(lambda: len(heard) == 6, "everybody hears it")
            os.kill(rows["hall.2"]["pid"], signal.SIGKILL)
            await machine.until(
                lambda rows: rows["hall.2"]["state"] == "running" and rows["hall.2"]["pid"] is not None, 20
            )
            late = await machine.connect(port)
            await late.call("enter")
            said: list[Any] = []
            late.on("said", said.append)
            await eventually(lambda: all(client.isConnected for client in clients), "all are back")
            await clients[0].call("shout", "good night")
            await eventually(lambda: said == ["good night"], "who came later hears it, too")
        finally:
            await ensureDeferred(machine.close())
