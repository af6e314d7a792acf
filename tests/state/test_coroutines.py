"""Coroutines of an application, under asyncio's reactor and under others."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import Any
from weakref import ref

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, inlineCallbacks, succeed
from twisted.python.failure import Failure

from twisted_crossws.state import coroutines
from twisted_crossws.state.coroutines import begin, deferredOf, explained, startCoroutine
from twisted_crossws.state.deliver import Gathering, notify

variable: ContextVar[str] = ContextVar("variable", default="nothing")


class Reactor:
    """As much of asyncio's reactor as is asked for."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def callLater(self, delay: float, call: Callable[..., None], *args: Any) -> None:
        self.waiting.append((call, args))

    def run(self) -> None:
        for call, args in self.waiting:
            call(*args)


@pytest.fixture
def reactor(monkeypatch: pytest.MonkeyPatch) -> Reactor:
    """The reactor is asyncio's."""
    reactor = Reactor()
    monkeypatch.setattr(coroutines, "_asyncioReactor", reactor)
    return reactor


@pytest.fixture
def loop(reactor: Reactor) -> Iterator[asyncio.AbstractEventLoop]:
    """Its loop."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


Run = Callable[[Callable[[], Awaitable[Any]]], Any]


@pytest.fixture
def run(loop: asyncio.AbstractEventLoop) -> Run:
    """Run a test in the loop; nothing may be told to the loop's handler of exceptions, or be left in it."""

    def run(test: Callable[[], Awaitable[Any]]) -> Any:
        told: list[Any] = []
        loop.set_exception_handler(lambda loop, context: told.append(context))

        async def whole() -> Any:
            result = await test()
            await turns()
            assert asyncio.all_tasks() == {asyncio.current_task()}
            return result

        result = loop.run_until_complete(whole())
        gc.collect()
        assert told == []
        return result

    return run


async def turns() -> None:
    """What is ready runs."""
    for _ in range(5):
        await asyncio.sleep(0)


async def outcome(deferred: Deferred[Any]) -> Any:
    """What a Deferred has fired with; it must have, after some turns."""
    found: list[Any] = []
    deferred.addBoth(found.append)
    await turns()
    assert found, "It has not fired."
    return found[0]


