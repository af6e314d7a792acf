"""Where a Redis is."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_crossws.wire.redisurl import RedisUrl

examples = settings(deadline=None, max_examples=200)


class TestParse:
    @pytest.mark.parametrize(
        ("text", "url"),
        [
            ("redis://127.0.0.1", RedisUrl("tcp", "127.0.0.1", 6379)),
            ("redis://127.0.0.1:6380", RedisUrl("tcp", "127.0.0.1", 6380)),
            ("redis://Redis.Example:1/", RedisUrl("tcp", "redis.example", 1)),
            ("redis://localhost/15", RedisUrl("tcp", "localhost", 6379, database=15)),
            ("redis://:secret@h", RedisUrl("tcp", "h", 6379, password="secret")),
            ("redis://sam:secret@h:65535/0", RedisUrl("tcp", "h", 65535, user="sam", password="secret")),
            ("redis://sam:@h", RedisUrl("tcp", "h", 6379, user="sam", password="")),
            ("redis://s%40m:a%2Fb%3A%23%25%C3%A4@h", RedisUrl("tcp", "h", 6379, user="s@m", password="a/b:#%ä")),
            ("redis://:a:b@c@h", RedisUrl("tcp", "h", 6379, password="a:b@c")),
            ("redis://[::1]:6380/2", RedisUrl("tcp", "::1", 6380, database=2)),
            ("redis://[2001:DB8:0:0::1]", RedisUrl("tcp", "2001:db8::1", 6379)),
            ("rediss://:p@h", RedisUrl("tls", "h", 6379, password="p")),
            ("REDISS://h", RedisUrl("tls", "h", 6379)),
            ("unix:///run/redis.sock", RedisUrl("unix", path="/run/redis.sock")),
            ("unix:///run/a%20b%3F.sock?db=3", RedisUrl("unix", path="/run/a b?.sock", database=3)),
            ("unix://:secret@/run/redis.sock?db=0", RedisUrl("unix", path="/run/redis.sock", password="secret")),
            ("unix://sam:secret@/r", RedisUrl("unix", path="/r", user="sam", password="secret")),
            ("unix:///r?", RedisUrl("unix", path="/r")),
        ],
    )
    def test_parts(self, text: str, url: RedisUrl) -> None:
        """Every part of it is found, its escapes read."""
        assert RedisUrl.parse(text) == url

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("", "must start with"),
            ("redis", "must start with"),
            ("redis:h", "must start with"),
            ("http://h", "must start with"),
            ("://h", "must start with"),
            ("redis+tls://h", "must start with"),
            ("redis://", "must name a host"),
            ("redis:///1", "must name a host"),
            ("redis://:6379", "must name a host"),
            ("redis://:hunter2@", "must name a host"),
            ("redis://:hunter2@:6379", "must name a host"),
            ("redis://::1", "port"),
            ("redis://a%20b", "must name a host"),
            ("redis://a]b", "must name a host"),
            ("redis://a\\b", "must name a host"),
            ("redis://h:", "port"),
            ("redis://h:0", "port"),
            ("redis://h:65536", "port"),
            ("redis://h:hunter2", "port"),
            ("redis://h:-1", "port"),
            ("redis://h:٦", "port"),
            ("redis://:hunter2/x@h", "must name a host|port"),
            ("redis://:hun#ter2@h", "%23"),
            ("redis://:hun?ter2@h", "%3F"),
            ("redis://h?db=1", "%3F"),
            ("redis://hunter2@h", "needs a password"),
            ("redis://@h", "needs a password"),
            ("redis://h/hunter2", "number of a database"),
            ("redis://h/1/2", "number of a database"),
            ("redis://h/-1", "number of a database"),
            ("redis://h/²", "number of a database"),
            ("redis://[hunter2]", "IPv6"),
            ("redis://[127.0.0.1]", "IPv6"),
            ("redis://[::1", "must name a host"),
            ("redis://[::1]x", "must name a host"),
            ("redis://:hun ter2@h", "no blanks"),
            ("redis://h\n", "no blanks"),
            ("redis://:hunter2%@h", "%25"),
            ("redis://:hunter2%zz@h", "%25"),
            ("redis://:%FF@h", "UTF-8"),
            ("redis://%FF:x@h", "UTF-8"),
            ("unix://", "whole path"),
            ("unix:///", "whole path"),
            ("unix://run/redis.sock", "whole path"),
            ("unix://:hunter2@run/redis.sock", "whole path"),
            ("unix://:hunter2@", "whole path"),
            ("unix:///r?password=hunter2", "no option but db"),
            ("unix:///r?db=hunter2", "number of a database"),
            ("unix:///%FF", "UTF-8"),
            ("unix:///a%00b", "zero bytes"),
        ],
    )
    def test_faulty(self, text: str, says: str) -> None:
        """What is wrong is said in a whole sentence that holds nothing of what was given."""
        with pytest.raises(ValueError, match=says) as fault:
            RedisUrl.parse(text)
        sentence = str(fault.value)
        assert sentence[0].isupper() and sentence.endswith(".")
        assert "hunter2" not in sentence and "ter2" not in sentence
        assert fault.value.__cause__ is None

    @examples
    @given(
        user=st.text(max_size=10),
        password=st.text(max_size=10),
        database=st.integers(0, 99),
        port=st.integers(1, 65535),
    )
    def test_escaped(self, user: str, password: str, database: int, port: int) -> None:
        """Any user and any password can be given, escaped."""
        user, password = (text.encode("utf-8", "replace").decode() for text in (user, password))
        credentials = f"{quote(user, safe='')}:{quote(password, safe='')}@"
        found = RedisUrl.parse(f"redis://{credentials}h:{port}/{database}")
        assert found == RedisUrl("tcp", "h", port, "", user, password, database)
        found = RedisUrl.parse(f"unix://{credentials}/p?db={database}")
        assert found == RedisUrl("unix", "", 0, "/p", user, password, database)

    @examples
    @given(text=st.text(st.sampled_from("redisunx:/@%?#[]0129a. é\n"), max_size=40))
    def test_anything(self, text: str) -> None:
        """Whatever is given is read or refused; what is read is the same when it is shown and read again."""
        for start in ("", "redis://", "rediss://", "unix://"):
            try:
                url = RedisUrl.parse(start + text)
            except ValueError:
                continue
            assert url.kind == "unix" or 1 <= url.port <= 65535
            if not url.user:
                assert RedisUrl.parse(url.shown).server == url.server


class TestShown:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("redis://:secret@H", "redis://h:6379"),
            ("redis://sam:secret@h/0", "redis://sam@h:6379"),
            ("rediss://[::1]:1/2", "rediss://[::1]:1/2"),
            ("unix://sam:secret@/run/redis.sock?db=2", "unix://sam@/run/redis.sock?db=2"),
            ("unix://:secret@/run/redis.sock", "unix:///run/redis.sock"),
            ("unix://a%0Ab:secret@/run/%01%3Fx%20", "unix://a%0Ab@/run/%01%3Fx%20"),
        ],
    )
    def test_withoutPassword(self, text: str, shown: str) -> None:
        """It is shown in one form only, and never with its password."""
        url = RedisUrl.parse(text)
        assert url.shown == shown
        assert "secret" not in repr(url) + str(url)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("redis://h", "redis://sam:secret@H:6379/3"),
            ("redis://h", "rediss://h"),
            ("redis://[::1]", "redis://[0:0:0:0:0:0:0:1]"),
            ("unix:///r", "unix://:secret@/r?db=1"),
        ],
    )
    def test_sameServer(self, one: str, other: str) -> None:
        """User, password, database and TLS say nothing about which Redis it is."""
        assert RedisUrl.parse(one).server == RedisUrl.parse(other).server

    def test_otherServer(self) -> None:
        """Host, port and path do."""
        urls = ["redis://h", "redis://h:6380", "redis://i", "unix:///h:6379", "unix:///r"]
        assert len({RedisUrl.parse(url).server for url in urls}) == 5
