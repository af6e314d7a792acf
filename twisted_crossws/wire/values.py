"""
JSON values between Python and JavaScript: what is taken though msgspec refuses it or takes it too literally, and what
there is no form for.

What JavaScript writes is read, in its meaning:

 - an integer beyond 64 bits (C{JSON.stringify(1e20)} has 21 digits) is a C{float}, as it is a double in JavaScript;
 - half of a surrogate pair is U+FFFD, as UTF-8 has no form for it;
 - arrays and objects may stand L{MAX_NESTING} deep, wherever Python's own limit is.

A number that no double can hold (C{1e400}) is none: C{JSON.parse} makes C{Infinity} of it, for which JSON has no form,
so that it could not be passed on. No JavaScript program writes it.

All of this is for what msgspec alone cannot do. Ordinary messages never get here, but for L{settled}.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from twisted_crossws.errors import OverLimit

#: How deep arrays and objects may stand inside each other. Real payloads stay below ten; with less, what works with a
#: server in JavaScript would not work here.
MAX_NESTING = 1000

#: The integers that stay integers: MessagePack, and most programs, have 64 bits for them.
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1

#: The codes of L{OverLimit}.
TOO_DEEP, TOO_LARGE = "too_deep", "too_large"

#: Everything that msgspec raises for bytes that are not what they should be.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

#: Everything that msgspec raises for values that have no form, beside L{TypeError}.
UNWRITABLE = (ValueError, OverflowError, RecursionError)

# How msgspec says that a double cannot hold a number. Each is followed by its place.
_OUT_OF_RANGE = ("Number out of range", "Integer value out of range")

# So deep a value is looked at by recursion, which is faster; beyond, level by level.
_NEAR = 64

# What Python's limit is raised by: for this many levels, and for what calls the decoder or the encoder.
_DEEPER = MAX_NESTING + 100

_HALF_PAIR = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_REPLACEMENT = "\ufffd".encode()


def reread(decode: Callable[[bytes], Any], text: bytes) -> Any:
    """
    Read JSON that msgspec has refused.

    @param decode: msgspec's.
    @raise OverLimit: all that is wrong with it is that it is nested too deep, or holds a number that is too large.
    @raise msgspec.DecodeError: it is not JSON, or not what C{decode} is for.
    """
    try:
        return deeper(decode, text)
    except UNREADABLE as fault:
        whole = _withWholePairs(text)
        if whole == text:
            raise _meant(fault) from None
    try:
        return deeper(decode, whole)
    except UNREADABLE as fault:
        raise _meant(fault) from None


def deeper(do: Callable[[Any], Any], what: Any) -> Any:
    """
    Call a decoder or an encoder with room for L{MAX_NESTING} levels, however deep the call itself stands.

    @raise RecursionError: that is not enough.
    """
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit + _DEEPER)
    try:
        return do(what)
    finally:
        sys.setrecursionlimit(limit)


def settled(value: Any, most: int = MAX_NESTING, room: int = _NEAR) -> Any:
    """
    Hold a decoded value to the limits: integers beyond 64 bits become floats, in place.

    @param most: how many levels it may have, with those around the payload.
    @param room: how many more are looked at by recursion.
    @return: the value, or the float in its place.
    @raise OverLimit: it is nested too deep, or one of its integers is beyond what a double can hold.
    """
    kind = value.__class__
    if kind is dict:
        inner = value.values()
    elif kind is list:
        inner = value
    else:
        return value if kind is not int or MIN_INTEGER <= value <= MAX_INTEGER else _double(value)
    if not room:
        _settleDeep(value, most)
        return value
    for each in inner:
        kind = each.__class__
        if kind is dict or kind is list:
            settled(each, most, room - 1)
        elif kind is int and not MIN_INTEGER <= each <= MAX_INTEGER:
            _settleIntegers(value)
    return value


def rewritten(
    encode: Callable[[Any], bytes], decode: Callable[[bytes], Any], what: Any, fault: Exception, most: int
) -> bytes:
    """
    Write what msgspec has refused to write.

    @param decode: reads what C{encode} writes.
    @param fault: what msgspec has said, one of L{UNWRITABLE}.
    @param most: how many levels it may have, with those around the payload.
    @raise TypeError: it has no form, or is nested too deep (L{OverLimit}).
    """
    if not isinstance(fault, RecursionError):
        raise _noForm(fault) from None
    try:
        text: bytes = deeper(encode, what)
    except RecursionError:
        raise _tooDeep() from None
    except UNWRITABLE as other:
        raise _noForm(other) from None
    if not _isWithin(deeper(decode, text), most):
        raise _tooDeep()
    return text


def _isWithin(value: Any, most: int) -> bool:
    """Whether a dict or list has no more levels than that."""
    level = [value]
    for _ in range(most):
        level = [
            each
            for container in level
            for each in (container.values() if container.__class__ is dict else container)
            if each.__class__ is dict or each.__class__ is list
        ]
        if not level:
            return True
    return False


def _tooDeep() -> OverLimit:
    return OverLimit(TOO_DEEP, f"It is nested deeper than {MAX_NESTING} levels.")


def _noForm(fault: Exception) -> TypeError:
    if isinstance(fault, UnicodeEncodeError):
        return TypeError("A string of it holds half of a surrogate pair, for which UTF-8 has no form.")
    return TypeError(f"There is no form for what is in it: {fault}.")


def _meant(fault: Exception) -> Exception:
    """What msgspec means: a limit, or that it is something else."""
    if isinstance(fault, RecursionError):
        return _tooDeep()
    if str(fault).startswith(_OUT_OF_RANGE):
        return _beyondDoubles()
    return fault


def _withWholePairs(text: bytes) -> bytes:
    r"""Half pairs occur only as C{\u} and four digits, since the text itself is UTF-8."""
    if b"\\u" not in text:
        return text
    # An escaped backslash before a "u" is no such thing. No JSON holds the byte 0, so it can stand for that meanwhile.
    apart = text.replace(b"\\\\", b"\x00\x00")
    whole = _HALF_PAIR.sub(_REPLACEMENT, apart)
    return text if whole == apart else whole.replace(b"\x00\x00", b"\\\\")


def _settleDeep(value: Any, most: int) -> None:
    """As L{settled}, for what stands below its recursion."""
    level, depth = [value], _NEAR + 1
    while level:
        if depth > most:
            raise _tooDeep()
        below = []
        for container in level:
            for each in container.values() if container.__class__ is dict else container:
                kind = each.__class__
                if kind is dict or kind is list:
                    below.append(each)
                elif kind is int and not MIN_INTEGER <= each <= MAX_INTEGER:
                    _settleIntegers(container)
        level = below
        depth += 1


def _settleIntegers(container: Any) -> None:
    # That neither grows nor shrinks while somebody walks through it.
    for key, each in container.items() if container.__class__ is dict else enumerate(container):
        if each.__class__ is int and not MIN_INTEGER <= each <= MAX_INTEGER:
            container[key] = _double(each)


def _double(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise _beyondDoubles() from None


def _beyondDoubles() -> OverLimit:
    return OverLimit(TOO_LARGE, "It holds a number beyond what a double can hold.")
