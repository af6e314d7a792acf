"""
Waiting until there are enough servers.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred

from twisted_crossws.state.members import ServerInfo


class _Waiting:
    """Somebody who waits."""

    done: Deferred[frozenset[str]]

    def __init__(self, count: int, role: str | None) -> None:
        self.count = count
        self.role = role


class Awaited:
    """Those who wait, each until there is a number of servers, of a role where one is given."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    def add(self, count: int, role: str | None, servers: Iterable[ServerInfo]) -> Deferred[frozenset[str]]:
        """
        @param servers: who is there now.
        @return: fires with the names; cancelling it ends the wait.
        """
        waiting = _Waiting(count, role)
        waiting.done = Deferred(lambda _: self._waiting.remove(waiting))
        self._waiting.append(waiting)
        self.changed(servers)
        return waiting.done

    def changed(self, servers: Iterable[ServerInfo]) -> None:
        """
        @param servers: who is there now.
        """
        servers = list(servers)
        for waiting in list(self._waiting):
            found = frozenset(each.name for each in servers if waiting.role in (None, each.role))
            # Who was told before may have ended the wait of another.
            if len(found) >= waiting.count and waiting in self._waiting:
                self._waiting.remove(waiting)
                waiting.done.callback(found)

    def cancel(self) -> None:
        """Nobody else will come."""
        for waiting in list(self._waiting):
            waiting.done.cancel()
