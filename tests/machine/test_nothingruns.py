"""
A master that has nothing to run, as no server can listen.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock

from tests.machine.fakes import FakeSystem
from twisted_crossws.machine.master import Master
from twisted_crossws.machine.server import Server
from twisted_crossws.machine.supervised import NO_PORT


class Machine:
    """
    A master of two servers with one process each.

    @ivar failures: what the master has said before its end.
    """

    def __init__(self, folder: Path) -> None:
        self.reactor = MemoryReactorClock()
        self.system = FakeSystem(self.reactor)  # type: ignore[arg-type]
        self.failures: list[str] = []
        servers = [Server(name, "", [self.system.process(name)], None, self.reactor) for name in "ab"]  # type: ignore
        self.master = Master(
            servers, [], str(folder), self.reactor, reread=lambda name: servers[0], failed=self.failures.append
        )
        self.master.startService()
        self.reactor.run()

    def die(self, name: str, reason: str, times: int = 4) -> None:
        """A process ends as soon as it was started, again and again."""
        for _ in range(times):
            self.system.child(name).end(reason)
            self.reactor.advance(1.0)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_noPorts(machine: Machine) -> None:
    """When the last server is given up for its port, too, the master ends with a sentence for each."""
    machine.die("a", NO_PORT)
    assert machine.failures == []
    machine.die("b", NO_PORT)
    assert machine.failures == ["a: a port cannot be listened on.\nb: a port cannot be listened on."]


def test_another(machine: Machine) -> None:
    """As long as one server runs, or is tried, the master stays."""
    machine.die("a", NO_PORT)
    machine.die("b", NO_PORT, times=3)
    assert machine.failures == []


def test_mendable(machine: Machine) -> None:
    """A server that ends for another reason can be mended and added; the master waits for that."""
    machine.die("a", NO_PORT)
    machine.die("b", "exit status 1")
    assert machine.failures == []
