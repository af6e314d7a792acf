"""
The unit tests of C{crossws.js}, which Node.js runs: a fake WebSocket, a fake clock, and no server.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_SUITE = _ROOT / "tests" / "browser" / "crossws.test.js"
_NODE = shutil.which("node")


@pytest.mark.integration
@pytest.mark.skipif(_NODE is None, reason="The tests of crossws.js run in Node.js, and there is no node on the PATH.")
def test_unitTestsOfTheBrowserClient() -> None:
    """C{crossws.js} keeps its promises: every test of C{tests/browser/crossws.test.js} passes."""
    assert _NODE is not None
    command = [_NODE, "--test", "--test-reporter=tap", str(_SUITE)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n# fail 0\n" in done.stdout
    assert "\n# pass 0\n" not in done.stdout
