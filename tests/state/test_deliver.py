"""Calling listeners: one that fails harms no other, and one that takes its time is waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from twisted_crossws.state.deliver import Gathering, NoReply, call, notify

case = SynchronousTestCase()


class Broken(Exception):
    """What the listeners of these tests raise."""


def broken(*args: object) -> None:
    raise Broken("on purpose")


async def brokenCoroutine(*args: object) -> None:
    raise Broken("on purpose")


class TestCall:
    def test_plain(self) -> None:
        """The result of a plain function is returned as it is, and it got all arguments."""
        assert call(lambda *args: args, 1, "two") == (1, "two")

    def test_deferred(self) -> None:
        """A Deferred is returned as it is."""
        waiting: Deferred[int] = Deferred()
        assert call(lambda: waiting) is waiting

    def test_coroutine(self) -> None:
        """An C{async def} has begun to run, and there is a Deferred of its result."""
        waiting: Deferred[int] = Deferred()

        async def listener(number: int) -> int:
            return number + await waiting

        result = call(listener, 1)
        case.assertNoResult(result)
        waiting.callback(2)
        assert case.successResultOf(result) == 3

    def test_asyncMethod(self) -> None:
        """It does not matter what kind of callable is asynchronous."""

        class Listener:
            async def __call__(self) -> str:
                return "called"

        assert case.successResultOf(call(Listener())) == "called"

    def test_inlineCallbacks(self) -> None:
        """A generator under inlineCallbacks is waited for as any Deferred."""

        @inlineCallbacks
        def listener() -> Any:
            return (yield succeed(5))

        assert case.successResultOf(call(listener)) == 5

    def test_raises(self) -> None:
        """What a plain function raises is raised; what a coroutine raises is in its Deferred."""
        with pytest.raises(Broken):
            call(broken)
        case.failureResultOf(call(brokenCoroutine), Broken)


class TestNotify:
    def setup_method(self) -> None:
        self.failures: list[tuple[Callable[..., Any], Failure]] = []

    def notify(self, *listeners: Callable[..., Any], args: tuple[Any, ...] = ()) -> None:
        notify(listeners, args, lambda listener, failure: self.failures.append((listener, failure)))

    def test_order(self) -> None:
        """All are called with the arguments, in order."""
        called: list[tuple[int, str]] = []
        self.notify(lambda text: called.append((1, text)), lambda text: called.append((2, text)), args=("hi",))
        assert called == [(1, "hi"), (2, "hi")]
        assert self.failures == []

    @pytest.mark.parametrize("listener", [broken, brokenCoroutine, lambda: fail(Broken())])
    def test_failure(self, listener: Callable[..., Any]) -> None:
        """One that fails is reported with its failure, and the next ones run."""
        called: list[int] = []
        self.notify(lambda: called.append(1), listener, lambda: called.append(2))
        assert called == [1, 2]
        [(culprit, failure)] = self.failures
        assert culprit is listener
        assert failure.check(Broken)

    def test_lateFailure(self) -> None:
        """Who takes its time holds nobody up, and if it fails in the end, that is reported, for the right one."""
        waits: list[Deferred[None]] = [Deferred(), Deferred()]
        listeners = [lambda: waits[0], lambda: waits[1]]
        self.notify(*listeners)
        assert self.failures == []
        waits[1].errback(Broken())
        waits[0].callback(None)
        [(culprit, failure)] = self.failures
        assert culprit is listeners[1]
        assert failure.check(Broken)

    def test_exits(self) -> None:
        """What ends the process is not taken for a listener's failure."""

        def leave() -> None:
            raise SystemExit

        with pytest.raises(SystemExit):
            self.notify(leave)


