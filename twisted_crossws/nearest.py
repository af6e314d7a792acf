"""
What may have been meant by a name that there is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from twisted_crossws.places import shown

#: Names, in the order in which they are listed.
Names = Mapping[str, Any] | tuple[str, ...] | list[str]


def nearest(name: str, known: Names) -> str:
    """
    @return: the end of a sentence about a name that there is not: what may have been meant, or what there is.
    """
    close = get_close_matches(name, known, 1)
    return f"; did you mean {shown(close[0])}?" if close else f"{thereAre(known)}."


def thereAre(names: Names) -> str:
    """
    @return: a list of the names, in brackets.
    """
    return f" (there are: {', '.join(map(shown, names))})" if names else " (there are none)"
