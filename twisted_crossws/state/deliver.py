"""
Calling listeners: one that fails harms no other, and one that takes its time is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_crossws.state.coroutines import deferredOf, explained

#: Called with the listener that failed, and its failure.
OnFailure = Callable[[Callable[..., Any], Failure], None]


class _NoReply:
    """
    The type of C{NoReply}. As a listener's result that says: no answer comes from me, as if I did not listen.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "NoReply"


#: As a listener's result: it declines to answer.
NoReply: Final = _NoReply()

#: What a caller is told then: code and message.
DECLINED = ("declined", "No listener of this event gives a reply.")


def call(listener: Callable[..., Any], *args: Any) -> Any:
    """
    Call one listener.

    @return: its result; a Deferred of it, if the listener returned one or is an C{async def}.
    @raise Exception: what it raised at once.
    """
    return _begun(listener(*args))


def notify(listeners: Iterable[Callable[..., Any]], args: tuple[Any, ...], onFailure: OnFailure) -> None:
    """Call all of them in order; results are not wanted, failures (late ones too) go to C{onFailure}."""
    for listener in listeners:
        try:
            result = call(listener, *args)
        except Exception:
            onFailure(listener, explained(Failure()))
        else:
            if isinstance(result, Deferred):
                result.addErrback(_failedLate, listener, onFailure)


def _begun(result: Any) -> Any:
    """What a listener returned: if it is a coroutine, a Deferred of what that returns, and it has begun to run."""
    return None if result is None else deferredOf(result)


def _failedLate(failure: Failure, listener: Callable[..., Any], onFailure: OnFailure) -> None:
    onFailure(listener, explained(failure))


class Gathering:
    """
    The one answer of several listeners, of which some may take their time: the first result that is neither C{None} nor
    L{NoReply}.

    A subclass says what is done with it. Exactly one of L{answered}, L{failed} and L{declined} is called, once: with
    that result as soon as there is one; when all are done, C{failed} with the first failure if one failed,
    C{answered(None)} if one gave C{None}, and C{declined} otherwise. L{finished} comes last, when no listener is at
    work any more.

    @ivar giver: the listener whose result was the answer, from then on.
    """

    __slots__ = ("_decided", "_failure", "_isNone", "_working", "giver")

    def __init__(self) -> None:
        self.giver: Callable[..., Any] | None = None
        self._working = 1
        self._decided = False
        self._isNone = False
        self._failure: Failure | None = None

    def answered(self, value: Any) -> None:
        """This is the answer."""
        raise NotImplementedError

    def failed(self, failure: Failure) -> None:
        """There is no answer, because of this."""
        raise NotImplementedError

    def declined(self) -> None:
        """There is no answer: there was no listener, or each gave L{NoReply}."""
        raise NotImplementedError

    def listenerFailed(self, listener: Callable[..., Any], failure: Failure) -> None:
        """One listener failed; others may still give an answer."""
        raise NotImplementedError

    def finished(self) -> None:
        """No listener is at work any more."""

    def gather(self, listeners: Iterable[Callable[..., Any]], args: tuple[Any, ...]) -> None:
        """Call all of them in order."""
        for listener in listeners:
            try:
                result = listener(*args)
            except Exception:
                self.raised(listener)
            else:
                self.returned(listener, result)
        self.calledAll()

    def returned(self, listener: Callable[..., Any], result: Any) -> None:
        """A listener was called, and this is what it returned."""
        result = _begun(result)
        if isinstance(result, Deferred):
            self._working += 1
            result.addCallbacks(self._late, self._lateFault, callbackArgs=(listener,), errbackArgs=(listener,))
        else:
            self._result(result, listener)

    def raised(self, listener: Callable[..., Any]) -> None:
        """A listener was called, and has raised what is being handled."""
        self._fault(listener, Failure())

    def calledAll(self) -> None:
        """No more listeners will be called."""
        self._oneDone()

    def _result(self, result: Any, listener: Callable[..., Any]) -> None:
        if result is None:
            self._isNone = True
        elif result is not NoReply and not self._decided:
            self._decided = True
            self.giver = listener
            self.answered(result)

    def _fault(self, listener: Callable[..., Any], failure: Failure) -> None:
        failure = explained(failure)
        if self._failure is None:
            self._failure = failure
        self.listenerFailed(listener, failure)

    def _late(self, result: Any, listener: Callable[..., Any]) -> None:
        self._result(result, listener)
        self._oneDone()

    def _lateFault(self, failure: Failure, listener: Callable[..., Any]) -> None:
        self._fault(listener, failure)
        self._oneDone()

    def _oneDone(self) -> None:
        self._working -= 1
        if self._working:
            return
        if not self._decided:
            self._decided = True
            if self._failure is not None:
                self.failed(self._failure)
            elif self._isNone:
                self.answered(None)
            else:
                self.declined()
        # Its traceback holds this object, which only the collector could end.
        self._failure = None
        self.finished()
