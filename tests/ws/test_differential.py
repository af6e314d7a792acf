"""
The fast paths change nothing: whatever clients send and listeners do, a node with them and one without them say the
same, in the same order, and end in the same state.

For a longer run than that of the suite, without hypothesis in between, so that it has more cases each second::

    python -m tests.ws.test_differential SECONDS [FIRST]

It stops at the first difference, and prints the number of the case, and what is left of its script when all is taken
out that does not matter. FIRST is the number of the case to begin with.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.logger import globalLogBeginner

from tests.ws.compare import differences, shorter
from tests.ws.streams import Streams, frame
from tests.ws.twins import Script


@pytest.fixture(autouse=True)
def collected(logged: list[Any]) -> Iterator[None]:
    """What listeners raise on purpose is nobody's failure, also where it is logged when the garbage is collected."""
    yield
    gc.collect()
    logged.clear()


def event(name: str) -> bytes:
    return frame(1, b'{"event":"%s","callbackId":"1"}' % name.encode())


#: What long runs have found and was put right, so rare that the others may miss it.
FOUND = {
    "a heartbeat whose listener says goodbye": Script(lifecycle={"clientPing": "close"}, steps=[("read", 0, frame(1))]),
    "more after a fault, in the same read, than is read after one": Script(
        options={"max_message_size": 300},
        steps=[("read", 0, event("fault") + frame(1, b"x" * 200) * 2 + frame(8, b"\x03\xe8"))],
    ),
    "what arrives while it is told of a fault that was not read": Script(
        lifecycle={"error": "nested"}, nested=[event("echo")], steps=[("act", 0, "fault")]
    ),
    "what arrives with the handshake, raises, and is not the end": Script(
        lifecycle={"connection": "nested"}, nested=[event("panic")]
    ),
}


@pytest.mark.parametrize("script", FOUND.values(), ids=FOUND)
def test_found(script: Script) -> None:
    """What has been different once."""
    assert differences(script) == []


def test_manyCases() -> None:
    """Any stream, cut anywhere, whatever the listeners do: the same cases in each run."""
    for number in range(1000):
        assert differences(Streams(Random(number)).script()) == [], number


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(chance=st.randoms(use_true_random=False))
def test_otherCases(chance: Random) -> None:
    """The same; others in each run, looked for by somebody who knows where faults tend to hide."""
    script = Streams(chance).script()
    assert differences(script) == [], script


def main(seconds: float, first: int) -> int:
    """
    @param seconds: of CPU time.
    @return: the exit status: 1 if there was a difference.
    """
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)
    number, said = first, 0.0
    while (now := time.process_time()) < seconds:
        if now - said > 60:
            said = now
            print(f"{number - first} cases in {now:.0f} s of CPU, no difference", flush=True)
        script = Streams(Random(number)).script()
        if differences(script):
            print(f"Case {number} differs.")
            script = shorter(script)
            for difference in differences(script):
                print(difference)
            print(script)
            return 1
        number += 1
    print(f"{number - first} cases in {time.process_time():.0f} s of CPU, no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns()))