class TestAsyncio:
    def test_both(self, run: Run) -> None:
        """A coroutine awaits asyncio's awaitables and Deferreds alike, one after the other."""

        async def listener(later: Deferred[str]) -> list[Any]:
            assert asyncio.current_task() is not None
            found = [await succeed(1), await later]
            await asyncio.sleep(0)
            found.append(await asyncio.wait_for(asyncio.sleep(0, "slept"), 5))
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                tasks = [group.create_task(asyncio.sleep(0, number)) for number in range(2)]
            return found + [task.result() for task in tasks]

        async def test() -> Any:
            later: Deferred[str] = Deferred()
            result = begin(listener(later))
            await turns()
            later.callback("fired")
            for _ in range(3):
                await turns()
            return await outcome(result)

        assert run(test) == [1, "fired", "slept", 0, 1]

    def test_beginsAtOnce(self, run: Run) -> None:
        """
        Its first step is taken at once, so that what comes after is after it; what needs no time has its result then.
        """
        order: list[str] = []

        async def slow() -> None:
            order.append("first")
            await asyncio.sleep(0)
            order.append("third")

        async def quick() -> int:
            return 7

        async def test() -> None:
            begin(slow())
            order.append("second")
            result: list[Any] = []
            begin(quick()).addCallback(result.append)
            assert result == [7]

        run(test)
        assert order == ["first", "second", "third"]

    def test_inEachOther(self, run: Run) -> None:
        """One may be begun while another one runs; each sees its own task."""
        seen: list[Any] = []

        async def inner() -> None:
            seen.append(asyncio.current_task())
            await asyncio.sleep(0)
            seen.append(asyncio.current_task())

        async def outer() -> None:
            seen.append(asyncio.current_task())
            begin(inner())
            seen.append(asyncio.current_task())

        async def test() -> None:
            await outcome(begin(outer()))
            own = asyncio.current_task()
            assert own not in seen and seen[0] is seen[2] and seen[1] is seen[3] is not seen[0]

        run(test)

    def test_atOnceWithATimeLimit(self, run: Run) -> None:
        """A time limit that is begun in the first step counts."""

        async def listener(never: Deferred[None]) -> str:
            try:
                async with asyncio.timeout(0):
                    await never
            except TimeoutError:
                return "late"
            return "never"

        cancelled: list[Any] = []

        async def test() -> Any:
            return await outcome(begin(listener(Deferred(cancelled.append))))

        assert run(test) == "late"
        assert len(cancelled) == 1

    def test_sharedFuture(self, run: Run) -> None:
        """Two may wait for the same future."""

        async def listener(future: asyncio.Future[int]) -> int:
            return await future

        async def test() -> Any:
            future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            results = [begin(listener(future)) for _ in range(2)]
            await turns()
            future.set_result(3)
            return [await outcome(result) for result in results]

        assert run(test) == [3, 3]

    def test_failures(self, run: Run) -> None:
        """What it raises, at once or later, and what it awaits fails with, is what its Deferred fails with."""

        async def atOnce() -> None:
            raise KeyError("at once")

        async def later() -> None:
            await asyncio.sleep(0)
            raise KeyError("later")

        async def ofDeferred(failing: Deferred[None]) -> None:
            await failing

        async def ofFuture() -> None:
            future = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(future.set_exception, KeyError("of a future"))
            await future

        async def test() -> Any:
            failing: Deferred[None] = Deferred()
            begun = [
                begin(each)
                for each in (atOnce(), later(), ofDeferred(fail(KeyError("old"))), ofDeferred(failing), ofFuture())
            ]
            await turns()
            failing.errback(KeyError("new"))
            return [(await outcome(each)).value.args[0] for each in begun]

        assert run(test) == ["at once", "later", "old", "new", "of a future"]

    def test_failureIsCaught(self, run: Run) -> None:
        """It may catch what a Deferred fails with, and go on."""

        @inlineCallbacks
        def failing() -> Any:
            yield succeed(None)
            raise KeyError("so")

        async def listener() -> str:
            try:
                await failing()
            except KeyError:
                await asyncio.sleep(0)
                return "caught"
            return "not raised"

        async def test() -> Any:
            return await outcome(begin(listener()))

        assert run(test) == "caught"

    def test_context(self, run: Run) -> None:
        """It has a copy of its caller's context variables, keeps its own, and changes nobody else's."""
        variable.set("of the caller")
        seen: list[str] = []

        async def listener(later: Deferred[None]) -> None:
            seen.append(variable.get())
            variable.set("its own")
            await later
            seen.append(variable.get())
            await asyncio.sleep(0)
            seen.append(variable.get())

        async def test() -> None:
            later: Deferred[None] = Deferred()
            result = begin(listener(later))
            assert variable.get() == "of the caller"
            await turns()
            variable.set("another")
            later.callback(None)
            await outcome(result)

        run(test)
        assert seen == ["of the caller", "its own", "its own"]

    @pytest.mark.parametrize("late", [False, True], ids=["at once", "a turn later"])
    def test_cancelDeferred(self, run: Run, late: bool) -> None:
        """Cancelling it cancels the Deferred that it waits for, and it may clean up."""
        cancelled: list[Any] = []
        order: list[str] = []

        async def listener() -> None:
            try:
                await Deferred(cancelled.append)
            except asyncio.CancelledError:
                order.append("told")
                await asyncio.sleep(0)
                order.append("cleaned up")
                raise

        async def test() -> Any:
            result = begin(listener())
            if late:
                await turns()
            result.cancel()
            return await outcome(result)

        assert run(test).check(CancelledError)
        assert len(cancelled) == 1 and order == ["told", "cleaned up"]

    @pytest.mark.parametrize("late", [False, True], ids=["at once", "a turn later"])
    def test_cancelFuture(self, run: Run, late: bool) -> None:
        """So it is with a future."""

        async def test() -> Any:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            async def listener() -> None:
                await future

            result = begin(listener())
            if late:
                await turns()
            result.cancel()
            failure = await outcome(result)
            assert late is future.cancelled()
            return failure

        assert run(test).check(CancelledError)

    def test_failsAfterCancel(self, run: Run, logged: list[Failure]) -> None:
        """A failure after it was cancelled is logged, as nobody waits for it."""

        async def listener() -> None:
            try:
                await Deferred()
            finally:
                raise KeyError("while cleaning up")

        async def test() -> Any:
            result = begin(listener())
            result.cancel()
            return await outcome(result)

        assert run(test).check(CancelledError)
        assert [failure.type for failure in logged] == [KeyError]
        logged.clear()

    def test_cancelsItself(self, run: Run) -> None:
        """One that is cancelled in another way fails with Twisted's CancelledError, too."""

        async def atOnce() -> None:
            raise asyncio.CancelledError

        async def later() -> None:
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
            await asyncio.sleep(5)

        async def test() -> Any:
            return [(await outcome(begin(each))).type for each in (atOnce(), later())]

        assert run(test) == [CancelledError, CancelledError]

    def test_cancelsItselfAndEnds(self, run: Run) -> None:
        """One that has ended in its first step is not touched by what it has done to its task."""

        async def listener() -> int:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            return 1

        async def test() -> Any:
            return await outcome(begin(listener()))

        assert run(test) == 1

    def test_outsideOfTasks(self, run: Run) -> None:
        """It may be begun by a callback of the loop, as it is by the reactor, in which there is no task."""
        results: list[Deferred[Any]] = []

        async def listener() -> bool:
            await asyncio.sleep(0)
            return asyncio.current_task() is not None

        async def test() -> Any:
            asyncio.get_running_loop().call_soon(lambda: results.append(begin(listener())))
            await turns()
            return await outcome(results[0])

        assert run(test) is True

    def test_nonsense(self, run: Run) -> None:
        """What awaits nothing that can be awaited is told so."""

        class Nonsense:
            def __await__(self) -> Any:
                yield 5

        async def listener() -> None:
            await Nonsense()

        async def test() -> Any:
            return (await outcome(begin(listener()))).value

        assert "bad yield" in str(run(test))

    def test_name(self, run: Run) -> None:
        """Where asyncio shows the task, it shows whose it is."""

        async def someListener() -> str:
            return repr(asyncio.current_task())

        async def test() -> Any:
            return await outcome(begin(someListener()))

        assert "someListener" in run(test)

    def test_nothingStays(self, run: Run) -> None:
        """What has ended is freed without the collector."""

        class Marker:
            pass

        async def listener(marker: Marker) -> None:
            await asyncio.sleep(0)

        async def test() -> None:
            marker = Marker()
            mark = ref(marker)
            result = begin(listener(marker))
            del marker
            gc.disable()
            try:
                await outcome(result)
                assert mark() is None
            finally:
                gc.enable()

        run(test)

    def test_beforeTheReactorRuns(self, reactor: Reactor, loop: asyncio.AbstractEventLoop) -> None:
        """What a service begins before the reactor runs, begins with it."""

        async def work() -> str:
            return await asyncio.sleep(0, "done")

        result = startCoroutine(work())

        async def test() -> Any:
            reactor.run()
            return await outcome(result)

        assert loop.run_until_complete(test()) == "done"

    def test_cancelledBeforeTheReactorRuns(self, reactor: Reactor, loop: asyncio.AbstractEventLoop) -> None:
        """Cancelled before that, it never begins."""
        ran: list[str] = []

        async def work() -> None:
            ran.append("ran")

        result = startCoroutine(work())
        failures: list[Failure] = []
        result.addErrback(failures.append)
        result.cancel()
        reactor.run()
        assert [failure.type for failure in failures] == [CancelledError] and ran == []

    def test_returnedFuture(self, run: Run) -> None:
        """What a callable returned may be a future of asyncio, too."""

        async def test() -> Any:
            return await outcome(deferredOf(asyncio.ensure_future(asyncio.sleep(0, 5))))

        assert run(test) == 5
        assert deferredOf("plain") == "plain"


