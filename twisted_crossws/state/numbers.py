"""
The numbers by which receivers see what they have missed.

A server numbers what it publishes on each channel, from 1 up, as long as it lives. Who hears the channel hears the
numbers of each sender rise by one; a hole is something that did not come. What is missing at the end, no later number
shows: so senders tell the last numbers of channels that have become quiet (L{SentNumbers.tails}).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from math import inf

#: Channels whose last numbers a sender remembers; each costs about 200 bytes. Those that have been quiet for longest
#: are forgotten.
MAX_CHANNELS = 100_000

#: The first number of a channel that may have been forgotten is this many further on, so that receivers do not take the
#: difference for a hole. Numbers stay below 2^53, which every peer can read.
SERIES = 2**40

#: Channels whose last numbers are told at once: with names of 40 characters, 25 kB.
MAX_TOLD = 500

#: Senders that a receiver follows. Each costs about 500 bytes, and 200 for each channel on which it was heard.
MAX_SENDERS = 10_000

#: Holes of one sender on one channel that may wait to be filled; then the oldest one counts as missed.
MAX_HOLES = 1_000


#: Seconds for which a channel was heard before a new sender came, if its numbers are to begin with 1 there. What a
#: newcomer publishes while it comes may have been published before the channel was heard.
HEAD_START = 5.0


class SentNumbers:
    """
    The last numbers of a sender, by channel.

    A number is taken in two steps, as what cannot be encoded must not take one; and without a call, as it is done for
    every packet::

        number = fresh.get(channel) or numbers.wake(channel)    # the last one
        ...
        fresh[channel] = number + 1

    @ivar fresh: the last numbers of the channels that were published on since the last turn. It stays the same object.
    """

    def __init__(self) -> None:
        self.fresh: dict[str, int] = {}
        # By when they became quiet.
        self._quiet: dict[str, tuple[int, float]] = {}
        self._floor = 0

    def wake(self, channel: str) -> int:
        """
        A channel that is not in L{fresh} is to be published on.

        @return: its last number; 0 if there is none.
        """
        number = self.fresh[channel] = self._last(channel)
        return number

    def turn(self, now: float) -> None:
        """All channels are taken for quiet from now on, until they are published on again."""
        for channel, number in self.fresh.items():
            self._quiet[channel] = (number, now)
        self.fresh.clear()

    def tails(self, since: float) -> dict[str, int]:
        """
        The last numbers of channels that have become quiet.

        @param since: leave out those that were quiet at this time already.
        @return: by channel, those that have become so last, at most L{MAX_TOLD}.
        """
        found: dict[str, int] = {}
        for channel in reversed(self._quiet):
            number, at = self._quiet[channel]
            if at < since or len(found) == MAX_TOLD:
                break
            found[channel] = number
        return found

    def _last(self, channel: str) -> int:
        last = self._quiet.pop(channel, None)
        if last is not None:
            return last[0]
        if self._quiet and len(self._quiet) + len(self.fresh) >= MAX_CHANNELS:
            number, _ = self._quiet.pop(next(iter(self._quiet)))
            self._floor = max(self._floor, (number // SERIES + 1) * SERIES)
        return self._floor


@dataclass(frozen=True)
class Missed:
    """
    Packets that did not come.

    @ivar channel: on which they were published.
    @ivar sender: the name of the server that published them.
    @ivar count: how many.
    @ivar since: a time by the clock before which none of them was published.
    """

    channel: str
    sender: str
    count: int
    since: float


class _Hole:
    """
    Numbers that have not come yet.

    @ivar first: the first of them.
    @ivar end: the first one after them.
    @ivar due: when they count as missed.
    @ivar since: a time before which none of them was published.
    """

    __slots__ = ("due", "end", "first", "since")

    def __init__(self, first: int, end: int, due: float, since: float) -> None:
        self.first = first
        self.end = end
        self.due = due
        self.since = since


class _Track:
    """
    One sender on one channel.

    @ivar last: the highest number of which this node knows.
    @ivar since: a time before which nothing later than that was published.
    @ivar holes: in the order in which they were seen.
    @ivar lost: how many count as missed already, and are still to be told.
    @ivar lostSince: a time before which none of these was published.
    """

    __slots__ = ("channel", "holes", "last", "lost", "lostSince", "sender", "since")

    def __init__(self, channel: str, sender: str, last: int, since: float) -> None:
        self.channel = channel
        self.sender = sender
        self.last = last
        self.since = since
        self.holes: list[_Hole] = []
        self.lost = 0
        self.lostSince = inf

    def giveUp(self, hole: _Hole) -> None:
        """Nothing of it is waited for any more."""
        self.lost += hole.end - hole.first
        self.lostSince = min(self.lostSince, hole.since)


class _Sender:
    """
    @ivar heardAt: when it was heard; this is not kept up to date for every packet.
    @ivar metAt: when its first packet of all came; infinitely long ago if that was not heard.
    @ivar since: a time before which it has not published anything that matters here.
    @ivar tracks: by channel.
    """

    __slots__ = ("heardAt", "metAt", "since", "tracks")

    def __init__(self, heardAt: float) -> None:
        self.heardAt = heardAt
        self.metAt = self.since = -inf
        self.tracks: dict[str, _Track] = {}


class HeardNumbers:
    """
    What has come of every sender on every channel that this node hears, and what has not.

    A sender is followed on a channel from the first number on that is heard or told; from 1 on if it came while the
    channel was heard already. A hole counts as missed when the time of grace is over, as packets may overtake each
    other on their ways over several Redis servers.

    @ivar heardUntil: a time by the clock: whatever comes now was published after it. To be kept up to date.
    """

    def __init__(self, grace: float, seconds: Callable[[], float], holed: Callable[[], None]) -> None:
        """
        @param grace: seconds that a hole has to be filled.
        @param seconds: the clock.
        @param holed: called when there is one more hole.
        """
        self.heardUntil = seconds()
        self._grace = grace
        self._seconds = seconds
        self._hasHole = holed
        self._channels: dict[str, float] = {}
        self._senders: dict[str, _Sender] = {}
        self._holed: dict[_Track, None] = {}

    def listen(self, channel: str) -> None:
        """From now on nothing on this channel should be missed."""
        self._channels[channel] = self._seconds()

    def leave(self, channel: str) -> None:
        """This channel is not heard any more, and what it has missed of it is no concern of this node."""
        self._channels.pop(channel, None)
        for sender in self._senders.values():
            track = sender.tracks.pop(channel, None)
            if track is not None:
                self._holed.pop(track, None)

    def met(self, incarnation: str) -> None:
        """The very first packet of a sender has come."""
        sender = self._sender(incarnation)
        if sender is not None:
            sender.metAt = self._seconds()
            sender.since = self.heardUntil

    def received(self, channel: str, name: str, incarnation: str, number: int) -> None:
        """
        A packet came.

        @param name: the server that signed it.
        @param incarnation: what tells that life of the server from others.
        """
        try:
            track = self._senders[incarnation].tracks[channel]
        except KeyError:
            pass
        else:
            if number == track.last + 1:
                track.last = number
                track.since = self.heardUntil
                return
        self._unexpected(channel, name, incarnation, number, isHere=True)

    def told(self, name: str, incarnation: str, tails: Mapping[str, int], isLast: bool = False) -> None:
        """
        A server has told the last numbers of some channels.

        @param isLast: it will say nothing more.
        """
        for channel, number in tails.items():
            self._unexpected(channel, name, incarnation, number, isHere=False)
        sender = self._senders.get(incarnation)
        if sender is not None:
            sender.heardAt = -inf if isLast else self._seconds()

    def missed(self) -> list[Missed]:
        """What counts as missed by now, and did not before."""
        now = self._seconds()
        found = []
        for track in list(self._holed):
            over = list(takewhile(lambda hole: hole.due <= now, track.holes))
            if over or not track.holes:
                found.append(self._missedOf(track, over))
        return found

    def due(self) -> float | None:
        """When there will be something missed; C{None} if there is no hole."""
        dues = [track.holes[0].due if track.holes else self._seconds() for track in self._holed]
        return min(dues, default=None)

    def clear(self) -> None:
        """Forget all senders; the channels stay."""
        self._senders.clear()
        self._holed.clear()

    def forget(self, before: float) -> None:
        """Forget the senders that were not heard since, but for those that a hole is still watched of."""
        watched = {id(track) for track in self._holed}
        for incarnation, sender in list(self._senders.items()):
            if sender.heardAt < before and watched.isdisjoint(map(id, sender.tracks.values())):
                del self._senders[incarnation]

    def _unexpected(self, channel: str, name: str, incarnation: str, number: int, isHere: bool) -> None:
        """
        @param isHere: the packet of that number has come; otherwise it is known to have been published.
        """
        if channel not in self._channels or number < 1:
            return
        sender = self._sender(incarnation)
        if sender is None:
            return
        track = sender.tracks.get(channel)
        if track is None:
            isNew = self._channels[channel] <= sender.metAt - HEAD_START
            track = _Track(channel, name, 0, sender.since) if isNew else _Track(channel, name, number, self.heardUntil)
            sender.tracks[channel] = track
        if number > track.last:
            if number // SERIES == track.last // SERIES:
                self._hole(track, number if isHere else number + 1)
            track.last = number
            track.since = self.heardUntil
        elif isHere:
            self._fill(track, number)

    def _sender(self, incarnation: str) -> _Sender | None:
        sender = self._senders.get(incarnation)
        if sender is not None:
            sender.heardAt = self._seconds()
        elif len(self._senders) < MAX_SENDERS:
            sender = self._senders[incarnation] = _Sender(self._seconds())
        return sender

    def _hole(self, track: _Track, end: int) -> None:
        if end == track.last + 1:
            return
        track.holes.append(_Hole(track.last + 1, end, self._seconds() + self._grace, track.since))
        if len(track.holes) > MAX_HOLES:
            track.giveUp(track.holes.pop(0))
        self._holed[track] = None
        self._hasHole()

    def _fill(self, track: _Track, number: int) -> None:
        """A packet came late; or it came twice, or before this sender was followed, which changes nothing."""
        for index, hole in enumerate(track.holes):
            if hole.first <= number < hole.end:
                rest = [_Hole(number + 1, hole.end, hole.due, hole.since)] if number + 1 < hole.end else []
                hole.end = number
                track.holes[index : index + 1] = [hole, *rest] if hole.first < number else rest
                break
        if not track.holes and not track.lost:
            self._holed.pop(track, None)

    def _missedOf(self, track: _Track, over: list[_Hole]) -> Missed:
        for hole in over:
            track.giveUp(hole)
        del track.holes[: len(over)]
        missed = Missed(track.channel, track.sender, track.lost, track.lostSince)
        track.lost, track.lostSince = 0, inf
        if not track.holes:
            del self._holed[track]
        return missed
