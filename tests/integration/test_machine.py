"""
Many processes of one machine, as they are run: by C{twistd crossws}, and commanded by C{crossws-ctl}.
"""

from __future__ import annotations

import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import pytest_twisted
from twisted.internet.defer import DeferredList, ensureDeferred, gatherResults
from twisted.internet.threads import deferToThread

from tests.integration.machine import Machine, copy, soon, workersFile
from tests.integration.process import PATIENCE, freePort, pause
from tests.integration.redis import eventually
from twisted_crossws import CallTimeout, Connector, NotConnected

pytestmark = [pytest.mark.integration, pytest.mark.fates]

Rows = dict[str, dict[str, Any]]


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: None) -> Iterator[list[Machine]]:
    """Put every machine of a test in here."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    made: list[Machine] = []
    yield made
    for machine in made:
        pytest_twisted.blockon(ensureDeferred(machine.close()))


@pytest.fixture
def port() -> int:
    return freePort()


async def workers(machines: list[Machine], folder: Path, port: int, count: int = 3, *more: str) -> Machine:
    """A machine with some workers, all of which serve."""
    machine = Machine(folder, workersFile(port, count, *more))
    machines.append(machine)
    await machine.start(count=count)
    return machine


def isDead(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


class TestWorkers:
    @pytest_twisted.ensureDeferred
    async def test_oneNode(self, machines: list[Machine], tmp_path: Path, port: int) -> None:
        """To clients the processes are one: they are spread evenly, and a room spans all of them."""
        machine = await workers(machines, tmp_path, port, 4)
        clients = [await machine.connect(port) for _ in range(40)]
        served = Counter([(await client.call("who"))[0] for client in clients])
        assert served == {f"hall.{number}": 10 for number in range(1, 5)}
        heard: list[Any] = []
        for client in clients:
            client.on("said", heard.append)
        await gatherResults([client.call("enter") for client in clients])
        await clients[0].call("shout", "good morning")
        await eventually(lambda: len(heard) == 40, "everybody hears it")
        rows = await machine.whole(4)
        assert [(row["clients"], row["rooms"]) for row in rows.values()] == [(10, 1)] * 4
        assert {row["address"] for row in rows.values()} == {f"127.0.0.1:{port}"}
        assert all(row["memory"] > 10_000_000 and row["uptime"] > 0 for row in rows.values())

    @pytest_twisted.ensureDeferred
    async def test_example(self, machines: list[Machine], tmp_path: Path, port: int) -> None:
        """A thousand clients are spread over the four workers within a tenth of evenly, and all hear what one says."""
        copy("workers", "crossws.toml", "hall.py", "static", to=tmp_path)
        text = (tmp_path / "crossws.toml").read_text().replace("tcp:9000", f"tcp:{port}:interface=127.0.0.1")
        machine = Machine(tmp_path, text)
        machines.append(machine)
        await machine.start(count=4)
        clients = []
        for _ in range(20):
            clients += await gatherResults([ensureDeferred(machine.connect(port)) for _ in range(50)])
        heard: list[Any] = []
        for client in clients:
            client.on("said", heard.append)
        entered = await gatherResults([client.call("enter") for client in clients])
        served = Counter(each["worker"] for each in entered)
        assert all(225 <= served[f"hall.{number}"] <= 275 for number in range(1, 5)), served
        assert len({each["you"] for each in entered}) == 1000
        await clients[0].call("say", "good morning")
        await eventually(lambda: len(heard) == 1000, "everybody hears it")
        assert heard[0]["text"] == "good morning"
        status, page = await deferToThread(fetch, f"http://127.0.0.1:{port}/")
        assert status == 200 and b"One hall, four processes" in page

    @pytest_twisted.ensureDeferred
    async def test_killed(self, machines: list[Machine], tmp_path: Path, port: int) -> None:
        """A worker that dies is started again; its clients come back, and those of the others notice nothing."""
        machine = await workers(machines, tmp_path, port)
        clients = [await machine.connect(port, fastReconnectInterval=0.05) for _ in range(9)]
        closed: list[Any] = []
        homes = {}
        for client in clients:
            homes[client] = (await client.call("who"))[0]
            client.lifecycle.on("close", lambda code, reason, client=client: closed.append(client))
        rows = await machine.rows()
        os.kill(rows["hall.2"]["pid"], signal.SIGKILL)
        await eventually(lambda: len(closed) == 3, "its clients are closed")
        assert {homes[client] for client in closed} == {"hall.2"}
        after = await machine.until(lambda found: _isNew(rows, found, "hall.2"))
        assert {name: row["pid"] for name, row in after.items() if name != "hall.2"} == {
            name: row["pid"] for name, row in rows.items() if name != "hall.2"
        }
        await eventually(lambda: all(client.isConnected for client in clients), "all are connected again")
        assert sorted([await client.call("echo", 1) for client in clients]) == [1] * 9
        await machine.master.says("hall.2 has ended (killed by SIGKILL)")

    @pytest_twisted.ensureDeferred
    async def test_frozen(self, machines: list[Machine], tmp_path: Path, port: int) -> None:
        """A worker that hangs is said to be unreachable; the others serve on, and are served by their bus."""
        machine = await workers(machines, tmp_path, port)
        clients = [await machine.connect(port) for _ in range(6)]
        heard: list[Any] = []
        homes = {client: (await client.call("who"))[0] for client in clients}
        await gatherResults([client.call("enter") for client in clients])
        rows = await machine.rows()
        os.kill(rows["hall.2"]["pid"], signal.SIGSTOP)
        try:
            others = [client for client in clients if homes[client] != "hall.2"]
            for client in others:
                client.on("said", heard.append)
            await others[0].call("shout", "is anybody there?")
            await eventually(lambda: len(heard) == 4, "those of the others hear it")
            states = {"hall.1": "running", "hall.2": "unreachable", "hall.3": "running"}
            await machine.until(lambda found: {name: row["state"] for name, row in found.items()} == states)
        finally:
            os.kill(rows["hall.2"]["pid"], signal.SIGCONT)
        await machine.whole(3)

    @pytest_twisted.ensureDeferred
    async def test_stops(self, machines: list[Machine], tmp_path: Path, port: int) -> None:
        """A master that is told to stop ends all of its workers, and leaves neither process nor socket."""
        machine = await workers(machines, tmp_path, port)
        client = await machine.connect(port)
        closes: list[int] = []
        client.lifecycle.on("close", lambda code, reason: closes.append(code))
        pids = machine.pids()
        assert len(pids) == 4
        assert await machine.master.stop() == -signal.SIGTERM
        assert [pid for pid in pids if not isDead(pid)] == []
        await eventually(lambda: closes == [1012], "its client was told that the service restarts")
        (folder,) = tmp_path.glob("crossws-*")
        assert [each.name for each in folder.iterdir() if each.suffix == ".sock"] == []


class TestMaster:
    @pytest_twisted.ensureDeferred
    async def test_killed(self, machines: list[Machine], tmp_path: Path, port: int) -> None:
        """
        A master that was killed is missed by nobody: clients are served, new ones come in, the bus carries. The next
        one finds the workers, and takes care of them again.
        """
        machine = await workers(machines, tmp_path, port)
        first = await machine.connect(port)
        before = await machine.rows()
        await machine.killMaster()
        heard: Counter[Connector] = Counter()
        later = [await machine.connect(port) for _ in range(6)]
        for client in [first, *later]:
            client.on("said", lambda payload, client=client: heard.update([client]))
            await client.call("enter")

        async def allHear() -> bool:
            await first.call("shout", "still here")
            await pause(0.05)
            return len(heard) == 7

        await soon(allHear, lambda: f"{len(heard)} of 7 hear it")
        asBefore = {name: (row["pid"], "running") for name, row in before.items()}
        await machine.until(lambda rows: {name: (row["pid"], row["state"]) for name, row in rows.items()} == asBefore)
        await machine.start()
        for name, row in before.items():
            await machine.master.says(f"{name} is there already, as process {row['pid']}")
        # At no time does the new master say that there is no process, or another one.
        pids = {name: row["pid"] for name, row in before.items()}
        assert {name: row["pid"] for name, row in (await machine.rows()).items()} == pids
        after = await machine.whole(3)
        assert {name: row["pid"] for name, row in after.items()} == pids
        served = Counter([(await (await machine.connect(port)).call("who"))[0] for _ in range(5)])
        assert len(served) >= 2
        os.kill(after["hall.1"]["pid"], signal.SIGKILL)
        await machine.until(lambda rows: _isNew(after, rows, "hall.1"))
        assert await machine.master.stop() == -signal.SIGTERM
        assert machine.pids() == []

    @pytest_twisted.ensureDeferred
    async def test_detach(self, machines: list[Machine], tmp_path: Path, port: int) -> None:
        """A master can be ended by itself."""
        machine = await workers(machines, tmp_path, port, 2)
        status, said, _ = await machine.ctl("detach")
        assert (status, said) == (0, "The master ends; its servers run on, and the next master finds them.\n")
        await eventually(lambda: machine.master.isGone, "the master is gone")
        client = await machine.connect(port)
        assert await client.call("echo", "there") == "there"
        status, _, errors = await machine.ctl("restart")
        assert status == 1 and "restart needs the master" in errors

    @pytest_twisted.ensureDeferred
    async def test_second(self, machines: list[Machine], tmp_path: Path, port: int) -> None:
        """There is one master for a file; another says so, and changes nothing."""
        machine = await workers(machines, tmp_path, port, 2)
        first = machine.master
        await machine.start()
        assert await machine.master.wait() == 1
        assert "Another master of this file is running" in machine.master.errors
        assert not first.ended.called
        await machine.whole(2)


class TestTraffic:
    """Whatever is killed while clients keep calling, everything is whole again within two seconds."""

    @pytest_twisted.ensureDeferred
    async def test_kills(self, machines: list[Machine], tmp_path: Path, port: int) -> None:
        """
        A master that dies, comes back, and dies again fails no call; a worker that dies fails those of its clients
        alone. Each death of a process that holds the hub is made good: what is said in the room reaches all again.
        """
        machine = await workers(machines, tmp_path, port)
        clients = [await machine.connect(port, fastReconnectInterval=0.05) for _ in range(30)]
        heard: Counter[Connector] = Counter()
        homes = {}
        for client in clients:
            client.on("said", lambda payload, client=client: heard.update([client]))
            client.lifecycle.on("open", lambda client=client: client.call("enter"))
            await client.call("enter")
            homes[client] = (await client.call("who"))[0]
        callers = [_Caller(client, number) for number, client in enumerate(clients)]
        running = [ensureDeferred(caller.run()) for caller in callers]

        async def reachesAll() -> None:
            """Say something in the room until everybody has heard something that was said from now on."""
            heard.clear()

            async def allHear() -> bool:
                with suppress(CallTimeout, NotConnected):
                    await clients[0].call("shout", "hear, hear", timeout=0.2)
                return len(heard) == len(clients)

            await soon(allHear, lambda: f"only {len(heard)} of {len(clients)} hear")

        await reachesAll()
        await machine.killMaster()
        await reachesAll()
        await machine.start(count=3)
        await machine.killMaster()
        await reachesAll()
        assert [caller.failed for caller in callers] == [0] * 30
        await machine.start(count=3)
        rows = await machine.rows()
        name = homes[clients[1]]
        os.kill(rows[name]["pid"], signal.SIGKILL)
        await machine.until(lambda found: _isNew(rows, found, name))
        await eventually(lambda: all(client.isConnected for client in clients), "all are connected again")
        await reachesAll()
        for caller in callers:
            caller.stop = True
        await DeferredList(running)
        assert {homes[caller.client] for caller in callers if caller.failed} == {name}
        assert [caller.wrong for caller in callers if caller.wrong] == []
        assert "Traceback" not in machine.master.output


class TestFaults:
    @pytest_twisted.ensureDeferred
    async def test_portTaken(self, machines: list[Machine], tmp_path: Path, port: int) -> None:
        """A server whose port is taken says so by its name in the master's log; the others run."""
        other = freePort()
        text = (
            '[bus]\ntype = "hub"\n[[service]]\nuse = "tests.integration.hall:makeService"\n'
            '[websocket]\nlisten = ["tcp:{port}:interface=127.0.0.1"]\n'
            f'[[server]]\nid = "a"\nport = {port}\n[[server]]\nid = "b"\nport = {other}\n'
        )
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            taken.listen()
            machine = Machine(tmp_path, text)
            machines.append(machine)
            await machine.start()
            await machine.until(lambda rows: rows.get("b", {}).get("state") == "running", PATIENCE)
            await machine.master.says("a: ")
            await machine.master.says("Address already in use")
            assert (await machine.rows())["a"]["state"] in ("waiting", "starting")
        await machine.whole(2, PATIENCE)

    @pytest_twisted.ensureDeferred
    async def test_cannotRun(self, machines: list[Machine], tmp_path: Path, port: int) -> None:
        """A server that ends at once, again and again, is given up with a sentence; it can be added when mended."""
        (tmp_path / "broken.py").write_text("def makeService(node):\n    raise RuntimeError('no database')\n")
        more = ["[master]", "max_restarts = 2", "restart_delay = 0.05"]
        machine = Machine(tmp_path, workersFile(port, 2, *more, service="broken:makeService"))
        machines.append(machine)
        await machine.start()
        rows = await machine.until(lambda rows: [row["state"] for row in rows.values()] == ["given up"] * 2, PATIENCE)
        assert sorted(rows) == ["hall.1", "hall.2"]
        await machine.master.says("no database")
        await machine.master.says("hall.1 has ended (exit status 1), 2 times in a row")
        (tmp_path / "broken.py").write_text("def makeService(node):\n    pass\n")
        assert (await machine.ctl("add", "hall"))[:2] == (0, "hall is running.\n")
        await machine.whole(2)