class TestOthers:
    """Where the reactor is another one, or there is none."""

    @pytest.fixture(autouse=True)
    def otherReactor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(coroutines, "_asyncioReactor", None)

    def test_deferreds(self) -> None:
        """A coroutine awaits Deferreds, and goes on in the moment in which they fire."""

        async def listener(later: Deferred[int]) -> int:
            return await later + 1

        later: Deferred[int] = Deferred()
        results: list[int] = []
        startCoroutine(listener(later)).addCallback(results.append)
        later.callback(1)
        assert results == [2]

    @pytest.mark.parametrize("kind", ["sleep", "future", "timeout", "group", "plain"])
    def test_advice(self, kind: str) -> None:
        """One that awaits something of asyncio fails with a sentence that says what to do, from whatever it came."""
        loop = asyncio.new_event_loop()

        async def listener() -> None:
            if kind == "sleep":
                await asyncio.sleep(1)
            elif kind == "future":
                await loop.create_future()
            elif kind == "timeout":
                async with asyncio.timeout(1):
                    pass
            elif kind == "group":
                async with asyncio.TaskGroup():
                    pass
            else:
                asyncio.get_running_loop()

        told: list[Failure] = []
        notify([listener], (), lambda listener, failure: told.append(failure))
        loop.close()
        (failure,) = told
        assert failure.type is RuntimeError
        assert "--reactor asyncio" in str(failure.value) and "Deferred.fromFuture" in str(failure.value)
        assert isinstance(failure.value.__cause__, RuntimeError)

    def test_adviceOfPlainListener(self) -> None:
        """So does a plain function that makes a task."""
        told: list[Failure] = []

        class Answer(Gathering):
            def listenerFailed(self, listener: Any, failure: Failure) -> None:
                told.append(failure)

            def failed(self, failure: Failure) -> None:
                told.append(failure)

        def listener() -> None:
            asyncio.get_running_loop()

        Answer().gather([listener], ())
        notify([listener], (), lambda listener, failure: told.append(failure))
        assert all("--reactor asyncio" in str(failure.value) for failure in told) and len(told) == 3

    def test_otherFailures(self) -> None:
        """Other failures stay as they are."""
        for fault in (RuntimeError("Not that."), KeyError("event loop")):
            failure = Failure(fault)
            assert explained(failure) is failure


