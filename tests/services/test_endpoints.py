"""
Endpoint strings that cannot be listened on, or that nobody could use.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock

from twisted_crossws.services.endpoints import endpointFault


def faultOf(description: str) -> str:
    return endpointFault(description, MemoryReactorClock()) or ""


@pytest.mark.parametrize("description", ["tcp:9000", "unix:/run/crossws.sock", "haproxy:tcp:9000"])
def test_none(description: str) -> None:
    """What can be listened on has none."""
    assert faultOf(description) == ""


@pytest.mark.parametrize("description", ["nonsense", "tcp:x", "systemd:name=a", "ssl:1:privateKey=/missing.pem"])
def test_noEndpoint(description: str) -> None:
    """What Twisted does not understand is no endpoint, in its words."""
    assert faultOf(description).startswith("which is no endpoint: ")


@pytest.mark.parametrize("which", ["name=crossws", "index=0"])
def test_systemd(which: str) -> None:
    """Outside of socket activation there is no socket of systemd's."""
    assert "which systemd has not passed on: it is for socket activation" in faultOf(f"systemd:domain=INET:{which}")


def test_folderMissing(tmp_path: Path) -> None:
    """A folder of certificates that is not there is named, though Twisted would look for it only later."""
    folder = tmp_path / "pems"
    assert faultOf(f"tls:{folder}:9443") == f"whose folder {folder} cannot be read: No such file or directory"
    assert faultOf(f"tls:path={folder}:port=9443") == faultOf(f"tls:{folder}:9443")


def test_folderEmpty(tmp_path: Path) -> None:
    """So is one without a certificate."""
    (tmp_path / "README").touch()
    assert f"whose folder {tmp_path} has no certificate" in faultOf(f"tls:{tmp_path}:9443")
    (tmp_path / "own.pem").touch()
    assert faultOf(f"tls:{tmp_path}:9443") == ""


def test_haproxyInTls(tmp_path: Path) -> None:
    """The header of the PROXY protocol comes before TLS, so nobody could use an endpoint that expects it inside."""
    (tmp_path / "own.pem").touch()
    assert faultOf(f"haproxy:tls:{tmp_path}:9443").startswith("which no proxy can use")
