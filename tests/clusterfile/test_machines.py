"""
Which machine this is.
"""

from __future__ import annotations

import socket

import pytest

from twisted_crossws.clusterfile.machines import Machine, isAnywhere


@pytest.mark.parametrize("host", ["", "localhost", "LocalHost", "127.0.0.1", "127.1.2.3", "::1", "0.0.0.0", "::"])
def test_anywhere(host: str) -> None:
    """Some hosts are those of whatever machine reads them, whatever that is called."""
    assert isAnywhere(host)
    assert Machine().isThis(host) and Machine("web1").isThis(host)


@pytest.mark.parametrize("host", ["web1", "10.0.0.1", "localhost.example.com", "1", "fe80::1"])
def test_somewhere(host: str) -> None:
    """All others are those of one machine."""
    assert not isAnywhere(host)


class TestNamed:
    """A machine that the file has a name for."""

    @pytest.mark.parametrize(
        ("name", "host", "isThis"),
        [
            ("web1", "web1", True),
            ("web1", "WEB1", True),
            ("web1", "web2", False),
            ("web1", "web1.example.com", False),
            ("10.0.0.1", "10.0.0.1", True),
        ],
    )
    def test_name(self, name: str, host: str, isThis: bool) -> None:
        """It is that name, and no other."""
        assert Machine(name).isThis(host) == isThis

    def test_otherNames(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the system calls it does not count."""
        monkeypatch.setattr(socket, "gethostname", lambda: "web1")
        assert not Machine("other").isThis("web1")
        assert Machine("other").name == "other"


class TestByItself:
    """A machine that is known by what the system says."""

    @pytest.mark.parametrize(
        ("system", "host", "isThis"),
        [
            ("web1", "web1", True),
            ("web1", "Web1", True),
            ("web1", "web1.example.com", True),
            ("web1.example.com", "web1", True),
            ("web1.example.com", "web1.example.com", True),
            ("web1.example.com", "web1.example.org", False),
            ("web1.example.com", "example.com", False),
            ("web1", "web", False),
            ("web1", "web11", False),
        ],
    )
    def test_name(self, monkeypatch: pytest.MonkeyPatch, system: str, host: str, isThis: bool) -> None:
        """It is its host name, of which the one may have a domain and the other not."""
        monkeypatch.setattr(socket, "gethostname", lambda: system)
        assert Machine().isThis(host) == isThis
        assert Machine().name == system

    def test_addresses(self) -> None:
        """It has its own addresses, and not those of examples."""
        machine = Machine()
        assert not machine.isThis("192.0.2.7")
        assert not machine.isThis("2001:db8::7")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("0.0.0.0", 0))
            try:
                probe.connect(("192.0.2.7", 9))  # Nothing is sent; the system says where it would be sent from.
            except OSError:
                pytest.skip("this machine has no address but those of the loopback")
            assert machine.isThis(probe.getsockname()[0])
