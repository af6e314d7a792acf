"""
One node on a hub: what is wanted, what waits, and what became of everything.
"""

from __future__ import annotations

from random import Random

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from twisted_crossws.bus.backlog import Backlog
from twisted_crossws.bus.hubholder import HubHolder
from twisted_crossws.bus.hubline import HubLine
from twisted_crossws.bus.hubnames import HubNames
from twisted_crossws.bus.hubseat import Seat
from twisted_crossws.bus.hubsent import HubSent
from twisted_crossws.bus.waiting import Entry, WaitingQueue
from twisted_crossws.errors import BusUnavailable
from twisted_crossws.interfaces import HealthChange, IBusLink, IBusReceiver, Role, Told
from twisted_crossws.wire import hubframes
from twisted_crossws.wire.hubframes import KIND, MESSAGE, BadFrame, frame, readMessage, readPacket
from twisted_crossws.wire.packets import MAX_PACKET_SIZE

_log = Logger()

#: Seconds for which nothing is published on a new hub while some are missing who were on the former one, so that they
#: hear it. All look for the new hub at the same time, so it takes a tenth of a second.
SETTLING = 0.25

#: Seconds that a hub has, when the node stops, to confirm what was published.
DRAIN_TIMEOUT = 0.5


@implementer(IBusLink)
class HubLink:
    """
    One node on a hub, by one connection. As publisher it is healthy while there is a hub, as subscriber once
    everything that is wanted is confirmed.

    @ivar heardUntil: the time by the clock until which it has certainly heard everything: when the last ping was sent
        that the hub has answered, or the subscriptions were asked for, if that was later.
    """

    # Somebody may just have come, and not been told of yet.
    isAlone = False
    refusesNames = False

    def __init__(
        self,
        receiver: IBusReceiver,
        seat: Seat,
        holder: HubHolder,
        *,
        waiting: WaitingQueue,
        clock: IReactorTime,
        counters: dict[str, int],
        random: Random,
        pingInterval: float,
        pingTimeout: float,
    ) -> None:
        self._receiver = receiver
        self._url = seat.shown
        self._holder = holder
        self._clock = clock
        self._counters = counters
        self._isStopped = False
        self._isRunning = False
        self._isOpen = False
        self._hearsAll = False
        self._wanted: dict[bytes, str] = {}
        self._hears: set[bytes] = set()
        self._asked: dict[bytes, int] = {}
        self._restoring: set[bytes] = set()
        self._subscribing: dict[bytes, list[Deferred[None]]] = {}
        self._names = HubNames(receiver.serverName, clock, self._gone)
        self._waiting = Backlog(waiting, clock, counters, carrier="hub")
        self._settling: IDelayedCall | None = None
        self._reasons: set[str] = set()
        self._wasReady = False
        self._wasHealthy = False
        self._askedAt = 0.0
        self.heardUntil = clock.seconds()
        self._line = HubLine(
            receiver.serverName,
            seat,
            holder,
            user=self,
            clock=clock,
            random=random,
            pingInterval=pingInterval,
            pingTimeout=pingTimeout,
        )
        self._sent = HubSent(self._line, clock, counters)

    @property
    def isHealthy(self) -> bool:
        return self._hearsAll

    isConnected = isHealthy

    def serverNames(self) -> frozenset[str] | None:
        return self._names.all if self._line.isReady else None

    def start(self) -> Deferred[None]:
        if not self._isRunning:
            self._isStopped, self._isRunning = False, True
            self._wasReady = self._wasHealthy = False
            self._reasons.clear()
            self._line.start()
        return succeed(None)

    def stop(self) -> Deferred[None]:
        self._isStopped, self._isRunning = True, False
        self._close()
        drained = self._sent.drained(DRAIN_TIMEOUT)
        self._waiting.stop()
        why = BusUnavailable("The bus was stopped before the subscription was confirmed.")
        for channel in list(self._subscribing):
            self._notSubscribed(channel, why)
        return drained.addCallback(lambda _: self._end())

    def subscribe(self, channel: str) -> Deferred[None]:
        if self._isStopped:
            return fail(BusUnavailable("The bus is stopped."))
        key = hubframes.encoded(channel)
        if len(channel) > hubframes.MAX_CHANNEL:
            return fail(BusUnavailable(f"On a hub a channel may have {hubframes.MAX_CHANNEL} characters, not more."))
        if key in self._wanted and key in self._hears:
            return succeed(None)
        if key not in self._wanted:
            self._wanted[key] = channel
            if self._line.isReady:
                self._ask(key)
        subscribed: Deferred[None] = Deferred()
        self._subscribing.setdefault(key, []).append(subscribed)
        return subscribed

    def unsubscribe(self, channel: str) -> Deferred[None]:
        key = hubframes.encoded(channel)
        if self._wanted.pop(key, None) is not None:
            self._hears.discard(key)
            if self._line.isReady:
                self._line.send(frame(hubframes.UNSUBSCRIBE, key))
            self._notSubscribed(key, BusUnavailable("The channel was left before the subscription was confirmed."))
            self._restored(key)
        return succeed(None)

    def publish(self, channel: str, packet: bytes, expected: int = 0) -> bool:
        return self._put((channel, packet, expected))

    def publishCounted(self, channel: str, packet: bytes) -> Deferred[int]:
        count: Deferred[int] = Deferred()
        self._put((channel, packet, count))
        return count

    def publishTold(self, channel: str, packet: bytes, told: Told) -> None:
        self._put((channel, packet, told))

    def hasOtherSubscribers(self, channel: str, known: list[str]) -> Deferred[bool]:
        return fail(BusUnavailable("A hub knows the names of its servers, and does not count subscribers."))

    def addRedis(self, url: str) -> Deferred[None]:
        raise ValueError("This node is on a hub; a Redis can be added to a redisBus only.")

    def redisCount(self) -> int:
        return 0

    def healthyCount(self, role: Role) -> int:
        return int(self._line.isReady if role == "publisher" else self._hearsAll)

    def ready(self, names: frozenset[str]) -> None:
        self._counters["bus_reconnects"] += self._wasReady
        self._askedAt = self._clock.seconds()
        self._names.welcomed(names)
        self._restoring = set(self._wanted)
        for key in self._wanted:
            self._ask(key)
        self._line.send(frame(hubframes.READY))
        if self._wasReady and not self._names.isWhole:
            self._settling = self._clock.callLater(SETTLING, self._open)
        else:
            self._open()
        self._wasReady = True
        # Whoever is told may stop everything.
        self._changed("publisher", True, "connected")
        self._restored(None)

    def received(self, frames: list[bytes]) -> None:
        wanted, receive = self._wanted, self._receiver.packetReceived
        self._sent.hold()
        try:
            for data in frames:
                if data[KIND] == MESSAGE:
                    key = readMessage(data)[0]
                    channel = wanted.get(key)
                    if channel is not None and not self._isStopped:
                        try:
                            receive(channel, readPacket(data, key))
                        except Exception:
                            self._failed(channel)
                else:
                    self._control(data)
        finally:
            # The answers to what came leave together.
            self._sent.release()

    def answered(self, asked: float) -> None:
        if self._hearsAll:
            self.heardUntil = max(self.heardUntil, asked)

    def leaving(self) -> None:
        self._close()

    def writable(self) -> None:
        self._sent.flush()

    def lost(self, reason: str) -> None:
        unsent = self._close()
        self._names.pause()
        self._hears.clear()
        self._asked.clear()
        self._restoring.clear()
        wasHealthy, self._hearsAll = self._hearsAll, False
        isNews = wasHealthy or reason not in self._reasons
        self._reasons.add(reason)
        # What was given to a connection that is lost comes before everything that is published later.
        for entry in unsent:
            self._put(entry)
        self._sent.lost()
        if isNews and not self._isStopped:
            for role in ("publisher", "subscriber"):
                self._changed(role, False, reason)

    def _control(self, data: bytes) -> None:
        kind = data[KIND]
        if kind == hubframes.CONFIRMED:
            self._sent.confirmed(*hubframes.readNumbers(data))
        elif kind == hubframes.COUNTED:
            self._sent.counted(*hubframes.readNumbers(data))
        elif kind == hubframes.SUBSCRIBED:
            self._confirmed(hubframes.readName(data))
        elif kind == hubframes.JOINED:
            self._names.joined(hubframes.readText(data))
            if self._settling is not None and self._names.isWhole:
                self._settling.cancel()
                self._open()
        elif kind == hubframes.LEFT:
            self._names.left(hubframes.readText(data))
        else:
            self._line.control(data)

    def _ask(self, key: bytes) -> None:
        self._asked[key] = self._asked.get(key, 0) + 1
        self._line.send(frame(hubframes.SUBSCRIBE, key))

    def _confirmed(self, key: bytes) -> None:
        asked = self._asked.pop(key, 0)
        if not asked:
            raise BadFrame("A subscription is confirmed that nobody asked for.")
        if asked > 1:
            # It was left and wanted again since; only the last one counts.
            self._asked[key] = asked - 1
        elif key in self._wanted:
            self._hears.add(key)
            for subscribed in self._subscribing.pop(key, ()):
                subscribed.callback(None)
            self._restored(key)

    def _restored(self, key: bytes | None) -> None:
        """One less to wait for."""
        if key is not None:
            self._restoring.discard(key)
        if self._hearsAll or self._restoring or not self._line.isReady:
            return
        self._hearsAll = True
        gap = self._clock.seconds() - self.heardUntil if self._wasHealthy else None
        self._counters["bus_gaps"] += self._wasHealthy
        self._wasHealthy = True
        self.heardUntil = self._askedAt
        self._reasons.clear()
        self._changed("subscriber", True, "connected", gap)

    def _changed(self, role: Role, healthy: bool, reason: str, gap: float | None = None) -> None:
        counts = {"publisher": self.healthyCount("publisher"), "subscriber": self.healthyCount("subscriber")}
        self._receiver.healthChanged(HealthChange(self._url, role, healthy, reason, counts, gap))

    def _gone(self, name: str) -> None:
        if not self._isStopped:
            self._receiver.serverGone(name)

    def _open(self) -> None:
        """From now on it is published at once, and first what waited."""
        self._settling = None
        if self._line.isReady and not self._isStopped:
            self._isOpen = True
            for entry in self._waiting.takeAll():
                self._put(entry)

    def _close(self) -> list[Entry]:
        """
        Nothing is published for now.

        @return: what was given to the connection and could not be sent.
        """
        self._isOpen = False
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        return self._sent.close()

    def _put(self, entry: Entry) -> bool:
        if len(entry[1]) > MAX_PACKET_SIZE or len(entry[0]) > hubframes.MAX_CHANNEL:
            return self._waiting.drop(entry, "large")
        if self._isOpen:
            return self._sent.add(entry) or self._waiting.drop(entry, "full")
        if self._isStopped:
            return self._waiting.drop(entry, "stopped")
        return self._waiting.add(entry)

    def _end(self) -> Deferred[None]:
        self._names.forget()
        return self._line.stop().addCallback(lambda _: self._holder.stop())

    def _failed(self, channel: str) -> None:
        _log.failure(
            "{server}: a packet on {channel} could not be handled", server=self._receiver.serverName, channel=channel
        )

    def _notSubscribed(self, key: bytes, why: BusUnavailable) -> None:
        for subscribed in self._subscribing.pop(key, ()):
            subscribed.errback(why)