class TestControl:
    @pytest_twisted.ensureDeferred
    async def test_names(self, machines: list[Machine], tmp_path: Path, port: int) -> None:
        """A name that is none is said, with the nearest that is one."""
        machine = await workers(machines, tmp_path, port, 2)
        status, output, errors = await machine.ctl("stop", "hal.2")
        assert (status, output) == (1, "")
        assert errors == "crossws-ctl: no server is named hal.2; did you mean hall.2?\n"
        status, output, errors = await machine.ctl("--json", "drain", "nobody")
        assert (status, errors) == (1, '{"error": "no server is named nobody; there are hall, hall.1, hall.2"}\n')
        status, output, errors = await machine.ctl("send", "said", "{")
        assert status == 1 and "is not JSON" in errors

    @pytest_twisted.ensureDeferred
    async def test_list(self, machines: list[Machine], tmp_path: Path, port: int) -> None:
        """For people it is a table."""
        machine = await workers(machines, tmp_path, port, 2)
        status, output, _ = await machine.ctl("list")
        head, *lines = output.splitlines()
        assert (status, head.split()) == (
            0,
            ["NAME", "KIND", "STATE", "PID", "ADDRESS", "CLIENTS", "ROOMS", "MEMORY", "UPTIME"],
        )
        assert [line.split()[0] for line in lines] == ["hall.1", "hall.2"]

    @pytest_twisted.ensureDeferred
    async def test_stopAndAdd(self, machines: list[Machine], tmp_path: Path, port: int) -> None:
        """One process can be stopped, stays so, and is added again."""
        machine = await workers(machines, tmp_path, port, 2)
        assert (await machine.ctl("stop", "hall.2"))[:2] == (0, "hall.2 has stopped.\n")
        rows = await machine.rows()
        assert (rows["hall.2"]["state"], rows["hall.2"]["pid"]) == ("stopped", None)
        for _ in range(3):
            assert (await (await machine.connect(port)).call("who"))[0] == "hall.1"
        assert (await machine.ctl("add", "hall.2"))[:2] == (0, "hall.2 is running.\n")
        assert {(await (await machine.connect(port)).call("who"))[0] for _ in range(4)} == {"hall.1", "hall.2"}
        status, _, errors = await machine.ctl("add", "hall.2")
        assert (status, errors) == (1, "crossws-ctl: hall.2 is running already\n")

    @pytest_twisted.ensureDeferred
    async def test_kickAndSend(self, machines: list[Machine], tmp_path: Path, port: int) -> None:
        """A client is found on whatever process it is, and an event reaches all."""
        machine = await workers(machines, tmp_path, port, 2)
        clients = [await machine.connect(port) for _ in range(4)]
        heard: list[Any] = []
        closes: list[Any] = []
        ids = []
        for client in clients:
            ids.append(await client.call("enter"))
            client.on("said", heard.append)
            client.lifecycle.on("close", lambda code, reason, client=client: closes.append((client, code)))
        assert (await machine.ctl("send", "said", '{"text": "lunch"}'))[:2] == (0, "said was sent to all clients.\n")
        await eventually(lambda: heard == [{"text": "lunch"}] * 4, "all hear it")
        assert (await machine.ctl("send", "said", "2", "--to", ids[3]))[0] == 0
        await eventually(lambda: heard[4:] == [2], "one hears it")
        for client, socketId in zip(clients[:2], ids, strict=False):
            assert (await machine.ctl("kick", socketId))[:2] == (0, f"{socketId} was disconnected.\n")
            await eventually(lambda client=client: (client, 4010) in closes, "it was logged out")
        status, _, errors = await machine.ctl("kick", "nobody")
        assert (status, errors) == (1, "crossws-ctl: no client is bound to 'nobody'\n")

    @pytest_twisted.ensureDeferred
    async def test_rollingRestart(self, machines: list[Machine], tmp_path: Path, port: int) -> None:
        """
        All processes are restarted one after the other, while 200 clients keep calling: each call has one answer or one
        error, and none is answered twice.
        """
        machine = await workers(machines, tmp_path, port)
        before = await machine.rows()
        clients = [await machine.connect(port, fastReconnectInterval=0.1) for _ in range(200)]
        callers = [_Caller(client, number) for number, client in enumerate(clients)]
        running = [ensureDeferred(caller.run()) for caller in callers]
        status, said, errors = await machine.ctl("restart")
        assert (status, said) == (0, "3 restarted.\n"), errors
        for caller in callers:
            caller.stop = True
        await DeferredList(running)
        after = await machine.rows()
        assert not {row["pid"] for row in before.values()} & {row["pid"] for row in after.values()}
        assert [caller.wrong for caller in callers if caller.wrong] == []
        assert sum(caller.answered for caller in callers) > 1000
        assert min(caller.answered for caller in callers) > 0
        await eventually(lambda: all(client.isConnected for client in clients), "all are connected")
        assert all(await gatherResults([client.call("echo", True) for client in clients]))


