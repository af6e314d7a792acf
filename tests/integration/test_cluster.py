"""
Many nodes as they are run: processes of C{twistd crossws} on a real Redis, which are killed, frozen and cut off.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from time import time
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from tests.integration.cluster import Puppet, startedInVain, startPuppet, startPuppets, writeConfig
from tests.integration.process import PATIENCE, pause, reactor
from tests.integration.redis import FaultyRedis
from twisted_crossws import Connector

pytestmark = [pytest.mark.integration, pytest.mark.fates]

NAMES = ["serverA", "serverB", "serverC"]

#: Seconds within which a node that was killed is gone everywhere.
GONE = 6.0

#: Seconds after the return of Redis from which on everything works.
BACK = 3.0


async def stop(*puppets: Puppet) -> None:
    await gatherResults([Deferred.fromCoroutine(puppet.stop()) for puppet in puppets], consumeErrors=True)


class TestTogether:
    @pytest_twisted.ensureDeferred
    async def test_messages(self, redis: FaultyRedis, tmp_path: Path) -> None:
        """What is sent on one node to a client, to several, to a room or to everyone arrives wherever they are."""
        puppets = await startPuppets(tmp_path, redis, NAMES)
        one, two, three = puppets
        for puppet in puppets:
            await puppet.do("rooms.join", "chat", "lobby", puppet.clientId)
        got: dict[str, list[Any]] = {name: [] for name in NAMES}
        for puppet in puppets:
            puppet.client.on("say", got[puppet.name].append)
        ended = [puppet.receives("last") for puppet in puppets]
        assert await one.do("clients.send", three.clientId, "say", "one") == 0
        assert await one.do("clients.sendMany", [one.clientId, two.clientId, "nobody"], "say", "some") == 1
        assert await one.do("clients.toRoom", "chat", "lobby", "say", "room", exclude=[two.clientId]) == 1
        assert await one.do("clients.broadcast", "say", "all") == 1
        assert await one.do("clients.broadcast", "last") == 1
        for each in ended:
            await each
        assert [sorted(got[name]) for name in NAMES] == [
            ["all", "room", "some"],
            ["all", "some"],
            ["all", "one", "room"],
        ]
        # Who has left hears nothing more of the room.
        await two.do("rooms.leave", "chat", "lobby", two.clientId)
        heard = three.receives("say")
        await one.do("clients.toRoom", "chat", "lobby", "say", "again")
        assert await heard == "again" and "again" not in got["serverB"]
        await stop(*puppets)

    @pytest_twisted.ensureDeferred
    async def test_thousandReplies(self, redis: FaultyRedis, tmp_path: Path) -> None:
        """A thousand calls of one event at once, from each of three nodes, get each its own reply."""
        puppets = await startPuppets(tmp_path, redis, NAMES)
        bursts = [
            puppet.client.call("burst", {"to": to, "count": 1000})
            for puppet, to in zip(puppets, [*NAMES[1:], NAMES[0]], strict=True)
        ]
        assert await gatherResults(bursts) == [1000, 1000, 1000]
        replies = await puppets[0].do("servers.call", "who")
        assert replies["complete"] and replies["byServer"] == {name: name for name in NAMES}
        for puppet in puppets:
            counters = await puppet.counters()
            assert (counters["calls_timed_out"], counters["replies_late"]) == (0, 0)
        await stop(*puppets)


class TestNodes:
    @pytest_twisted.ensureDeferred
    async def test_killed(self, redis: FaultyRedis, tmp_path: Path) -> None:
        """
        A node that is killed is gone within six seconds: a call to all ends then, long before its time-out, and names
        it. Its next life has its name at once.
        """
        puppets = await startPuppets(tmp_path, redis, NAMES)
        one, two, three = puppets
        before = Deferred.fromCoroutine(one.do("servers.call", "later", [0.5, "x"], timeout=30.0))
        await three.kill()
        began = reactor.seconds()
        after = await two.do("servers.call", "who", timeout=30.0)
        assert reactor.seconds() - began < GONE
        for replies in (await before, after):
            assert (replies["complete"], replies["missing"], replies["unanswered"]) == (False, ["serverC"], 1)
            assert set(replies["byServer"]) == {"serverA", "serverB"}
            ((name, (kind, message)),) = replies["errors"].items()
            assert (name, kind) == ("serverC", "ServerLost") and "serverC" in message
        assert reactor.seconds() - began < GONE
        assert ["down", "serverC", "lost"] in await one.heard()
        assert await one.do("servers.alive", "serverC") is False
        again = await startPuppet(tmp_path, redis, "serverC")
        began = reactor.seconds()
        await again.process.says("has joined")
        assert reactor.seconds() - began < 1.0
        await one.do("servers.whenServers", 3, timeout=PATIENCE)
        assert await one.do("servers.callOne", "who", to="serverC") == "serverC"
        await stop(one, two, again)

    @pytest_twisted.ensureDeferred
    async def test_killedAndRestarted(self, redis: FaultyRedis, tmp_path: Path) -> None:
        """After a crash the name is free within a second of the new start, before anybody has missed the old life."""
        one, two = await startPuppets(tmp_path, redis, NAMES[:2])
        await two.kill()
        again = await startPuppet(tmp_path, redis, "serverB")
        began = reactor.seconds()
        await again.process.says("has joined")
        assert reactor.seconds() - began < 1.0
        await one.hears("down", "serverB", "restarted")
        assert await one.do("servers.callOne", "who", to="serverB") == "serverB"
        await stop(one, again)

    @pytest_twisted.ensureDeferred
    async def test_stopped(self, redis: FaultyRedis, tmp_path: Path) -> None:
        """A node that stops is gone at once, and a call that waits on it ends."""
        one, two = await startPuppets(tmp_path, redis, NAMES[:2])
        waiting = Deferred.fromCoroutine(one.do("servers.call", "never", to=["serverB"], timeout=30.0))
        await pause(0.2)
        began = reactor.seconds()
        await two.stop()
        replies = await waiting
        assert replies["errors"]["serverB"][0] == "ServerLost" and reactor.seconds() - began < 3.0
        assert ["down", "serverB", "left"] in await one.heard()
        await one.stop()

    @pytest_twisted.ensureDeferred
    async def test_sameName(self, redis: FaultyRedis, tmp_path: Path) -> None:
        """A second living node of a name is refused with a sentence and status 1; the first one goes on."""
        one, two = await startPuppets(tmp_path, redis, NAMES[:2])
        status, errors = await startedInVain(writeConfig(tmp_path, redis, "serverA"))
        (line,) = errors.splitlines()
        assert status == 1 and "a living server named 'serverA'" in line and str(one.process.pid) in line
        assert await two.do("servers.callOne", "who", to="serverA") == "serverA"
        assert [each for each in await two.heard() if each[0] in ("up", "down")] == [["up", "serverA"]]
        await stop(one, two)

    @pytest_twisted.ensureDeferred
    async def test_frozen(self, redis: FaultyRedis, tmp_path: Path) -> None:
        """A node that is frozen for eight seconds is lost for others, and is back by itself when it goes on."""
        one, two = await startPuppets(tmp_path, redis, NAMES[:2])
        two.process.sendSignal(signal.SIGSTOP)
        began = reactor.seconds()
        replies = await one.do("servers.call", "who", timeout=7.0)
        assert replies["errors"]["serverB"][0] == "ServerLost" and reactor.seconds() - began < GONE
        await pause(8.0 - (reactor.seconds() - began))
        assert await one.do("servers.names") == ["serverA"]
        two.process.sendSignal(signal.SIGCONT)
        assert sorted(await one.do("servers.whenServers", 2, timeout=BACK)) == ["serverA", "serverB"]
        assert await two.do("servers.callOne", "who", to="serverA") == "serverA"
        # What it was asked it gets to too late, and does not do any more; and it takes nobody else for lost.
        assert (await two.counters())["calls_expired"] == 1
        assert [each for each in await two.heard() if each[0] == "down"] == []
        received = two.receives("say")
        await one.do("clients.send", two.clientId, "say", 1)
        assert await received == 1
        await stop(one, two)

    @pytest_twisted.ensureDeferred
    async def test_relayingNodeDies(self, redis: FaultyRedis, tmp_path: Path) -> None:
        """The answer to a question that was handed on finds its client at another node, if the relaying one dies."""
        one, two, three = await startPuppets(tmp_path, redis, NAMES)
        client = Connector(one.process.url, params={"id": "sam"}, fastReconnectInterval=60.0, random=lambda: 0.0)
        await client.connect()
        asked = client.call("relay", {"to": "serverC", "event": "later", "payload": [1.0, "the answer"]})
        asked.addErrback(lambda failure: None)
        await three.do("servers.callOne", "who", to="serverA")
        await one.kill()
        await client.close()
        elsewhere = Connector(two.process.url, params={"id": "sam"})
        answered: Deferred[Any] = Deferred()

        def received(text: str) -> None:
            if "callbackId" in json.loads(text):
                answered.callback(json.loads(text)["payload"])

        elsewhere.lifecycle.on("message", received)
        await elsewhere.connect()
        assert await answered.addTimeout(PATIENCE, reactor) == "the answer"
        await elsewhere.close()
        await stop(two, three)


class TestRedis:
    @pytest_twisted.ensureDeferred
    async def test_killedUnderTraffic(self, redis: FaultyRedis, tmp_path: Path) -> None:
        """
        While Redis is away, nobody notices on the own node; three seconds after its return everything works; and the
        counters tell what was not delivered.
        """
        # Signs of life would be among what is dropped.
        quiet = "announce_interval = 60.0\nlost_after = 180.0"
        puppets = await startPuppets(tmp_path, redis, NAMES, node=quiet)
        got: dict[str, dict[str, dict[int, tuple[float, float]]]] = {
            puppet.name: {name: {} for name in NAMES} for puppet in puppets
        }
        for puppet in puppets:

            def received(
                payload: list[Any], mine: dict[str, dict[int, tuple[float, float]]] = got[puppet.name]
            ) -> None:
                name, number, sent = payload
                assert number not in mine[name]
                mine[name][number] = (sent, time())

            puppet.client.on("traffic", received)
        before = {puppet.name: await puppet.counters() for puppet in puppets}
        for puppet in puppets:
            await puppet.client.call("traffic", 0.02)
        await pause(1.0)
        killed = time()
        redis.kill()
        await pause(1.0)
        assert [await puppet.health() for puppet in puppets] == ["degraded"] * 3
        replies = await puppets[0].do("servers.call", "who", timeout=30.0)
        assert replies["byServer"] == {"serverA": "serverA"}
        assert {kind for kind, _ in replies["errors"].values()} == {"BusUnavailable"}
        await pause(killed + 10.0 - time())
        redis.start()
        returned = time()
        await pause(BACK)
        for puppet in puppets:
            replies = await puppet.do("servers.call", "who", timeout=1.0)
            assert replies["complete"] and set(replies["byServer"]) == set(NAMES)
            assert await puppet.health() == "ok"
        sent = {puppet.name: await puppet.client.call("traffic", None) for puppet in puppets}
        await pause(0.5)
        for sender in puppets:
            after = await sender.counters()
            counted = {name: after[name] - count for name, count in before[sender.name].items()}
            self.checkLocal(got[sender.name][sender.name], sent[sender.name])
            self.checkCounters(after)
            missing = []
            for receiver in puppets:
                arrived = got[receiver.name][sender.name]
                assert list(arrived) == sorted(arrived)
                lost = set(range(sent[sender.name])) - set(arrived)
                times = {number: got[sender.name][sender.name][number][0] for number in lost}
                assert all(moment < returned + BACK for moment in times.values())
                if receiver is not sender:
                    missing += times.values()
                    await self.checkGap(receiver, killed)
            self.checkMissing(counted, missing, killed)
        await stop(*puppets)

    def checkLocal(self, arrived: dict[int, tuple[float, float]], sent: int) -> None:
        """Nothing was lost on the own node, and nothing late."""
        assert set(arrived) == set(range(sent))
        assert max(received - moment for moment, received in arrived.values()) < 0.5

    def checkCounters(self, counted: dict[str, int]) -> None:
        """Every packet that was published has one fate."""
        fates = ("confirmed", "rejected", "unconfirmed", "dropped_full", "dropped_old", "dropped_stopped")
        assert counted["bus_packets_published"] == sum(counted[f"bus_{fate}"] for fate in fates)

    async def checkGap(self, receiver: Puppet, killed: float) -> None:
        """The receiver knows since when it may have missed something."""
        gaps = [
            (moment - gap, moment)
            for what, *about in await receiver.heard()
            if what == "health"
            for role, healthy, gap, moment in [about]
            if role == "subscriber" and healthy and gap is not None
        ]
        # The last that came from this Redis came before it was killed, or as it was.
        assert any(since <= killed + 0.1 <= until for since, until in gaps), (gaps, killed)

    def checkMissing(self, counted: dict[str, int], missing: list[float], killed: float) -> None:
        """
        What did not arrive at the two others was dropped, counted as not heard, or perhaps not delivered; or it was
        confirmed by a Redis that was killed before it could pass it on.
        """
        dropped = sum(count for name, count in counted.items() if name.startswith("bus_dropped_"))
        dropped -= counted["calls_undeliverable"]
        certain = 2 * (dropped + counted["bus_rejected"]) + counted["bus_unheard"]
        perhaps = 2 * counted["bus_unconfirmed"] + sum(moment <= killed for moment in missing)
        assert certain <= len(missing) <= certain + perhaps, (counted, len(missing))
        assert dropped > 0

    @pytest_twisted.ensureDeferred
    async def test_late(self, redis: FaultyRedis, tmp_path: Path) -> None:
        """
        Nodes that start before Redis serve their own clients, say that they are degraded, and join when it comes. A
        Redis that is away for longer than it takes to be lost takes nobody for lost, and may come back empty.
        """
        redis.kill()
        one = await startPuppet(tmp_path, redis, "serverA")
        two = await startPuppet(tmp_path, redis, "serverB")
        for puppet in (one, two):
            assert await puppet.health() == "degraded"
            received = puppet.receives("say")
            assert await puppet.do("clients.broadcast", "say", 1) == 1
            assert await received == 1
            assert await puppet.do("servers.callOne", "who", to=puppet.name) == puppet.name
        redis.start()
        began = reactor.seconds()
        for puppet in (one, two):
            await puppet.process.says("has joined")
            await puppet.do("servers.whenServers", 2, timeout=BACK)
        assert reactor.seconds() - began < BACK
        assert await one.do("servers.callOne", "who", to="serverB") == "serverB"
        assert [await puppet.health() for puppet in (one, two)] == ["ok", "ok"]
        redis.kill()
        await pause(6.5)
        redis.start()
        await pause(BACK)
        assert await one.do("servers.callOne", "who", to="serverB") == "serverB"
        for puppet in (one, two):
            assert [each for each in await puppet.heard() if each[0] == "down"] == []
            assert (await puppet.counters())["servers_lost"] == 0
        await stop(one, two)

    @pytest_twisted.ensureDeferred
    async def test_wrongPassword(self, redis: FaultyRedis, tmp_path: Path) -> None:
        """
        A node with a wrong password serves its own clients, says that it is degraded, and why, without the password;
        when that is right, it joins by itself.
        """
        redis.command("CONFIG", "SET", "requirepass", "other")
        redis.password = "other"
        one = await startPuppet(tmp_path, redis, "serverA", password="s3cr3t")
        await one.process.says(f"redis://127.0.0.1:{redis.port} is not healthy: it answers AUTH with")
        assert await one.health() == "degraded"
        assert await one.do("servers.callOne", "who", to="serverA") == "serverA"
        redis.command("CONFIG", "SET", "requirepass", "s3cr3t")
        await one.process.says("has joined")
        await one.isWell()
        assert "s3cr3t" not in one.process.output
        await one.stop()
