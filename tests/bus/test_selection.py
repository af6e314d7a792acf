"""Which of several Redis servers a packet is published on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_crossws.bus import selection as module
from twisted_crossws.bus.selection import pinned, selection

examples = settings(deadline=None, max_examples=150)


@dataclass(frozen=True)
class Redis:
    server: str
    latency: float = 0.0


def servers(count: int) -> tuple[Redis, ...]:
    return tuple(Redis(f"redis{number}:6379") for number in range(count))


channels = st.text(max_size=20)
groups = st.lists(st.text(min_size=1, max_size=10), min_size=1, max_size=6, unique=True).map(
    lambda names: tuple(Redis(name) for name in names)
)


class TestPinned:
    @examples
    @given(channel=channels, among=groups, seed=st.integers())
    def test_sameForAll(self, channel: str, among: tuple[Redis, ...], seed: int) -> None:
        """It is the same one, in whatever order the servers are named."""
        shuffled = list(among)
        Random(seed).shuffle(shuffled)
        assert pinned(channel, among) == pinned(channel, shuffled)

    @examples
    @given(channel=channels, among=groups)
    def test_movesOnlyIfItsOwnGoes(self, channel: str, among: tuple[Redis, ...]) -> None:
        """If one goes, only its own channels move; when it is back, so are they."""
        own = pinned(channel, among)
        for gone in among:
            rest = [redis for redis in among if redis != gone]
            if rest:
                assert (pinned(channel, rest) == own) == (gone != own)

    def test_fixed(self) -> None:
        """It does not change with the process, the platform or the version: nodes of every kind agree."""
        assert [pinned(f"room:{number}", servers(3)).server[5] for number in range(12)] == list(PINNED)

    def test_even(self) -> None:
        """Every one has about as many channels."""
        found = Counter(pinned(f"room:{number}", servers(4)) for number in range(4000))
        assert all(900 < count < 1100 for count in found.values())

    def test_remembered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was found out is remembered, but not for ever more channels, and not beyond a change."""
        asked: list[str] = []
        monkeypatch.setattr(module, "REMEMBERED", 3)
        monkeypatch.setattr(module, "pinned", lambda channel, among: asked.append(channel) or among[0])
        choose = selection("pinned", Random(1))
        among = servers(2)
        for channel in "aabbab":
            assert choose(channel, among) is among[0]
        assert asked == ["a", "b"]
        choose("c", among)
        choose("a", among)
        assert asked == ["a", "b", "c", "a"]
        fewer = among[1:]
        assert choose("a", fewer) is among[1]

    @examples
    @given(steps=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=30))
    def test_asIfNothingWereRemembered(self, steps: list[tuple[str, int]]) -> None:
        """Memory changes nothing."""
        groups = [servers(3), servers(2), servers(3)[1:]]
        choose = selection("pinned", Random(1))
        for channel, which in steps:
            assert choose(channel, groups[which]) is pinned(channel, groups[which])


#: Which of three each of the first twelve rooms has.
PINNED = "210122022222"


class TestOthers:
    def test_random(self) -> None:
        """C{random}: all of them, about as often, as the random source says."""
        choose = selection("random", Random(1))
        found = Counter(choose("x", servers(3)) for _ in range(3000))
        assert all(900 < count < 1100 for count in found.values())

    def test_roundRobin(self) -> None:
        """C{round-robin}: one after the other, also when their number changes."""
        choose = selection("round-robin", Random(1))
        three = servers(3)
        assert [three.index(choose("x", three)) for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]
        two = servers(2)
        assert len({choose("x", two) for _ in range(2)}) == 2

    def test_fastest(self) -> None:
        """C{fastest}: the one that answers soonest now."""
        choose = selection("fastest", Random(1))
        assert choose("x", [Redis("a", 0.3), Redis("b", 0.1), Redis("c", 0.2)]).server == "b"
        assert choose("x", [Redis("a", float("inf")), Redis("b", float("inf"))]).server == "a"

    def test_unknown(self) -> None:
        """Anything else is refused."""
        with pytest.raises(ValueError, match="'pinned', 'random', 'round-robin', 'fastest', not 'best'"):
            selection("best", Random(1))
