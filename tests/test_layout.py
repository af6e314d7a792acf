"""
The floors of the package: a module imports from lower floors only.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import twisted_crossws

PACKAGE = Path(twisted_crossws.__file__).parent

#: The floor of every module or folder; each one sees those below it. What an application imports stands on top.
FLOORS = {
    "_version": 0,
    "errors": 0,
    "interfaces": 0,
    "config": 0,
    "configcheck": 0,
    "configfile": 0,
    "clusterfile": 0,
    "nearest": 0,
    "places": 0,
    "runfolder": 0,
    "plan": 0,
    "steady": 0,
    "wire": 1,
    "state": 2,
    "bus": 3,
    "client": 3,
    "cluster": 3,
    "ws": 3,
    "node": 4,
    "services": 5,
    "testing": 5,
    "redisserver": 5,
    "machine": 6,
    "tap": 7,
    "__init__": 8,
}

#: What each floor, or each room of a floor, may import of other packages beside the standard library.
OUTSIDE = {
    "_version": set[str](),
    "errors": set[str](),
    "interfaces": {"zope.interface", "twisted.internet.defer", "twisted.internet.interfaces"},
    "config": {"msgspec"},
    "configcheck": {"msgspec"},
    "configfile": set[str](),
    "clusterfile": {"msgspec"},
    "nearest": set[str](),
    "places": set[str](),
    "runfolder": set[str](),
    "plan": {"msgspec"},
    "steady": {"twisted.internet.interfaces"},
    "wire": {"msgspec"},
    "state": {
        "twisted.internet.defer",
        "twisted.internet.interfaces",
        "twisted.logger",
        "twisted.python.failure",
    },
    # hiredis is for one module of it; see below.
    "bus": {"hiredis", "twisted.internet", "twisted.logger", "twisted.python", "zope.interface"},
    "cluster": {"twisted.internet", "twisted.logger", "twisted.python", "zope.interface", "msgspec"},
    "client": {"autobahn", "twisted.internet", "twisted.logger", "twisted.python"},
    # A node shares its port with pages, so twisted.web stands where the protocols are.
    "ws": {
        "autobahn",
        "twisted.internet",
        "twisted.logger",
        # How twisted.web reads the lines of a request.
        "twisted.protocols.basic",
        "twisted.python",
        "twisted.web",
        "zope.interface",
        "msgspec",
    },
    "node": {"twisted.application", "twisted.internet", "twisted.logger", "twisted.python", "twisted.web"},
    "services": {
        "twisted.application",
        "twisted.internet",
        "twisted.logger",
        "twisted.plugin",
        "twisted.python",
        "zope.interface",
    },
    "redisserver": {"twisted.internet", "twisted.python"},
    # AMP is what the processes of a machine speak to each other; a shared port wraps its connections as a reactor does.
    "machine": {
        "twisted.application",
        "twisted.internet",
        "twisted.logger",
        "twisted.protocols.amp",
        "twisted.protocols.tls",
        "twisted.python",
        "zope.interface",
        "msgspec",
    },
    "testing": {"twisted.internet", "twisted.python", "twisted.test.iosim", "zope.interface"},
    "tap": {"twisted", "zope.interface", "msgspec"},
    "__init__": set[str](),
}

MODULES = sorted(PACKAGE.rglob("*.py"))


def room(module: Path) -> str:
    """The folder of a module, or its name where it has none."""
    first = module.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


@cache
def imports(module: Path) -> set[str]:
    """All that it imports by absolute names, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def within(name: str, prefixes: set[str]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
class TestModule:
    def test_floor(self, module: Path) -> None:
        """It imports its own room and lower floors; rooms of one floor do not see each other."""
        own = room(module)
        for name in imports(module):
            if name.startswith("twisted_crossws."):
                other = name.split(".")[1]
                allowed = other == own or FLOORS[other] < FLOORS[own] or FLOORS[own] == 0 == FLOORS[other]
                assert allowed, f"{own} reaches {other}: {name}"

    def test_outside(self, module: Path) -> None:
        """Of other packages it imports what its floor may."""
        outside = {
            name
            for name in imports(module)
            if within(name, {"autobahn", "hiredis", "msgspec", "twisted", "zope", "txaio"})
        }
        allowed = OUTSIDE[room(module)]
        assert {name for name in outside if not within(name, allowed)} == set()

    def test_noReactor(self, module: Path) -> None:
        """Nothing installs a reactor by being imported: L{twisted.internet.reactor} is imported in functions only."""
        top = [node for node in ast.parse(module.read_text()).body if isinstance(node, ast.ImportFrom)]
        assert not [node for node in top if node.module == "twisted.internet" and node.names[0].name == "reactor"]

    def test_size(self, module: Path) -> None:
        """One idea each: no module has more than 400 lines."""
        assert len(module.read_text().splitlines()) <= 400


def test_everyRoomHasAFloor() -> None:
    """Whoever adds a module says where it stands."""
    assert {room(module) for module in MODULES} == set(FLOORS) == set(OUTSIDE)


def test_hiredisInOnePlace() -> None:
    """What a Redis says is read in one module."""
    users = [module.name for module in MODULES if any(within(name, {"hiredis"}) for name in imports(module))]
    assert users == ["connection.py"]
