"""Which pages may open a WebSocket here."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_crossws.wire.origin import OriginPolicy

examples = settings(deadline=None, max_examples=150)

HOST = "good.example:9000"


class TestSameHost:
    @pytest.mark.parametrize(
        ("origin", "host"),
        [
            (None, HOST),
            ("https://good.example", HOST),
            ("http://good.example", HOST),
            ("https://good.example:8443", HOST),
            ("https://GOOD.example", "Good.Example"),
            ("http://localhost:3000", "localhost:9000"),
            ("http://127.0.0.1", "127.0.0.1:80"),
            ("http://[::1]:3000", "[::1]:9000"),
        ],
    )
    def test_allowed(self, origin: str | None, host: str) -> None:
        """The page's host is the one that was asked; ports and schemes may differ. Other programs send no origin."""
        assert OriginPolicy(["same-host"]).allows(origin, host)

    @pytest.mark.parametrize(
        "origin",
        [
            "https://evil.example",
            "https://good.example.evil",
            "https://good.evil",
            "https://evilgood.example",
            "https://sub.good.example",
            "https://example",
            "https://good.example.",
            "https://good.example@evil.example",
            "https://evil.example@good.example",
            "https://evil.example#good.example",
            "https://evil.example/good.example",
            "https://evil.example?good.example",
            "https://evil.example\\good.example",
            "https://evil.example, https://good.example",
            "https://good.example https://evil.example",
            "https://[::1",
        ],
    )
    def test_foreign(self, origin: str) -> None:
        """A page of any other host is refused, however its name resembles."""
        assert not OriginPolicy(["same-host"]).allows(origin, HOST)

    @pytest.mark.parametrize(
        "origin",
        [
            "",
            "null",
            "NULL",
            "good.example",
            "//good.example",
            "https:good.example",
            "https:///good.example",
            "://good.example",
            "https://",
            "https://good.example/",
            "https://good.example?",
            "https://good.example#",
            "https://good.example:",
            "https://good.example:port",
            "https://good.example:80:90",
            "https://good.example:999999",
            "https://good.exa\tmple",
            " https://good.example",
            "https://@good.example",
        ],
    )
    def test_notAnOrigin(self, origin: str) -> None:
        """What is not exactly scheme, host and port is no origin of the same host."""
        assert not OriginPolicy(["same-host"]).allows(origin, HOST)

    @pytest.mark.parametrize("host", ["", ":", "[", "[::1", "good.example:", "good.example@evil", "a b"])
    def test_malformedHost(self, host: str) -> None:
        """A Host header that names no host is the host of no page."""
        policy = OriginPolicy(["same-host"])
        assert not policy.allows("https://evil", host)
        assert not policy.allows("https://[::1]", host)


class TestEntries:
    @pytest.mark.parametrize(
        ("entry", "allowed", "refused"),
        [
            ("*", ["https://evil.example", "null", "junk"], []),
            ("null", ["null", "Null"], ["https://good.example", ""]),
            (
                "https://app.example.com",
                ["https://app.example.com", "https://app.example.com:443", "HTTPS://App.Example.com"],
                ["http://app.example.com", "https://app.example.com:8443", "https://app.example.com:0", "null"],
            ),
            (
                "http://localhost:8080",
                ["http://localhost:8080"],
                ["http://localhost", "http://localhost:80", "https://localhost:8080"],
            ),
            ("http://[::1]:80", ["http://[::1]"], ["http://[::2]", "http://[::1]:81"]),
            ("app://local", ["app://local"], ["app://local:1", "app://other"]),
            (
                "app.example.com",
                ["https://app.example.com", "http://app.example.com:8080"],
                ["https://www.app.example.com", "https://app.example.com.evil", "https://example.com"],
            ),
            (
                "*.example.com",
                ["https://a.example.com", "http://a.b.example.com:81"],
                ["https://example.com", "https://evilexample.com", "https://a.example.com.evil", "null"],
            ),
            (" App.Example.COM ", ["https://app.example.com"], ["https://evil"]),
        ],
    )
    def test_entry(self, entry: str, allowed: list[str], refused: list[str]) -> None:
        """Each kind of entry allows what it says, and nothing else."""
        policy = OriginPolicy([entry])
        assert [origin for origin in allowed if not policy.allows(origin, HOST)] == []
        assert [origin for origin in refused if policy.allows(origin, HOST)] == []

    def test_several(self) -> None:
        """An origin that one of the entries allows is allowed."""
        policy = OriginPolicy(["https://a.example", "b.example", "*.c.example", "same-host"])
        for name in ("a.example", "b.example", "x.c.example", "good.example"):
            assert policy.allows("https://" + name, HOST)
        assert not policy.allows("https://evil.example", HOST)

    def test_none(self) -> None:
        """Without an entry no page is allowed, and what is no browser still is."""
        policy = OriginPolicy([])
        assert not policy.allows("https://good.example", HOST)
        assert policy.allows(None, HOST)

    @pytest.mark.parametrize(
        "entry",
        [
            "",
            " ",
            "*.",
            "**",
            "*example.com",
            "a.*.example",
            "*.*.example",
            "example.com:80",
            "example.com/",
            "a b",
            "user@example.com",
            "a,b",
            "example.com?",
            "example.com#",
            "https://",
            "https://a/",
            "https://a/path",
            "https://a:port",
            "https://a:999999",
            "https://user@a",
            "https://*.example.com",
            "://a",
        ],
    )
    def test_malformed(self, entry: str) -> None:
        """An entry that could never match, or is more than it seems, is refused by name."""
        with pytest.raises(ValueError, match="is n"):
            OriginPolicy(["same-host", entry])


entries = st.sampled_from(["same-host", "null", "https://a.example", "b.example", "*.c.example"])
originLike = st.text() | st.from_regex(r"[a-z]{1,5}://[a-z.@:\[\]/0-9]{0,12}", fullmatch=True)


class TestAnyOrigin:
    @examples
    @given(st.lists(entries), originLike, originLike)
    def test_neverFails(self, allowed: list[str], origin: str, host: str) -> None:
        """Any two header values are an answer, yes or no."""
        assert OriginPolicy(allowed).allows(origin, host) in (True, False)

    @examples
    @given(st.from_regex(r"[a-z0-9.-]{1,12}", fullmatch=True), st.from_regex(r"[a-z0-9.-]{1,12}", fullmatch=True))
    def test_sameHost(self, page: str, host: str) -> None:
        """Two host names are the same host if they are equal, and never else."""
        policy = OriginPolicy(["same-host"])
        assert policy.allows(f"https://{page}:81", f"{host}:82") is (page == host)
        assert policy.allows(f"https://{host}", host)

    @given(st.lists(st.text(max_size=8), max_size=3))
    @examples
    def test_anyEntries(self, allowed: list[str]) -> None:
        """Any configuration is a policy that refuses strangers, or a ValueError; only C{*} lets everyone in."""
        try:
            policy = OriginPolicy(allowed)
        except ValueError:
            return
        assert policy.allows("https://stranger.", HOST) is ("*" in [entry.strip() for entry in allowed])
