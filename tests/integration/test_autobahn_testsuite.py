"""
What the Autobahn|Testsuite says of our server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor

from tests.integration.autobahn_testsuite import BINARY, command, notGood, verdicts

reactor: Any = _reactor

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        command() is None,
        reason="The Autobahn|Testsuite runs on Python 2.7 only, and its command wstest was not found: set WSTEST.",
    ),
]


@pytest_twisted.ensureDeferred
async def test_quickCases(tmp_path: Path) -> None:
    """Every quick case has the verdict that it is to have, with the fast paths and without them."""
    found = await verdicts(reactor, tmp_path)
    assert {server: set(cases) for server, cases in notGood(found).items()} == {"fast": BINARY, "ordinary": BINARY}
    assert len(found["fast"]) == len(found["ordinary"]) == 247