class Recording(Gathering):
    """Writes down what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[Any, ...]] = []

    def answered(self, value: Any) -> None:
        self.told.append(("answered", value))

    def declined(self) -> None:
        self.told.append(("declined",))

    def failed(self, failure: Failure) -> None:
        self.told.append(("failed", str(failure.value)))

    def listenerFailed(self, listener: Callable[..., Any], failure: Failure) -> None:
        self.told.append(("listenerFailed", listener, str(failure.value)))

    def finished(self) -> None:
        self.told.append(("finished",))


def gathered(*listeners: Callable[..., Any]) -> list[tuple[Any, ...]]:
    recording = Recording()
    recording.gather(listeners, ())
    return recording.told


class TestGathering:
    def test_nobody(self) -> None:
        """Without listeners there is no answer."""
        assert gathered() == [("declined",), ("finished",)]

    def test_declined(self) -> None:
        """If all decline, there is none, and not before the last one has done so."""
        waiting: Deferred[Any] = Deferred()
        told = gathered(lambda: waiting, lambda: NoReply)
        assert told == []
        waiting.callback(NoReply)
        assert told == [("declined",), ("finished",)]

    def test_shown(self) -> None:
        """It is shown as what a listener returns."""
        assert repr(NoReply) == "NoReply"

    @pytest.mark.parametrize("others", [[lambda: 1], [lambda: NoReply, lambda: succeed(1)]])
    def test_declinedByOne(self, others: list[Callable[..., Any]]) -> None:
        """One that declines leaves the answer to the others."""
        assert gathered(lambda: NoReply, *others) == [("answered", 1), ("finished",)]

    @pytest.mark.parametrize("first", [True, False])
    def test_declinedBesideNone(self, first: bool) -> None:
        """One that gives None has listened, so that is the answer."""
        told = gathered(*(lambda: None, lambda: NoReply)[:: 1 if first else -1])
        assert told == [("answered", None), ("finished",)]

    def test_declinedAfterFailure(self) -> None:
        """A failure is why there is no answer, whoever declines."""
        assert gathered(lambda: NoReply, broken)[-2:] == [("failed", "on purpose"), ("finished",)]

    def test_arguments(self) -> None:
        """Each listener gets the arguments."""
        recording = Recording()
        recording.gather([lambda a, b: (a, b)], (1, 2))
        assert recording.told == [("answered", (1, 2)), ("finished",)]

    def test_firstResult(self) -> None:
        """The first result that is not None is the answer; the others run all the same."""
        called: list[int] = []
        told = gathered(lambda: None, lambda: 0, lambda: called.append(1), lambda: 5)
        assert told == [("answered", 0), ("finished",)]
        assert called == [1]

    @pytest.mark.parametrize("value", [0, False, "", [], {}])
    def test_emptyIsAnAnswer(self, value: object) -> None:
        """Only None is no answer."""
        assert gathered(lambda: value, lambda: 5) == [("answered", value), ("finished",)]

    def test_allNone(self) -> None:
        """If all give None, so is the answer, and not before the last one has given it."""
        waiting: Deferred[None] = Deferred()
        told = gathered(lambda: waiting, lambda: None)
        assert told == []
        waiting.callback(None)
        assert told == [("answered", None), ("finished",)]

    def test_doneDeferred(self) -> None:
        """A Deferred that has its result already is as good as the result."""
        assert gathered(lambda: succeed(1), lambda: 2) == [("answered", 1), ("finished",)]

    def test_answerBeforeTheSlow(self) -> None:
        """The answer does not wait for those that still work; the end does."""
        slow: Deferred[int] = Deferred()
        told = gathered(lambda: slow, lambda: 1)
        assert told == [("answered", 1)]
        slow.callback(2)
        assert told == [("answered", 1), ("finished",)]

    def test_lateAnswer(self) -> None:
        """Of several that take their time, the first that is done with a result answers."""
        waits: list[Deferred[int | None]] = [Deferred(), Deferred(), Deferred()]
        told = gathered(*(lambda wait=wait: wait for wait in waits))
        waits[2].callback(None)
        assert told == []
        waits[1].callback(1)
        assert told == [("answered", 1)]
        waits[0].callback(0)
        assert told == [("answered", 1), ("finished",)]

    def test_failure(self) -> None:
        """If one failed and none gave a result, there is no answer, because of the first failure."""

        def second() -> None:
            raise Broken("second")

        assert gathered(broken, second, lambda: None) == [
            ("listenerFailed", broken, "on purpose"),
            ("listenerFailed", second, "second"),
            ("failed", "on purpose"),
            ("finished",),
        ]

    def test_failureAndResult(self) -> None:
        """A result makes up for a failure, before or after it."""
        assert gathered(broken, lambda: 1) == [
            ("listenerFailed", broken, "on purpose"),
            ("answered", 1),
            ("finished",),
        ]
        assert gathered(lambda: 1, brokenCoroutine) == [
            ("answered", 1),
            ("listenerFailed", brokenCoroutine, "on purpose"),
            ("finished",),
        ]

    def test_lateFailure(self) -> None:
        """One that fails late is named as one that fails at once is."""
        waiting: Deferred[None] = Deferred()

        def slow() -> Deferred[None]:
            return waiting

        told = gathered(slow)
        assert told == []
        waiting.errback(Broken("late"))
        assert told == [("listenerFailed", slow, "late"), ("failed", "late"), ("finished",)]

    def test_exits(self) -> None:
        """What ends the process is not taken for a listener's failure."""

        def leave() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            gathered(leave)

    def test_subclassDecides(self) -> None:
        """What is done with an answer or a failure is for the subclass to say; the end may pass in silence."""
        with pytest.raises(NotImplementedError):
            Gathering().answered(1)
        with pytest.raises(NotImplementedError):
            Gathering().failed(Failure(Broken()))
        with pytest.raises(NotImplementedError):
            Gathering().declined()
        with pytest.raises(NotImplementedError):
            Gathering().listenerFailed(broken, Failure(Broken()))
        Gathering().finished()


#: What a listener comes to, and whether at once or when its turn comes.
outcomes = st.tuples(st.booleans(), st.none() | st.integers(0, 9) | st.just("fails") | st.just(NoReply))


@settings(deadline=None, max_examples=150)
@given(st.lists(outcomes, max_size=5), st.randoms(use_true_random=False))
def test_oneAnswer(plan: list[tuple[bool, Any]], random: Any) -> None:
    """Whatever listeners do, and in whatever order they end, there is one answer, one failure or none, and one end."""
    waits: list[tuple[Deferred[Any], Any]] = []

    def listenerFor(late: bool, outcome: Any) -> Callable[[], Any]:
        def listener() -> Any:
            if late:
                waits.append((Deferred(), outcome))
                return waits[-1][0]
            return broken() if outcome == "fails" else outcome

        return listener

    told = gathered(*(listenerFor(*entry) for entry in plan))
    random.shuffle(waits)
    inTime = [outcome for late, outcome in plan if not late] + [outcome for _, outcome in waits]
    for waiting, outcome in waits:
        assert ("finished",) not in told
        waiting.errback(Broken("on purpose")) if outcome == "fails" else waiting.callback(outcome)
    results = [outcome for outcome in inTime if outcome not in (None, NoReply, "fails")]
    verdicts = [entry for entry in told if entry[0] in ("answered", "failed", "declined")]
    if results:
        assert verdicts == [("answered", results[0])]
    elif "fails" in inTime:
        assert verdicts == [("failed", "on purpose")]
    elif None in inTime:
        assert verdicts == [("answered", None)]
    else:
        assert verdicts == [("declined",)]
    assert [entry[0] for entry in told].count("listenerFailed") == inTime.count("fails")
    assert [at for at, entry in enumerate(told) if entry == ("finished",)] == [len(told) - 1]
