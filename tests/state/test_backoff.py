"""When to try again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_crossws.state.backoff import ReconnectSchedule

examples = settings(deadline=None, max_examples=150)

seconds = st.floats(0.001, 1e6)
chances = st.floats(0, 1)
schedules = st.builds(ReconnectSchedule, st.integers(0, 20), seconds, seconds)


def delays(schedule: ReconnectSchedule, chance: float, attempts: int = 9) -> list[float]:
    return [schedule.delay(attempt, lambda: chance) for attempt in range(1, attempts + 1)]


class TestReconnectSchedule:
    def test_defaults(self) -> None:
        """Three quick tries 3 seconds apart, then 6, 12, 24 … seconds, up to two minutes."""
        assert delays(ReconnectSchedule(), 0.0) == [3, 3, 3, 6, 12, 24, 48, 96, 120]

    def test_jitter(self) -> None:
        """To the slow ones up to one interval is added by chance; the longest wait stays the longest."""
        assert delays(ReconnectSchedule(), 0.5) == [3, 3, 3, 7.5, 13.5, 25.5, 49.5, 97.5, 120]
        assert delays(ReconnectSchedule(), 1.0) == [3, 3, 3, 9, 15, 27, 51, 99, 120]

    def test_noQuickTries(self) -> None:
        """Without quick tries the waits double from the first one on."""
        assert delays(ReconnectSchedule(0, 1.0, 60.0), 0.0, 4) == [2, 4, 8, 16]

    def test_shortLimit(self) -> None:
        """The longest wait holds for the quick tries, too."""
        assert delays(ReconnectSchedule(2, 10.0, 4.0), 0.5, 4) == [4, 4, 4, 4]

    @pytest.mark.parametrize("attempt", [64, 70, 1100, 10**9])
    def test_forEver(self, attempt: int) -> None:
        """A client that tries for years still gets a number."""
        assert ReconnectSchedule().delay(attempt, lambda: 1.0) == 120

    @examples
    @given(schedules, st.integers(1, 30), chances)
    def test_contract(self, schedule: ReconnectSchedule, attempt: int, chance: float) -> None:
        """The first C{fastAttempts} after C{interval}, then C{interval · 2^(n−threshold)} plus up to one interval."""
        found = schedule.delay(attempt, lambda: chance)
        if attempt <= schedule.fastAttempts:
            expected = schedule.interval
        else:
            expected = schedule.interval * 2 ** (attempt - schedule.fastAttempts) + chance * schedule.interval
        assert found == pytest.approx(min(expected, schedule.longest))

    @examples
    @given(schedules, st.integers(1, 2000), chances, chances)
    def test_neverSooner(self, schedule: ReconnectSchedule, attempt: int, chance: float, later: float) -> None:
        """No wait is longer than the longest, and none is shorter than the one before it, whatever chance says."""
        wait, following = schedule.delay(attempt, lambda: chance), schedule.delay(attempt + 1, lambda: later)
        assert 0 < wait <= schedule.longest
        assert following >= wait or following == pytest.approx(wait)

    @examples
    @given(schedules, st.integers(1, 40))
    def test_chanceIsAskedForJitterAlone(self, schedule: ReconnectSchedule, attempt: int) -> None:
        """Chance is asked once for each slow wait, and never for a quick one."""
        asked: list[int] = []
        schedule.delay(attempt, lambda: asked.append(1) or 0.5)
        assert len(asked) == (attempt > schedule.fastAttempts)
