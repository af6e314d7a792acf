"""
Which channels of the bus this node hears: the first who wants one subscribes, the last one unsubscribes.

An application that asks is told within a limit of seconds, also while the bus is away: what is missing then is
completed when it is back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.wire.text import shown

_log = Logger()


class Subscriber(Protocol):
    """A link to the bus (L{IBusLink<twisted_crossws.interfaces.IBusLink>}), or what its subscriptions pass through."""

    def subscribe(self, channel: str) -> Deferred[None]: ...

    def unsubscribe(self, channel: str) -> Deferred[None]: ...


class Joined(Struct, frozen=True):
    """
    What came of joining a room, or of subscribing to a channel.

    @ivar heard: C{True}: everything that any server sends from now on is heard by this node. C{False}: what other
        servers send is missed for now, since the bus is away; when it is back, the node hears it, and C{onHealthChange}
        of C{node.bus} is told.
    """

    heard: bool


#: Either of the two; nobody can change them.
_HEARD, _UNHEARD = Joined(True), Joined(False)


class _Waiting(Struct, eq=False):
    """
    Somebody who waits.

    @ivar isWanted: for a subscription; otherwise for its end.
    @ivar isApplication: with a limit of seconds, and, for a subscription, for a L{Joined}.
    @ivar isGiven: whether C{told} has been given to whom it is for.
    """

    told: Deferred[Any]
    isWanted: bool
    isApplication: bool
    isGiven: bool = False


class Subscriptions:
    """
    What is wanted, kept in step with the bus: one operation of a channel at a time, and in the end the
    subscription is as wanted, however fast that has changed meanwhile.
    """

    def __init__(
        self, link: Subscriber, clock: IReactorTime, timeout: float, *, isConnected: Callable[[], bool]
    ) -> None:
        """
        @param timeout: seconds after which an application is told that its channel is not heard yet; 0: at once.
        @param isConnected: says whether the bus is there, so that what is subscribed is heard.
        """
        self._link = link
        self._clock = clock
        self._timeout = timeout
        self._isConnected = isConnected
        self._isPatient = True
        self._isStopped = False
        self._wanted: set[str] = set()
        self._confirmed: set[str] = set()
        self._busy: set[str] = set()
        self._waiting: dict[str, list[_Waiting]] = {}
        # Of the applications that wait for a channel, and those channels of which they were told that it is too late.
        self._timers: dict[str, IDelayedCall] = {}
        self._late: set[str] = set()
        self._dropping: dict[str, IDelayedCall] = {}

    def restart(self) -> None:
        """The bus was started, perhaps not for the first time: what it had confirmed before is still to be heard."""
        self._isPatient, self._isStopped = True, False
        self._confirmed -= self._wanted
        for channel in list(self._wanted):
            self._step(channel)

    def hurry(self) -> None:
        """
        The node is about to stop: applications are told at once what is so now, those that wait and those that will
        ask.
        """
        self._isPatient = False
        for channel in list(self._timers):
            self._tooLate(channel)

    def stop(self) -> None:
        """The bus is about to be stopped: what is still to be left is left now, and no timer remains."""
        self.hurry()
        self._isStopped = True
        for channel in list(self._dropping):
            self._dropNow(channel)

    def want(self, channel: str) -> Deferred[None]:
        """
        @return: fires when the subscription is confirmed; fails with what the bus says if it cannot be had.
        """
        self._want(channel)
        return self._wait(channel, isApplication=False)

    def ask(self, channel: str) -> Deferred[Joined]:
        """
        As L{want}, for an application. A failure that it does not listen to is logged once, and not once more as one
        that nobody has handled.

        @return: fires with what is so when the subscription is confirmed, or when it is too late.
        """
        self._want(channel)
        if channel in self._confirmed and channel not in self._busy:
            # As for all but the first member of a namespace. A bus that is away restores it when it is back.
            return succeed(_HEARD if self._isConnected() else _UNHEARD)
        return self._wait(channel, isApplication=True)

    def drop(self, channel: str) -> Deferred[None]:
        """
        It is not wanted any more, says an application.

        @return: fires when the bus has been told, or cannot be told now; fails with what the bus says to that.
        """
        self._wanted.discard(channel)
        return self._wait(channel, isApplication=True)

    def dropLater(self, channel: str, seconds: float) -> None:
        """It is not wanted any more, unless it is wanted again within so many seconds."""
        if channel in self._dropping:
            return
        if seconds > 0 and not self._isStopped:
            self._dropping[channel] = self._clock.callLater(seconds, self._dropNow, channel)
        else:
            self._dropUnheard(channel)

    def _want(self, channel: str) -> None:
        self._wanted.add(channel)
        if channel in self._dropping:
            self._dropping.pop(channel).cancel()

    def _dropNow(self, channel: str) -> None:
        timer = self._dropping.pop(channel)
        if timer.active():
            timer.cancel()
        self._dropUnheard(channel)

    def _dropUnheard(self, channel: str) -> None:
        self._wanted.discard(channel)
        # Nobody waits for it; if it cannot be left, the log says so.
        self._wait(channel, isApplication=False).addErrback(lambda _: None)

    def _wait(self, channel: str, isApplication: bool) -> Deferred[Any]:
        waiting = _Waiting(Deferred(), channel in self._wanted, isApplication)
        self._waiting.setdefault(channel, []).append(waiting)
        self._step(channel)
        if isApplication and not waiting.told.called:
            self._limit(channel)
        waiting.isGiven = True
        return waiting.told

    def _limit(self, channel: str) -> None:
        """No application waits for too long. Once it is too late for one, it is for all who come after it."""
        if channel in self._late or not (self._isPatient and self._timeout):
            self._tooLate(channel)
        elif channel not in self._timers:
            self._timers[channel] = self._clock.callLater(self._timeout, self._tooLate, channel)

    def _tooLate(self, channel: str) -> None:
        self._endTimer(channel)
        waiting = self._waiting.pop(channel, [])
        if left := [each for each in waiting if not each.isApplication]:
            self._waiting[channel] = left
        if self._isPatient and not self._late and channel in self._wanted:
            _log.warn(
                "the channel {channel} is not subscribed after {seconds:g} seconds: what other servers send on it is "
                "missed until the bus is back",
                channel=shown(channel),
                seconds=self._timeout,
            )
        self._late.add(channel)
        for each in waiting:
            if each.isApplication:
                self._tell(each, isHeard=False)

    def _endTimer(self, channel: str) -> None:
        timer = self._timers.pop(channel, None)
        if timer is not None and timer.active():
            timer.cancel()

    def _tell(self, waiting: _Waiting, isHeard: bool) -> None:
        isAsked = waiting.isApplication and waiting.isWanted
        waiting.told.callback((_HEARD if isHeard else _UNHEARD) if isAsked else None)

    def _step(self, channel: str) -> None:
        if channel in self._busy:
            return
        if (channel in self._wanted) == (channel in self._confirmed):
            self._settled(channel)
            return
        self._busy.add(channel)
        subscribing = channel in self._wanted
        change = self._link.subscribe if subscribing else self._link.unsubscribe
        done: Deferred[None] = maybeDeferred(change, channel)
        done.addCallback(self._done, channel, subscribing).addErrback(self._failed, channel, subscribing)

    def _done(self, _: object, channel: str, subscribed: bool) -> None:
        self._busy.discard(channel)
        (self._confirmed.add if subscribed else self._confirmed.discard)(channel)
        self._step(channel)

    def _failed(self, failure: Failure, channel: str, subscribing: bool) -> None:
        self._busy.discard(channel)
        self._confirmed.discard(channel)
        if not self._isStopped:
            _log.warn(
                "the channel {channel} could not be {done}: {reason}",
                channel=shown(channel),
                done="subscribed" if subscribing else "left",
                reason=failure.getErrorMessage(),
            )
        for each in self._ended(channel):
            # Who wants it to end has what it wants, if it never began.
            if subscribing and not each.isWanted:
                each.told.callback(None)
                continue
            each.told.errback(failure)
            if each.isApplication and each.isWanted and each.isGiven:
                # By now all have heard it who listen.
                each.told.addErrback(lambda left: None if left is failure else left)

    def _settled(self, channel: str) -> None:
        wasLate, isHeard = channel in self._late, channel in self._confirmed
        for each in self._ended(channel):
            self._tell(each, isHeard)
        if wasLate and not self._late:
            _log.info("all channels are subscribed for which the bus was late")

    def _ended(self, channel: str) -> list[_Waiting]:
        """
        Nothing is to be done about a channel any more.

        @return: who waited for that.
        """
        self._endTimer(channel)
        self._late.discard(channel)
        return self._waiting.pop(channel, [])
