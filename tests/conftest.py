"""
What every test is held to: it leaves nothing on the reactor behind, and no failure unread. And how the whole suite is
spread over several processes.
"""

from __future__ import annotations

import gc
import importlib.metadata
import inspect
import os
import sys
from collections.abc import Iterator
from functools import cache
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

reactor: Any = _reactor

#: Processes for the whole suite. More than there are cores on a small machine, as integration tests mostly wait.
PROCESSES = 4

#: Seconds for an integration test as a whole. It takes some, even beside others; only one that hangs takes them all.
LIMIT = 180.0

# Hundreds of processes import the same modules. Each would compile them anew where the environment forbids to keep
# what was compiled: that was a third of what it costs to start a node.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# pytest asks before each test which Twisted is installed, as soon as trial is imported, and its metadata would be read
# and parsed each time: 2 ms for each of thousands of tests.
importlib.metadata.version = cache(importlib.metadata.version)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """
    Run the whole suite in several processes, unless the command says in how many. What is named on the command line is
    run in one: that starts sooner, and a debugger can be used.
    """
    option = config.option
    if "PYTEST_XDIST_WORKER" in os.environ or not config.pluginmanager.hasplugin("xdist"):
        return
    isWhole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if option.numprocesses is None and isWhole and not option.usepdb:
        option.numprocesses = PROCESSES
    if option.dist == "no":
        # Tests of a class stay together, and begin in the order of L{pytest_collection_modifyitems}.
        option.dist = "loadscope"
        option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes longest, so that no process is left alone with it at the end."""
    items.sort(key=_rank)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """End a coroutine that waits for ever as any that fails, so that it is cleaned up after and the next test runs."""
    coroutine = pyfuncitem.obj
    if inspect.iscoroutinefunction(coroutine):
        pyfuncitem.obj = lambda **values: Deferred.fromCoroutine(coroutine(**values)).addTimeout(LIMIT, reactor)


@pytest.fixture(autouse=True, scope="session")
def frozen() -> Iterator[None]:
    """
    Finds at the end what L{logged} could not find after a single test: failures in what was still held by somebody
    when that test ended.
    """
    yield
    failures: list[Any] = []

    def see(event: Any) -> None:
        failures.extend(_failuresOf(event))

    globalLogPublisher.addObserver(see)
    gc.unfreeze()
    gc.collect()
    globalLogPublisher.removeObserver(see)
    assert not failures, failures


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
        failures.extend(_failuresOf(event))

    globalLogPublisher.addObserver(see)
    # A failure that nobody read is logged when it is collected, and is to be laid at the door of the test that left
    # it. Whatever was there before the test is left out: on the whole heap, collections took half of the time of all
    # unit tests.
    gc.collect()
    gc.freeze()
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


def _rank(item: pytest.Item) -> int:
    return 0 if item.get_closest_marker("fates") else 1 if item.get_closest_marker("integration") else 2


def _failuresOf(event: Any) -> list[Any]:
    """The failure that was logged, by either of Twisted's two ways of logging."""
    failure = event.get("log_failure") or event.get("failure")
    return [] if failure is None else [failure]
