"""
Where a Redis is, and how to be let in.

::

    redis://[[user]:password@]host[:port][/database]
    rediss://…                                            the same over TLS
    unix://[[user]:password@]/path[?db=database]

User, password and path may hold percent escapes; C{/}, C{?}, C{#} and C{@} in a password must be written as such.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Literal
from urllib.parse import quote, unquote_to_bytes

#: Where a Redis listens if nothing else is said.
DEFAULT_PORT = 6379

_SCHEMES: dict[str, Literal["tcp", "tls", "unix"]] = {"redis": "tcp", "rediss": "tls", "unix": "unix"}
_UNFIT = re.compile(r"[\x00-\x20\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::(.*))?", re.DOTALL)
_NAME = re.compile(r"[^\[\]:%@\\]+")


@dataclass(frozen=True)
class RedisUrl:
    """
    A URL of a Redis, taken apart.

    @ivar kind: by TCP, by TCP with TLS, or by a socket of this machine.
    @ivar host: a name, or an address without brackets; empty for C{unix}.
    @ivar port: 0 for C{unix}.
    @ivar path: of the socket; empty for the others.
    @ivar user: empty where none is given.
    @ivar password: C{None} where none is given.
    @ivar database: its number. Channels have none: every database of a Redis hears the same.
    """

    kind: Literal["tcp", "tls", "unix"]
    host: str = ""
    port: int = 0
    path: str = ""
    user: str = ""
    password: str | None = field(default=None, repr=False)
    database: int = 0

    @classmethod
    def parse(cls, text: str) -> RedisUrl:
        """
        @raise ValueError: it is no such URL. The sentence says why, and holds nothing of what was given, since a
            password may stand anywhere in what is written wrongly.
        """
        scheme, separator, rest = text.partition("://")
        if not separator or scheme.lower() not in _SCHEMES:
            raise ValueError("A Redis URL must start with redis://, rediss:// or unix://.")
        if _UNFIT.search(text):
            raise ValueError("A Redis URL must have no blanks or control characters; write them as %20 and so on.")
        if _BAD_ESCAPE.search(text):
            raise ValueError("A % in a Redis URL must begin an escape of two hexadecimal digits; write it as %25.")
        if "#" in rest:
            raise ValueError("A Redis URL has no fragment; write a # in a password as %23.")
        kind = _SCHEMES[scheme.lower()]
        return cls._unix(rest) if kind == "unix" else cls._tcp(kind, rest)

    @classmethod
    def _tcp(cls, kind: Literal["tcp", "tls"], rest: str) -> RedisUrl:
        if "?" in rest:
            raise ValueError("A redis:// URL has no options; write a ? in a password as %3F.")
        authority, _, path = rest.partition("/")
        user, password, location = _credentials(authority)
        host, port = _location(location)
        return cls(kind, host, port, "", user, password, _database(path, "after the host"))

    @classmethod
    def _unix(cls, rest: str) -> RedisUrl:
        whole, _, query = rest.partition("?")
        authority, slash, tail = whole.partition("/")
        user, password, host = _credentials(authority)
        if host or not slash or not tail:
            raise ValueError("A unix:// URL must name the whole path of a socket, as in unix:///run/redis.sock.")
        if query and not query.startswith("db="):
            raise ValueError("A unix:// URL has no option but db, as in unix:///run/redis.sock?db=1.")
        path = _unescaped("/" + tail, "path")
        if "\0" in path:
            raise ValueError("The path of a unix:// URL must hold no zero bytes.")
        return cls("unix", "", 0, path, user, password, _database(query.removeprefix("db="), "as db"))

    @property
    def server(self) -> str:
        """
        Which Redis it is, whoever asks and whatever for: two URLs with the same lead to the same one.
        """
        return self.path if self.kind == "unix" else f"{self._bracketed}:{self.port}"

    @property
    def shown(self) -> str:
        """The URL for people: in its shortest form, with its port, without its password."""
        who = f"{quote(self.user)}@" if self.user else ""
        if self.kind == "unix":
            return f"unix://{who}{quote(self.path)}" + (f"?db={self.database}" if self.database else "")
        scheme = "redis" if self.kind == "tcp" else "rediss"
        return f"{scheme}://{who}{self.server}" + (f"/{self.database}" if self.database else "")

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def _credentials(authority: str) -> tuple[str, str | None, str]:
    """User, password, and what stands after them."""
    # No host holds an @, so that one that was forgotten to be escaped can only belong to the password.
    who, at, location = authority.rpartition("@")
    if not at:
        return "", None, location
    user, colon, password = who.partition(":")
    if not colon:
        # Often it is a password whose colon was forgotten; as a user name it would be shown.
        raise ValueError("A Redis URL with a user needs a password, as in redis://user:password@host; it may be empty.")
    return _unescaped(user, "user"), _unescaped(password, "password"), location


def _location(text: str) -> tuple[str, int]:
    """Host and port."""
    found = _HOST.fullmatch(text)
    host, port = found.groups() if found else ("", None)
    if port is not None and not (re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
        raise ValueError("The port of a Redis URL must be a number from 1 to 65535.")
    if host.startswith("["):
        host = _ipv6(host[1:-1])
    elif not _NAME.fullmatch(host):
        raise ValueError("A Redis URL must name a host, as in redis://127.0.0.1:6379.")
    return host.lower(), DEFAULT_PORT if port is None else int(port)


def _ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise ValueError("What stands in brackets in a Redis URL must be an IPv6 address.") from None


def _database(text: str, where: str) -> int:
    if not text:
        return 0
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError(f"What stands {where} in a Redis URL must be the number of a database.")
    return int(text)


def _unescaped(text: str, what: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError(f"The {what} in a Redis URL must be UTF-8, its escapes read.") from None
