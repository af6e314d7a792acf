"""
Running what an application writes as C{async def}: listeners, authenticators, and what a service does.

With most reactors a coroutine may await Deferreds, and Twisted steps it. With asyncio's reactor (C{twistd --reactor
asyncio}) it may await what asyncio and its libraries offer as well. These look for the Task that they run in, so the
coroutine runs in one, which steps it through L{_Steps}::

    Task ──send──▶ _Steps ──send──▶ coroutine      awaits a future    ──▶ the Task waits for it
                                                   awaits a Deferred  ──▶ the Task waits for a future in its place
                                                   returns, raises    ──▶ the Deferred that the caller has

A Task would begin a turn later. But of two messages of one client the first one is to be begun first, whatever their
listeners are: so the first step is taken at once, and the Task goes on from there.
"""

from __future__ import annotations

import re
import sys
from asyncio import AbstractEventLoop, Future, Task, current_task, get_running_loop, isfuture
from asyncio import CancelledError as TaskCancelled
from asyncio.events import _get_running_loop
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from types import CoroutineType
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger()

_UNKNOWN = object()

#: The reactor, if it is asyncio's; C{None} if it is another one; not known before there is one.
_asyncioReactor: Any = _UNKNOWN

#: What asyncio, anyio and sniffio say where there is no loop, or no Task of it.
_NO_LOOP = re.compile("event loop|await wasn't used with future|inside a task|parent task|async (library|context)")

_ADVICE = (
    "A coroutine awaited something of asyncio, and this reactor does not run its event loop ({what}). "
    "Start with twistd --reactor asyncio; Deferred.fromFuture makes a Deferred of a future where its loop runs."
)


