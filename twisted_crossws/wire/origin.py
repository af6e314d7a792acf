"""
Which pages may open a WebSocket here (RFC 6454, RFC 6455 section 10.2).

A browser lets every page connect to every server, with that server's cookies, and leaves it to the server to
look at C{Origin}. Other clients do not send it, and could send anything: it protects users of browsers, and is no
authentication.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: The entry that stands for "the host that the request itself names".
SAME_HOST = "same-host"

#: The entry that stands for every origin.
ANY = "*"

_DEFAULT_PORTS = {"http": 80, "https": 443}

# Not urllib's parser: it overlooks tabs and spaces, a last "?", "#" or ":", and user names.
_NAME = r"(\[[0-9a-f:.]+\]|[^\s/?#@\\\[\]:,*]+)"
_PORT = r"(?::([0-9]{1,5}))?"
_ORIGIN = re.compile(r"([a-z][a-z0-9+.\-]*)://" + _NAME + _PORT)
_HOST = re.compile(_NAME + _PORT)
_HOST_ENTRY = re.compile(r"(?:\*\.)?" + _NAME)


class OriginPolicy:
    """
    What C{allowed_origins} says. An entry is one of

      - C{same-host}: the host name of the origin is that of the C{Host} header; ports and schemes may differ,
      - C{https://app.example.com} or C{http://localhost:8080}: just that origin,
      - C{app.example.com}: that host, with any scheme and port,
      - C{*.example.com}: every host below it,
      - C{null}: pages without an origin, such as files and sandboxed frames,
      - C{*}: every origin.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        """
        @raise ValueError: an entry is none of these.
        """
        self._any = self._sameHost = self._null = False
        self._exact: set[tuple[str, str, int | None]] = set()
        self._hosts: set[str] = set()
        self._parents: list[str] = []
        for entry in entries:
            self._add(entry.strip().lower())

    def _add(self, entry: str) -> None:
        if entry == ANY:
            self._any = True
        elif entry == SAME_HOST:
            self._sameHost = True
        elif entry == "null":
            self._null = True
        elif "://" in entry:
            origin = _parse(entry)
            if origin is None:
                raise ValueError(f"{entry!r} is not an origin such as 'https://app.example.com'.")
            self._exact.add(origin)
        elif not _HOST_ENTRY.fullmatch(entry):
            raise ValueError(
                f"{entry!r} is neither an origin ('https://app.example.com'), nor a host ('app.example.com', "
                "'*.example.com'), nor 'same-host', 'null' or '*'."
            )
        elif entry.startswith("*."):
            self._parents.append(entry[1:])
        else:
            self._hosts.add(entry)

    def allows(self, origin: str | None, host: str) -> bool:
        """
        @param origin: the value of C{Origin}, or C{None} where there was none: then it is no browser, and passes.
        @param host: the value of C{Host}.
        """
        if origin is None or self._any:
            return True
        if origin.lower() == "null":
            return self._null
        found = _parse(origin.lower())
        if found is None:
            return False
        name = found[1]
        return (
            found in self._exact
            or name in self._hosts
            or any(name.endswith(parent) for parent in self._parents)
            or (self._sameHost and name == _hostName(host))
        )


def _parse(origin: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; C{None} for whatever is not exactly these three."""
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        return None
    scheme, name, port = found.groups()
    return scheme, name, _DEFAULT_PORTS.get(scheme) if port is None else int(port)


def _hostName(host: str) -> str | None:
    found = _HOST.fullmatch(host.lower())
    return found and found[1]
