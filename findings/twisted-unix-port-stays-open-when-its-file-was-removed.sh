#!/usr/bin/env bash
# Twisted 26.10.0, reactor.listenUNIX: when the socket's file has been removed by somebody else (a cleaner of temporary
# files, a removed run folder), stopListening() fails with FileNotFoundError, and the listening socket is not closed: the
# factory is never told to stop, and a client that connects by another name of the socket (here a hard link) is taken by
# the system, and never answered.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q 'Twisted==26.10.0'
cat >port.py <<'END'
import os
import socket

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread


class Hello(Protocol):
    def connectionMade(self):
        self.transport.write(b"hello")
        self.transport.loseConnection()


class Told(Factory):
    protocol, stopped, noisy = Hello, False, False

    def stopFactory(self):
        self.stopped = True


def ask():
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect("second-name")
        return client.recv(10).decode()


async def main():
    factory = Told()
    port = reactor.listenUNIX("first-name", factory)
    os.link("first-name", "second-name")
    os.unlink("first-name")
    try:
        await port.stopListening()
        print("stopped", end="; ")
    except FileNotFoundError:
        print("FileNotFoundError", end="; ")
    print(f"factory told: {factory.stopped}", end="; ")
    print(f"still open: {port.socket.fileno() >= 0}", end="; ")
    try:
        print(f"a client gets: {await deferToThread(ask)}")
    except OSError as fault:
        print(f"a client gets: {type(fault).__name__}")
    reactor.stop()


reactor.callWhenRunning(lambda: ensureDeferred(main()))
reactor.run()
END
seen=$(venv/bin/python port.py)
echo "$seen"
expected="FileNotFoundError; factory told: False; still open: True; a client gets: TimeoutError"
[ "$seen" = "$expected" ] || { echo "That has changed; it was: $expected"; exit 1; }
