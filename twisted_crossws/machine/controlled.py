"""
Whoever can be commanded: the protocol in front of a master, or of a node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from msgspec import to_builtins
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.machine.control import PAGE, Connection, List, Order, Progress, Refused
from twisted_crossws.machine.rows import Row

_log = Logger()

#: Takes a sentence about what an order has done so far.
OnProgress = Callable[[str], None]


class Commanded(Protocol):
    """What stands behind the protocol."""

    def rows(self) -> Deferred[Sequence[Row]]:
        """Fires with a row for each server that it knows."""

    def order(self, verb: str, words: dict[str, Any], progress: OnProgress) -> Deferred[Sequence[str]]:
        """
        Do something.

        @return: fires with sentences about what was done, or fails with L{Refused}.
        """


class Controlled(Connection):
    """
    One connection of somebody who asks or orders.
    """

    def __init__(self, commanded: Commanded) -> None:
        super().__init__()
        self.commanded = commanded

    @List.responder
    def list(self, start: int) -> Deferred[dict[str, Any]]:
        """A page of rows."""

        def page(rows: Sequence[Row]) -> dict[str, Any]:
            end = start + PAGE
            return {"rows": to_builtins(rows[start:end]), "more": end < len(rows)}

        return maybeDeferred(self.commanded.rows).addCallbacks(page, _unexpected, errbackArgs=("list",))

    @Order.responder
    def order(self, verb: str, words: dict[str, Any]) -> Deferred[dict[str, Any]]:
        """Something is to be done."""
        ordered = maybeDeferred(self.commanded.order, verb, words, self._progress)
        return ordered.addCallbacks(_said, _unexpected, errbackArgs=(verb,))

    def _progress(self, sentence: str) -> None:
        # Whoever has given the order may be gone; it is carried out all the same.
        if self.transport is not None:
            self.callRemote(Progress, sentence=sentence)


def _said(sentences: Sequence[str]) -> dict[str, Any]:
    return {"said": list(sentences)}


def _unexpected(failure: Failure, verb: str) -> Failure:
    if failure.check(Refused):
        return failure
    _log.failure("the order {verb} failed", failure=failure, verb=verb)
    return Failure(Refused(f"it failed: {failure.getErrorMessage()}"))
