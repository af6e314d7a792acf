"""
Real processes, as a master starts them.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import globalLogPublisher

from twisted_crossws.machine.children import MAX_LINE, ChildProcess, Children


def run(code: str, reactor: Any = reactor, **environment: str) -> tuple[ChildProcess, Deferred[str]]:
    """
    A child that runs some Python.

    @return: it, and what it has ended by, when all that it said has come.
    """
    ended: Deferred[str] = Deferred()
    closed: Deferred[None] = Deferred()
    children = Children(lambda name: [sys.executable, "-c", code, name], environment, reactor)
    child = children.launch("a.1", ended.callback)
    lost = child.errConnectionLost

    def errConnectionLost() -> None:
        lost()
        closed.callback(None)

    child.errConnectionLost = errConnectionLost  # type: ignore[method-assign]
    return child, gatherResults([ended, closed]).addCallback(lambda results: str(results[0]))


@pytest_twisted.ensureDeferred
async def test_ends() -> None:
    """How it has ended is told in words."""
    _, ended = run("import sys, os; sys.exit(3 if sys.argv[1] == 'a.1' and os.environ['KEY'] == 'v' else 4)", KEY="v")
    assert await ended == "exit status 3"


@pytest_twisted.ensureDeferred
async def test_killed() -> None:
    """It gets the signals that it is sent; one that is gone gets none."""
    child, ended = run("input()")
    child.signal("KILL")
    assert await ended == "killed by SIGKILL"
    child.signal("TERM")


@pytest_twisted.ensureDeferred
async def test_says() -> None:
    """What it says on its standard error stands in our log, line by line, with its name."""
    lines: list[str] = []

    def see(event: dict[str, Any]) -> None:
        if event.get("name") == "a.1":
            lines.append(event["text"])

    globalLogPublisher.addObserver(see)
    try:
        code = f"import sys; sys.stderr.write('one\\n\\ntwo ü\\n' + 'x' * {MAX_LINE + 10} + '\\nthree')"
        await run(code)[1]
    finally:
        globalLogPublisher.removeObserver(see)
    assert lines[:2] == ["one", "two ü"] and lines[-1] == "three"
    assert "".join(lines[2:-1]) == "x" * (MAX_LINE + 10)


@pytest_twisted.ensureDeferred
async def test_letGo() -> None:
    """A child that has let go of its standard error does not miss whoever has started it."""
    read, write = os.pipe()
    code = f"""if True:
        import os
        from twisted_crossws.machine.children import letGo
        os.dup2({write}, 1)
        letGo()
        os.write(2, b"x")
    """
    _, ended = run(code, _Passing(write))
    os.close(write)
    assert await ended == "exit status 0"
    assert os.read(read, 10) == b"x"
    os.close(read)


class _Passing:
    """A reactor that also lets a descriptor through."""

    def __init__(self, number: int) -> None:
        self._number = number

    def spawnProcess(self, *args: Any, childFDs: dict[int, Any], **kwargs: Any) -> Any:
        spawn: Any = reactor
        return spawn.spawnProcess(*args, childFDs={**childFDs, self._number: self._number}, **kwargs)
