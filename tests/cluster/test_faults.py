"""
A cluster under faults, in any order that hypothesis finds: what clients write down of it keeps the promises.

Clients and callers write a history; the promises are checked on it, as one would check that of a cluster of machines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from twisted_crossws import BusConfig, Config, CrossWSError, HealthChange, Joined, Replies, ServerMessage
from twisted_crossws.testing import FakePeer, MemoryCluster
from twisted_crossws.wire.frames import Event

NAMES = ("serverA", "serverB", "serverC")
names = st.sampled_from(NAMES)

#: Seconds of the time-out of calls: far more than it takes to find out that a server is gone.
TIMEOUT = 20.0

#: Seconds after which a server that is dead, frozen or cut off is gone for all others.
GONE = 6.0


@dataclass
class Call:
    """
    One question to other servers.

    @ivar knewAll: the caller knew whom it asked. One that was never heard may be a peer that says nothing of itself.
    @ivar outcomes: when and how it ended; it must do so once.
    @ivar wasFrozen: the caller was, meanwhile, so that it may be late.
    @ivar isOrphan: the caller died.
    """

    caller: str
    to: list[str]
    at: float
    knewAll: bool
    outcomes: list[tuple[float, Any]] = field(default_factory=list)
    wasFrozen: bool = False
    isOrphan: bool = False


@dataclass
class Client:
    """
    Somebody in the room, on one node, until that dies.

    @ivar heard: sender and number of each message.
    @ivar since: the last message that was sent before it had joined; none that was sent after it must be missed.
    """

    server: str
    peer: FakePeer = field(init=False)
    since: int | None = None
    heard: list[tuple[str, int]] = field(default_factory=list)
    isGone: bool = False


class ClusterUnderFaults(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        # Whoever has joined is told so when it hears the room, however long that takes.
        self.cluster = MemoryCluster(config=Config(bus=BusConfig(subscribe_timeout=3600.0)))
        self.now = 1.0
        self.sent: list[tuple[str, int, frozenset[str]]] = []
        self.calls: list[Call] = []
        self.clients: list[Client] = []
        self.dead: dict[str, float] = {}
        self.frozen: set[str] = set()
        self.parted: set[str] = set()
        self.latency = 0.0
        self.upTwice: list[tuple[str, str]] = []
        self.reported: set[str] = set()
        self.lastSilence: dict[str, float] = dict.fromkeys(NAMES, -GONE)
        for name in NAMES:
            self.live(name)
        self.pass_(1.0)

    def live(self, name: str) -> None:
        """A server begins a life: it answers questions, and has one client in the room."""
        node = self.cluster.start(name)
        node.servers.on("ask", lambda message: self.answer(name, message))
        node.bus.onHealthChange(lambda change: self.healthChanged(name, change))
        begun: dict[str, set[str]] = {other: set() for other in NAMES}
        node.lifecycle.on("serverUp", lambda other: self.serverUp(name, other, begun[other]))
        node.lifecycle.on("serverDown", lambda other, reason: self.serverDown(name, other, reason))
        node.authenticate = lambda request: f"client of {name}"
        node.lifecycle.on("connection", lambda socket: node.rooms.join("chat", "1", socket.socketId).addCallback(hears))

        def hears(joined: Joined) -> None:
            client.since = len(self.sent)

        client = Client(name)
        client.peer = self.cluster.peer(name)
        self.clients.append(client)

    def answer(self, name: str, message: ServerMessage) -> Deferred[list[Any]]:
        number, seconds = message.payload
        return deferLater(self.cluster.clock(name), seconds, lambda: [name, number])  # type: ignore[arg-type]

    def serverUp(self, name: str, other: str, begun: set[str]) -> None:
        """A life of a server begins once."""
        info = self.cluster[name].servers.info(other)
        if info is None or info.incarnation in begun:
            self.upTwice.append((name, other))
        else:
            begun.add(info.incarnation)

    def serverDown(self, name: str, other: str, reason: str) -> None:
        """Nobody is taken for lost who was not silent."""
        if reason == "lost":
            now = self.cluster.clock(name).seconds()
            assert not self.awake(other) or other in self.parted or now - self.lastSilence[other] <= GONE

    def healthChanged(self, name: str, change: HealthChange) -> None:
        self.reported.add(name)

    def pass_(self, seconds: float) -> None:
        for name in {*self.dead, *self.frozen, *self.parted}:
            self.lastSilence[name] = self.now + seconds
        self.cluster.advance(seconds)
        self.now += seconds
        for client in self.clients:
            for frame in client.peer.takeFrames():
                if isinstance(frame, Event) and frame.event == "say":
                    client.heard.append(tuple(frame.payload))

    def openCalls(self, caller: str) -> list[Call]:
        return [call for call in self.calls if call.caller == caller and not call.outcomes]

    def awake(self, name: str) -> bool:
        return name not in self.dead and name not in self.frozen

    @rule(sender=names)
    def say(self, sender: str) -> None:
        """A message to the room; who was cut off at that time may miss it."""
        if self.awake(sender):
            number = len(self.sent)
            deaf = frozenset(NAMES) if sender in self.parted else frozenset(self.parted)
            self.sent.append((sender, number, deaf - {sender}))
            self.cluster[sender].clients.toRoom("chat", "1", "say", [sender, number])

    @rule(caller=names, to=st.lists(names, max_size=3, unique=True), seconds=st.sampled_from([0.0, 5.0]))
    def ask(self, caller: str, to: list[str], seconds: float) -> None:
        """A question, to which the answer takes so long."""
        if self.awake(caller):
            call, number, clock = (
                Call(caller, to, self.now, self.cluster[caller].servers.names() >= set(to)),
                len(self.calls),
                self.cluster.clock(caller),
            )
            self.calls.append(call)
            servers = self.cluster[caller].servers
            done = servers.call("ask", [number, seconds], to=to, timeout=TIMEOUT)
            done.addBoth(lambda outcome: call.outcomes.append((clock.seconds(), outcome)))

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.7, 2.0, 7.0]))
    def wait(self, seconds: float) -> None:
        self.pass_(seconds)

    @rule(name=names)
    def kill(self, name: str) -> None:
        if name not in self.dead:
            self.pass_(0.0)
            self.cluster.kill(name)
            self.dead[name] = self.now
            self.frozen.discard(name)
            self.parted.discard(name)
            for client in self.clients:
                client.isGone |= client.server == name
            for call in self.openCalls(name):
                call.isOrphan = True

    @rule(name=names)
    def restart(self, name: str) -> None:
        if name in self.dead:
            del self.dead[name]
            self.live(name)
            self.pass_(1.0)

    @rule(name=names)
    def freeze(self, name: str) -> None:
        if self.awake(name):
            self.cluster.freeze(name)
            self.frozen.add(name)
            for call in self.openCalls(name):
                call.wasFrozen = True

    @rule(name=names)
    def thaw(self, name: str) -> None:
        if name in self.frozen:
            self.frozen.discard(name)
            self.cluster.thaw(name)
            self.pass_(0.0)

    @rule(name=names)
    def part(self, name: str) -> None:
        if self.awake(name) and name not in self.parted:
            self.pass_(self.latency)
            self.cluster.partition(name)
            self.parted.add(name)
            # However short it is: what should have been heard in this moment was not.
            self.lastSilence[name] = self.now

    @rule()
    def heal(self) -> None:
        self.cluster.heal()
        self.parted.clear()
        self.pass_(0.0)

    @rule(seconds=st.sampled_from([0.0, 0.05, 1.0]))
    def delay(self, seconds: float) -> None:
        self.pass_(self.latency)
        self.latency = seconds
        self.cluster.delay(seconds)

    @invariant()
    def noDuplicates(self) -> None:
        """Nobody hears a message twice."""
        for client in self.clients:
            assert len(set(client.heard)) == len(client.heard)

    @invariant()
    def lives(self) -> None:
        """C{serverUp} is told once of each life."""
        assert self.upTwice == []

    @invariant()
    def inOrder(self) -> None:
        """What one server sends to a room, everyone there hears in that order."""
        for client in self.clients:
            for name in NAMES:
                heard = [number for sender, number in client.heard if sender == name]
                assert heard == sorted(heard)

    @invariant()
    def goneIsGone(self) -> None:
        """Six seconds after its death a server is in nobody's view who can know; a call waits for it no longer."""
        for name, diedAt in self.dead.items():
            if self.now - diedAt > GONE:
                for other in NAMES:
                    if self.awake(other) and other not in self.parted and self.sinceSilence(other) > GONE:
                        assert not self.cluster[other].servers.alive(name)
                        waiting = [call for call in self.openCalls(other) if call.to == [name] and call.at <= diedAt]
                        assert not [call for call in waiting if call.knewAll]

    def sinceSilence(self, name: str) -> float:
        return self.now - self.lastSilence[name]

    @invariant()
    def oneOutcome(self) -> None:
        """A call has one outcome, in time unless the caller itself was frozen; each reply is to this very call."""
        for number, call in enumerate(self.calls):
            assert len(call.outcomes) <= 1
            for at, outcome in call.outcomes:
                assert isinstance(outcome, Replies)
                assert at <= call.at + TIMEOUT or call.wasFrozen
                assert all(payload == [name, number] for name, payload in outcome.byServer.items())
                assert all(isinstance(error, CrossWSError) for error in outcome.errors.values())

    def teardown(self) -> None:
        """Everything is made well again; then everything must be as if nothing had been."""
        if not hasattr(self, "cluster"):
            return
        for name in list(self.frozen):
            self.thaw(name)
        self.heal()
        self.delay(0.0)
        for name in list(self.dead):
            self.restart(name)
        self.pass_(TIMEOUT)
        self.checkCalls()
        self.checkLosses()
        self.checkViews()
        self.checkLiveness()
        self.checkLeaks()

    def checkCalls(self) -> None:
        assert [call for call in self.calls if not call.outcomes and not call.isOrphan] == []

    def checkLosses(self) -> None:
        """
        Whoever lives has heard everything since it came, but for what was sent while it or the sender was cut off; and
        that has been reported.
        """
        for client in self.clients:
            assert client.isGone or client.since is not None
            for sender, number, deaf in self.sent[client.since :] if not client.isGone else ():
                if (sender, number) not in client.heard:
                    assert client.server in deaf
                    assert self.reported & {client.server, sender}

    def checkViews(self) -> None:
        for name in NAMES:
            assert self.cluster[name].servers.names() == set(NAMES)

    def checkLiveness(self) -> None:
        for name in NAMES:
            for other in NAMES:
                got: list[Any] = []
                self.cluster[name].servers.callOne("ask", [1, 0.0], to=other).addBoth(got.append)
                self.pass_(0.0)
                assert got == [[other, 1]]

    def checkLeaks(self) -> None:
        for name in NAMES:
            node = self.cluster[name]
            assert len(node.servers._requests) == 0
            assert node.rooms.members("chat", "1") == {f"client of {name}"}
            timers = len(self.cluster.clock(name).getDelayedCalls())
            assert timers <= 4, self.cluster.clock(name).getDelayedCalls()
        self.cluster.stop()
        for name in NAMES:
            assert self.cluster.clock(name).getDelayedCalls() == []


ClusterUnderFaults.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestClusterUnderFaults = ClusterUnderFaults.TestCase
