"""
Who else is in the cluster: servers announce themselves, and notice when one is gone.

A server says C{hello} when it has come, and whenever it may have missed something; every other answers with C{here},
which it also says by itself each C{announce_interval}. When it stops, it says C{bye}. It says none of these before its
name is its own: whoever has it in the list relies on being served. Who was silent for C{lost_after} is gone, and comes
back with its next sign of life. Node.js peers do none of this, and are in no list.

While this server is deaf itself (the bus is not healthy, the process was frozen, or its own signs of life do not come
back) the silence of others says nothing, and is not counted.

A life of a server begins once (C{serverUp}) and ends once (C{serverDown}). One that others have taken for lost and that
goes on (it was frozen, or cut off) begins another one: it notices by itself, or is told by who hears it again.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from twisted_crossws.cluster.claim import NameClaim
from twisted_crossws.cluster.identity import Identity, infoOf
from twisted_crossws.cluster.outbox import Outbox
from twisted_crossws.cluster.rollcall import RollCall
from twisted_crossws.cluster.tails import Tails
from twisted_crossws.config import NodeConfig
from twisted_crossws.interfaces import HealthChange
from twisted_crossws.state.awaited import Awaited
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.hearing import Hearing
from twisted_crossws.state.lifecycle import Lifecycle
from twisted_crossws.state.members import Members, ServerInfo
from twisted_crossws.state.peerclocks import PeerClocks
from twisted_crossws.wire.packets import Kind, Presence
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
        self._hearing = Hearing(options.announce_interval, options.lost_after)
        self._claim = NameClaim(identity, self._say, clock, counters, lifecycle)
        self._rollCall = RollCall(clock)
        tails.announce = self.announce
        self._onDown: OnDown = lambda name, reason: None
        self._onJoined: Callable[[], None] = lambda: None
        self._onEntered: Callable[[], None] = lambda: None
        self._enteredAt = 0.0
        self._lastLook = 0.0
        self._wasLate = False
        self._loops = [self._looping(self.announce), self._looping(self._look)]

    def onDown(self, listener: OnDown) -> None:
        """The one to tell when a server is gone, before the application is told."""
        self._onDown = listener

    def onJoined(self, listener: Callable[[], None]) -> None:
        """The one to tell when this server's name is its own, so that it serves others."""
        self._onJoined = listener

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
        self._enteredAt = self._clock.seconds()
        self._me.begin()

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
        self._hearing.begin(self._lastLook)
        announcing, looking = self._loops
        announcing.start(self._announceInterval, now=False)
        looking.start(LOOK_INTERVAL, now=False)
        answered = self._sayHello()
        self._onJoined()
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

    def drain(self) -> None:
        """Tell the others that this server stops soon, and is to get nothing new."""
        if not self._me.isDraining:
            self._me.isDraining = True
            if self.isJoined:
                self._say("here")

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
        if self._outbox.isAlone:
            self._hearing.needsNoVoice(self._clock.seconds())
        if self.isJoined:
            self._say("here")

    def count(self) -> int:
        """How many servers have announced themselves, this one included."""
        return len(self._members) + 1

    def everyone(self) -> frozenset[str]:
        """All servers that serve others, this one included: those that are alive, and those that drain."""
        known = self._outbox.serverNames() if self._outbox.refusesNames else None
        return self._members.names() | {self._me.name} if known is None else known

    def names(self) -> frozenset[str]:
        """All servers that are known to be alive and do not drain, this one included."""
        draining = {info.name for info in self._members if info.state == "draining"}
        return self.everyone() - draining - ({self._me.name} if self._me.isDraining else set())

    def info(self, name: str) -> ServerInfo | None:
        """What a server says of itself, or said last; C{None} for one that is not known."""
        return self._me.describe() if name == self._me.name else self._members.info(name)

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
        info = self._members.lost(name, self._clock.seconds())
        if info is not None:
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
            now = self._clock.seconds()
            self._members.excuse(now)
            self._hearing.resume(now)
            if not self._wasAway(change.gap or 0.0):
                self._say("hello")

    def heardNamesake(self) -> None:
        """A server that does not announce itself has sent something under this one's name."""
        self._claim.heardPeer()

    def received(self, said: Presence) -> None:
        """A server has said something, perhaps this one itself."""
        self._heard(said)
        if said.kind != "taken":
            self._rollCall.heard(said.incarnation, said.kind == "bye")

    def _heard(self, said: Presence) -> None:
        if self._me.isOwn(said.incarnation):
            # Its claim comes back before it is a member, and missed by anybody.
            if self.isJoined:
                self._cameBack(self._hearing.heardItself(self._clock.seconds()))
            return
        if said.senderServer == self._me.name:
            self._claim.heard(said)
        elif said.kind == "bye":
            gone = self._members.left(said.senderServer, said.incarnation, self._clock.seconds())
            if gone is not None:
                self._down(gone, "left")
        elif said.kind in ("hello", "here"):
            self._isAlive(said)
            if said.to == self._me.incarnation:
                # It had taken this server for lost.
                self._hearing.isTold(self._clock.seconds())
                self._cameBack(said.silence)

    def _isAlive(self, said: Presence) -> None:
        info = infoOf(said)
        former = self._members.get(info.name)
        news = self._members.heard(info, self._clock.seconds())
        if news.gone is not None:
            self._down(news.gone, "restarted")
        if news.lostFor is not None and self.isJoined:
            self._say("here", info.incarnation, news.lostFor)
        behind = 0.0 if said.now is None else self._peerClocks.heard(info.name, said.now, self._clock.seconds())
        if news.isUp:
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
        if info.state == "draining" and (news.isUp or former is None or former.state != "draining"):
            _log.info("{me}: {name} drains, and is to stop", me=self._me.name, name=info.name)
            self._lifecycle.fire("serverDraining", info.name)
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

    def _wasAway(self, seconds: float) -> bool:
        """This server has stood still, or was cut off, for so long."""
        away = self._hearing.away(seconds, self._clock.seconds())
        self._cameBack(away)
        return away > 0

    def _cameBack(self, away: float) -> None:
        if not away:
            return
        _log.warn(
            "{me} was away for {seconds:.1f} seconds: it stood still, or was cut off. Others may have missed it.",
            me=self._me.name,
            seconds=away,
        )
        self._me.renew()
        self._say("hello")
        self._lifecycle.fire("wasAway", away)

    def _look(self) -> None:
        now = self._clock.seconds()
        since = now - self._lastLook
        wasFrozen = since >= self._lostAfter
        self._lastLook = now
        if not self._wasLate and not wasFrozen and since >= 2 * LOOK_INTERVAL:
            # What others have said meanwhile is still to be read. The next look counts, however late it comes.
            self._wasLate = True
            self._hearing.resume(now)
            return
        self._wasLate = False
        if wasFrozen:
            self._hearing.resume(now)
            self._members.excuse(now)
            # The others have taken this one for lost. They hear that it is not, and say what they are.
            if not self._wasAway(since):
                self._say("hello")
        elif self._hearing.isDeaf(now) or not self._outbox.isHealthy:
            self._members.excuse(now)
        for info in self._members.silent(now, self._lostAfter):
            self._counters["servers_lost"] += 1
            self._down(info, "lost")

    def _say(self, kind: Kind, to: str = "", silence: float = 0.0) -> None:
        if not self._outbox.isAlone:
            self._outbox.publish(self._channel, self._presence(kind, to, silence))

    def _presence(self, kind: Kind, to: str = "", silence: float = 0.0) -> Presence:
        presence = self._me.presence(kind, to, self._clock.seconds(), silence)
        self._tails.addTo(presence)
        return presence

    def _all(self) -> list[ServerInfo]:
        """Nobody before this server hears everything, and could be answered; nor who was not heard since it started."""
        if not self.isJoined:
            return []
        others = self._members.heardSince(self._enteredAt)
        return [info for info in (self._me.describe(), *others) if info.state == "running"]

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