class TestClusterFile:
    @pytest_twisted.ensureDeferred
    async def test_example(self, machines: list[Machine], tmp_path: Path) -> None:
        """Servers of two kinds, on ports of their own; a client of one is answered by the other."""
        copy("cluster", "cluster.toml", "gate.py", "game.py", to=tmp_path)
        first = freePort()
        text = (tmp_path / "cluster.toml").read_text().replace("[4021, 4023]", f"[{first}, {first + 2}]")
        machine = Machine(tmp_path, text, "cluster.toml")
        machines.append(machine)
        await machine.start()
        rows = await machine.whole(5, PATIENCE)
        assert {name: row["kind"] for name, row in rows.items()} == {
            "connector-server-1": "connector",
            "connector-server-2": "connector",
            "connector-server-3": "connector",
            "game-server.1": "game",
            "game-server.2": "game",
        }
        clients = [await machine.connect(first + number) for number in range(3)]
        rolled = [await client.call("roll") for client in clients for _ in range(2)]
        assert {each["server"] for each in rolled} == {"game-server.1", "game-server.2"}
        status, said, errors = await machine.ctl("restart", "game-server")
        assert (status, said) == (0, "2 restarted.\n"), errors
        assert (await clients[0].call("roll"))["rolled"] in range(1, 7)
        assert (await machine.ctl("remove", "connector-server-3"))[0] == 0
        assert "connector-server-3" not in await machine.rows()
        assert (await machine.ctl("add", "connector-server-3"))[0] == 0
        await machine.whole(5)


def fetch(url: str) -> tuple[int, bytes]:
    with urlopen(url, timeout=10) as response:
        return response.status, response.read()


def _isNew(before: Rows, after: Rows, name: str) -> bool:
    """Whether a process was replaced, and all are running."""
    return (
        all(row["state"] == "running" for row in after.values())
        and len(after) == len(before)
        and after[name]["pid"] != before[name]["pid"]
    )


class _Caller:
    """A client that keeps calling, and counts what comes of it."""

    def __init__(self, client: Connector, number: int) -> None:
        self.stop = False
        self.answered = 0
        self.failed = 0
        self.wrong: list[Any] = []
        self.client = client
        self._number = number

    async def run(self) -> None:
        n = 0
        while not self.stop:
            n += 1
            try:
                answer = await self.client.call("echo", [self._number, n], timeout=PATIENCE)
            except Exception:
                self.failed += 1
                await pause(0.02)
                continue
            self.answered += 1
            if answer != [self._number, n]:
                self.wrong.append((n, answer))
            await pause(0.01)
