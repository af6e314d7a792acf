"""
Looking for ASCII first finds what Autobahn's validator finds.
"""

from __future__ import annotations

from typing import Any

from autobahn.websocket.utf8validator import Utf8Validator
from hypothesis import given
from hypothesis import strategies as st

from twisted_crossws.ws.ascii import AsciiFirst

BYTES = st.one_of(
    st.binary(max_size=6),
    st.text(max_size=6).map(str.encode),
    st.text("abc ", max_size=20).map(str.encode),
    st.tuples(st.text("aé€😀", max_size=4).map(str.encode), st.integers(0, 12)).map(lambda cut: cut[0][: cut[1]]),
)


@given(st.lists(st.lists(BYTES, max_size=8), max_size=4))
def test_same(messages: list[list[bytes]]) -> None:
    """Message by message and piece by piece, up to what is wrong, from where Autobahn reads no further."""
    ordinary: Any = Utf8Validator()
    fast = AsciiFirst(Utf8Validator())
    for pieces in messages:
        ordinary.reset()
        fast.reset()
        for piece in pieces:
            expected = ordinary.validate(piece)
            assert fast.validate(piece) == expected
            if not expected[0]:
                break


def test_asksForTheRest() -> None:
    """The thorough validator sees what is not ASCII, and what follows the beginning of a character; nothing else."""
    asked: list[bytes] = []

    class Thorough:
        def reset(self) -> None:
            asked.clear()

        def validate(self, data: bytes) -> tuple[bool, bool, int, int]:
            asked.append(data)
            return True, data != b"\xc3", len(data), 0

    fast = AsciiFirst(Thorough())
    fast.reset()
    for piece in (b"abc", b"\xc3", b"\xa9", b"def", b""):
        fast.validate(piece)
    assert asked == [b"\xc3", b"\xa9"]
