"""Text from peers, made fit to be shown to people."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_crossws.wire.text import MAX_SHOWN, closeReason, sentence, shown

examples = settings(deadline=None, max_examples=150)

anyText = st.text(st.characters(exclude_categories=()), max_size=300)


@pytest.mark.parametrize(("text", "whole"), [("It is off", "It is off."), (ValueError("No."), "No."), ("", ".")])
def test_sentence(text: object, whole: str) -> None:
    """It ends with one full stop."""
    assert sentence(text) == whole


class TestShown:
    def test_plain(self) -> None:
        """A name stands in quotes."""
        assert shown("say") == "'say'"

    def test_notText(self) -> None:
        """What is no string is shown as text, too."""
        assert shown(7) == "'7'"

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("\r\n2026-01-01 INFO forged", r"'\r\n2026-01-01 INFO forged'"),
            ("\x1b[31mred\x1b[0m", r"'\x1b[31mred\x1b[0m'"),
            ("\x9b31m", r"'\x9b31m'"),
            ("a\x00b\x07\x7f", r"'a\x00b\x07\x7f'"),
            ("\x85\u2028\u2029", r"'\x85\u2028\u2029'"),
            ("abc\u202etxt.exe", r"'abc\u202etxt.exe'"),
            ("\ud800", r"'\ud800'"),
            ("it's", '"it\'s"'),
        ],
    )
    def test_hostile(self, text: str, expected: str) -> None:
        """No name forges a line of a log, paints a terminal, or turns text around."""
        assert shown(text) == expected

    def test_long(self) -> None:
        """200 characters are shown; of more, the first 200 and a sign that there is more."""
        assert shown("x" * MAX_SHOWN) == repr("x" * MAX_SHOWN)
        assert shown("x" * (MAX_SHOWN + 1)) == repr("x" * MAX_SHOWN) + "…"

    @examples
    @given(anyText)
    def test_anyText(self, text: str) -> None:
        """Any text is one printable line, and its beginning can be read back from it."""
        line = shown(text)
        assert line.isprintable()
        assert ast.literal_eval(line.removesuffix("…") if len(text) > MAX_SHOWN else line) == text[:MAX_SHOWN]


class TestCloseReason:
    def test_short(self) -> None:
        """What fits is left as it is."""
        assert closeReason("") == b""
        assert closeReason("grüß dich") == "grüß dich".encode()

    def test_limit(self) -> None:
        """123 bytes fit, and no part of a character is left over at the end."""
        assert closeReason("x" * 124) == b"x" * 123
        assert closeReason("é" * 62) == "é".encode() * 61
        assert closeReason("x" + "é" * 62) == b"x" + "é".encode() * 61

    @examples
    @given(anyText)
    def test_anyText(self, text: str) -> None:
        """Any text becomes the UTF-8 of its own beginning, and fits."""
        reason = closeReason(text)
        assert len(reason) <= 123
        whole = "".join("?" if "\ud800" <= character <= "\udfff" else character for character in text)
        assert whole.startswith(reason.decode())
        assert len(whole.encode()) <= 123 or len(reason) >= 120
