"""
What two nodes make of one script, and what of the script it takes for them to differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from tests.ws.twins import Script, Twin


def differences(script: Script) -> list[str]:
    """What a node with the fast paths makes of a script that one without them does not, for people."""
    fast, ordinary = Twin(script, isFast=True), Twin(script, isFast=False)
    fast.run()
    ordinary.run()
    return [
        f"{name}: {_firstDifference(fast.outcome()[name], expected)}"
        for name, expected in ordinary.outcome().items()
        if fast.outcome()[name] != expected
    ]


def _firstDifference(fast: Any, ordinary: Any) -> str:
    if isinstance(ordinary, list):
        pairs = enumerate(zip_longest(fast, ordinary, fillvalue="nothing"))
        number, (fast, ordinary) = next(pair for pair in pairs if pair[1][0] != pair[1][1])
        return f"at {number}, {fast!r} instead of {ordinary!r}"
    return f"{fast!r} instead of {ordinary!r}"


def shorter(script: Script) -> Script:
    """A script with a difference, without the steps, listeners and bytes that it does not need."""
    while True:
        for candidate in _candidates(script):
            if differences(candidate):
                script = candidate
                break
        else:
            return script


def _candidates(script: Script) -> Iterator[Script]:
    steps, nested = script.steps, script.nested
    for number in range(len(steps)):
        yield replace(script, steps=steps[:number] + steps[number + 1 :])
    for name in script.lifecycle:
        yield replace(script, lifecycle={key: deed for key, deed in script.lifecycle.items() if key != name})
    for name in script.options:
        yield replace(script, options={key: value for key, value in script.options.items() if key != name})
    for number in range(len(nested)):
        yield replace(script, nested=nested[:number] + nested[number + 1 :])
    for number, (name, *args) in enumerate(steps):
        if name == "read":
            client, data = args
            for size in (len(data) // 2, len(data) // 4, 16, 4, 1):
                for at in range(0, len(data), size or 1):
                    part = data[:at] + data[at + size :]
                    if 0 < len(part) < len(data):
                        yield replace(script, steps=[*steps[:number], ("read", client, part), *steps[number + 1 :]])
