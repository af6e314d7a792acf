"""
What can go wrong, as it is told to people and programs.
"""

from __future__ import annotations

import re

import pytest

from twisted_crossws import errors
from twisted_crossws.errors import (
    FINAL_CODES,
    CloseCode,
    ConfigError,
    CrossWSError,
    HandshakeRefused,
    Refuse,
    RemoteError,
    ReplyError,
)


def test_tree() -> None:
    """The tree at the top of the module is all there is, with its branches: L{CrossWSError}s, and local mistakes."""
    said: dict[str, str] = {}
    local = (TypeError, CrossWSError)
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    ([ │├└─]*)(\w+)", line):
            path[len(found[1]) // 4 :] = [found[2]]
            said[found[2]] = path[-2] if len(path) > 1 else "Exception"
    there = {
        name: value.__bases__[0].__name__
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, local)
    }
    there["TypeError"] = "Exception"
    assert said == there


def test_finalCodes() -> None:
    """After these codes a client does not come back by itself (wire section 1)."""
    assert sorted(FINAL_CODES) == [4001, 4010, 4011, 4012]
    assert all(isinstance(code, CloseCode) for code in FINAL_CODES)


def test_configError() -> None:
    """Its text has each fault on a line of its own."""
    fault = ConfigError(["One is wrong.", "So is another."])
    assert fault.faults == ("One is wrong.", "So is another.")
    assert str(fault) == "One is wrong.\nSo is another."


class TestRefuse:
    def test_default(self) -> None:
        """Without arguments it is 401."""
        assert (Refuse().status, Refuse().reason, str(Refuse())) == (401, "Unauthorized", "Unauthorized")

    @pytest.mark.parametrize("status", [400, 401, 599])
    def test_status(self, status: int) -> None:
        """Every status of an error will do."""
        assert Refuse(status, "no").status == status

    @pytest.mark.parametrize("status", [0, 101, 200, 302, 399, 600, -401])
    def test_badStatus(self, status: int) -> None:
        """A status that does not refuse is the application's mistake, and the message shows it."""
        with pytest.raises(ValueError, match=f"from 400 to 599, not {status}"):
            Refuse(status)

    @pytest.mark.parametrize("reason", ["zu früh", "no\r\nSet-Cookie: a=b", "no\n", "\x1b[31m", "\x7f"])
    def test_badReason(self, reason: str) -> None:
        """A reason that has no place in the head of an answer is one as well."""
        with pytest.raises(ValueError, match="printable ASCII"):
            Refuse(403, reason)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (ReplyError("busy"), "busy"),
        (ReplyError("busy", "Come back later."), "Come back later."),
        (RemoteError("busy"), "busy"),
        (RemoteError("busy", "Come back later."), "busy: Come back later."),
        (HandshakeRefused(503, "Busy"), "The server refused the connection: 503 Busy."),
        (
            HandshakeRefused(503, "The server is stopping."),
            "The server refused the connection: 503 The server is stopping.",
        ),
    ],
)
def test_text(fault: CrossWSError, text: str) -> None:
    """What an error says, with and without a sentence of its own."""
    assert str(fault) == text
