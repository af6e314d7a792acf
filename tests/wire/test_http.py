"""The request that opens a connection, as browsers send it and as attackers do."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from twisted_crossws.errors import HandshakeError
from twisted_crossws.wire.http import (
    MAX_HEAD_BYTES,
    MAX_HEAD_LINES,
    MAX_PARAMS,
    RequestHead,
    headEnd,
    parseHead,
    response,
)

examples = settings(deadline=None, max_examples=150)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="

#: What a browser sends, as name and value.
BROWSER = {
    "Host": "chat.example.com:9000",
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "Origin": "https://chat.example.com",
    "Sec-WebSocket-Version": "13",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64)",
    "Cookie": "session=abc; theme=dark",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
}


def head(target: str = "/chat?id=1", headers: dict[str, str] = BROWSER, start: str = "GET {} HTTP/1.1") -> bytes:
    lines = [start.format(target), *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("iso-8859-1")


def changed(**headers: str | None) -> dict[str, str]:
    """The browser's headers with some of them set, or with C{None} left out."""
    found = dict(BROWSER)
    for name, value in headers.items():
        key = "-".join("WebSocket" if word == "websocket" else word.title() for word in name.split("_"))
        found.pop(key, None)
        if value is not None:
            found[key] = value
    return found


def refusal(text: bytes) -> HandshakeError:
    """What a request for a WebSocket is refused with."""
    with pytest.raises(HandshakeError) as caught:
        parseHead(text).checkUpgrade()
    return caught.value


class TestHeadEnd:
    def test_whole(self) -> None:
        """The end is behind the empty line; what follows does not belong to the head."""
        assert headEnd(b"GET / HTTP/1.1\r\n\r\nmore\r\n\r\n") == 18

    def test_incomplete(self) -> None:
        """While the empty line is not there, there is no end."""
        assert headEnd(b"GET / HTTP/1.1\r\nHost: a\r\n") == -1
        assert headEnd(b"") == -1

    @pytest.mark.parametrize("cut", range(1, 30))
    def test_pieces(self, cut: int) -> None:
        """However the head was cut on its way, looking on from where the last look ended finds it."""
        whole = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nx"
        first = headEnd(whole[:cut])
        assert (first if first >= 0 else headEnd(whole, cut)) == 27

    def test_longest(self) -> None:
        """A head of 16384 bytes is taken, one more byte is not."""
        longest = b"x" * (MAX_HEAD_BYTES - 4) + b"\r\n\r\n"
        assert headEnd(longest + b"y") == MAX_HEAD_BYTES
        with pytest.raises(HandshakeError) as caught:
            headEnd(b"x" + longest)
        assert caught.value.status == 431

    def test_flood(self) -> None:
        """A flood without an empty line is refused as soon as it is beyond the limit."""
        assert headEnd(b"x" * MAX_HEAD_BYTES) == -1
        with pytest.raises(HandshakeError) as caught:
            headEnd(b"x" * (MAX_HEAD_BYTES + 1), MAX_HEAD_BYTES)
        assert caught.value.status == 431


