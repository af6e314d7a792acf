"""
The folder in which the processes of one configuration file find each other.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from twisted_crossws.bus.hubunix import checkPath
from twisted_crossws.runfolder import hubPath, makeRunFolder, runFolder


class TestRunFolder:
    def test_default(self, tmp_path: Path) -> None:
        """It is the user's own, one for each configuration file, whatever that is called by."""
        environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
        folder = runFolder("/etc/a.toml", "", environment)
        assert folder.startswith(f"{tmp_path}/crossws-{os.geteuid()}-")
        assert runFolder("/etc/x/../a.toml", "", environment) == folder
        assert runFolder("/etc/b.toml", "", environment) != folder
        assert runFolder("a.toml", "", environment) == runFolder(os.path.abspath("a.toml"), "", environment)

    def test_withoutRuntimeFolder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Where the system has none for the user, it is where temporary files are."""
        monkeypatch.setattr("twisted_crossws.runfolder.gettempdir", lambda: str(tmp_path))
        for environment in ({}, {"XDG_RUNTIME_DIR": ""}, {"XDG_RUNTIME_DIR": str(tmp_path / "missing")}):
            assert os.path.dirname(runFolder("/etc/a.toml", "", environment)) == str(tmp_path)

    def test_anotherUser(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """That of another user is not where the variables of this one say."""
        monkeypatch.setattr("twisted_crossws.runfolder.gettempdir", lambda: str(tmp_path))
        (tmp_path / "own").mkdir()
        folder = runFolder("/etc/a.toml", "", {"XDG_RUNTIME_DIR": str(tmp_path / "own")}, uid=os.geteuid() + 1)
        assert folder.startswith(f"{tmp_path}/crossws-{os.geteuid() + 1}-")

    def test_said(self) -> None:
        """What the file says counts; a relative one from the file's folder."""
        assert runFolder("/etc/a.toml", "/srv/run") == "/srv/run"
        assert runFolder("/etc/a.toml", "run") == "/etc/run"

    def test_hub(self) -> None:
        """The hub is in it, unless the file says another path; it is not too long for a socket."""
        folder = runFolder("/etc/a.toml")
        assert hubPath("/etc/a.toml", folder) == f"{folder}/hub.sock"
        assert checkPath(hubPath("/etc/a.toml", folder))
        assert hubPath("/etc/a.toml", folder, "own.sock") == "/etc/own.sock"
        assert hubPath("/etc/a.toml", folder, "/srv/own.sock") == "/srv/own.sock"


class TestMaking:
    def test_made(self, tmp_path: Path) -> None:
        """It is made for this user alone, with what it stands in; making it again changes nothing."""
        folder = tmp_path / "a" / "b"
        makeRunFolder(str(folder))
        (folder / "hub.sock").touch()
        makeRunFolder(str(folder))
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert (folder / "hub.sock").exists()

    def test_openForOthers(self, tmp_path: Path) -> None:
        """One that others can write to is refused; one that they can read is not."""
        tmp_path.chmod(0o755)
        makeRunFolder(str(tmp_path))
        tmp_path.chmod(0o775)
        with pytest.raises(ValueError, match="Other users can write into the folder"):
            makeRunFolder(str(tmp_path))

    def test_ofAnother(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that belongs to somebody else is refused."""
        other = os.getuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: other)
        with pytest.raises(ValueError, match="belongs to another user"):
            makeRunFolder(str(tmp_path))

    def test_forAnother(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who begins as root and goes on as another user makes that user's folder, and takes no other."""
        other, given = os.geteuid() + 1, []
        monkeypatch.setattr(os, "chown", lambda path, uid, gid, **options: given.append((path, uid, gid, options)))
        folder = str(tmp_path / "run")
        with pytest.raises(ValueError, match="belongs to another user"):
            makeRunFolder(folder, other)  # As nothing was given away here.
        assert given == [(folder, other, -1, {"follow_symlinks": False})]
        with pytest.raises(ValueError, match="belongs to another user"):
            makeRunFolder(folder, other)
        assert len(given) == 1

    def test_noFolder(self, tmp_path: Path) -> None:
        """A file, or a link that somebody else could turn elsewhere, is refused."""
        (tmp_path / "file").touch()
        (tmp_path / "link").symlink_to(tmp_path)
        for name in ("file", "link"):
            with pytest.raises(ValueError, match="is no folder"):
                makeRunFolder(str(tmp_path / name))

    def test_cannotBeMade(self, tmp_path: Path) -> None:
        """What the system says is in the sentence."""
        (tmp_path / "file").touch()
        with pytest.raises(ValueError, match="cannot be made: (Not a directory|File exists)"):
            makeRunFolder(str(tmp_path / "file" / "run"))
