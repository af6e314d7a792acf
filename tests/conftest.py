"""
What every test is held to: it leaves nothing on the reactor behind, and no failure unread.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from twisted.internet import reactor as _reactor
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

reactor: Any = _reactor


def pytest_collection_finish() -> None:
    """
    Leave what was imported out of every later collection. L{logged} collects after each test, so that a failure
    nobody read is laid at the door of the test that left it; on the whole heap that took 50 ms a test.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def runFolders() -> Iterator[None]:
    """Where nodes and masters find each other: nowhere outside of the tests, and nothing is left of it."""
    with TemporaryDirectory(prefix="crossws-tests-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        yield


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """
    The failures that were logged while a test ran. One that expects some takes them out of the list; whatever is
    left, or left on the reactor, fails the test.
    """
    before = set(map(id, reactor.getDelayedCalls()))
    readers = set(reactor.getReaders())
    failures: list[Any] = []

    def see(event: Any) -> None:
        # By either of Twisted's two ways of logging.
        failure = event.get("log_failure") or event.get("failure")
        if failure is not None:
            failures.append(failure)

    globalLogPublisher.addObserver(see)
    yield failures
    gc.collect()
    globalLogPublisher.removeObserver(see)
    left = [call for call in reactor.getDelayedCalls() if call.active() and id(call) not in before]
    for call in left:
        call.cancel()
    opened = [
        reader for reader in reactor.getReaders() if reader not in readers and "Waker" not in type(reader).__name__
    ]
    assert not left and not opened and not failures, (left, opened, failures)
