"""When to try again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_crossws.state.backoff import LONGEST_HINT, ReconnectSchedule, hintOf

examples = settings(deadline=None, max_examples=150)

seconds = st.floats(0.001, 1e6)
chances = st.floats(0, 1)
schedules = st.builds(ReconnectSchedule, st.integers(0, 20), seconds, seconds)


def delays(schedule: ReconnectSchedule, chance: float, attempts: int = 9) -> list[float]:
    return [schedule.delay(attempt, lambda: chance) for attempt in range(1, attempts + 1)]


class TestReconnectSchedule:
    def test_defaults(self) -> None:
        """Three quick tries after up to 3 seconds each, then 6, 12, 24 … and up to 3 more, up to two minutes."""
        assert delays(ReconnectSchedule(), 0.0) == [3, 3, 3, 9, 15, 27, 51, 99, 120]

    def test_jitter(self) -> None:
        """By chance each is up to one interval shorter, from the first one to the longest."""
        assert delays(ReconnectSchedule(), 0.5) == [1.5, 1.5, 1.5, 7.5, 13.5, 25.5, 49.5, 97.5, 118.5]
        assert delays(ReconnectSchedule(), 1.0) == [0, 0, 0, 6, 12, 24, 48, 96, 117]

    @examples
    @given(schedules, st.integers(1, 40))
    def test_spread(self, schedule: ReconnectSchedule, attempt: int) -> None:
        """Clients do not wait equally long, whatever the attempt: chance moves each wait within one interval."""
        latest, half = schedule.delay(attempt, lambda: 0.0), schedule.delay(attempt, lambda: 0.5)
        assert latest - half == pytest.approx(min(schedule.interval, latest) / 2, rel=1e-3, abs=1e-9)

    def test_noQuickTries(self) -> None:
        """Without quick tries the waits double from the first one on."""
        assert delays(ReconnectSchedule(0, 1.0, 60.0), 1.0, 4) == [2, 4, 8, 16]

    def test_shortLimit(self) -> None:
        """The longest wait holds for the quick tries, too."""
        assert delays(ReconnectSchedule(2, 10.0, 4.0), 0.0, 4) == [4, 4, 4, 4]
        assert delays(ReconnectSchedule(2, 10.0, 4.0), 0.5, 4) == [2, 2, 2, 2]

    @pytest.mark.parametrize("attempt", [64, 70, 1100, 10**9])
    def test_forEver(self, attempt: int) -> None:
        """A client that tries for years still gets a number."""
        assert ReconnectSchedule().delay(attempt, lambda: 0.0) == 120

    @examples
    @given(schedules, st.integers(1, 30), chances)
    def test_contract(self, schedule: ReconnectSchedule, attempt: int, chance: float) -> None:
        """The first C{fastAttempts} within C{interval}, then C{interval · 2^(n−threshold)} plus up to one interval."""
        found = schedule.delay(attempt, lambda: chance)
        if attempt <= schedule.fastAttempts:
            least = 0.0
        else:
            least = schedule.interval * 2 ** (attempt - schedule.fastAttempts)
        latest = min(least + schedule.interval, schedule.longest)
        assert found == pytest.approx(latest - chance * min(schedule.interval, latest), abs=1e-9)

    @examples
    @given(schedules, st.integers(1, 2000), chances)
    def test_neverSooner(self, schedule: ReconnectSchedule, attempt: int, chance: float) -> None:
        """No wait is longer than the longest, and for equal chances none is shorter than the one before it."""
        wait, following = schedule.delay(attempt, lambda: chance), schedule.delay(attempt + 1, lambda: chance)
        assert 0 <= wait <= schedule.longest
        assert following >= wait or following == pytest.approx(wait)

    @examples
    @given(schedules, st.integers(1, 40), st.floats(0, 60))
    def test_hint(self, schedule: ReconnectSchedule, attempt: int, hint: float) -> None:
        """What the server wants takes the place of it all, but for the longest wait, the application's word."""
        assert schedule.delay(attempt, lambda: 0.5, hint) == min(hint, schedule.longest)


class TestHint:
    @pytest.mark.parametrize(
        ("reason", "expected"),
        [
            ("retry-after=1.5", 1.5),
            ("retry-after=0", 0.0),
            ("retry-after=60", 60.0),
            ("the node is restarted; retry-after=2.25", 2.25),
            ("retry-after=61", LONGEST_HINT),
            ("retry-after=" + "9" * 100, LONGEST_HINT),
            ("retry-after=3.", 3.0),
            ("", None),
            ("retry-after=", None),
            ("retry-after=soon", None),
            ("retry-after=-1", None),
            ("retry-after=nan", None),
            ("retry-after=inf", None),
            ("retry-after=.5", None),
            ("retry-after=\u0663", None),
            ("noretry-after=1", None),
        ],
    )
    def test_reason(self, reason: str, expected: float | None) -> None:
        """Seconds from 0 to 60 are read from the reason; what is no such number is no hint."""
        assert hintOf(1012, reason) == expected

    @pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1013, 4012])
    def test_code(self, code: int) -> None:
        """It counts with 1012 alone."""
        assert hintOf(code, "retry-after=1.5") is None

    @examples
    @given(st.text(max_size=123))
    def test_anything(self, reason: str) -> None:
        """A peer may say what it likes."""
        assert hintOf(1012, reason) is None
        hint = hintOf(1012, f"retry-after=1{reason}")
        assert hint is not None and 1 <= hint <= LONGEST_HINT
