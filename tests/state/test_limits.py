"""How much is too much."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_crossws.state.limits import TokenBucket

steps = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 5)), max_size=40)


class TestTokenBucket:
    def test_burst(self) -> None:
        """So many at once, and no more."""
        bucket = TokenBucket(rate=10, burst=3, now=0.0)
        assert [bucket.take(0.0) for _ in range(5)] == [True, True, True, False, False]

    def test_rate(self) -> None:
        """Then so many each second."""
        bucket = TokenBucket(rate=2, burst=1, now=0.0)
        assert [bucket.take(at) for at in (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)] == [True, False, True, False, True, True]

    def test_pause(self) -> None:
        """However long the pause was, no more than the burst is saved up."""
        bucket = TokenBucket(rate=10, burst=2, now=0.0)
        assert [bucket.take(1000.0) for _ in range(3)] == [True, True, False]

    def test_count(self) -> None:
        """Several can be taken at once; if there is not enough, nothing is taken."""
        bucket = TokenBucket(rate=1, burst=5, now=0.0)
        assert bucket.take(0.0, 6) is False
        assert bucket.take(0.0, 4) is True
        assert bucket.take(0.0, 2) is False
        assert bucket.take(0.0, 1) is True

    def test_startsAtNow(self) -> None:
        """The time before it was made does not count."""
        bucket = TokenBucket(rate=1, burst=1, now=100.0)
        assert [bucket.take(100.0), bucket.take(100.0), bucket.take(100.5), bucket.take(101.0)] == [
            True,
            False,
            False,
            True,
        ]

    @pytest.mark.parametrize("rate", [0, -1])
    def test_noLimit(self, rate: float) -> None:
        """A rate of 0 or less is no limit."""
        bucket = TokenBucket(rate=rate, burst=0, now=0.0)
        assert all(bucket.take(0.0, 1e9) for _ in range(100))

    @settings(deadline=None, max_examples=150)
    @given(st.floats(0.01, 100), st.floats(0, 100), steps)
    def test_neverMore(self, rate: float, burst: float, takes: list[tuple[float, float]]) -> None:
        """In no span of time is more granted than the burst, and the rate times its length."""
        bucket = TokenBucket(rate, burst, 0.0)
        now = 0.0
        granted: list[tuple[float, float]] = []
        for pause, count in takes:
            now += pause
            if bucket.take(now, count):
                granted.append((now, count))
        for first, (begin, _) in enumerate(granted):
            for last in range(first, len(granted)):
                total = sum(count for _, count in granted[first : last + 1])
                assert total <= (burst + rate * (granted[last][0] - begin)) * (1 + 1e-9) + 1e-9

    @settings(deadline=None, max_examples=150)
    @given(st.floats(0.01, 100), st.floats(1, 100), st.lists(st.floats(0, 10), max_size=20))
    def test_patienceIsRewarded(self, rate: float, burst: float, pauses: list[float]) -> None:
        """Who waits long enough for one is never refused, however often it was before."""
        bucket = TokenBucket(rate, burst, 0.0)
        now = 0.0
        for pause in pauses:
            now += pause
            bucket.take(now)
        assert bucket.take(now + 1.001 / rate)