class TestParseHead:
    def test_browser(self) -> None:
        """The request line in its three parts, and headers by lower-case name."""
        found = parseHead(head())
        assert (found.method, found.target, found.version) == ("GET", "/chat?id=1", "HTTP/1.1")
        assert found.headers["host"] == "chat.example.com:9000"
        assert set(found.headers) == {name.lower() for name in BROWSER}
        assert set(found.counts.values()) == {1}

    def test_spaceAroundValues(self) -> None:
        """Spaces and tabs around a value do not belong to it, those inside do."""
        assert parseHead(b"GET / HTTP/1.1\r\nA:b\r\nC: \t d \t e\t \r\nF:\r\n\r\n").headers == {
            "a": "b",
            "c": "d \t e",
            "f": "",
        }

    def test_repeated(self) -> None:
        """A repeated header's values are joined in order, and it is known how often it came."""
        found = parseHead(b"GET / HTTP/1.1\r\nVia: a\r\nX: 1\r\nvia: b\r\nVIA: c\r\n\r\n")
        assert found.headers == {"via": "a, b, c", "x": "1"}
        assert found.counts == {"via": 3, "x": 1}

    @pytest.mark.parametrize(
        ("value", "read"),
        [
            (b"caf\xc3\xa9", "caf\xe9"),
            (b"caf\xe9", "caf\xe9"),
            (b"name=\xc3\x85sa", "name=\xc5sa"),
            (b"a\x85", "a\x85"),
            (b"\xf0\x9f\x98\x80", "\U0001f600"),
            (b"\xed\xa0\x80", "\xed\xa0\x80"),
            (b"\xff", "\xff"),
        ],
    )
    def test_notASCII(self, value: bytes, read: str) -> None:
        """Bytes from 0x80 on may stand in a value: it is UTF-8 where it can be, and ISO 8859-1 where not."""
        assert parseHead(b"GET / HTTP/1.1\r\nX: " + value + b"\r\n\r\n").headers == {"x": read}

    @pytest.mark.parametrize("name", ["Host", "Origin", "Upgrade", "Connection", "Sec-WebSocket-Protocol"])
    def test_decidingHeaders(self, name: str) -> None:
        """What decides about a handshake is ASCII; anything else stays what no name or word is compared with."""
        found = parseHead(f"GET / HTTP/1.1\r\n{name}: \u212a\r\n\r\n".encode())
        assert found.headers == {name.lower(): "\xe2\x84\xaa"}

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b"GET",
            b"GET /",
            b"GET / HTTP/1.1 ",
            b" GET / HTTP/1.1",
            b"GET  / HTTP/1.1",
            b"GET\t/\tHTTP/1.1",
            b"GET / HTTP/2.0",
            b"GET / HTTP/1.1\n",
            b"GET / http/1.1",
            b"GET / RTSP/1.0",
            b"G(T / HTTP/1.1",
            b"GET chat HTTP/1.1",
            b"GET http://a/ HTTP/1.1",
            b"GET * HTTP/1.1",
            b"GET /#top HTTP/1.1",
            b"GET /\x00 HTTP/1.1",
            b"GET /a\tb HTTP/1.1",
            b"GET /a\x0bb HTTP/1.1",
            b"GET /a\rb HTTP/1.1",
            b"GET /a\nb HTTP/1.1",
            b"GET /a\x7fb HTTP/1.1",
            b"GET /a\x85b HTTP/1.1",
            b"\x16\x03\x01\x02\x00\x01\x00\x01",
        ],
    )
    def test_malformedRequestLine(self, line: bytes) -> None:
        """A request line that is not method, path and HTTP/1 is refused."""
        with pytest.raises(HandshakeError) as caught:
            parseHead(line + b"\r\nHost: a\r\n\r\n")
        assert caught.value.status == 400

    @pytest.mark.parametrize(
        "line",
        [
            b"Host",
            b": a",
            b"Ho st: a",
            b"Host : a",
            b" Host: a",
            b"\tfolded",
            b"H\xf6st: a",
            b"Host\x00: a",
            b"(Host): a",
        ],
    )
    def test_malformedHeaderLine(self, line: bytes) -> None:
        """A line that is not a name, a colon at once and a value is refused; so is a folded line."""
        with pytest.raises(HandshakeError) as caught:
            parseHead(b"GET / HTTP/1.1\r\nA: b\r\n" + line + b"\r\n\r\n")
        assert caught.value.status == 400

    @pytest.mark.parametrize("byte", [0, 8, 0x0A, 0x0B, 0x0C, 0x0D, 0x1B, 0x1C, 0x1D, 0x1E, 0x1F, 0x7F])
    def test_headerSplitting(self, byte: int) -> None:
        """A byte that some reader takes for the end of a line forges no header: the request is refused."""
        value = b"x" + bytes([byte]) + b"Authorization: forged"
        with pytest.raises(HandshakeError) as caught:
            parseHead(b"GET / HTTP/1.1\r\nX-Name: " + value + b"\r\n\r\n")
        assert caught.value.status == 400

    def test_lines(self) -> None:
        """A head of 100 lines is taken, one more is not."""
        line = b"A: b\r\n"
        parseHead(b"GET / HTTP/1.1\r\n" + line * (MAX_HEAD_LINES - 1) + b"\r\n")
        with pytest.raises(HandshakeError) as caught:
            parseHead(b"GET / HTTP/1.1\r\n" + line * MAX_HEAD_LINES + b"\r\n")
        assert caught.value.status == 431

    def test_reprHoldsNoSecrets(self) -> None:
        """What may hold a token (the URL and the headers) is not shown where a head is printed by accident."""
        shown = repr(parseHead(head("/chat?token=secret", changed(authorization="Bearer secret"))))
        assert "GET" in shown and "secret" not in shown

    @examples
    @given(st.lists(st.tuples(st.from_regex(rb"[A-Za-z\-]{1,12}", fullmatch=True), st.binary(max_size=20)), max_size=8))
    def test_onlyTheSendersHeaders(self, lines: list[tuple[bytes, bytes]]) -> None:
        """A head has just those headers that the sender put on lines of their own."""
        assume(not any(b"\r\n" in value + b"\r" for _, value in lines))
        written = b"".join(name + b":" + value + b"\r\n" for name, value in lines)
        try:
            found = parseHead(b"GET / HTTP/1.1\r\n" + written + b"\r\n")
        except HandshakeError as refused:
            assert refused.status == 400
            return
        expected: dict[str, list[str]] = {}
        for name, value in lines:
            try:
                text = value.decode()
            except UnicodeDecodeError:
                text = value.decode("iso-8859-1")
            expected.setdefault(name.decode().lower(), []).append(text.strip(" \t"))
        assert found.headers == {name: ", ".join(values) for name, values in expected.items()}
        assert found.counts == {name: len(values) for name, values in expected.items()}


