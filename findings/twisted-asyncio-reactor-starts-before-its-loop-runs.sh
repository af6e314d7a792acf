#!/usr/bin/env bash
# Twisted 26.10.0 with its asyncio reactor: what was given to reactor.callWhenRunning runs before the event loop does.
# reactor.running is True there, and asyncio.get_running_loop() raises "no running event loop", so asyncio's libraries that
# look for the loop when they are called fail in startup functions, though the same call works by reactor.callLater(0, f).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q 'Twisted==26.10.0'
cat >start.py <<'END'
import asyncio

from twisted.internet import asyncioreactor

asyncioreactor.install()
from twisted.internet import reactor


def look(where):
    try:
        asyncio.get_running_loop()
        loop = "a loop"
    except RuntimeError as fault:
        loop = str(fault)
    print(f"{where}: running is {reactor.running}, {loop}", end="; ")


reactor.callWhenRunning(look, "callWhenRunning")
reactor.callLater(0, look, "callLater")
reactor.callLater(0.1, reactor.stop)
reactor.run()
END
seen=$(venv/bin/python start.py)
echo "$seen"
expected="callWhenRunning: running is True, no running event loop; callLater: running is True, a loop; "
[ "$seen " = "$expected" ] || [ "$seen" = "$expected" ] || { echo "That has changed; it was: $expected"; exit 1; }
