"""Who listens to which event, and in which order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_crossws.state.listeners import Listeners, checkEvent


def first() -> None: ...


def second() -> None: ...


def third() -> None: ...


class Room:
    def entered(self) -> None: ...


class TestOn:
    def test_order(self) -> None:
        """Listeners are called in the order in which they were added, every time."""
        listeners = Listeners()
        listeners.on("say", first)
        listeners.on("say", second)
        listeners.on("other", third)
        assert listeners.take("say") == (first, second)
        assert listeners.take("say") == (first, second)
        assert listeners.take("other") == (third,)

    def test_nobody(self) -> None:
        """An event that nobody listens to has no listeners."""
        listeners = Listeners()
        assert listeners.take("say") == ()
        assert not listeners.has("say")

    def test_has(self) -> None:
        """It is known whether anybody listens, until the last one is gone."""
        listeners = Listeners()
        listeners.on("say", first)
        assert listeners.has("say")
        listeners.off("say", first)
        assert not listeners.has("say")

    def test_twice(self) -> None:
        """A listener that was added twice is called twice."""
        listeners = Listeners()
        listeners.on("say", first)
        listeners.on("say", first)
        assert listeners.take("say") == (first, first)

    @pytest.mark.parametrize("method", ["on", "once"])
    def test_decorator(self, method: str) -> None:
        """Without a listener it is a decorator, which leaves the function as it is."""
        listeners = Listeners()

        @getattr(listeners, method)("say", tag="mine")
        def say() -> None: ...

        assert listeners.take("say") == (say,)

    @pytest.mark.parametrize("method", ["on", "once"])
    def test_returnsListener(self, method: str) -> None:
        """With a listener, it is that listener that is returned."""
        assert getattr(Listeners(), method)("say", first) is first

    @pytest.mark.parametrize("method", ["on", "once"])
    @pytest.mark.parametrize("event", ["", None, 1, b"say", ["say"], True])
    def test_malformedEvent(self, method: str, event: Any) -> None:
        """An event that is not a non-empty string is the caller's mistake, also where it decorates."""
        with pytest.raises(TypeError, match="non-empty string"):
            getattr(Listeners(), method)(event, first)
        with pytest.raises(TypeError, match="non-empty string"):
            getattr(Listeners(), method)(event)

    @pytest.mark.parametrize("method", ["on", "once"])
    @pytest.mark.parametrize("listener", ["say", 0, "", (), 1.5])
    def test_malformedListener(self, method: str, listener: Any) -> None:
        """A listener that cannot be called is the caller's mistake, and is not added."""
        listeners = Listeners()
        with pytest.raises(TypeError, match="callable"):
            getattr(listeners, method)("say", listener)
        with pytest.raises(TypeError, match="callable"):
            getattr(listeners, method)("say")(listener)
        assert not listeners.has("say")

    def test_checkEvent(self) -> None:
        """A non-empty string is an event."""
        checkEvent("say")
        with pytest.raises(TypeError, match="not b'say'"):
            checkEvent(b"say")


class TestOnce:
    def test_firstTimeOnly(self) -> None:
        """It is called the first time, in its place in the order, and then no more."""
        listeners = Listeners()
        listeners.on("say", first)
        listeners.once("say", second)
        listeners.on("say", third)
        assert listeners.take("say") == (first, second, third)
        assert listeners.take("say") == (first, third)

    def test_alone(self) -> None:
        """After its only listener was called once, nobody listens to an event."""
        listeners = Listeners()
        listeners.once("say", first)
        assert listeners.take("say") == (first,)
        assert not listeners.has("say")
        assert listeners.take("say") == ()

    def test_removed(self) -> None:
        """It can be removed before it was called."""
        listeners = Listeners()
        listeners.once("say", first)
        listeners.on("say", second)
        listeners.off("say", first)
        assert listeners.take("say") == (second,)


