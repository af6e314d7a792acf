"""
Who listens to which event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Listener = Callable[..., Any]
_L = TypeVar("_L", bound=Listener)


@dataclass(frozen=True, slots=True)
class _Entry:
    listener: Listener
    tag: object
    once: bool


class Listeners:
    """
    Listeners by event, in the order in which they were added.

    What L{take} gives is a snapshot: adding and removing while it is being delivered counts from the next
    delivery on.

    @ivar heard: whatever is listened to is in it: to be looked at, not changed.
    """

    def __init__(self) -> None:
        self._entries: dict[str, list[_Entry]] = {}
        # The same as what take() is to give, ready made, because it is asked for with every frame.
        self.heard: dict[str, tuple[Listener, ...]] = {}
        self._withOnce: set[str] = set()

    def on(self, event: str, listener: Listener | None = None, *, tag: object = None) -> Any:
        """
        Call a listener every time the event comes.

        @param listener: a plain function, one that returns a Deferred, or an C{async def}; without it, this
            is a decorator.
        @param tag: any value but C{None}, to remove by it.
        @return: the listener, or the decorator.
        @raise TypeError: the event is not a non-empty string, or the listener is not callable.
        """
        return self._add(event, listener, tag, once=False)

    def once(self, event: str, listener: Listener | None = None, *, tag: object = None) -> Any:
        """As L{on}, but the first time only."""
        return self._add(event, listener, tag, once=True)

    def off(self, event: str, listenerOrTag: object = None) -> None:
        """
        Remove that listener, or all with that tag, or without either all listeners of the event. Removing what is not
        there is no error.
        """
        if listenerOrTag is None:
            kept = []
        else:
            kept = [
                entry
                for entry in self._entries.get(event, ())
                if entry.listener != listenerOrTag and (entry.tag is None or entry.tag != listenerOrTag)
            ]
        self._set(event, kept)

    def take(self, event: str) -> tuple[Listener, ...]:
        """
        The listeners to call now. Those that were added by L{once} are removed by this, so that an event that
        comes while they run does not run them again.
        """
        calls = self.heard.get(event, ())
        if event in self._withOnce:
            self._set(event, [entry for entry in self._entries[event] if not entry.once])
        return calls

    def has(self, event: str) -> bool:
        """Whether anybody listens to this event."""
        return event in self.heard

    def _add(self, event: str, listener: Listener | None, tag: object, *, once: bool) -> Any:
        checkEvent(event)

        def add(listener: _L) -> _L:
            checkListener(listener)
            self._set(event, [*self._entries.get(event, ()), _Entry(listener, tag, once)])
            return listener

        return add if listener is None else add(listener)

    def _set(self, event: str, entries: list[_Entry]) -> None:
        if entries:
            self._entries[event] = entries
            self.heard[event] = tuple(entry.listener for entry in entries)
        else:
            self._entries.pop(event, None)
            self.heard.pop(event, None)
        if any(entry.once for entry in entries):
            self._withOnce.add(event)
        else:
            self._withOnce.discard(event)


def checkListener(listener: object) -> None:
    """
    @raise TypeError: it is not callable.
    """
    if not callable(listener):
        raise TypeError(f"A listener must be callable, and {listener!r} is not.")


def checkEvent(event: object) -> None:
    """
    @raise TypeError: the event is not a non-empty string.
    """
    if not (isinstance(event, str) and event):
        raise TypeError(f"An event must be a non-empty string, not {event!r}.")
