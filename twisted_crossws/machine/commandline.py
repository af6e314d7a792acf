"""
The command lines of the processes that a master starts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

#: What C{twistd} is, wherever its script may be.
_TWISTD = ("-c", "from twisted.scripts.twistd import run; run()", "--nodaemon", "--pidfile=")


def commandLine(twistd: Mapping[str, Any], process: str, own: Sequence[str]) -> list[str]:
    """
    @param twistd: the options that the master was given, of C{twistd} itself. Where its log goes to a file, that of a
        process goes to one beside it, with its name: one file cannot be written, and rotated, by many.
    @param process: its name.
    @param own: what stands after the name of the command.
    @return: what to start a process by.
    """
    passed = [f"--{name}={twistd[name]}" for name in ("reactor", "logger") if twistd.get(name)]
    logFile = twistd.get("logfile") or ("-" if twistd.get("nodaemon", True) else "twistd.log")
    if twistd.get("syslog"):
        passed += ["--syslog", f"--prefix={process}"]
    elif logFile != "-":
        base, extension = os.path.splitext(os.path.abspath(logFile))
        passed.append(f"--logfile={base}.{quote(process, safe='')}{extension}")
    return [sys.executable, *_TWISTD, *passed, "crossws", *own]
