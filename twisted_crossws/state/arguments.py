"""
Listeners as people know them: what they can be called with, and where they stand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import Signature, signature, unwrap
from typing import Any


def checkArguments(listener: Callable[..., Any], arguments: str, whose: str) -> None:
    """
    Refuse a listener that cannot be called with as many arguments as it would be called with. One that does not tell
    what it takes is given the benefit of the doubt.

    @param arguments: their names, as in C{"socket, payload"}; empty for none.
    @param whose: what such listeners are called, as in C{"A listener of 'close'"}.
    @raise TypeError: it takes more, or less.
    """
    takes = _signatureOf(listener)
    if takes is None:
        return
    try:
        takes.bind(*filter(None, arguments.split(", ")))
    except TypeError as fault:
        says = f"{whose} is called with ({arguments}), and {described(listener)} takes {_parameters(takes)}: {fault}."
        raise TypeError(says) from None


def described(listener: object) -> str:
    """
    @return: the name of a function or method with its file and line; of anything else its C{repr}.
    """
    inner: Any = listener
    while isinstance(inner, partial):
        inner = inner.func
    inner = unwrap(getattr(inner, "__func__", inner))
    code = getattr(inner, "__code__", None)
    if code is None:
        return repr(listener)
    return f"{inner.__qualname__} ({code.co_filename}, line {code.co_firstlineno})"


def _signatureOf(listener: Callable[..., Any]) -> Signature | None:
    # A decorated function may take what the one inside does not; but inlineCallbacks passes on whatever comes.
    inner = getattr(listener, "__globals__", {})
    isPassedOn = inner.get("__name__") == "twisted.internet.defer"
    try:
        return signature(listener, follow_wrapped=isPassedOn)
    except Exception:
        return None  # Functions in C may have none, and objects may show whatever they want.


def _parameters(takes: Signature) -> str:
    bare = [each.replace(annotation=each.empty) for each in takes.parameters.values()]
    return str(takes.replace(parameters=bare, return_annotation=takes.empty))
