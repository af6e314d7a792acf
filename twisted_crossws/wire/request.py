"""
What a client asks a server for, and how a no is read (RFC 6455 section 4.1, wire sections 1 and 3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from twisted_crossws.errors import HandshakeRefused
from twisted_crossws.wire.text import MAX_SHOWN, shown

#: Asks for version 2 of the client-side extensions: error replies, and C{_hello_}.
_VERSION_PARAM = ("crossws", "2")

_PORTS = {"ws": 80, "wss": 443}

# What may stand in a path or a query as it is (RFC 3986 section 3.3), the percent sign of what is encoded already, and
# the brackets that every server takes.
_PLAIN = "/%:@!$&'()*+,;=?[]~"

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")

Scalar = str | int | float | None
Params = Mapping[str, Scalar | Sequence[Scalar]]


@dataclass(frozen=True, slots=True)
class Target:
    """
    Where to connect to, and what to ask for.

    @ivar host: a name or an address, without the brackets of IPv6.
    @ivar resource: path and query as they are sent. The query may hold secrets, so it is not to be logged.
    """

    isSecure: bool
    host: str
    port: int
    resource: str = field(repr=False)

    @property
    def hostHeader(self) -> str:
        """The host as a URL and the header C{Host} have it."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def name(self) -> str:
        """The URL without its query, for people."""
        scheme = "wss" if self.isSecure else "ws"
        return f"{scheme}://{self.hostHeader}:{self.port}{self.resource.partition('?')[0]}"


def targetOf(url: str, params: Params) -> Target:
    """
    Read a URL, and add the parameters to its query: a list repeats its key, C{None} is left out.
    C{crossws=2} always comes last.

    @raise TypeError: the URL is no string, or a parameter is neither a string nor a number.
    @raise ValueError: this is no URL that a client can connect to. The message does not repeat it, since URLs hold
        secrets.
    """
    if not isinstance(url, str):
        raise TypeError(f"A URL must be a string, not {type(url)}.")
    parts = _split(url)
    name = _VERSION_PARAM[0]
    query = [part for part in parts.query.split("&") if part and part.partition("=")[0] != name]
    pairs = [pair for pair in _pairs(params) if pair[0] != name]
    query.append(urlencode([*pairs, _VERSION_PARAM]))
    resource = quote(f"{parts.path or '/'}?{'&'.join(query)}", safe=_PLAIN)
    return Target(parts.scheme == "wss", parts.hostname or "", parts.port or _PORTS[parts.scheme], resource)


def checkHeaders(headers: Mapping[str, str]) -> None:
    """
    @raise ValueError: a header has a name or a value that would not be one header line (RFC 9110 section 5). The
        message does not repeat the value, since headers hold secrets.
    """
    for name, value in headers.items():
        if not (_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)):
            raise ValueError(f"The header {shown(name)} has a name or a value that HTTP has no form for.")


def refusal(statusLine: str) -> HandshakeRefused | None:
    """
    @param statusLine: the first line of the server's answer.
    @return: what it says, or C{None} if it is no refusal in HTTP.
    """
    _, status, phrase = [*statusLine.split(None, 2), "", "", ""][:3]
    if not re.fullmatch("[0-9]{3}", status) or status == "101":
        return None
    return HandshakeRefused(int(status), "".join(filter(str.isprintable, phrase))[:MAX_SHOWN] or "(no reason given)")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as fault:
        raise ValueError(f"The URL cannot be read: {fault}.") from None
    if parts.scheme not in _PORTS:
        raise ValueError(f"The URL must start with ws:// or wss://, and its scheme is {shown(parts.scheme)}.")
    if not parts.hostname or port == 0:
        raise ValueError("The URL has no host and port to connect to.")
    if parts.username is not None or parts.fragment:
        raise ValueError("The URL of a WebSocket has neither a user before its host nor a fragment (#).")
    return parts


def _pairs(params: Params) -> Iterator[tuple[str, str]]:
    for key, value in params.items():
        for each in value if isinstance(value, list | tuple) else (value,):
            if each is not None:
                yield key, _asText(key, each)


def _asText(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError(
        f"The parameter {shown(key)} must be a string or a number, or a list of them: it is a {type(value)}."
    )
