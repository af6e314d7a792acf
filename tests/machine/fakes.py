"""
Processes that are only said to be there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from twisted_crossws.machine.supervised import Patience, Supervised

PATIENCE = Patience(first=0.2, longest=1.0, deaths=4, stop=5.0)


class FakeChild:
    """A process that was launched."""

    def __init__(self, pid: int, ended: Callable[[str], None]) -> None:
        self.pid = pid
        self.end = ended
        self.signals: list[str] = []

    def signal(self, name: str) -> None:
        self.signals.append(name)


class FakeSystem:
    """
    What launches, kills, and looks for processes.

    @ivar children: by name, all that were ever launched.
    @ivar there: the numbers of processes that are no children, and run.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.children: dict[str, list[FakeChild]] = {}
        self.there: set[int] = set()
        self.killed: list[tuple[int, str]] = []
        self.refuses: OSError | None = None
        self._pid = 99

    def process(self, name: str, patience: Patience = PATIENCE) -> Supervised:
        """One that is to be supervised."""
        return Supervised(
            name,
            self.launch,
            self.clock,
            patience,
            kill=lambda pid, signal: self.killed.append((pid, signal)),
            isThere=lambda pid: pid in self.there,
        )

    def launch(self, name: str, ended: Callable[[str], None]) -> FakeChild:
        if self.refuses is not None:
            raise self.refuses
        self._pid += 1
        child = FakeChild(self._pid, ended)
        self.children.setdefault(name, []).append(child)
        return child

    def child(self, name: str) -> FakeChild:
        """The last one of this name."""
        return self.children[name][-1]


class FakeAgent:
    """
    The connection to a process.

    @ivar asked: the names of the commands that it was sent, with what was in them.
    @ivar answers: what it answers, by the name of the command: a value, an exception, or a Deferred.
    """

    def __init__(self, **answers: Any) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers = answers

    def callRemote(self, command: Any, **arguments: Any) -> Deferred[Any]:
        self.asked.append((command.__name__, arguments))
        answer = self.answers.get(command.__name__, {})
        if isinstance(answer, Deferred):
            return answer
        asked: Deferred[Any] = Deferred()
        if isinstance(answer, Exception):
            asked.errback(Failure(answer))
        else:
            asked.callback(answer)
        return asked

    def commands(self) -> list[str]:
        """The names alone."""
        return [name for name, _ in self.asked]


def fired(deferred: Any) -> list[Any]:
    """What it has fired with, in a list that fills as soon as it does; a failure as its exception."""
    results: list[Any] = []
    deferred.addCallbacks(results.append, lambda failure: results.append(failure.value))
    return results