class TestReactor:
    """Which reactor it is."""

    @pytest.fixture(autouse=True)
    def unknown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(coroutines, "_asyncioReactor", coroutines._UNKNOWN)

    async def listener(self) -> int:
        return 1

    def test_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As long as none is installed it is not known, and none is installed by asking."""
        monkeypatch.delitem(sys.modules, "twisted.internet.reactor", raising=False)
        begin(self.listener())
        assert coroutines._asyncioReactor is coroutines._UNKNOWN
        assert "twisted.internet.reactor" not in sys.modules

    def test_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another one than asyncio's is known for good."""
        monkeypatch.setitem(sys.modules, "twisted.internet.reactor", ModuleType("reactor"))
        begin(self.listener())
        assert coroutines._asyncioReactor is None

    def test_asyncio(self, monkeypatch: pytest.MonkeyPatch, loop: asyncio.AbstractEventLoop) -> None:
        """Asyncio's is known, also a class that is made from it."""
        kind = type("AsyncioSelectorReactor", (Reactor,), {"__module__": "twisted.internet.asyncioreactor"})
        reactor = type("OwnReactor", (kind,), {})()
        monkeypatch.setitem(sys.modules, "twisted.internet.reactor", reactor)
        monkeypatch.setattr(coroutines, "_asyncioReactor", coroutines._UNKNOWN)
        begin(self.listener())
        assert coroutines._asyncioReactor is reactor and len(reactor.waiting) == 1

        async def test() -> None:
            reactor.run()

        loop.run_until_complete(test())
