"""
The examples of several servers as a person runs them: by one command, to their end.
"""

from __future__ import annotations

import re
import signal
import sys

import pytest
import pytest_twisted

from tests.integration.process import ROOT, Process, freePort, isFree

pytestmark = [pytest.mark.integration, pytest.mark.fates]


def start(example: str, *args: str) -> Process:
    return Process.start(sys.executable, str(ROOT / "examples" / example / "run.py"), *args, cwd=ROOT)


def firstOfFive() -> int:
    """Five ports in a row that nobody listens on now."""
    while True:
        first = freePort()
        if first + 4 < 65536 and all(isFree(port) for port in range(first, first + 5)):
            return first


class TestCrossServer:
    @pytest_twisted.ensureDeferred
    async def test_run(self) -> None:
        """Every way to tell and to ask, with what each server heard and said; in the end it ends well."""
        process = start("cross-server")
        assert await process.wait() == 0
        assert process.errors == ""
        # What others print comes when it comes, on a busy machine below a later heading.
        hears = re.compile(r"^  \w+ hears .*\n", re.MULTILINE)
        parts = dict(re.findall(r"^(\S.*):\n((?: .*\n)*)", hears.sub("", process.output), re.MULTILINE))
        assert {"To all others, without a reply", "To two of them"} <= parts.keys()
        heard = sorted(line.strip() for line in hears.findall(process.output))
        names = ["gameServer", "mailServer", "shopServer"]
        assert f"Servers: {', '.join([*names[:2], 'sender', *names[2:]])}\n" in process.output
        expected = [(name, "good morning") for name in names] + [
            (name, "psst") for name in ("gameServer", "shopServer")
        ]
        assert heard == sorted(f"{name} hears {word!r} from sender" for name, word in expected)
        stock = ["gameServer has ['chess', 'go']", "mailServer has []", "shopServer has ['books']"]
        replies = re.findall(
            r"^  (.*), (\d) to go$", parts["A question to all others, with a function for each reply"], re.M
        )
        assert (sorted(said for said, _ in replies), [left for _, left in replies]) == (stock, ["2", "1", "0"])
        assert parts["The same with a Deferred"].splitlines() == [f"  {line}" for line in stock]
        assert parts["A question to one"] == "  7 / 2 = 3.5\n  7 / 0: mailServer does not divide by zero.\n"
        (last,) = parts["A question to one that is there and one that is not"].splitlines()
        assert last == "  replies {'gameServer': ['chess', 'go']}, complete False, missing {'nobody'}"


class TestClusterChat:
    @pytest_twisted.ensureDeferred
    async def test_run(self) -> None:
        """Fifty clients at five nodes: each gets what is for it, once, and nothing else."""
        first = firstOfFive()
        process = start("cluster-chat", str(first))
        assert await process.wait() == 0
        assert process.errors == ""
        lines = re.findall(r"^client(\d+) +at (\d+) in (\w+) +got  (.*)$", process.output, re.MULTILINE)
        assert [int(number) for number, *_ in lines] == list(range(50))
        for text, port, room, got in lines:
            number = int(text)
            expected = ["commander: Good evening, everybody."]
            expected += ["commander: Only you, client7."] * (number == 7)
            expected += ["commander: You three."] * (number in (1, 2, 3))
            expected += ["commander: Red room, please."] * (room == "red" and number != 0)
            expected += ["client4: Green is ours."] * (room == "green")
            assert sorted(got.split("  |  ")) == sorted(expected)
            assert (int(port), room) == (first + number % 5, ("red", "green", "blue")[number % 3])

    @pytest_twisted.ensureDeferred
    async def test_interrupted(self) -> None:
        """Ctrl-C ends everything at any time, without a word."""
        first = firstOfFive()
        process = start("cluster-chat", str(first))
        await process.says("clients are at")
        assert await process.stop(signal.SIGINT) == 0
        assert "Traceback" not in process.output and "KeyboardInterrupt" not in process.output
        assert all(isFree(port) for port in range(first, first + 5))
