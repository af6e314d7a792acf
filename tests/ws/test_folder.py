"""
What of a folder of pages can be had.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.web.test.requesthelper import DummyRequest

from tests.ws.nodes import makeNode
from twisted_crossws.testing import FakePeer
from twisted_crossws.ws.folder import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pages, with what must not be seen in it and beside it."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "pages2").mkdir()
    (tmp_path / "pages2" / "a.txt").write_text("secret")
    pages = tmp_path / "pages"
    for name in ("sub", ".git", "sub/.hidden"):
        (pages / name).mkdir(parents=True)
    (pages / "index.html").write_text("<h1>hi</h1>")
    (pages / "a.txt").write_text("0123456789")
    for name in (".env", ".git/config", "sub/.hidden/a.txt", "sub/.htpasswd"):
        (pages / name).write_text("secret")
    (pages / "inside.txt").symlink_to("a.txt")
    (pages / "alsosub").symlink_to("sub")
    (pages / "sub" / "index.html").symlink_to("../../secret.txt")
    (pages / "outside.txt").symlink_to("../secret.txt")
    (pages / "absolute.txt").symlink_to(tmp_path / "secret.txt")
    (pages / "beside").symlink_to("../pages2")
    (pages / "env.txt").symlink_to(".env")
    (pages / "loop").symlink_to("loop")
    (pages / "nowhere").symlink_to("nothing")
    os.mkfifo(pages / "pipe")
    return pages


def head(folder: Path, clock: Clock, path: bytes, extra: bytes = b"") -> FakePeer:
    """Ask for the head of a page, as its content comes by the global reactor."""
    node = makeNode(clock, static=str(folder))
    return FakePeer(node, clock, request=b"HEAD %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (path, extra))


@pytest.mark.parametrize(
    "path",
    [
        b"/.env", b"/.git/config", b"/.git/", b"/.git", b"/sub/.hidden/a.txt", b"/sub/.htpasswd", b"/%2eenv",
        b"/%2Egit/config", b"/.", b"/..", b"/../secret.txt", b"/sub/../.env",
    ],
)  # fmt: skip
def test_hidden(folder: Path, clock: Clock, path: bytes) -> None:
    """Nothing whose name begins with a dot, and nothing in such a folder."""
    assert head(folder, clock, path).status == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/inside.txt", 200), (b"/alsosub/", 404), (b"/outside.txt", 404), (b"/absolute.txt", 404), (b"/beside", 404),
        (b"/beside/a.txt", 404), (b"/sub/", 404), (b"/sub/index.html", 404), (b"/env.txt", 404), (b"/loop", 404),
        (b"/nowhere", 404), (b"/", 200),
    ],
)  # fmt: skip
def test_links(folder: Path, clock: Clock, path: bytes, status: int) -> None:
    """A link within the folder is followed, and none that leads out of it, or to what is hidden."""
    assert head(folder, clock, path).status == status


def test_rootIsALink(folder: Path, clock: Clock) -> None:
    """The folder itself may be a link, which is changed while the node runs, and may be in a hidden folder."""
    release = folder.parent / ".releases"
    release.mkdir()
    folder.rename(release / "1")
    folder.symlink_to(release / "1")
    node = makeNode(clock, static=str(folder))
    ask = b"HEAD /%s HTTP/1.1\r\nHost: x\r\n\r\n"
    assert FakePeer(node, clock, request=ask % b"a.txt").status == 200
    (release / "2").mkdir()
    (release / "2" / "b.txt").write_text("new")
    folder.unlink()
    folder.symlink_to(release / "2")
    assert FakePeer(node, clock, request=ask % b"b.txt").status == 200


@pytest.mark.parametrize("path", [b"/pipe", b"/a.txt/more", b"/" + b"x" * 5000, b"/%ff%fe", b"/sub/%ff"])
def test_odd(folder: Path, clock: Clock, path: bytes) -> None:
    """What is no regular file, or no name, is not found, and nothing hangs or fails."""
    assert head(folder, clock, path).status == 404


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("path", [b"/%00", b"/a.txt%00", b"/sub/%00/a.txt", b"/%00%2e%2e/secret.txt", b"/healthz/%00"])
def test_nul(folder: Path, clock: Clock, logged: list[Any], path: bytes, static: bool) -> None:
    """A path with a NUL byte is a bad request, and no failure of ours."""
    node = makeNode(clock, static=str(folder) if static else "")
    peer = FakePeer(node, clock, request=b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
    assert peer.status == 400 and logged == []


class TestRanges:
    def ask(self, folder: Path, value: bytes | None) -> tuple[int, bytes]:
        request = DummyRequest([b"a.txt"])
        request.method = b"GET"
        request.setLastModified = lambda when: None
        request.setHeader = lambda name, value: None
        if value is not None:
            request.requestHeaders.setRawHeaders(b"range", [value])
        Folder(str(folder)).getChild(b"a.txt", request).render(request)
        return request.responseCode or 200, b"".join(request.written)

    @pytest.mark.parametrize(
        ("value", "status", "body"),
        [
            (b"bytes=2-4", 206, b"234"),
            (b"bytes=7-", 206, b"789"),
            (b"bytes=-2", 206, b"89"),
            (b"bytes=20-30", 416, b""),
        ],
    )
    def test_one(self, folder: Path, value: bytes, status: int, body: bytes) -> None:
        """One range is served."""
        assert self.ask(folder, value) == (status, body)

    @pytest.mark.parametrize(
        "value",
        [
            None, b"bytes=0-1,2-3", b"bytes=" + b"0-," * 2000, b"bytes=0-1,", b"lines=1-2", b"bytes=", b"bytes=-",
            b"bytes=5-2", b"bytes=x-y", b"bytes=\xff-", b"bytes=" + b"9" * 5000 + b"-", b"rubbish",
        ],
    )  # fmt: skip
    def test_others(self, folder: Path, value: bytes | None) -> None:
        """Several ranges, or what is none, are the whole file, once."""
        assert self.ask(folder, value) == (200, b"0123456789")


def test_unreadable(folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be read now is said to be unavailable."""

    def refuse(self: Folder) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Folder, "openForReading", refuse)
    assert head(folder, clock, b"/a.txt").status == 503