class TestPath:
    @pytest.mark.parametrize(
        ("target", "path"),
        [
            ("/", ""),
            ("/?a=/b/", ""),
            ("/chat", "chat"),
            ("/some/path?id=1", "some/path"),
            ("//some//path/", "some//path"),
            ("/caf%C3%A9%20au%20lait", "café au lait"),
            ("/a+b", "a+b"),
            ("/%zz", "%zz"),
            ("/%FF", "\N{REPLACEMENT CHARACTER}"),
            ("/caf\u00c3\u00a9/%C3%A9", "café/é"),
            ("/caf\u00e9", "café"),
            ("/\u00c3\u0085sa", "Åsa"),
        ],
    )
    def test_path(self, target: str, path: str) -> None:
        """The path has no outer slashes and no parameters, and is percent-decoded."""
        found = parseHead(head(target))
        assert found.path == path
        if target.isascii():
            assert found.rawPath == target.partition("?")[0]


class TestParams:
    @pytest.mark.parametrize(
        ("query", "params"),
        [
            ("", {}),
            ("?", {}),
            ("?id=1&name=Sam&tag=a&tag=b", {"id": "1", "name": "Sam", "tag": ["a", "b"]}),
            ("?t=a&u=1&t=b&t=c", {"t": ["a", "b", "c"], "u": "1"}),
            ("?t=a&t=a", {"t": ["a", "a"]}),
            ("?text=a+b%20c%2B%26%3D", {"text": "a b c+&="}),
            ("?caf%C3%A9=%E2%82%AC", {"café": "€"}),
            ("?a=&b", {"a": "", "b": ""}),
            ("?a=1=2", {"a": "1=2"}),
            ("?a=1;b=2", {"a": "1;b=2"}),
            ("?a=?/", {"a": "?/"}),
            ("?&&a=1&", {"a": "1"}),
            ("?a=%FF", {"a": "\N{REPLACEMENT CHARACTER}"}),
            ("?name=\u00c3\u0085sa&caf\u00c3\u00a9=+%C3%A9", {"name": "Åsa", "café": " é"}),
            ("?name=caf\u00e9", {"name": "café"}),
        ],
    )
    def test_params(self, query: str, params: dict[str, object]) -> None:
        """Parameters are read as HTML forms are; a repeated key has a list, in order."""
        assert parseHead(head("/some/path" + query)).params() == params

    def test_most(self) -> None:
        """200 parameters are taken, one more is not."""
        assert len(parseHead(head("/?" + "&".join(f"k{n}=v" for n in range(MAX_PARAMS)))).params()) == MAX_PARAMS
        with pytest.raises(HandshakeError) as caught:
            parseHead(head("/?" + "&".join(["a=b"] * (MAX_PARAMS + 1)))).params()
        assert caught.value.status == 400

    @examples
    @given(st.lists(st.tuples(st.text(), st.text()), max_size=8))
    def test_roundTrip(self, pairs: list[tuple[str, str]]) -> None:
        """What a client encodes as a form arrives as it was: strings, and lists for repeated keys."""
        expected: dict[str, list[str]] = {}
        for key, value in pairs:
            expected.setdefault(key, []).append(value)
        found = parseHead(head("/?" + urlencode(pairs))).params()
        assert found == {key: values if len(values) > 1 else values[0] for key, values in expected.items()}


