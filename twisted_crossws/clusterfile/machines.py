"""
Which machine this is, in the words of a configuration file.
"""

from __future__ import annotations

import ipaddress
import socket


class Machine:
    """
    The machine that a file is read on.

    @ivar name: what it is called.
    """

    def __init__(self, name: str = "") -> None:
        """
        @param name: what the file calls it. By default it is known by its host name, with or without the domain, and by
            its addresses. Names are compared and never asked for: what runs where does not depend on a name server.
        """
        self.name = name or socket.gethostname()
        self._isNamed = bool(name)

    def isThis(self, host: str) -> bool:
        """Whether a server with that C{host} is for this machine."""
        if isAnywhere(host):
            return True
        ours, theirs = self.name.lower(), host.lower()
        if ours == theirs:
            return True
        if self._isNamed:
            return False
        address = _address(host)
        if address is not None:
            return _isOurs(address)
        # The one may be written with the domain and the other without.
        return (ours.partition(".")[0] == theirs) or (ours == theirs.partition(".")[0])


def isAnywhere(host: str) -> bool:
    """Whether it stands for whatever machine reads it."""
    address = _address(host)
    return host.lower() in ("", "localhost") if address is None else address.is_loopback or address.is_unspecified


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _isOurs(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """The system knows: one can only be at an address that one has."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
