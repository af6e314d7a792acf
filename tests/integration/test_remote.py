"""
The clients of all servers, on real buses: found, moved, asked and closed from any of them, whoever dies meanwhile.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from tests.integration.cluster import Carrier, HubPath, Puppet, Raised, startPuppets
from tests.integration.process import reactor
from twisted_crossws import ReplyError

pytestmark = pytest.mark.integration

NAMES = ["serverA", "serverB", "serverC"]

#: Seconds within which a node that was killed is gone everywhere.
GONE = 6.0


@pytest.fixture(params=["redis", "hub"])
def carrier(request: pytest.FixtureRequest, tmp_path: Path) -> Carrier:
    """Each of the buses that leave the process."""
    if request.param == "hub":
        return HubPath(str(tmp_path / "hub"))
    redis: Carrier = request.getfixturevalue("redis")
    return redis


async def stop(*puppets: Puppet) -> None:
    await gatherResults([Deferred.fromCoroutine(puppet.stop()) for puppet in puppets], consumeErrors=True)


def later(puppet: Puppet, what: str, *args: Any, **kwargs: Any) -> Deferred[Any]:
    return Deferred.fromCoroutine(puppet.do(what, *args, **kwargs))


@pytest_twisted.ensureDeferred
async def test_together(carrier: Carrier, tmp_path: Path) -> None:
    """Clients of other nodes are found, moved into rooms, asked, and closed."""
    puppets = await startPuppets(tmp_path, carrier, NAMES)
    one, two, three = puppets
    found = await one.do("clients.fetch")
    assert {(each["server"], each["socketId"]) for each in found["sockets"]} == {(p.name, p.clientId) for p in puppets}
    assert found["sockets"][0]["request"]["params"]["id"] == found["sockets"][0]["socketId"]
    moved = await one.do("clients.joinAll", [["chat", "lobby"]])
    assert moved == {"count": 3, "missing": []}
    # Whoever was moved hears what is said from then on, without any wait.
    heard = [puppet.receives("say") for puppet in puppets]
    await two.do("clients.toRoom", "chat", "lobby", "say", "hi")
    assert await gatherResults(heard) == ["hi"] * 3

    def refuse(payload: Any) -> None:
        raise ReplyError("no", "No.")

    one.client.on("ask", lambda payload: payload * 2)
    two.client.on("ask", refuse)
    assert await two.do("clients.request", one.clientId, "ask", 21) == 42
    assert await one.do("clients.request", one.clientId, "ask", 21) == 42
    with pytest.raises(Raised, match="no: No") as raised:
        await one.do("clients.request", two.clientId, "ask")
    assert raised.value.kind == "RemoteError"
    with pytest.raises(Raised) as raised:
        await one.do("clients.request", "nobody", "ask", timeout=30.0)
    assert raised.value.kind == "NotConnected"
    answers = await three.do("clients.requestRoom", "chat", "lobby", "ask", 4)
    assert answers["answers"] == {one.clientId: 8, three.clientId: None}
    assert answers["errors"] == {two.clientId: "RemoteError"}
    assert not (answers["unanswered"] or answers["left"] or answers["missing"])
    assert await one.do("clients.leaveAll", [["chat", "lobby"]], of=two.clientId) == {"count": 1, "missing": []}
    closed: Deferred[Any] = Deferred()
    three.client.lifecycle.once("close", lambda code, reason: closed.callback((code, reason)))
    gone = await one.do("clients.disconnectAll", of=three.clientId, code=4010, reason="out")
    assert gone == {"count": 1, "missing": []} and await closed == (4010, "out")
    assert (await one.counters())["replies_late"] == 0
    await stop(*puppets)


@pytest_twisted.ensureDeferred
async def test_killed(carrier: Carrier, tmp_path: Path) -> None:
    """A node is killed in the middle: who asks its client, or a room, is told long before the time-out."""
    one, two, three = await startPuppets(tmp_path, carrier, NAMES)
    await one.do("clients.joinAll", [["chat", "lobby"]])
    asked: Deferred[None] = Deferred()
    two.client.on("ask", lambda payload: Deferred())
    two.client.once("ask", asked.callback)
    alone = later(one, "clients.request", two.clientId, "ask", 1, timeout=60.0)
    await asked
    room = later(three, "clients.requestRoom", "chat", "lobby", "ask", 2, timeout=60.0)
    began = reactor.seconds()
    # So that the other two have answered, and the first words of the third have come: from each server, what was asked
    # first is answered first.
    await later(three, "clients.requestRoom", "chat", "lobby", "other", 3, timeout=30.0)
    await two.kill()
    fetched = await one.do("clients.fetch", timeout=60.0)
    assert reactor.seconds() - began < GONE + 1.0
    with pytest.raises(Raised) as raised:
        await alone
    assert raised.value.kind == "NotConnected"
    answers = await room
    assert (answers["answers"], answers["missing"]) == ({one.clientId: None, three.clientId: None}, ["serverB"])
    assert answers["left"] == [two.clientId]
    assert {each["server"] for each in fetched["sockets"]} == {"serverA", "serverC"}
    assert fetched["missing"] in (["serverB"], [])
    assert reactor.seconds() - began < GONE + 1.0
    await stop(one, three)


class DeafClient:
    """A client that reads nothing after its handshake."""

    def __init__(self, port: int, socketId: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.sendall(
            b"GET /?id=%b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            % (socketId.encode(), port)
        )
        assert self._socket.recv(12) == b"HTTP/1.1 101"

    def close(self) -> None:
        self._socket.close()


@pytest_twisted.ensureDeferred
async def test_volatile(carrier: Carrier, tmp_path: Path) -> None:
    """What is volatile is not queued for a client that does not read; so it is never cut for it, and all is counted."""
    one, two = await startPuppets(tmp_path, carrier, NAMES[:2])
    deaf = await deferToThread(DeafClient, two.process.port, "deaf")
    sent = 0
    while not (counters := await two.counters())["messages_volatile_skipped"]:
        # Others get what is skipped for that one.
        got = two.receives("frame")
        await one.do("clients.volatile.broadcast", "frame", "x" * 200_000)
        await got
        sent += 1
        assert sent < 500
    before = counters["messages_sent"]
    await one.do("clients.volatile.send", "deaf", "frame", "x")
    got = two.receives("last")
    await one.do("clients.volatile.send", two.clientId, "last")
    await got
    counters = await two.counters()
    assert (counters["messages_volatile_skipped"], counters["messages_sent"] - before) == (2, 1)
    assert counters["clients_slow"] == 0 and await two.do("clients.count") == 2
    deaf.close()
    await stop(one, two)