def begin(coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    """
    Run a coroutine, up to its first wait at once. With asyncio's reactor, one that is begun before the reactor runs
    waits until it does.

    @return: fires with what the coroutine returns; fails with what it raises. Cancelling it cancels what the coroutine
        waits for.
    """
    reactor = _asyncioReactor
    if reactor is _UNKNOWN:
        reactor = _findReactor()
    if reactor is None:
        return Deferred.fromCoroutine(coroutine)
    if (loop := _get_running_loop()) is not None:
        return _Steps(coroutine, loop).begin()
    running: Deferred[Any] = Deferred()
    running.addCallbacks(lambda _: _Steps(coroutine, get_running_loop()).begin(), _closing(coroutine))
    # What is called when the reactor begins to run is called before the loop does.
    reactor.callLater(0, running.callback, None)
    return running


def startCoroutine(coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    """
    Run a coroutine of a service, as C{Deferred.fromCoroutine} does; with asyncio's reactor it may await asyncio's
    awaitables and Deferreds alike, as listeners may. Before the reactor runs, it waits until it does.

    @return: fires with what the coroutine returns; fails with what it raises. Cancelling it cancels what the coroutine
        waits for.
    """
    return begin(coroutine).addErrback(explained)


def deferredOf(result: Any) -> Any:
    """
    @return: of what an application's callable returned, a Deferred if it is a coroutine or a future of asyncio; else
        the same.
    """
    if result.__class__ is CoroutineType:
        return begin(result)
    return Deferred.fromFuture(result) if isfuture(result) else result


def explained(failure: Failure) -> Failure:
    """
    @return: the same failure, or one that says what to do if it came from awaiting something of asyncio where its loop
        does not run.
    """
    if _asyncioReactor is not None and _asyncioReactor is not _UNKNOWN:
        return failure
    if not (isinstance(failure.value, RuntimeError) and _NO_LOOP.search(str(failure.value))):
        return failure
    fault = RuntimeError(_ADVICE.format(what=failure.value))
    fault.__cause__ = failure.value
    return Failure(fault, RuntimeError, failure.getTracebackObject())


def _findReactor() -> Any:
    global _asyncioReactor
    reactor = sys.modules.get("twisted.internet.reactor")
    if reactor is None:
        return None
    kinds = {kind.__module__ for kind in type(reactor).__mro__}
    _asyncioReactor = reactor if "twisted.internet.asyncioreactor" in kinds else None
    return _asyncioReactor


def _closing(coroutine: Coroutine[Any, Any, Any]) -> Callable[[Failure], Failure]:
    def close(failure: Failure) -> Failure:
        coroutine.close()
        return failure

    return close


class _Steps(Coroutine[Any, Any, Any]):
    """
    A coroutine, as a Task can step it.

    What it waits for after its first step is kept until the Task, which begins a turn later, asks for it. It always
    ends without a result, as this goes to the Deferred; only that it was cancelled is left to the Task.
    """

    __slots__ = ("_awaited", "_coroutine", "_deferred", "_isOver", "_loop", "_outcome", "_task", "_waitsFor")

    # A Task sends and throws; nobody else has it.
    __await__ = close = None  # type: ignore[assignment]

    def __init__(self, coroutine: Coroutine[Any, Any, Any], loop: AbstractEventLoop) -> None:
        self._coroutine = coroutine
        self._loop = loop
        self._isOver = False
        self._outcome: Any = None
        # The future of the first step, and the Deferred that any step waits for.
        self._waitsFor: Any = None
        self._awaited: Deferred[Any] | None = None
        self._deferred: Deferred[Any]
        self._task: Task[Any]

    @property
    def __name__(self) -> str:
        """Of the coroutine: asyncio shows it where it shows the Task."""
        return getattr(self._coroutine, "__qualname__", repr(self._coroutine))

    def begin(self) -> Deferred[Any]:
        """
        Take the first step.

        @return: as L{begin}.
        """
        self._deferred = Deferred(self._cancel)
        context = copy_context()
        loop, caller = self._loop, current_task(self._loop)
        task = self._task = loop.create_task(self, context=context)
        if caller is not None:
            _leave_task(loop, caller)
        _enter_task(loop, task)
        try:
            waitsFor = self._waitsFor = context.run(self._step, self._coroutine.send, None)
        except (StopIteration, TaskCancelled):
            self._finish(task)
        else:
            task.add_done_callback(self._finish)
            _mark(waitsFor, False)
        finally:
            _leave_task(loop, task)
            if caller is not None:
                _enter_task(loop, caller)
        return self._deferred

    def send(self, value: Any) -> Any:
        if self._isOver:
            raise StopIteration
        waitsFor, self._waitsFor = self._waitsFor, None
        if waitsFor is not None:
            _mark(waitsFor, True)
            return waitsFor
        self._awaited = None
        return self._step(self._coroutine.send, value)

    def throw(self, *fault: Any) -> Any:
        if self._isOver:
            raise StopIteration
        awaited, self._awaited, self._waitsFor = self._awaited, None, None
        if awaited is not None:
            awaited.addErrback(_trapCancelled)
            awaited.cancel()
        return self._step(self._coroutine.throw, *fault)

    def _step(self, step: Callable[..., Any], *args: Any) -> Any:
        try:
            waitsFor = step(*args)
        except StopIteration as end:
            self._isOver, self._outcome = True, end.value
        except TaskCancelled:
            self._isOver, self._outcome = True, Failure(CancelledError())
            raise
        except BaseException:
            self._isOver, self._outcome = True, Failure()
        else:
            return self._futureOf(waitsFor) if isinstance(waitsFor, Deferred) else waitsFor
        raise StopIteration

    def _futureOf(self, awaited: Deferred[Any]) -> Future[None]:
        """What fires when the Deferred does; the coroutine fetches its result from there itself."""
        fired: Future[None] = self._loop.create_future()

        def fire(result: Any) -> Any:
            if not fired.done():
                fired.set_result(None)
            return result

        self._awaited = awaited.addBoth(fire)
        fired._asyncio_future_blocking = True
        return fired

    def _finish(self, task: Task[Any]) -> None:
        outcome, self._outcome = self._outcome, None
        del self._task  # It holds this object, which only the collector could end.
        if not self._deferred.called:
            self._deferred.callback(outcome)
        elif isinstance(outcome, Failure) and not outcome.check(CancelledError):
            _log.failure("a coroutine that was cancelled has failed", failure=outcome)

    def _cancel(self, deferred: Deferred[Any]) -> None:
        self._task.cancel()


def _mark(waitsFor: Any, isAwaited: bool) -> None:
    # A future has it from the moment in which it is awaited until the Task looks at it. That is a turn later here, and
    # meanwhile others may await the same one.
    if isfuture(waitsFor):
        waitsFor._asyncio_future_blocking = isAwaited


def _trapCancelled(failure: Failure) -> None:
    failure.trap(CancelledError)
