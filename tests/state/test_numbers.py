"""
The numbers of what is published: given by the sender, followed by the receiver.
"""

from __future__ import annotations

from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_crossws.state import numbers
from twisted_crossws.state.numbers import SERIES, HeardNumbers, Missed, SentNumbers


def publish(sent: SentNumbers, channel: str) -> int:
    """Take the next number of a channel, as whoever publishes does."""
    number = sent.fresh[channel] = (sent.fresh.get(channel) or sent.wake(channel)) + 1
    return number


class TestSent:
    @pytest.fixture
    def sent(self) -> SentNumbers:
        return SentNumbers()

    def test_eachChannel(self, sent: SentNumbers) -> None:
        """Each channel is numbered from 1 up, whatever is published on others, and however long it was quiet."""
        assert [publish(sent, channel) for channel in "xyxxy"] == [1, 1, 2, 3, 2]
        sent.turn(1.0)
        sent.turn(2.0)
        assert [publish(sent, channel) for channel in "xzy"] == [4, 1, 3]

    def test_notTaken(self, sent: SentNumbers) -> None:
        """What could not be encoded leaves no hole, also if it was the first for long."""
        assert publish(sent, "x") == 1
        sent.turn(1.0)
        assert sent.wake("x") == 1
        assert publish(sent, "x") == 2

    def test_tails(self, sent: SentNumbers) -> None:
        """Told are those channels that have become quiet, with their last numbers; what is busy shows by itself."""
        for channel in "xxy":
            publish(sent, channel)
        assert sent.tails(0.0) == {}
        sent.turn(1.0)
        assert sent.tails(0.0) == {"x": 2, "y": 1}
        publish(sent, "y")
        assert sent.tails(0.0) == {"x": 2}
        sent.turn(2.0)
        assert sent.tails(0.0) == {"x": 2, "y": 2}
        assert sent.tails(1.5) == {"y": 2}
        assert sent.tails(2.5) == {}

    def test_tailsAreBounded(self, sent: SentNumbers, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of many channels those are told that have become quiet last."""
        monkeypatch.setattr(numbers, "MAX_TOLD", 3)
        for number in range(5):
            publish(sent, str(number))
            sent.turn(float(number))
        assert sent.tails(0.0) == {"4": 1, "3": 1, "2": 1}

    def test_forgotten(self, sent: SentNumbers, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Too many channels are not remembered: the longest quiet one is forgotten, and begins a new series, which no
        receiver takes for a hole. Numbers stay below what every peer can read.
        """
        monkeypatch.setattr(numbers, "MAX_CHANNELS", 3)
        for channel in "abbc":
            publish(sent, channel)
        sent.turn(1.0)
        # No room for a fourth one.
        assert publish(sent, "d") == SERIES + 1
        assert [publish(sent, channel) for channel in "cb"] == [2, 3]
        # While all are busy there is nothing to forget.
        assert publish(sent, "a") == SERIES + 1
        sent.turn(2.0)
        assert publish(sent, "e") == 2 * SERIES + 1
        assert 8000 * SERIES < 2**53


class Heard(HeardNumbers):
    """
    With a clock.

    @ivar now: its time.
    @ivar holes: how often it has said that there is one more.
    """

    def __init__(self, *channels: str) -> None:
        self.now = 100.0
        self.holes = 0
        super().__init__(2.5, lambda: self.now, self._holed_)
        for channel in channels:
            self.listen(channel)

    def _holed_(self) -> None:
        self.holes += 1

    def come(self, *numbers: int, channel: str = "x", sender: str = "a") -> None:
        """Packets of one sender."""
        for number in numbers:
            self.received(channel, sender, f"life of {sender}", number)

    def later(self, seconds: float = 2.5) -> list[tuple[str, str, int]]:
        """What is missed after so many seconds."""
        self.now += seconds
        return [(each.channel, each.sender, each.count) for each in self.missed()]


class TestHeard:
    def test_nothingMissed(self) -> None:
        """Numbers that rise by one say that nothing is missing, each sender's on each channel for itself."""
        heard = Heard("x", "y")
        heard.come(1, 2)
        heard.come(1, channel="y")
        heard.come(7, 8, sender="b")
        heard.come(3, 4)
        assert (heard.later(100.0), heard.due(), heard.holes) == ([], None, 0)

    def test_missed(self) -> None:
        """A hole is told once, with sender, channel and how many, when the time of grace is over."""
        heard = Heard("x")
        heard.come(1, 2, 6)
        assert (heard.holes, heard.due()) == (1, 102.5)
        assert heard.later(2.4) == []
        assert heard.later(0.1) == [("x", "a", 3)]
        assert (heard.later(10.0), heard.due()) == ([], None)

    def test_lateJoiner(self) -> None:
        """Who begins to listen follows from the first number on that it hears."""
        heard = Heard("x")
        heard.come(1000, 1001)
        assert heard.later() == []

    def test_newcomer(self) -> None:
        """Of a sender that comes while a channel is heard, the first packets are missed, too."""
        heard = Heard("x", "y")
        heard.heardUntil = 104.0
        heard.now = 105.0
        heard.met("life of a")
        heard.come(3)
        heard.come(1, 2, channel="y")
        heard.now += 2.5
        assert heard.missed() == [Missed("x", "a", 2, 104.0)]
        heard.told("a", "life of a", {"x": 3, "y": 3})
        assert heard.later() == [("y", "a", 1)]

    def test_allOfANewcomer(self) -> None:
        """Also where nothing of it has come at all."""
        heard = Heard("x")
        heard.now = 105.0
        heard.met("life of a")
        heard.told("a", "life of a", {"x": 3})
        assert heard.later() == [("x", "a", 3)]

    def test_newcomerToNewChannel(self) -> None:
        """If the channel is new as well, it is followed from the first number on that is heard."""
        heard = Heard("x")
        heard.now = 104.9
        heard.met("life of a")
        heard.come(3, 4)
        assert heard.later() == []

    def test_notListening(self) -> None:
        """What comes on a channel before it is subscribed everywhere, or after it was left, is not followed."""
        heard = Heard()
        heard.come(1, 5)
        heard.listen("x")
        heard.come(7, 9)
        heard.leave("x")
        assert (heard.due(), heard.later()) == (None, [])
        heard.leave("x")
        heard.come(20)
        heard.listen("x")
        heard.come(30, 31)
        assert heard.later() == []

    def test_leftOne(self) -> None:
        """What is left says nothing of other channels."""
        heard = Heard("x", "y")
        for channel in "xy":
            heard.come(1, 3, channel=channel)
        heard.leave("y")
        assert heard.later() == [("x", "a", 1)]

    @pytest.mark.parametrize("order", [*permutations((2, 3, 4, 5))])
    def test_overtaken(self, order: tuple[int, ...]) -> None:
        """Packets that overtake each other are no hole, in whatever order they come."""
        heard = Heard("x")
        heard.come(1, *order, 6)
        assert (heard.due(), heard.later()) == (None, [])

    def test_filledInPart(self) -> None:
        """What comes late is not missed, the rest is."""
        for late, count in (((2,), 3), ((3,), 3), ((5,), 3), ((3, 4), 2), ((2, 4, 5), 1)):
            heard = Heard("x")
            heard.come(1, 6)
            heard.come(*late)
            assert heard.later() == [("x", "a", count)]

    def test_twice(self) -> None:
        """Packets that come twice confuse nobody, also while there is a hole; nor do those from before the first."""
        heard = Heard("x")
        heard.come(5, 5, 6, 5, 6, 4, 8, 8, 6, 9)
        assert heard.later() == [("x", "a", 1)]
        heard.come(9, 8, 10)
        assert heard.later() == []

    def test_eachHoleInItsTime(self) -> None:
        """A hole that was seen later is told later; what is due together is one message for each sender and channel."""
        heard = Heard("x")
        heard.come(1, 3, 5)
        heard.now += 1.0
        heard.come(9)
        assert heard.later(1.5) == [("x", "a", 2)]
        assert heard.due() == 103.5
        assert heard.later(1.0) == [("x", "a", 3)]

    def test_restarted(self) -> None:
        """Another life of a server has numbers of its own."""
        heard = Heard("x")
        heard.come(50)
        heard.received("x", "a", "another life", 1)
        heard.received("x", "a", "another life", 3)
        assert heard.later() == [("x", "a", 1)]

    def test_newSeries(self) -> None:
        """A sender that has forgotten a channel begins a new series, which is no hole."""
        heard = Heard("x")
        heard.come(5, SERIES + 1, SERIES + 2, SERIES + 4)
        assert heard.later() == [("x", "a", 1)]

    @pytest.mark.parametrize("number", [0, -1, -(2**60)])
    def test_noNumber(self, number: int) -> None:
        """Numbers that no sender gives are no numbers."""
        heard = Heard("x")
        heard.come(1, number, 2)
        assert heard.later() == []

    def test_since(self) -> None:
        """What is missed was published after the last that came before it, as far as the bus knows when that was."""
        heard = Heard("x")
        heard.heardUntil = 90.0
        heard.come(1, 2)
        heard.heardUntil = 99.0
        heard.come(4)
        heard.now += 2.5
        assert heard.missed() == [Missed("x", "a", 1, 90.0)]
        heard.come(6)
        heard.now += 2.5
        assert heard.missed() == [Missed("x", "a", 1, 99.0)]

    def test_manyHoles(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of very many holes the first ones are not watched any more, and are missed all the same."""
        monkeypatch.setattr(numbers, "MAX_HOLES", 3)
        heard = Heard("x")
        heard.come(*range(1, 20, 2))
        heard.come(2, 4)
        heard.come(14, 16, 18)
        assert heard.due() == 100.0
        assert heard.later(0.0) == [("x", "a", 6)]
        assert heard.later() == []

    def test_manyHolesInPart(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Those that are still watched then are told in their time."""
        monkeypatch.setattr(numbers, "MAX_HOLES", 2)
        heard = Heard("x")
        heard.come(1, 3, 5, 8)
        assert heard.later(2.0) == []
        assert heard.later(0.5) == [("x", "a", 4)]


class TestTold:
    def test_tail(self) -> None:
        """What a sender tells of shows what is missing at the end, and may come late as any other."""
        heard = Heard("x", "y")
        heard.come(1)
        heard.come(1, channel="y")
        heard.told("a", "life of a", {"x": 4, "y": 1, "z": 7})
        heard.come(3)
        assert heard.later() == [("x", "a", 2)]
        heard.come(5)
        assert heard.later() == []

    def test_toldTwice(self) -> None:
        """The same, told again, is nothing new; nor is what is told late."""
        heard = Heard("x")
        heard.come(1, 2)
        for number in (2, 1, 3, 3, 2):
            heard.told("a", "life of a", {"x": number})
        assert heard.later() == [("x", "a", 1)]

    def test_toldIsNotCome(self) -> None:
        """That a number was told does not fill a hole."""
        heard = Heard("x")
        heard.come(1, 4)
        heard.told("a", "life of a", {"x": 3})
        assert heard.later() == [("x", "a", 2)]

    def test_first(self) -> None:
        """A sender that was told of is followed from there on, also if nothing of it has come yet."""
        heard = Heard("x")
        heard.told("a", "life of a", {"x": 3})
        heard.come(5)
        assert heard.later() == [("x", "a", 1)]

    def test_unknown(self) -> None:
        """Who tells of nothing that is heard here is not followed."""
        heard = Heard("x")
        heard.told("a", "life of a", {"y": 3})
        heard.told("a", "life of a", {})
        assert heard._senders == {}


class TestForgetting:
    def test_silent(self) -> None:
        """Who is silent for long is forgotten, with all that was known; who tells of itself is not."""
        heard = Heard("x")
        heard.come(1)
        heard.come(1, sender="b")
        heard.now = 200.0
        heard.told("b", "life of b", {})
        heard.forget(150.0)
        heard.come(5)
        heard.come(5, sender="b")
        assert heard.later() == [("x", "b", 3)]

    def test_left(self) -> None:
        """Who has said goodbye is forgotten at once, but not before its holes were told."""
        heard = Heard("x")
        heard.come(1)
        heard.told("a", "life of a", {"x": 3}, isLast=True)
        heard.forget(0.0)
        assert heard.later() == [("x", "a", 2)]
        heard.forget(0.0)
        assert heard._senders == {}

    def test_cleared(self) -> None:
        """A node that stops forgets all, and goes on with the same channels when it is started again."""
        heard = Heard("x")
        heard.come(1, 3)
        heard.clear()
        assert (heard.due(), heard.later()) == (None, [])
        heard.come(10, 12)
        assert heard.later() == [("x", "a", 1)]

    def test_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Invented servers do not fill the memory; those that were known before are followed on."""
        monkeypatch.setattr(numbers, "MAX_SENDERS", 2)
        heard = Heard("x")
        for sender in "abcd":
            heard.met(f"life of {sender}")
            heard.come(1, 3, sender=sender)
        assert heard.later() == [("x", "a", 1), ("x", "b", 1)]


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(0, 10))
def test_exact(seed: int, count: int, reach: int) -> None:
    """
    Whatever is lost, doubled and overtaken: what is told as missed is exactly what has not come, from the first one on
    that has, as long as the last one is told.
    """
    random = Random(seed)
    sent = SentNumbers()
    heard = Heard("x")
    numbers = [publish(sent, "x") for _ in range(count)]
    come = [number for number in numbers if random.random() < 0.7 for _ in range(random.choice((1, 1, 1, 2)))]
    come = sorted(come, key=lambda number: number + random.uniform(0, reach))
    heard.come(*come)
    sent.turn(1.0)
    heard.told("a", "life of a", sent.tails(0.0))
    first = come[0] if come else count
    absent = {number for number in numbers if number > first} - set(come)
    assert sum(each for _, _, each in heard.later()) == len(absent)
