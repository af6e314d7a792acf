"""What a client asks a server for, from a URL and parameters, and how a no is read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_crossws.wire.http import RequestHead
from twisted_crossws.wire.request import checkHeaders, refusal, targetOf

examples = settings(deadline=None, max_examples=200)

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


def headOf(resource: str) -> RequestHead:
    """What a server of ours reads."""
    return RequestHead("GET", resource, "HTTP/1.1", {}, {})


class TestTarget:
    @pytest.mark.parametrize(
        ("url", "isSecure", "host", "port", "resource"),
        [
            ("ws://h", False, "h", 80, "/?crossws=2"),
            ("ws://h?", False, "h", 80, "/?crossws=2"),
            ("wss://H.example/", True, "h.example", 443, "/?crossws=2"),
            ("WS://h:9000/a/b?x=1&y=%2B", False, "h", 9000, "/a/b?x=1&y=%2B&crossws=2"),
            ("ws://[::1]:9000/a%20b?c?d", False, "::1", 9000, "/a%20b?c?d&crossws=2"),
            ("ws://h/ä b?q=ü", False, "h", 80, "/%C3%A4%20b?q=%C3%BC&crossws=2"),
            ("ws://h/?crossws=1&a=2", False, "h", 80, "/?a=2&crossws=2"),
            ("ws://h/a\r\nX: y", False, "h", 80, "/aX:%20y?crossws=2"),
        ],
    )
    def test_url(self, url: str, isSecure: bool, host: str, port: int, resource: str) -> None:
        """Scheme, host, port, path and query are taken from the URL, in a form that a request line can hold."""
        target = targetOf(url, {})
        assert (target.isSecure, target.host, target.port, target.resource) == (isSecure, host, port, resource)

    @pytest.mark.parametrize(
        "url",
        [
            "http://h/?hush",
            "h:9000?hush",
            "?hush",
            "ws://?hush",
            "ws://h:0/?hush",
            "ws://h:99999/?hush",
            "ws://h:x/?hush",
            "ws://[::1/?hush",
            "ws://user:hush@h/",
            "ws://h/#hush",
        ],
    )
    def test_badUrl(self, url: str) -> None:
        """What is no URL of a WebSocket is a ValueError: a sentence without the URL's secrets."""
        with pytest.raises(ValueError, match=r"^The URL .*\.$") as caught:
            targetOf(url, {})
        assert "hush" not in str(caught.value)

    def test_noString(self) -> None:
        """A URL that is no string is a TypeError."""
        with pytest.raises(TypeError):
            targetOf(b"ws://h", {})  # type: ignore[arg-type]

    def test_params(self) -> None:
        """Numbers are written out, truth values as in JavaScript, None is left out, a list repeats its key."""
        params: dict[str, Any] = {"a": 16, "b": 1.5, "c": True, "d": None, "e": ["x", None, 2], "f": (), "g": ""}
        assert targetOf("ws://h", params).resource == "/?a=16&b=1.5&c=true&e=x&e=2&g=&crossws=2"

    def test_versionIsOurs(self) -> None:
        """A parameter cannot ask for another version."""
        assert targetOf("ws://h", {"crossws": 1}).resource == "/?crossws=2"

    @pytest.mark.parametrize("value", [{}, b"x", object(), [[]]])
    def test_badParam(self, value: Any) -> None:
        """A parameter that is neither text nor number is a TypeError that names it."""
        with pytest.raises(TypeError, match="'key'"):
            targetOf("ws://h", {"key": value})

    @examples
    @given(
        st.dictionaries(
            texts.filter(lambda key: key not in ("crossws", "own")),
            texts | st.lists(texts, min_size=2, max_size=16),
            max_size=12,
        )
    )
    def test_serverReadsThem(self, params: dict[str, Any]) -> None:
        """Whatever the parameters are, short of too many, a server of ours reads them beside the URL's own."""
        resource = targetOf("ws://h/p?own=%26", params).resource
        assert resource.isascii() and resource.isprintable() and " " not in resource
        assert headOf(resource).params() == {"own": "&", **params, "crossws": "2"}
        assert headOf(resource).path == "p"

    def test_name(self) -> None:
        """For people there is the URL without its query, and the query shows nowhere else."""
        target = targetOf("wss://[::1]/chat?token=hush", {"key": "hush"})
        assert target.name == "wss://[::1]:443/chat"
        assert target.hostHeader == "[::1]"
        assert "hush" not in repr(target)


class TestHeaders:
    def test_good(self) -> None:
        """What HTTP has a form for is taken."""
        checkHeaders({"X-Any": "a\tb ü", "Cookie": ""})

    @pytest.mark.parametrize(
        ("name", "value"), [("", "a"), ("a b", "a"), ("a:", "a"), ("ä", "a"), ("a", "a\nb"), ("a", "a\rb"), ("a", "\0")]
    )
    def test_bad(self, name: str, value: str) -> None:
        """What would not be one header line is a ValueError."""
        with pytest.raises(ValueError, match="header"):
            checkHeaders({"Good": "x", name: value})


class TestRefusal:
    @pytest.mark.parametrize(
        ("line", "status", "words"),
        [
            ("HTTP/1.1 401 Not You", 401, "401 Not You."),
            ("HTTP/1.1 404 There is none.", 404, "404 There is none."),
            ("HTTP/1.0 503", 503, "503 (no reason given)."),
            ("HTTP/1.1 302 \x1b[31mFound", 302, "302 [31mFound."),
        ],
    )
    def test_status(self, line: str, status: int, words: str) -> None:
        """An HTTP status that is no upgrade is a refusal, with what can be shown of its phrase."""
        fault = refusal(line)
        assert fault is not None and fault.status == status
        assert str(fault) == f"The server refused the connection: {words}"

    def test_longPhrase(self) -> None:
        """A phrase without end is cut."""
        assert len(str(refusal("HTTP/1.1 400 " + "x" * 10000))) < 300

    @pytest.mark.parametrize("line", ["", "HTTP/1.1", "HTTP/1.1 101 Switching Protocols", "SSH-2.0 x", "HTTP/1.1 4 x"])
    def test_none(self, line: str) -> None:
        """An upgrade is no refusal, and neither is what is no HTTP."""
        assert refusal(line) is None
