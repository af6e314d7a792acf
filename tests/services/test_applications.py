"""
The applications in a node: how they are found, and what is said of those that cannot be used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import Service
from twisted.internet.task import Clock

import twisted.plugins
from twisted_crossws import Node
from twisted_crossws.services.applications import addApplication, checkOptions, findApplication, useApplication
from twisted_crossws.state.arguments import described

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
            ("nowhere_xyz:f", "cannot be imported: ModuleNotFoundError: No module named 'nowhere_xyz'."),
            (
                "fonud_app:f",
                "cannot be imported: ModuleNotFoundError: No module named 'fonud_app'; did you mean \"found_app\"?",
            ),
            (
                "twisted.internt:f",
                "cannot be imported: ModuleNotFoundError: No module named 'twisted.internt'; did you mean "
                '"twisted.internet"?',
            ),
            (":f", "cannot be imported: ValueError: Empty module name."),
            (
                "found_app:nothing",
                "cannot be used: module 'found_app' has no attribute 'nothing' "
                '(there are: "Games", "makeService").',
            ),
            (
                "found_app:makeServce",
                "cannot be used: module 'found_app' has no attribute 'makeServce'; did you mean \"makeService\"?",
            ),
            (
                "found_app:",
                "cannot be used: module 'found_app' has no attribute '' (there are: \"Games\", \"makeService\").",
            ),
            (
                "found_app:Games.looby",
                "cannot be used: type object 'Games' has no attribute 'looby'; did you mean \"lobby\"?",
            ),
            ("found_app:APPLES", "names something that is not callable."),
            ("found_app:APPLES.x", "cannot be used: 'int' object has no attribute 'x' (there are none)."),
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
            ("def makeService(:", "SyntaxError: invalid syntax"),
            ("import nothing_like_this", "ModuleNotFoundError: No module named 'nothing_like_this'"),
            ("1 / 0", "ZeroDivisionError: division by zero"),
            ("raise ValueError", "ValueError"),
            ("import sys; sys.nothing", "AttributeError: module 'sys' has no attribute 'nothing'"),
            ("import sys; sys.exit('I am a program')", "SystemExit: I am a program"),
            ("import json; json.loads('')", "JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        ],
    )
    def test_broken(self, folder: Path, text: str, says: str) -> None:
        """
        So is one whose module fails when it is imported, in whatever way, with file and line of the application; the
        process goes on.
        """
        (folder / "broken_app.py").write_text(f"\n\n{text}\n")
        with pytest.raises(LookupError) as raised:
            findApplication("broken_app:makeService")
        assert raised.value.args == (f"cannot be imported: {says} ({folder / 'broken_app.py'}, line 3).",)

    def test_brokenInside(self, folder: Path) -> None:
        """The place is that of the cause, where what is imported imports something else that fails."""
        (folder / "outer_app.py").write_text("import inner_app\n")
        (folder / "inner_app.py").write_text("\ndef f():\n    return {}['x']\n\nf()\n")
        with pytest.raises(LookupError) as raised:
            findApplication("outer_app:makeService")
        assert raised.value.args == (f"cannot be imported: KeyError: 'x' ({folder / 'inner_app.py'}, line 3).",)

    def test_nothingInside(self, folder: Path) -> None:
        """A module that is not there, and that another one imports, is no misspelling of the configuration."""
        (folder / "outer_app.py").write_text("import fonud_app\n")
        with pytest.raises(LookupError, match=r"named 'fonud_app' \(.*outer_app.py, line 1\)\.$"):
            findApplication("outer_app:makeService")


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
        says = 'is neither module:callable nor an installed plugin; did you mean "greeter"?'
        assert raised.value.args == (says,)
        with pytest.raises(LookupError, match=r'plugin \(there are: "another", "greeter"\)\.$'):
            findApplication("xyz")


def test_noPlugins() -> None:
    """Where none is installed, that is said."""
    with pytest.raises(LookupError, match=r"\(there are none\)\.$"):
        findApplication("greeter")


def test_moduleAlone() -> None:
    """A module without a callable is said to be one."""
    with pytest.raises(LookupError, match='^names a module, .*; did you mean "found_app:makeService"?'):
        findApplication("found_app")


async def coroutine(node: Node, greeting: str = "") -> None: ...


class Coroutine:
    async def __call__(self, node: Node) -> None: ...


class TestOptions:
    @pytest.mark.parametrize("options", [{}, {"greeting": "moin"}])
    def test_fit(self, options: dict[str, Any]) -> None:
        """Options that a callable takes are fine."""
        checkOptions(findApplication("found_app:makeService"), options)

    @pytest.mark.parametrize(
        ("application", "options", "says"),
        [
            (lambda node: None, {"a": 1}, "got an unexpected keyword argument 'a' (there are none)."),
            (
                lambda node, greeting="": None,
                {"greting": 1},
                "got an unexpected keyword argument 'greting'; did you mean \"greeting\"?",
            ),
            (lambda node, a: None, {}, "missing a required argument: 'a'."),
            (lambda: None, {}, "too many positional arguments."),
            (lambda node: None, {"node": 1}, "multiple values for argument 'node'."),
        ],
    )
    def test_doNotFit(self, application: Any, options: dict[str, Any], says: str) -> None:
        """Those that it does not take are said in the end of a sentence, before it is called."""
        with pytest.raises(LookupError) as raised:
            checkOptions(application, options)
        assert raised.value.args == (f"cannot be called with its options: {says}",)

    @pytest.mark.parametrize("make", [coroutine, Coroutine(), partial(coroutine, greeting="hello")])
    def test_async(self, make: Any) -> None:
        """One that would not run before it is awaited is refused, with its place."""
        with pytest.raises(LookupError) as raised:
            checkOptions(make, {})
        assert raised.value.args[0].startswith("is an async def, and must be a plain function that returns an IService")
        assert raised.value.args[0].endswith(f"It is {described(make)}.")

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


class TestUsing:
    """What people read who have not written the application."""

    def test_service(self, clock: Clock) -> None:
        """One that is fine is used as it is added."""
        node, service = Node(clock=clock), Counting()
        useApplication(node, lambda node: service, {})
        assert list(node) == [service]
        useApplication(node, lambda node: None, {})

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("node.nothing", "AttributeError: 'Node' object has no attribute 'nothing'"),
            ("raise SystemExit(1)", "SystemExit: 1"),
            (
                "node.lifecycle.on('cloze', print)",
                'ValueError: There is no event "cloze" here; did you mean "close"?',
            ),
        ],
    )
    def test_failure(self, clock: Clock, folder: Path, text: str, says: str) -> None:
        """One that fails is said with the line of the application, in the end of a sentence."""
        (folder / "failing_app.py").write_text(f"def makeService(node):\n    {text}\n")
        application = findApplication("failing_app:makeService")
        with pytest.raises(LookupError) as raised:
            useApplication(Node(clock=clock), application, {})
        assert raised.value.args == (f"failed: {says} ({folder / 'failing_app.py'}, line 2).",)

    def test_noService(self, clock: Clock) -> None:
        """So is one that returns something else."""
        with pytest.raises(LookupError) as raised:
            useApplication(Node(clock=clock), noService, {})
        says = f"must return an IService of Twisted or None, and {described(noService)} returned 7."
        assert raised.value.args == (says,)

    def test_coroutine(self, clock: Clock) -> None:
        """A coroutine that is returned is not left to complain that it was never awaited."""
        with pytest.raises(LookupError, match="returned <coroutine object"):
            useApplication(Node(clock=clock), lambda node: coroutine(node), {})


def noService(node: Node) -> int:
    return 7
