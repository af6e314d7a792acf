"""
A real C{twistd} process for a test.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from pathlib import Path
from random import randrange
from typing import Any, Self

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.integration.forked import Forked

reactor: Any = _reactor

#: The checkout, so that a process finds the package and its plugin whether it is installed or not.
ROOT = Path(__file__).resolve().parents[2]

#: Seconds that a process may take for something. Only one that hangs takes them: on a machine with ten others that want
#: its two cores, a node takes ten to start.
PATIENCE = 60.0

#: So many times what it takes to start a process is added to what is promised, where the machine is busy. A worker that
#: dies is back, on two cores with nothing else to do, in about as many.
_STARTS = 4.0

#: C{twistd -n crossws}: what Python runs, and what comes before the arguments.
_TWISTD = "from twisted.scripts.twistd import run; run()"
_OPTIONS = ("-n", "--pidfile=", "crossws")

#: What has been started and has not ended, so that a test that fails can be cleaned up after.
running: set[Process] = set()


class Process(ProcessProtocol):
    """
    A running command.

    @ivar output: what it has printed so far, standard error included.
    @ivar errors: its standard error alone.
    @ivar ended: fires with the exit status, or with minus the number of the signal that ended it, when all has come
        that it and its children had to print.
    @ivar isGone: it has ended, though its children may live.
    """

    isGone = False

    def __init__(self) -> None:
        self.output = ""
        self.errors = ""
        self.ended: Deferred[int] = Deferred()
        self._watching: list[tuple[str, Deferred[None]]] = []

    @classmethod
    def start(cls, *args: str, cwd: str | os.PathLike[str], env: dict[str, str] | None = None) -> Self:
        """Start a command in a folder."""
        process = cls()
        running.add(process)
        reactor.spawnProcess(process, args[0], args, env=_environment(env), path=str(cwd))
        return process

    @classmethod
    def fork(cls, code: str, *args: str, cwd: str | os.PathLike[str], env: dict[str, str] | None = None) -> Self:
        """
        Start what C{python -c code args} would, for a tenth of the CPU. Its command line in C{/proc} says something
        else.
        """
        if not hasattr(os, "pidfd_open"):
            return cls.start(sys.executable, "-c", code, *args, cwd=cwd, env=env)
        process = cls()
        running.add(process)
        Forked(process, str(cwd), _environment(env), code, *args)
        return process

    @property
    def pid(self) -> int:
        transport: Any = self.transport
        return int(transport.pid)

    def outReceived(self, data: bytes) -> None:
        self.output += data.decode()
        for text, waiting in list(self._watching):
            if text in self.output:
                self._watching.remove((text, waiting))
                waiting.callback(None)

    def errReceived(self, data: bytes) -> None:
        self.errors += data.decode()
        self.outReceived(data)

    def processExited(self, reason: Failure) -> None:
        self.isGone = True

    def processEnded(self, reason: Failure) -> None:
        running.discard(self)
        for _, waiting in self._watching:
            waiting.errback(AssertionError(f"The process ended. It said:\n{self.output}"))
        fault = reason.value
        assert isinstance(fault, ProcessDone | ProcessTerminated)
        self.ended.callback(-fault.signal if fault.signal else fault.exitCode)

    def says(self, text: str) -> Deferred[None]:
        """
        @return: fires when it has printed that text; fails when it ends before, or takes too long.
        """
        waiting: Deferred[None] = Deferred()
        self._watching.append((text, waiting))
        self.outReceived(b"")
        return waiting.addTimeout(PATIENCE, reactor)

    def sendSignal(self, number: int) -> None:
        os.kill(self.pid, number)

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """
        @return: its exit status. If it has ended already, that one.
        """
        if not self.isGone:
            self.sendSignal(number)
        return await self.wait()

    async def wait(self) -> int:
        """
        @return: its exit status, when it ends by itself.
        """
        ended: Deferred[int] = Deferred()
        self.ended.addCallback(lambda status: ended.callback(status) or status)
        return await ended.addTimeout(PATIENCE, reactor)

    async def kill(self) -> int:
        """End it as a crash would."""
        return await self.stop(signal.SIGKILL)


class NodeProcess(Process):
    """
    A running node.

    @ivar port: where it listens, on 127.0.0.1.
    """

    port = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"


def freePort() -> int:
    """
    A port that nobody listens on now, and that nobody is given before it is used: no other process of the suite takes
    from the same range, and the kernel takes those of connections from above all of them.
    """
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable")  # They go round.


def _portsOfThisProcess() -> Iterator[int]:
    """For ever, from a place of chance: two runs of the suite may be side by side."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 10
    ports = range(12_000 + 2_000 * number, 14_000 + 2_000 * number)
    yield from cycle([*ports[(begin := randrange(len(ports))) :], *ports[:begin]])


_ports = _portsOfThisProcess()


def isFree(port: int) -> bool:
    """Whether nobody listens on a port, on any address of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def twistd(*args: str, cwd: str | os.PathLike[str]) -> Process:
    """C{twistd -n crossws} with these arguments, without waiting for anything, as from the command line."""
    return Process.start(sys.executable, "-c", _TWISTD, *_OPTIONS, *args, cwd=cwd)


async def startNode(config: str | os.PathLike[str], *args: str, port: int | None = None) -> NodeProcess:
    """
    A node of a configuration file, on a port of its own.

    @param port: which one; by default any that is free.
    @return: fires when it serves.
    """
    number = port or freePort()
    folder = Path(config).resolve().parent
    listen = f"tcp:{number}:interface=127.0.0.1"
    process = NodeProcess.fork(_TWISTD, *_OPTIONS, "--config", str(config), "--listen", listen, *args, cwd=folder)
    process.port = number
    await process.says("is ready")
    return process


@asynccontextmanager
async def within(promised: float, what: str) -> AsyncIterator[None]:
    """
    See that something takes no longer than is promised. Where the machine has other things to do, it may take longer,
    in proportion to what it takes to start a process there meanwhile.

    @param promised: seconds, on a machine that has nothing else to do.
    """
    began = reactor.seconds()
    starting: list[Deferred[float]] = []
    late = reactor.callLater(promised, lambda: starting.append(Deferred.fromCoroutine(_secondsToStart())))
    try:
        yield
        took = reactor.seconds() - began
        if took > promised and not starting:
            late.reset(0)  # The reactor had no turn since.
            await pause(0)
        if starting:
            allowed = promised + _STARTS * await starting[0]
            assert took <= allowed, f"within {took:.1f} s, not in {allowed:.1f}: {what}"
    finally:
        if late.active():
            late.cancel()


async def _secondsToStart() -> float:
    """Start a process that imports what a node does, and wait for its end."""
    began = reactor.seconds()
    await Process.start(sys.executable, "-c", "import twisted_crossws.tap", cwd=ROOT).wait()
    return float(reactor.seconds() - began)


def pause(seconds: float) -> Deferred[None]:
    """For what only time can bring about."""
    return deferLater(reactor, seconds)


def _environment(more: dict[str, str] | None) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(more or {})}
