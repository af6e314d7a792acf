"""
The request that opens a connection: its head, read strictly (RFC 9112 section 2 to 5, RFC 6455 section 4.2.1).

A head is read here, once, before anything else sees it. Whoever reads it again afterwards gets what
L{RequestHead.canonical} makes of it: those few headers that a WebSocket handshake needs, and no others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from sys import intern
from urllib.parse import parse_qsl, unquote

from twisted_crossws.errors import HandshakeError

#: A head of a browser with large cookies has 8 KiB; every common server stops at 8 or 16.
MAX_HEAD_BYTES = 16384

#: Browsers send 12 to 20 lines.
MAX_HEAD_LINES = 100

#: A URL parameter costs about 200 bytes once read.
MAX_PARAMS = 200

Params = dict[str, "str | list[str]"]

_END = b"\r\n\r\n"

# What may surround the words of a list. Unlike that of str.strip(), without the space that does not break.
_SPACE = " \t"

# What has no place in a value: control characters but the tab. Bytes from 0x80 on do (RFC 9110 section 5.5).
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"/[^\x00-\x20#\x7f]*")
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s/?#@\[\]:,]+)(?::[0-9]{1,5})?")
_SUBPROTOCOL = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

# The headers by which a handshake is decided. They are ASCII, and no other character may look as if it were: there are
# some of which the lower case is an ASCII letter.
_DECIDING = frozenset(("host", "origin", "upgrade", "connection"))
_DECIDING_PREFIX = "sec-websocket-"


def headEnd(buffered: bytes, start: int = 0) -> int:
    """
    Where the head ends in what was received so far.

    @param start: how far an earlier call has looked.
    @return: the index after the empty line, or -1 while it is not there.
    @raise HandshakeError: 431, it is longer than L{MAX_HEAD_BYTES}.
    """
    end = buffered.find(_END, max(0, start - len(_END)), MAX_HEAD_BYTES)
    if end < 0 and len(buffered) > MAX_HEAD_BYTES:
        raise HandshakeError(431, f"The request head is longer than {MAX_HEAD_BYTES} bytes.")
    return end + len(_END) if end >= 0 else -1


@dataclass(frozen=True, slots=True)
class RequestHead:
    """
    What a request says before its body.

    @ivar method: such as C{GET}.
    @ivar target: the request target as it was sent; it may hold secrets, so it is not to be logged.
    @ivar headers: lower-case name to value; a repeated header's values are joined by a comma and a space. A value is
        UTF-8 where it can be, and ISO 8859-1 where not.
    @ivar counts: how often each header came.
    """

    method: str
    target: str = field(repr=False)
    version: str
    headers: dict[str, str] = field(repr=False)
    counts: dict[str, int]

    @property
    def rawPath(self) -> str:
        """The path of the target, before the question mark, as it was sent."""
        return self.target.partition("?")[0]

    @property
    def path(self) -> str:
        """The path without its outer slashes, percent-decoded (wire section 1)."""
        return unquote(self.rawPath).strip("/")

    @property
    def wantsUpgrade(self) -> bool:
        """Whether this asks for a WebSocket, well or badly."""
        return "websocket" in _words(self.headers.get("upgrade", ""))

    def params(self, lowercase: bool = False) -> Params:
        """
        The URL parameters: a repeated key has a list, in order (wire section 1).

        @param lowercase: keys are read in lower case, so that those which differ only in that are one.
        @raise HandshakeError: 400, there are too many.
        """
        found: Params = {}
        try:
            pairs = parse_qsl(
                self.target.partition("?")[2], keep_blank_values=True, max_num_fields=MAX_PARAMS, separator="&"
            )
        except ValueError:
            raise HandshakeError(400, f"The URL has more than {MAX_PARAMS} parameters.") from None
        for key, value in pairs:
            if lowercase:
                key = key.lower()
            before = found.get(key)
            if before is None:
                found[key] = value
            elif isinstance(before, list):
                before.append(value)
            else:
                found[key] = [before, value]
        return found

    @property
    def subprotocols(self) -> list[str]:
        """The subprotocols that the client offers, in its order."""
        offered = (word.strip(_SPACE) for word in self.headers.get("sec-websocket-protocol", "").split(","))
        return [word for word in offered if word]

    def checkUpgrade(self) -> None:
        """
        Hold a request for a WebSocket to RFC 6455 section 4.2.1.

        @raise HandshakeError: what is wrong with it: 400, 405 or 426.
        """
        for name in ("host", "origin", "sec-websocket-key", "sec-websocket-version"):
            if self.counts.get(name, 0) > 1:
                raise HandshakeError(400, f"The header {name} came more than once.")
        if self.method != "GET":
            raise HandshakeError(405, "A WebSocket is asked for by GET.", [("Allow", "GET")])
        if self.version != "HTTP/1.1":
            raise HandshakeError(400, "A WebSocket is asked for by HTTP/1.1.")
        host = self.headers.get("host", "")
        if not (host.isascii() and _HOST.fullmatch(host)):
            raise HandshakeError(400, "The header Host is missing or malformed.")
        if "upgrade" not in _words(self.headers.get("connection", "")):
            raise HandshakeError(400, "The header Connection does not say Upgrade.")
        if self.headers.get("sec-websocket-version") != "13":
            raise HandshakeError(426, "Only WebSocket version 13 is spoken here.", [("Sec-WebSocket-Version", "13")])
        if not _KEY.fullmatch(self.headers.get("sec-websocket-key", "")):
            raise HandshakeError(400, "The header Sec-WebSocket-Key is missing or malformed.")
        if not self.headers.get("sec-websocket-extensions", "").isascii():
            # Autobahn is given it, and to its reader of lines there are more ends of lines than to this one.
            raise HandshakeError(400, "The header Sec-WebSocket-Extensions is malformed.")
        offered = self.subprotocols
        if len(set(offered)) != len(offered) or not all(map(_SUBPROTOCOL.fullmatch, offered)):
            raise HandshakeError(400, "The header Sec-WebSocket-Protocol is malformed.")

    def canonical(self, *, extensions: bool) -> bytes:
        """
        The same handshake with those headers alone that decide it. To be called after L{checkUpgrade}.

        @param extensions: whether to pass on what extensions (compression) the client offers.
        """
        lines = [
            "GET / HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: " + self.headers["sec-websocket-key"],
        ]
        if self.subprotocols:
            lines.append("Sec-WebSocket-Protocol: " + ", ".join(self.subprotocols))
        if extensions and "sec-websocket-extensions" in self.headers:
            lines.append("Sec-WebSocket-Extensions: " + self.headers["sec-websocket-extensions"])
        return "\r\n".join([*lines, "", ""]).encode("iso-8859-1")


def parseHead(head: bytes) -> RequestHead:
    """
    Read a head.

    @param head: from the request line to the empty line, both included.
    @raise HandshakeError: 400 or 431, what is wrong with it.
    """
    lines = head[: -len(_END)].split(b"\r\n")
    if len(lines) > MAX_HEAD_LINES:
        raise HandshakeError(431, f"The request head has more than {MAX_HEAD_LINES} lines.")
    words = lines[0].split(b" ")
    if len(words) != 3 or not _TOKEN.fullmatch(words[0]) or words[2] not in (b"HTTP/1.0", b"HTTP/1.1"):
        raise HandshakeError(400, "The request line is malformed.")
    target = _text(words[1])
    if not _TARGET.fullmatch(words[1]) or "\x85" in target:
        raise HandshakeError(400, "The request target is malformed.")
    headers: dict[str, str] = {}
    counts: dict[str, int] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name) or _FORBIDDEN.search(value):
            raise HandshakeError(400, "A header line is malformed.")
        _add(headers, counts, name.decode("ascii"), value.strip(b" \t"))
    return RequestHead(words[0].decode("ascii"), target, words[2].decode("ascii"), headers, counts)


def _add(headers: dict[str, str], counts: dict[str, int], name: str, value: bytes) -> None:
    """Put one header line into a head's tables."""
    key = intern(name.lower())
    isDeciding = key in _DECIDING or key.startswith(_DECIDING_PREFIX)
    text = value.decode("iso-8859-1") if isDeciding else _text(value)
    headers[key] = f"{headers[key]}, {text}" if key in headers else text
    counts[key] = counts.get(key, 0) + 1


def _text(value: bytes) -> str:
    """Bytes that HTTP does not say the encoding of: browsers send UTF-8, and older programs ISO 8859-1."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("iso-8859-1")


def response(status: int, reason: str, headers: tuple[tuple[str, str], ...] = ()) -> bytes:
    """
    A short answer, after which the connection is closed.

    @param reason: a phrase or sentence of printable ASCII, sent as the status phrase and as the body.
    """
    body = (reason + "\n").encode("ascii")
    lines = [
        f"HTTP/1.1 {status} {reason}",
        *(f"{name}: {value}" for name, value in headers),
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _words(value: str) -> list[str]:
    return [word.strip(_SPACE).lower() for word in value.split(",")]
