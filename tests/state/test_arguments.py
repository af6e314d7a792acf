"""
Listeners that cannot be called with what they would be called with are refused, and no others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import pytest
from twisted.internet.defer import inlineCallbacks

from twisted_crossws.state.arguments import checkArguments, described


def none() -> None: ...


def one(socket: object) -> None: ...


def two(socket: object, payload: object) -> None: ...


def three(socket: object, payload: object, more: object) -> None: ...


def default(socket: object, payload: object = None, more: object = None) -> None: ...


def anything(*args: object) -> None: ...


def keyword(socket: object, payload: object, *, more: object) -> None: ...


def keywordWithDefault(socket: object, payload: object, *, more: object = 1, **rest: object) -> None: ...


def unknownTypes(socket: Nowhere, payload: Nowhere) -> Nowhere: ...  # type: ignore[name-defined]  # noqa: F821


async def coroutine(socket: object, payload: object) -> None: ...


async def shortCoroutine(payload: object) -> None: ...


@inlineCallbacks
def generator(socket: object, payload: object) -> Any:
    yield


@inlineCallbacks
def shortGenerator(payload: object) -> Any:
    yield


def payloadOnly(function: Callable[[object], object]) -> Callable[[object, object], object]:
    """As frameworks do: the function inside is called with other arguments."""

    @wraps(function)
    def wrapper(socket: object, payload: object) -> object:
        return function(payload)

    return wrapper


class Room:
    def __init__(self, *args: object) -> None: ...

    def entered(self, socket: object, payload: object) -> None: ...

    def left(self, payload: object) -> None: ...

    @inlineCallbacks
    def waited(self, socket: object, payload: object) -> Any:
        yield

    @classmethod
    def made(cls, socket: object, payload: object) -> None: ...

    @staticmethod
    def counted(socket: object, payload: object) -> None: ...

    def __call__(self, socket: object, payload: object) -> None: ...


class Secretive:
    """It says something wrong of itself."""

    __signature__ = "none of your business"

    def __call__(self, *args: object) -> None: ...


FIT = [
    two,
    default,
    anything,
    keywordWithDefault,
    unknownTypes,
    coroutine,
    generator,
    payloadOnly(one),
    partial(three, 1),
    partial(keyword, more=1),
    partial(three, more=1),
    Room,
    Room(),
    Room().entered,
    Room().waited,
    Room.made,
    Room.counted,
    Secretive(),
    print,
    dict,
    max,
    lambda socket, payload: None,
]

DO_NOT_FIT = [
    none,
    one,
    three,
    keyword,
    shortCoroutine,
    shortGenerator,
    partial(two, 1),
    partial(three, 1, 2),
    Room().left,
    Room.entered,
    [].append,
    lambda payload: None,
]


@pytest.mark.parametrize("listener", FIT)
def test_fit(listener: Any) -> None:
    """What can be called so, or does not say, is taken."""
    checkArguments(listener, "socket, payload", "A listener")


@pytest.mark.parametrize("listener", DO_NOT_FIT)
def test_doNotFit(listener: Any) -> None:
    """What cannot be called so is refused."""
    with pytest.raises(TypeError, match=r"A listener is called with \(socket, payload\), and "):
        checkArguments(listener, "socket, payload", "A listener")


@pytest.mark.parametrize("listener", [none, default, anything, two])
def test_noArguments(listener: Any) -> None:
    """So it is with what is called without arguments."""
    if listener in (none, anything):
        checkArguments(listener, "", "A listener")
        return
    with pytest.raises(TypeError, match=r"called with \(\)"):
        checkArguments(listener, "", "A listener")


def test_message() -> None:
    """The message is a sentence: what it would be called with, which one it is, where, and what it takes."""
    with pytest.raises(TypeError) as raised:
        checkArguments(one, "socket, payload", 'A listener of "say"')
    line = one.__code__.co_firstlineno
    assert str(raised.value) == (
        f'A listener of "say" is called with (socket, payload), and one ({__file__}, line {line}) takes (socket): '
        "too many positional arguments."
    )


@pytest.mark.parametrize(
    ("listener", "function"),
    [
        (two, two),
        (partial(partial(two, 1), 2), two),
        (Room().entered, Room.entered),
        (generator, generator.__wrapped__),
    ],
)
def test_described(listener: Any, function: Any) -> None:
    """A function is named with its place, whatever is around it."""
    code = function.__code__
    assert described(listener) == f"{function.__qualname__} ({__file__}, line {code.co_firstlineno})"


@pytest.mark.parametrize("listener", [print, dict, 7])
def test_describedWithoutPlace(listener: Any) -> None:
    """What has no place in a file is shown as it is."""
    assert described(listener) == repr(listener)
