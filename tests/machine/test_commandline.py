"""
The command lines of the processes that a master starts.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from twisted_crossws.machine.commandline import commandLine

TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--nodaemon", "--pidfile="]


@pytest.mark.parametrize(
    ("options", "passed"),
    [
        ({}, []),
        ({"nodaemon": True}, []),
        ({"nodaemon": True, "logfile": None, "reactor": None, "logger": None}, []),
        ({"nodaemon": True, "logfile": "-"}, []),
        ({"nodaemon": True, "reactor": "asyncio", "logger": "my.logs"}, ["--reactor=asyncio", "--logger=my.logs"]),
        ({"nodaemon": True, "logfile": "/var/log/crossws.log"}, ["--logfile=/var/log/crossws.a.2.log"]),
        ({"nodaemon": True, "logfile": "crossws"}, [f"--logfile={os.getcwd()}/crossws.a.2"]),
        ({"nodaemon": False}, [f"--logfile={os.getcwd()}/twistd.a.2.log"]),
        ({"nodaemon": False, "logfile": None}, [f"--logfile={os.getcwd()}/twistd.a.2.log"]),
        ({"nodaemon": False, "syslog": True}, ["--syslog", "--prefix=a.2"]),
    ],
)
def test_passedOn(options: dict[str, Any], passed: list[str]) -> None:
    """What C{twistd} was told holds for the processes too; a log file is their own."""
    assert commandLine(options, "a.2", ["--config", "x"]) == [*TWISTD, *passed, "crossws", "--config", "x"]


def test_nameOfFile() -> None:
    """A name that would lead elsewhere does not."""
    line = commandLine({"nodaemon": True, "logfile": "/log/x.log"}, "../a", [])
    assert "--logfile=/log/x...%2Fa.log" in line
