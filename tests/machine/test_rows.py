"""
The rows of C{crossws-ctl list}, for people.
"""

from __future__ import annotations

import pytest

from twisted_crossws.machine.rows import Row, duration, table


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m 0s"),
        (3599, "59m 59s"),
        (3600, "1h 0m"),
        (86399, "23h 59m"),
        (86400, "1d 0h"),
        (10**6, "11d 13h"),
    ],
)
def test_duration(seconds: float, says: str) -> None:
    """Two units, the larger first."""
    assert duration(seconds) == says


def test_table() -> None:
    """Names stand at the left, figures at the right; what is not known is a dash."""
    rows = [
        Row(
            name="gate",
            kind="web",
            pid=7,
            address="0.0.0.0:9000",
            clients=12,
            rooms=3,
            memory=50 * 2**20,
            uptime=61,
        ),
        Row(name="game-1", state="unreachable"),
    ]
    assert table(rows).splitlines() == [
        "NAME    KIND  STATE        PID  ADDRESS       CLIENTS  ROOMS    MEMORY  UPTIME",
        "gate    web   running        7  0.0.0.0:9000       12      3  50.0 MiB   1m 1s",
        "game-1  -     unreachable    -  -                   -      -         -       -",
    ]


def test_empty() -> None:
    """Without rows there are the heads."""
    assert table([]).split()[0] == "NAME"


def test_but() -> None:
    """A row with something else in it is another row."""
    row = Row(name="a", pid=1)
    assert (row.but(state="stopping"), row.state) == (Row(name="a", pid=1, state="stopping"), "running")
