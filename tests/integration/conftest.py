"""
What integration tests are held to: no process outlives its test. And what several of them begin with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import ensureDeferred

from tests.integration.process import running
from tests.integration.redis import FaultyRedis
from tests.integration.redis import running as runningRedis


@pytest.fixture(autouse=True)
def processes(logged: list[Any]) -> Iterator[None]:
    """Ends what a failed test has left. It is set up after L{logged}, so that it is torn down before it."""
    yield
    for process in list(running):
        pytest_twisted.blockon(ensureDeferred(process.kill()))


@pytest.fixture
def redis(logged: list[Any]) -> Iterator[FaultyRedis]:
    """A Redis of the test's own."""
    with runningRedis() as redis:
        yield redis