class TestUpgrade:
    def test_browser(self) -> None:
        """What a browser sends is a proper handshake."""
        found = parseHead(head())
        assert found.wantsUpgrade
        found.checkUpgrade()

    @pytest.mark.parametrize(
        "headers",
        [
            changed(upgrade="WebSocket"),
            changed(upgrade="h2c , WEBSOCKET"),
            changed(connection="upgrade"),
            changed(connection="close,\tUPGRADE"),
            changed(host="localhost"),
            changed(host="[::1]:9000"),
            changed(host="127.0.0.1:65535"),
            changed(origin=None),
            changed(cookie=None),
            changed(sec_websocket_protocol="chat, superchat"),
            changed(sec_websocket_protocol=""),
        ],
    )
    def test_accepted(self, headers: dict[str, str]) -> None:
        """Case and order of words do not matter, and what is optional may be missing."""
        found = parseHead(head(headers=headers))
        assert found.wantsUpgrade
        found.checkUpgrade()

    @pytest.mark.parametrize("upgrade", [None, "", "h2c", "websockets", "web socket", "\xa0websocket"])
    def test_notWanted(self, upgrade: str | None) -> None:
        """A request whose Upgrade does not say websocket asks for none."""
        assert not parseHead(head(headers=changed(upgrade=upgrade))).wantsUpgrade

    @pytest.mark.parametrize("method", ["POST", "get", "HEAD", "OPTIONS"])
    def test_method(self, method: str) -> None:
        """Another method than GET is answered with the one that is right."""
        refused = refusal(head(start=method + " {} HTTP/1.1"))
        assert (refused.status, refused.headers) == (405, (("Allow", "GET"),))

    def test_version(self) -> None:
        """HTTP/1.0 has no upgrade."""
        assert refusal(head(start="GET {} HTTP/1.0")).status == 400

    @pytest.mark.parametrize("version", [None, "", "8", "12", "14", "013", "13, 8", "13.0", "x"])
    def test_webSocketVersion(self, version: str | None) -> None:
        """Another version of the protocol is answered with the one that is spoken."""
        refused = refusal(head(headers=changed(sec_websocket_version=version)))
        assert (refused.status, refused.headers) == (426, (("Sec-WebSocket-Version", "13"),))

    @pytest.mark.parametrize(
        "headers",
        [
            changed(host=None),
            changed(host=""),
            changed(host="a b"),
            changed(host="a/b"),
            changed(host="a@b"),
            changed(host="a?b"),
            changed(host="a#b"),
            changed(host="a,b"),
            changed(host="a:"),
            changed(host="a:port"),
            changed(host="a:123456"),
            changed(host="a:1:2"),
            changed(host="::1"),
            changed(host="[::1"),
            changed(host="[evil]"),
            changed(host="[]"),
            changed(connection=None),
            changed(connection="keep-alive"),
            changed(connection="upgraded"),
            changed(connection="keep-alive Upgrade"),
            changed(connection="\xa0Upgrade"),
            changed(sec_websocket_key=None),
            changed(sec_websocket_key=""),
            changed(sec_websocket_key="short=="),
            changed(sec_websocket_key=KEY + "="),
            changed(sec_websocket_key=KEY.replace("=", "A")),
            changed(sec_websocket_key=KEY.replace("d", "*")),
            changed(sec_websocket_key=KEY.replace("d", " ")),
            changed(sec_websocket_protocol="chat, chat"),
            changed(sec_websocket_protocol="chat room"),
            changed(sec_websocket_protocol="chat\xe9"),
            changed(sec_websocket_extensions="deflate\x85X: forged"),
            changed(host="h\xe9"),
            changed(sec_websocket_protocol="\xa0chat"),
            changed(sec_websocket_protocol="(chat)"),
            changed(sec_websocket_protocol="a/b"),
        ],
    )
    def test_malformed(self, headers: dict[str, str]) -> None:
        """A header that the handshake needs and that is missing or malformed is a bad request."""
        assert refusal(head(headers=headers)).status == 400

    @pytest.mark.parametrize("name", ["Host", "Origin", "Sec-WebSocket-Key", "Sec-WebSocket-Version"])
    def test_twice(self, name: str) -> None:
        """A header of which only one may decide must not come twice, not even with the same value."""
        twice = head()[:-2] + f"{name.lower()}: {BROWSER[name]}\r\n\r\n".encode()
        refused = refusal(twice)
        assert refused.status == 400
        assert name.lower() in str(refused)

    def test_subprotocols(self) -> None:
        """Subprotocols are known in the client's order, from one line or from several."""
        assert parseHead(head()).subprotocols == []
        lines = b"Sec-WebSocket-Protocol: b,a ,, \r\nSec-WebSocket-Protocol:\tc\r\n\r\n"
        found = parseHead(head()[:-2] + lines)
        found.checkUpgrade()
        assert found.subprotocols == ["b", "a", "c"]


