"""
Who listens to which event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from twisted_crossws.nearest import nearest
from twisted_crossws.places import shown
from twisted_crossws.state.arguments import checkArguments

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

    def __init__(self, arguments: str | None = None, known: Mapping[str, str] | None = None) -> None:
        """
        @param arguments: what every listener is called with, as in C{"socket, payload"}; C{None}: that is not known.
        @param known: where there are these events only: what listeners are called with, by event.
        """
        self._arguments = arguments
        self._known = known
        self._entries: dict[str, list[_Entry]] = {}
        # The same as what take() is to give, ready made, because it is asked for with every frame.
        self.heard: dict[str, tuple[Listener, ...]] = {}
        self._withOnce: set[str] = set()

    @overload
    def on(self, event: str, listener: None = None, *, tag: object = None) -> Callable[[_L], _L]: ...

    @overload
    def on(self, event: str, listener: _L, *, tag: object = None) -> _L: ...

    def on(self, event: str, listener: Listener | None = None, *, tag: object = None) -> Any:
        """
        Call a listener every time the event comes.

        @param listener: a plain function, one that returns a Deferred, or an C{async def}; without it, this
            is a decorator.
        @param tag: any value but C{None}, to remove by it.
        @return: the listener, or the decorator.
        @raise TypeError: the event is not a non-empty string, or the listener is not callable, or not with the
            arguments that it would be called with.
        @raise ValueError: there is no such event, or it is reserved for the wire (wire section 3).
        """
        return self._add(event, listener, tag, once=False)

    @overload
    def once(self, event: str, listener: None = None, *, tag: object = None) -> Callable[[_L], _L]: ...

    @overload
    def once(self, event: str, listener: _L, *, tag: object = None) -> _L: ...

    def once(self, event: str, listener: Listener | None = None, *, tag: object = None) -> Any:
        """As L{on}, but the first time only."""
        return self._add(event, listener, tag, once=True)

    def off(self, event: str, listenerOrTag: object = None) -> None:
        """
        Remove that listener, or all with that tag, or without either all listeners of the event. Removing what is not
        there is no error.

        @raise ValueError: there is no such event.
        """
        if self._known is not None:
            self._checkKnown(event, self._known)
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
        if self._known is not None:
            self._checkKnown(event, self._known)
        elif isReserved(event):
            says = "events that start and end with '_' are the protocol's own, and come to no listener."
            raise ValueError(f"Nobody can listen to {shown(event)}: {says}")
        arguments = self._arguments if self._known is None else self._known[event]

        def add(listener: _L) -> _L:
            checkListener(listener, arguments, f"A listener of {shown(event)}")
            self._set(event, [*self._entries.get(event, ()), _Entry(listener, tag, once)])
            return listener

        return add if listener is None else add(listener)

    def _checkKnown(self, event: str, known: Mapping[str, str]) -> None:
        if event not in known:
            raise ValueError(f"There is no event {shown(event)} here{nearest(event, known)}")

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


def checkListener(listener: object, arguments: str | None = None, whose: str = "A listener") -> None:
    """
    @param arguments: as those of L{checkArguments}; C{None}: whatever it takes is right.
    @raise TypeError: it is not callable, or not with these arguments.
    """
    if not callable(listener):
        raise TypeError(f"{whose} must be callable, and {listener!r} is not.")
    if arguments is not None:
        checkArguments(listener, arguments, whose)


def isReserved(event: str) -> bool:
    """Whether an event is the protocol's own (wire section 3)."""
    return event.startswith("_") and event.endswith("_")


def checkEvent(event: object) -> None:
    """
    @raise TypeError: the event is not a non-empty string.
    """
    if not (isinstance(event, str) and event):
        raise TypeError(f"An event must be a non-empty string, not {event!r}.")
