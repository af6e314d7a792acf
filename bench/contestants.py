"""
Who is measured: how each is started, and of which versions.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.processes import Server
from bench.programs import HERE, PACKAGE, REQUIREMENTS, ROOT, Tools, exactVersions, interpreterVersion

#: Where the servers of the contestants are, each a file as its user would write it.
SOURCES = HERE / "contestants"

#: What the contestants are called in tables; C{bench.targets} compares two of them.
OURS = "twisted_crossws"
FLOOR = "floor (C)"
WS = "ws (Node.js)"


@dataclass(frozen=True)
class Contestant:
    """
    A server that can be measured.

    @ivar name: for the command line.
    @ivar title: for tables.
    @ivar start: makes it, on a port; it is not started yet. It may raise L{bench.programs.MissingError}.
    @ivar versions: what it consists of, in words.
    @ivar dialect: what its clients speak, as C{wsload --dialect} calls it.
    @ivar notIdle: why it is left out of C{idle}, in a sentence; C{""}: it is not.
    @ivar mostIdle: connections that it can get in C{idle} within a minute.
    """

    name: str
    title: str
    start: Callable[[Tools, int], Server]
    versions: Callable[[Tools], str]
    dialect: str = "crossws"
    notIdle: str = ""
    mostIdle: int = 1_000_000


def node(port: int, config: Path, *options: str) -> Server:
    """
    Our node, as its user starts it.

    @param options: more of the command line of C{twistd crossws}.
    """
    twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile="]
    listen = f"tcp:{port}:interface=127.0.0.1"
    argv = [*twistd, "crossws", "--config", config, "--listen", listen, *options]
    return Server(argv, port, environment={"PYTHONPATH": str(ROOT)}, folder=config.parent)


def _ours(tools: Tools, port: int) -> Server:
    return node(port, SOURCES / "bench.toml")


def _floor(tools: Tools, port: int) -> Server:
    return Server([tools.floor, str(port)], port)


def _node(script: str) -> Callable[[Tools, int], Server]:
    def start(tools: Tools, port: int) -> Server:
        modules = {"NODE_PATH": str(tools.nodeModules())}
        return Server(["node", SOURCES / script, str(port)], port, environment=modules)

    return start


def _pythonSocketIo(tools: Tools, port: int) -> Server:
    options = ["--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop", "--log-level", "warning"]
    argv = [tools.python(), "-m", "uvicorn", *options, "socketio_app:app"]
    return Server(argv, port, folder=SOURCES)


def _channels(tools: Tools, port: int) -> Server:
    options = ["-b", "127.0.0.1", "-p", str(port), "-v", "0"]
    return Server([tools.python(), "-m", "daphne", *options, "channels_app:application"], port, folder=SOURCES)


def _autobahn(tools: Tools, port: int) -> Server:
    return Server([sys.executable, SOURCES / "autobahn_server.py", str(port)], port)


def _installed(*packages: str) -> Callable[[Tools], str]:
    def versions(tools: Tools) -> str:
        named = ", ".join(f"{package} {version(package)}" for package in packages)
        return f"{named}, Python {platform.python_version()}"

    return versions


def _npm(package: str) -> Callable[[Tools], str]:
    return lambda tools: f"{package} {exactVersions(PACKAGE)[package]}, Node.js {interpreterVersion('node')}"


def _pip(*packages: str) -> Callable[[Tools], str]:
    def versions(tools: Tools) -> str:
        exact = exactVersions(REQUIREMENTS)
        named = ", ".join(f"{package} {exact[package]}" for package in packages)
        return f"{named}, Python {interpreterVersion(tools.python())}"

    return versions


#: All of them, in the order of the table.
CONTESTANTS = (
    Contestant("ours", OURS, _ours, _installed("twisted_crossws", "Twisted", "autobahn", "msgspec", "hiredis")),
    Contestant(
        "floor",
        FLOOR,
        _floor,
        lambda tools: "one file of C, built with cc -O2",
        notIdle="It has a buffer of 64 kB for each connection, so its memory says nothing.",
    ),
    Contestant("ws", WS, _node("ws.js"), _npm("ws")),
    Contestant("socketio", "Socket.IO (Node.js)", _node("socketio.js"), _npm("socket.io"), "socketio"),
    Contestant("autobahn", "Autobahn", _autobahn, _installed("autobahn", "Twisted")),
    Contestant(
        "python-socketio",
        "python-socketio",
        _pythonSocketIo,
        _pip("python-socketio", "uvicorn", "uvloop", "httptools", "websockets"),
        "socketio",
    ),
    Contestant(
        "channels",
        "Channels",
        _channels,
        _pip("channels", "daphne", "Django"),
        mostIdle=2000,
    ),
)
