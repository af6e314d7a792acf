"""
Who else is in the cluster: servers announce themselves, and notice when one is gone.

A server says C{hello} when it has come, and whenever it may have missed something; every other answers with C{here},
which it also says by itself each C{announce_interval}. When it stops, it says C{bye}. Who was silent for
C{lost_after} is gone, and comes back with its next sign of life. Node.js peers do none of this, and are in no list.

While this server is deaf itself (the bus is not healthy, or the process was frozen) the silence of others says nothing,
and is not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import asdict
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from twisted_crossws.cluster.claim import NameClaim
from twisted_crossws.cluster.identity import Identity
from twisted_crossws.cluster.outbox import Outbox
from twisted_crossws.cluster.rollcall import RollCall
from twisted_crossws.cluster.tails import Tails
from twisted_crossws.config import NodeConfig
from twisted_crossws.interfaces import HealthChange
from twisted_crossws.state.awaited import Awaited
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.lifecycle import Lifecycle
from twisted_crossws.state.members import Members, ServerInfo
from twisted_crossws.state.peerclocks import PeerClocks
from twisted_crossws.wire.packets import Presence
from twisted_crossws.wire.topics import serverChannel

_log = Logger()

#: Seconds between two looks for servers that have become silent.
LOOK_INTERVAL = 0.5

#: Seconds by which the clocks of two servers differ so much that the log says so.
CLOCKS_DIFFER = 2.0

#: A server that is gone is remembered for so many times C{lost_after}: who calls it is told at once.
DEPARTED_FOR = 10

#: Called with the name of a server that is gone, and why.
OnDown = Callable[[str, str], None]


class Membership:
    """
    The other servers, and this one's place among them.

    @ivar isJoined: whether this server is a member: its name is its own, as far as it can know.
    @ivar isEntering: whether it still is to become one, or to hear who else is: it knows too little to call anybody.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        outbox: Outbox,
        channel: str,
        clock: IReactorTime,
        counters: Counters,
        lifecycle: Lifecycle,
        options: NodeConfig,
        tails: Tails,
    ) -> None:
        """
        @param identity: this server.
        @param channel: what servers announce themselves on.
        @param tails: what is said of last numbers.
        """
        self.isJoined = False
        self.isEntering = not outbox.refusesNames
        self._me = identity
        self._outbox = outbox
        self._channel = channel
        self._clock = clock
        self._counters = counters
        self._lifecycle = lifecycle
        self._tails = tails
        self._lostAfter = options.lost_after
        self._announceInterval = options.announce_interval
        self._members = Members(options.lost_after * DEPARTED_FOR)
        self._peerClocks = PeerClocks()
        self._awaited = Awaited()
        self._claim = NameClaim(identity.describe(), self._say, clock, counters, lifecycle)
        self._rollCall = RollCall(clock)
        tails.announce = self.announce
        self._onDown: OnDown = lambda name, reason: None
        self._onEntered: Callable[[], None] = lambda: None
        self._lastLook = 0.0
        self._wasLate = False
        self._loops = [self._looping(self.announce), self._looping(self._look)]

    def onDown(self, listener: OnDown) -> None:
        """The one to tell when a server is gone, before the application is told."""
        self._onDown = listener

    def onEntered(self, listener: Callable[[], None]) -> None:
        """The one to tell when this server has come in, and knows who else is there."""
        self._onEntered = listener

    @property
    def serverName(self) -> str:
        """This server's own."""
        return self._me.name

    @property
    def hears(self) -> bool:
        """Whether this server hears everything that others publish, and can publish itself."""
        return self._outbox.isHealthy

    def enter(self) -> None:
        """Begin to become a member."""
        self.isEntering = not self._outbox.refusesNames

    def claim(self) -> Deferred[None]:
        """
        Claim this server's name. Everything that a server hears must be subscribed already.

        @return: fires when nobody else has it; fails with L{NameTaken<twisted_crossws.errors.NameTaken>}.
        """
        return succeed(None) if self._outbox.refusesNames else self._claim.make()

    def join(self) -> Deferred[None]:
        """
        Be a member, under a name that was claimed.

        @return: fires when the others have said that they are here, as far as they are well; at once where the bus
            knows who is on it.
        """
        self.isJoined = True
        self._lastLook = self._clock.seconds()
        announcing, looking = self._loops
        announcing.start(self._announceInterval, now=False)
        looking.start(LOOK_INTERVAL, now=False)
        answered = self._sayHello()
        self._awaited.changed(self._all())
        return answered.addCallback(self._entered)

    def _sayHello(self) -> Deferred[None]:
        if self._outbox.refusesNames:
            self._say("hello")
            return succeed(None)
        return self._rollCall.begin(self._outbox.publishCounted(self._channel, self._presence("hello")))

    def _entered(self, _: None) -> None:
        self.isEntering = False
        self._onEntered()

    def leave(self) -> None:
        """Say goodbye, and hear nothing more."""
        self.isEntering = False
        self._claim.withdraw()
        self._rollCall.end()
        self._awaited.cancel()
        for loop in self._loops:
            if loop.running:
                loop.stop()
        if self.isJoined:
            self.isJoined = False
            self._say("bye")

    def announce(self) -> None:
        """Give a sign of life, if this server is a member."""
        if self.isJoined:
            self._say("here")

    def count(self) -> int:
        """How many servers have announced themselves, this one included."""
        return len(self._members) + 1

    def names(self) -> frozenset[str]:
        """All servers that are known to be alive, this one included."""
        known = self._outbox.serverNames() if self._outbox.refusesNames else None
        return self._members.names() | {self._me.name} if known is None else known

    def info(self, name: str) -> ServerInfo | None:
        """What a living server says of itself; C{None} for one that is not known to be alive."""
        return self._me.describe() if name == self._me.name else self._members.get(name)

    @property
    def ownChannel(self) -> str:
        """What is for this server alone comes on it."""
        return serverChannel(self._channel, self._me.name)

    def channelTo(self, name: str) -> str | None:
        """The channel that a living server hears alone; C{None} for one that has not announced itself."""
        return None if self._members.get(name) is None else serverChannel(self._channel, name)

    def toMine(self, name: str, theirs: float) -> float:
        """
        @param theirs: seconds of that server's clock.
        @return: seconds of this server's clock at that time; the same for a server that is not known.
        """
        return self._peerClocks.toMine(name, theirs)

    def channels(self) -> list[str]:
        """What each living server hears alone, this one included."""
        return [self.ownChannel, *(serverChannel(self._channel, info.name) for info in self._members)]

    def isGone(self, name: str) -> bool:
        """Whether that server had announced itself, and is gone."""
        return self._members.isDeparted(name)

    def isLost(self, name: str) -> None:
        """The bus says that this server is gone. If it is not, its next sign of life brings it back."""
        info = self._members.get(name)
        if info is not None:
            self._members.left(name, info.incarnation, self._clock.seconds())
            self._counters["servers_lost"] += 1
            self._down(info, "lost")

    def when(self, count: int, role: str | None) -> Deferred[frozenset[str]]:
        """
        @return: fires as soon as there are so many servers, this one included, of a role where one is given, with
            their names.
        """
        return self._awaited.add(count, role, self._all())

    def healthChanged(self, change: HealthChange) -> None:
        """If this server hears again, it asks what it has missed."""
        if change.healthy and change.role == "subscriber" and self.isJoined:
            self._members.excuse(self._clock.seconds())
            self._say("hello")

    def received(self, said: Presence) -> None:
        """A server has said something, perhaps this one itself."""
        self._heard(said)
        if said.kind != "taken":
            self._rollCall.heard(said.incarnation, said.kind == "bye")

    def _heard(self, said: Presence) -> None:
        if said.incarnation == self._me.incarnation:
            return
        if said.senderServer == self._me.name:
            self._claim.heard(said)
        elif said.kind == "bye":
            gone = self._members.left(said.senderServer, said.incarnation, self._clock.seconds())
            if gone is not None:
                self._down(gone, "left")
        elif said.kind in ("hello", "here"):
            self._isAlive(said)

    def _isAlive(self, said: Presence) -> None:
        info = _infoOf(said)
        former, isNew = self._members.heard(info, self._clock.seconds())
        if former is not None:
            self._down(former, "restarted")
        behind = 0.0 if said.now is None else self._peerClocks.heard(info.name, said.now, self._clock.seconds())
        if isNew:
            _log.info("{me}: {name} is here, at {at}", me=self._me.name, name=info.name, at=info.address)
            if abs(behind) >= CLOCKS_DIFFER:
                _log.warn(
                    "{me}: the clock of {name} is {seconds:.1f} seconds {way} this one's. Calls allow for that; "
                    "times in logs, and whatever compares Unix times, do not.",
                    me=self._me.name,
                    name=info.name,
                    seconds=abs(behind),
                    way="behind" if behind > 0 else "ahead of",
                )
            self._lifecycle.fire("serverUp", info.name)
            self._awaited.changed(self._all())
        if said.kind == "hello" and self.isJoined:
            self.announce()
        elif said.kind == "hello" and self.isEntering:
            # Nobody is to wait for more from this one, which is not here yet.
            self._say("claim", said.incarnation)

    def _down(self, info: ServerInfo, reason: str) -> None:
        _log.info("{me}: {name} is gone: it {reason}", me=self._me.name, name=info.name, reason=_WORDS[reason])
        self._peerClocks.forget(info.name)
        self._onDown(info.name, reason)
        self._lifecycle.fire("serverDown", info.name, reason)

    def _look(self) -> None:
        now = self._clock.seconds()
        since = now - self._lastLook
        wasFrozen = since >= self._lostAfter
        self._lastLook = now
        if not self._wasLate and not wasFrozen and since >= 2 * LOOK_INTERVAL:
            # What others have said meanwhile is still to be read. The next look counts, however late it comes.
            self._wasLate = True
            return
        self._wasLate = False
        if wasFrozen or not self._outbox.isHealthy:
            self._members.excuse(now)
        if wasFrozen:
            # The others have taken this one for lost. They hear that it is not, and say what they are.
            self._say("hello")
        for info in self._members.silent(now, self._lostAfter):
            self._counters["servers_lost"] += 1
            self._down(info, "lost")

    def _say(self, kind: Any, to: str = "") -> None:
        if not self._outbox.isAlone:
            self._outbox.publish(self._channel, self._presence(kind, to))

    def _presence(self, kind: Any, to: str = "") -> Presence:
        me = self._me.describe()
        presence = Presence(
            kind,
            me.name,
            me.incarnation,
            me.since,
            me.role,
            me.tags,
            me.address,
            me.version,
            me.clients,
            to,
            self._clock.seconds(),
        )
        self._tails.addTo(presence)
        return presence

    def _all(self) -> list[ServerInfo]:
        """Nobody is there before this server hears everything: whoever was asked could not answer it."""
        return [self._me.describe(), *self._members] if self.isJoined else []

    def _looping(self, function: Callable[[], None]) -> LoopingCall:
        def run() -> None:
            try:
                function()
            except Exception:
                _log.failure("{me}: the watch over other servers failed, and goes on", me=self._me.name)

        loop = LoopingCall(run)
        loop.clock = self._clock
        return loop


_WORDS = {"left": "said goodbye", "lost": "is not heard any more", "restarted": "was started again"}


def _infoOf(said: Presence) -> ServerInfo:
    about = asdict(said)
    for key in ("kind", "to", "now", "number", "tails", "gap"):
        del about[key]
    return ServerInfo(about.pop("senderServer"), **about)