mutations = st.builds(
    lambda whole, at, gone, junk: whole[:at] + junk + whole[at + gone :],
    st.sampled_from([head(), head("/"), head(headers=changed(sec_websocket_protocol="a, b", host="[::1]:1"))]),
    st.integers(0, 400),
    st.integers(0, 6),
    st.binary(max_size=4) | st.sampled_from([b"\r\n", b"\r\n\r\n", b": ", b", ", b"%", b"&", b"[", b"\x85", b"\xa0"]),
)

tokens = st.from_regex(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,10}", fullmatch=True)
handshakes = st.builds(
    lambda target, protocols, extensions, others, key: head(
        target,
        {
            **{"X-" + name: value for name, value in others.items()},
            **changed(sec_websocket_key=key, sec_websocket_protocol=protocols, sec_websocket_extensions=extensions),
        },
    ),
    st.from_regex(r"/[A-Za-z0-9/%?&=+.~_-]{0,30}", fullmatch=True),
    st.none() | st.lists(tokens, max_size=4, unique=True).map(" , ".join),
    st.none() | st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40),
    st.dictionaries(tokens, st.text(st.characters(min_codepoint=0xA0, max_codepoint=0xFF), max_size=10), max_size=4),
    st.from_regex(r"[A-Za-z0-9+/]{22}==", fullmatch=True),
)


class TestAnyHandshake:
    @examples
    @given(st.binary() | mutations)
    def test_valueOrRefusal(self, text: bytes) -> None:
        """Whatever is sent for a handshake is one, or is refused with a 4xx."""
        try:
            end = headEnd(text)
            found = parseHead(text[:end] if end >= 0 else text)
            assert isinstance(found.path, str)
            assert isinstance(found.params(), dict)
            assert isinstance(found.wantsUpgrade, bool)
            found.checkUpgrade()
            assert found.canonical(extensions=True)
        except HandshakeError as refused:
            assert refused.status in (400, 405, 426, 431)
            assert str(refused).isascii() and str(refused).isprintable()
            assert response(refused.status, str(refused), refused.headers)

    @examples
    @given(handshakes | mutations, st.booleans())
    def test_canonical(self, text: bytes, extensions: bool) -> None:
        """An accepted handshake is passed on as one that is accepted again, with the same key and nothing added."""
        try:
            found = parseHead(text)
            found.checkUpgrade()
        except HandshakeError:
            return
        if found.wantsUpgrade:
            assertSameHandshake(found, found.canonical(extensions=extensions), extensions)


def assertSameHandshake(found: RequestHead, text: bytes, extensions: bool) -> None:
    assert headEnd(text) == len(text)
    again = parseHead(text)
    assert again.wantsUpgrade
    again.checkUpgrade()
    assert again.headers["sec-websocket-key"] == found.headers["sec-websocket-key"]
    assert again.subprotocols == found.subprotocols
    passed = found.headers.get("sec-websocket-extensions") if extensions else None
    assert again.headers.get("sec-websocket-extensions") == passed
    known = {"host", "upgrade", "connection", "sec-websocket-version", "sec-websocket-key"}
    assert set(again.headers) <= known | {"sec-websocket-protocol", "sec-websocket-extensions"}


class TestCanonical:
    def test_nothingElse(self) -> None:
        """Cookies, the URL and all that does not decide the handshake are not passed on."""
        text = parseHead(head("/chat?token=secret")).canonical(extensions=False)
        assert text == (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )

    def test_offers(self) -> None:
        """Subprotocols are passed on; extensions are so if it is wanted."""
        found = parseHead(head(headers=changed(sec_websocket_protocol="b,a")))
        assert b"\r\nSec-WebSocket-Protocol: b, a\r\n" in found.canonical(extensions=False)
        assert b"permessage-deflate" not in found.canonical(extensions=False)
        assert b"\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" in found.canonical(
            extensions=True
        )

    def test_noOffers(self) -> None:
        """What was not offered is not passed on."""
        found = parseHead(head(headers=changed(sec_websocket_extensions=None)))
        assert b"Extensions" not in found.canonical(extensions=True)


class TestResponse:
    def test_whole(self) -> None:
        """An answer is complete in itself, says why for people, ends the connection, and names no server."""
        assert response(405, "By GET only.", (("Allow", "GET"),)) == (
            b"HTTP/1.1 405 By GET only.\r\nAllow: GET\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Length: 13\r\nConnection: close\r\n\r\nBy GET only.\n"
        )
