"""
What is wrong with an endpoint string, in words for people. Twisted says of some faults only the key that was missing,
and of others nothing.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.endpoints import serverFromString


def endpointFault(description: str, reactor: Any) -> str | None:
    """
    @param description: a Twisted endpoint string.
    @return: what is wrong with it, to go on with after its name; C{None} if it can be listened on as far as can be told
        without trying.
    """
    kind, _, rest = description.partition(":")
    try:
        serverFromString(reactor, description)
    except (KeyError, IndexError) as fault:
        if kind == "systemd":
            return (
                "which systemd has not passed on: it is for socket activation, where a .socket unit with that "
                "FileDescriptorName starts this process"
            )
        return f"which is no endpoint: {fault!r}"
    except Exception as fault:
        return f"which is no endpoint: {fault}"
    if kind == "tls":
        return _folderFault(rest)
    if kind == "haproxy" and rest.startswith(("ssl:", "tls:")):
        return (
            "which no proxy can use: the PROXY header would have to come inside TLS, and proxies send it before. Let "
            "the proxy do TLS, and listen on haproxy:tcp:"
        )
    return None


def _folderFault(rest: str) -> str | None:
    """For Twisted a folder that is missing is one without certificates, and both serve nobody."""
    folder = rest.split(":", 1)[0].removeprefix("path=")
    try:
        found = os.listdir(folder)
    except OSError as fault:
        return f"whose folder {folder} cannot be read: {fault.strerror}"
    if not any(name.endswith(".pem") for name in found):
        return f"whose folder {folder} has no certificate: a file whose name ends in .pem, with key and certificate"
    return None
