"""
Servers under measurement, each a process of its own that leaves nothing behind.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

#: Seconds that a server may take until it accepts connections.
START_TIMEOUT = 30.0


class StartError(Exception):
    """A server did not start; the message says so in words that may be published, and the notes what it printed."""

    def __init__(self, message: str, argv: Sequence[str], printed: str) -> None:
        super().__init__(message)
        self.add_note(f"{' '.join(argv)}\n{printed}")


def freePort() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """
    A process that listens. As a context manager it is started, waited for until it accepts, and in the end killed with
    all its children.

    @ivar port: where it listens, on 127.0.0.1; it has to be told by C{argv} or C{environment}.
    @ivar pid: its process id, from the start on.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        port: int,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.port = port
        self._argv = [str(each) for each in argv]
        self._environment = {**os.environ, **(environment or {})}
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        # A file and not a pipe: nobody reads while it runs, and a full pipe would stop it.
        self._output: IO[bytes] = tempfile.TemporaryFile()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Server:
        self._process = subprocess.Popen(
            self._argv,
            env=self._environment,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            self._waitUntilAccepting()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """End it and its children at once."""
        if self._process is not None and self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _waitUntilAccepting(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                status = self._process.returncode
                raise StartError(f"It ended with {status} before it accepted.", self._argv, self._printed())
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        os.killpg(self._process.pid, signal.SIGKILL)
        raise StartError(f"It did not accept within {START_TIMEOUT:.0f} s.", self._argv, self._printed())

    def _printed(self) -> str:
        self._output.seek(0)
        return self._output.read().decode("utf-8", "replace")
