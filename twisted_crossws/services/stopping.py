"""
The end of a node that runs as a command: first drained, then stopped, and over in time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.node import Node

_log = Logger()


def drainAndStop(node: Node, stop: Callable[[], Any], clock: IReactorTime) -> Deferred[None]:
    """
    @param stop: stops the node and whatever runs beside it; called when the node is drained. With C{drain_seconds} of 0
        that is at once.
    @return: fires when all has stopped, or at C{stop_deadline}, with what does not let go left as it is. Fails
        if stopping fails before.
    """
    limits = node.config.node
    stopped: Deferred[None] = Deferred()

    def tooLate() -> None:
        _log.warn(
            "{server} has not stopped within {seconds:g} seconds (stop_deadline), and is left as it is: {state}.",
            server=node.serverName,
            seconds=limits.stop_deadline,
            state=node.state,
        )
        stopped.callback(None)

    def done(outcome: object) -> None:
        if deadline.active():
            deadline.cancel()
            stopped.callback(outcome if isinstance(outcome, Failure) else None)
        elif isinstance(outcome, Failure):
            _log.failure("{server} failed to stop", failure=outcome, server=node.serverName)

    deadline = clock.callLater(limits.stop_deadline, tooLate)
    drained = maybeDeferred(node.drain) if limits.drain_seconds > 0 else succeed(None)
    drained.addErrback(
        lambda failure: _log.failure("{server} failed to drain", failure=failure, server=node.serverName)
    )
    drained.addCallback(lambda _: stop()).addBoth(done)
    return stopped