class TestOff:
    def test_listener(self) -> None:
        """That listener is removed from that event, however often it was added, and no other."""
        listeners = Listeners()
        for listener in (first, second, first):
            listeners.on("say", listener)
        listeners.on("other", first)
        listeners.off("say", first)
        assert listeners.take("say") == (second,)
        assert listeners.take("other") == (first,)

    def test_boundMethod(self) -> None:
        """A method of an object is removed by naming it again; that of an equal object stays."""
        listeners = Listeners()
        one, other = Room(), Room()
        listeners.on("say", one.entered)
        listeners.on("say", other.entered)
        listeners.off("say", one.entered)
        assert listeners.take("say") == (other.entered,)

    def test_tag(self) -> None:
        """All with that tag are removed, and those without a tag stay."""
        listeners = Listeners()
        listeners.on("say", first, tag="game")
        listeners.on("say", second)
        listeners.once("say", third, tag="game")
        listeners.on("say", first, tag=("game", 7))
        listeners.off("say", "game")
        assert listeners.take("say") == (second, first)
        listeners.off("say", ("game", 7))
        assert listeners.take("say") == (second,)

    def test_all(self) -> None:
        """Without a listener or tag, all of that event are removed."""
        listeners = Listeners()
        listeners.on("say", first)
        listeners.once("say", second, tag="game")
        listeners.on("other", third)
        listeners.off("say")
        assert listeners.take("say") == ()
        assert listeners.take("other") == (third,)

    @pytest.mark.parametrize("what", [None, first, "tag"])
    def test_nothing(self, what: object) -> None:
        """Removing what is not there is no error, and removes nothing."""
        listeners = Listeners()
        listeners.off("say", what)
        listeners.on("other", second)
        listeners.off("say", what)
        assert listeners.take("other") == (second,)


class TestWhileDelivering:
    def test_changes(self) -> None:
        """What is added or removed during a delivery counts from the next one on."""
        listeners = Listeners()
        called: list[str] = []

        def changing() -> None:
            called.append("changing")
            listeners.off("say", last)
            listeners.on("say", lambda: called.append("added"))

        def last() -> None:
            called.append("last")

        listeners.on("say", changing)
        listeners.on("say", last)
        for listener in listeners.take("say"):
            listener()
        assert called == ["changing", "last"]
        listeners.off("say", changing)
        for listener in listeners.take("say"):
            listener()
        assert called == ["changing", "last", "added"]

    def test_onceWithinItself(self) -> None:
        """A listener for one time runs one time, even if its own event comes while it runs."""
        listeners = Listeners()
        called: list[int] = []

        def emit() -> None:
            for listener in listeners.take("say"):
                listener()

        def again() -> None:
            called.append(1)
            emit()

        listeners.once("say", again)
        emit()
        assert called == [1]


operations = st.one_of(
    st.tuples(
        st.sampled_from(["on", "once"]),
        st.sampled_from([first, second, third]),
        st.sampled_from([None, "x", "y", 1]),
    ),
    st.tuples(st.just("off"), st.sampled_from([None, first, second, third, "x", "y", 1]), st.none()),
    st.tuples(st.just("take"), st.none(), st.none()),
)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(["say", "other"]), operations), max_size=20))
def test_model(steps: list[Any]) -> None:
    """Whatever was added and removed, the listeners are those that a plain list of them says."""
    listeners = Listeners()
    model: list[tuple[str, Any, Any, str]] = []
    for event, (kind, what, tag) in steps:
        mine = [entry for entry in model if entry[0] == event]
        if kind in ("on", "once"):
            getattr(listeners, kind)(event, what, tag=tag)
            model.append((event, what, tag, kind))
        elif kind == "off":
            listeners.off(event, what)
            model = [entry for entry in model if entry not in mine or (what is not None and what not in entry[1:3])]
        else:
            assert listeners.take(event) == tuple(entry[1] for entry in mine)
            model = [entry for entry in model if entry not in mine or entry[3] == "on"]
        assert listeners.has(event) is any(entry[0] == event for entry in model)
