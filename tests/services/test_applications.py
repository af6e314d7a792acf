"""
The applications in a node: how they are found, and what is said of those that cannot be used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import Service
from twisted.internet.task import Clock

import twisted.plugins
from twisted_crossws import Node
from twisted_crossws.services.applications import addApplication, checkOptions, findApplication

MODULE = """
def makeService(node, greeting="hello"):
    return None

class Games:
    @staticmethod
    def lobby(node):
        return None

APPLES = 7
"""

PLUGIN = """
from zope.interface import implementer
from twisted.plugin import IPlugin
from twisted_crossws import INodeService

@implementer(IPlugin, INodeService)
class Greeter:
    def __init__(self, name):
        self.name = name

    def makeService(self, node, greeting):
        node.greeting = greeting

first, second = Greeter("greeter"), Greeter("another")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that modules are found in. What was imported from it is forgotten after the test."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "found_app.py").write_text(MODULE)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.endswith(("_app", "_plugin")):
            del sys.modules[name]


class TestModule:
    def test_found(self) -> None:
        """C{module:callable} is that one, which may be an attribute of something else in the module."""
        assert findApplication("found_app:makeService") is sys.modules["found_app"].makeService
        assert findApplication("found_app:Games") is sys.modules["found_app"].Games
        assert findApplication("found_app:Games.lobby") is sys.modules["found_app"].Games.lobby

    def test_inAPackage(self, folder: Path) -> None:
        """The module may be in a package."""
        (folder / "whole_app").mkdir()
        (folder / "whole_app" / "__init__.py").write_text("")
        (folder / "whole_app" / "inner_app.py").write_text(MODULE)
        assert findApplication("whole_app.inner_app:makeService") is sys.modules["whole_app.inner_app"].makeService

    @pytest.mark.parametrize(
        ("use", "says"),
        [
            ("nowhere_app:f", "cannot be imported: ModuleNotFoundError: No module named 'nowhere_app'"),
            (":f", "cannot be imported: ValueError: Empty module name"),
            ("found_app:nothing", "cannot be used: module 'found_app' has no attribute 'nothing'"),
            ("found_app:", "cannot be used: module 'found_app' has no attribute ''"),
            ("found_app:Games.poker", "cannot be used: type object 'Games' has no attribute 'poker'"),
            ("found_app:APPLES", "names something that is not callable"),
        ],
    )
    def test_notFound(self, use: str, says: str) -> None:
        """One that is not there, or is nothing to be called, is said in the end of a sentence."""
        with pytest.raises(LookupError) as raised:
            findApplication(use)
        assert raised.value.args == (says,)

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("def makeService(:", "SyntaxError: "),
            ("import nothing_like_this", "ModuleNotFoundError: No module named 'nothing_like_this'"),
            ("1 / 0", "ZeroDivisionError: division by zero"),
            ("import sys; sys.nothing", "AttributeError: module 'sys' has no attribute 'nothing'"),
            ("import sys; sys.exit('I am a program')", "SystemExit: I am a program"),
        ],
    )
    def test_broken(self, folder: Path, text: str, says: str) -> None:
        """So is one whose module fails when it is imported, in whatever way; the process goes on."""
        (folder / "broken_app.py").write_text(text)
        with pytest.raises(LookupError, match=f"^cannot be imported: {says}"):
            findApplication("broken_app:makeService")


class TestPlugin:
    @pytest.fixture(autouse=True)
    def plugins(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An installed package with two plugins."""
        monkeypatch.setattr(twisted.plugins, "__path__", [*twisted.plugins.__path__, str(folder / "plugins")])
        (folder / "plugins").mkdir()
        (folder / "plugins" / "greeter_plugin.py").write_text(PLUGIN)

    def test_found(self, clock: Clock) -> None:
        """A name without a colon is that of an installed plugin."""
        node: Any = Node(clock=clock)
        addApplication(node, findApplication("greeter"), {"greeting": "moin"})
        assert node.greeting == "moin"

    def test_notFound(self) -> None:
        """One that is not installed is said, with the names of those that are."""
        with pytest.raises(LookupError) as raised:
            findApplication("greetre")
        says = "is neither module:callable nor an installed plugin (there are: another, greeter)"
        assert raised.value.args == (says,)


def test_noPlugins() -> None:
    """Where none is installed, that is said."""
    with pytest.raises(LookupError, match=r"\(there are: none\)$"):
        findApplication("greeter")


class TestOptions:
    @pytest.mark.parametrize("options", [{}, {"greeting": "moin"}])
    def test_fit(self, options: dict[str, Any]) -> None:
        """Options that a callable takes are fine."""
        checkOptions(findApplication("found_app:makeService"), options)

    @pytest.mark.parametrize(
        ("application", "options", "says"),
        [
            (lambda node: None, {"a": 1}, "got an unexpected keyword argument 'a'"),
            (lambda node, a: None, {}, "missing a required argument: 'a'"),
            (lambda: None, {}, "too many positional arguments"),
            (lambda node: None, {"node": 1}, "multiple values for argument 'node'"),
        ],
    )
    def test_doNotFit(self, application: Any, options: dict[str, Any], says: str) -> None:
        """Those that it does not take are said in the end of a sentence, before it is called."""
        with pytest.raises(LookupError) as raised:
            checkOptions(application, options)
        assert raised.value.args == (f"cannot be called with its options: {says}",)

    def test_unknown(self) -> None:
        """A callable that does not tell what it takes is given the benefit of the doubt."""
        with pytest.raises(ValueError):
            signature(dict)
        checkOptions(dict, {"a": 1})


class Counting(Service):
    """
    @ivar told: what it was told, in order.
    """

    def __init__(self) -> None:
        self.told: list[str] = []

    def startService(self) -> None:
        self.told.append("start")

    def stopService(self) -> None:
        self.told.append("stop")


class TestAdding:
    def test_arguments(self, clock: Clock) -> None:
        """It is called with the node and its options."""
        node, called = Node(clock=clock), list[Any]()
        addApplication(node, lambda *args, **options: called.append((args, options)), {"a": 1, "b": [2]})
        assert called == [((node,), {"a": 1, "b": [2]})]
        assert list(node) == []

    def test_service(self, clock: Clock) -> None:
        """The service that it returns is started and stopped with the node."""
        node, service = Node(clock=clock), Counting()
        addApplication(node, lambda node: service, {})
        assert service.told == []
        node.startService()
        assert service.told == ["start"]
        assert node.stopService().called
        assert service.told == ["start", "stop"]

    @pytest.mark.parametrize("made", [7, "service", Counting, []])
    def test_noService(self, clock: Clock, made: object) -> None:
        """Whatever else it returns is its mistake, and shown."""
        with pytest.raises(TypeError, match="must return an IService or None") as raised:
            addApplication(Node(clock=clock), lambda node: made, {})
        assert repr(made) in str(raised.value)

    def test_failure(self, clock: Clock) -> None:
        """One that fails fails to whoever adds it."""
        with pytest.raises(ZeroDivisionError):
            addApplication(Node(clock=clock), lambda node: 1 // 0, {})
