"""
Failures of an application in one sentence, with the place in its own code.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import Service

from tests.test_tap import folder, parse, reactor
from twisted_crossws.services.causes import causeOf, isOfApplication
from twisted_crossws.services.command import CannotStart
from twisted_crossws.tap import makeService

__all__ = ["folder", "reactor"]


def caught(function: Any, *args: Any) -> Exception:
    try:
        function(*args)
    except Exception as fault:
        return fault
    raise AssertionError("It did not fail.")


def fails() -> None:
    raise ValueError("no")


def failsInALibrary() -> None:
    json.loads("")


def bare() -> None:
    raise RuntimeError


LINES = {function: function.__code__.co_firstlineno + 1 for function in (fails, failsInALibrary, bare)}


class TestCause:
    @pytest.mark.parametrize(
        ("function", "says"),
        [
            (fails, "ValueError: no"),
            (failsInALibrary, "JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
            (bare, "RuntimeError"),
        ],
    )
    def test_place(self, function: Any, says: str) -> None:
        """It is the line of the application, also where a library raised it."""
        assert causeOf(caught(function)) == f"{says} ({__file__}, line {LINES[function]})"

    def test_libraryAlone(self) -> None:
        """Where no line of the application is concerned, it is that of the library."""
        fault = caught(json.loads, "")
        assert fault.__traceback__ is not None and isOfApplication(fault)
        fault.__traceback__ = fault.__traceback__.tb_next
        assert f"({sys.modules['json.decoder'].__file__}, line " in causeOf(fault)
        assert not isOfApplication(fault)

    def test_noPlace(self) -> None:
        """One that was never raised has no place."""
        assert causeOf(ValueError("no")) == "ValueError: no"
        assert causeOf(SyntaxError("no")) == "SyntaxError: no"
        assert not isOfApplication(ValueError("no"))


class Broken(Service):
    def __init__(self, node: Any) -> None: ...

    def startService(self) -> None:
        raise ValueError("no database")


class BrokenBefore(Service):
    def __init__(self, node: Any) -> None: ...

    def privilegedStartService(self) -> None:
        raise ValueError("no database")


class TestStarting:
    """A service of the application that fails when it is started."""

    @pytest.fixture
    def service(self, folder: Path, reactor: Any) -> Any:
        (folder / "tap_app.py").write_text(f"from {__name__} import Broken, BrokenBefore\n")
        (folder / "crossws.toml").write_text("[websocket]\n[[service]]\nuse = 'tap_app:Broken'\n")
        return makeService(parse(folder))

    def test_foreground(self, service: Any, capfd: pytest.CaptureFixture[str]) -> None:
        """It is a sentence with its place, and the end."""
        with pytest.raises(SystemExit) as ended:
            service.startService()
        assert ended.value.code == 1
        line = Broken.startService.__code__.co_firstlineno + 1
        says = f"A service could not be started: ValueError: no database ({__file__}, line {line}).\n"
        assert capfd.readouterr().err == says
        service.node.stopService()

    def test_before(self, folder: Path, service: Any) -> None:
        """So it is where it is started before the ports."""
        (folder / "crossws.toml").write_text("[websocket]\n[[service]]\nuse = 'tap_app:BrokenBefore'\n")
        service = makeService(parse(folder))
        with pytest.raises(SystemExit):
            service.privilegedStartService()

    def test_daemon(self, service: Any) -> None:
        """A daemon has C{twistd} tell it."""
        service._options.parent = {"nodaemon": False, "pidfile": "twistd.pid"}
        with pytest.raises(CannotStart, match="no database"):
            service.startService()
        service.node.stopService()

    def test_ours(self, service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is no fault of the application keeps its traceback."""
        monkeypatch.setattr(service.node, "startService", lambda: json.loads(""))
        monkeypatch.setattr("twisted_crossws.services.command.isOfApplication", lambda fault: False)
        with pytest.raises(ValueError):
            service.startService()
