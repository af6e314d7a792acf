"""
Where something stands in a configuration file: how that is written, and on which line it is.
"""

from __future__ import annotations

import re
import tomllib

import pytest

from twisted_crossws.places import Place, Source, label, subject


@pytest.mark.parametrize(
    ("place", "key", "written"),
    [
        ((), "key", "key"),
        (("bus", "redis"), "", "[bus.redis]"),
        (("bus", "redis"), "urls", "[bus.redis] urls"),
        (("service", 2), "use", "[[service]] number 2: use"),
        (("service", 0), "", "[[service]]"),
        (("server", 3, "websocket"), "path", "[[server]] number 3: [server.websocket] path"),
        (("server", 3, "service", 1), "use", "[[server]] number 3: [[server.service]] number 1: use"),
        (("production", "server", 1), "port", "[[production.server]] number 1: port"),
        (("kind", "two words"), "role", '[kind."two words"] role'),
        (("node",), "two\nlines", '[node] "two\\nlines"'),
    ],
)
def test_subject(place: Place, key: str, written: str) -> None:
    """A sentence about it begins so."""
    assert subject(place, key) == written


@pytest.mark.parametrize(
    ("place", "head"),
    [(("a",), "[a]"), (("a", 1), "[[a]]"), (("a", 1, "b"), "[a.b]"), (("a", 2, "b", 1), "[[a.b]]")],
)
def test_label(place: Place, head: str) -> None:
    """Its section is headed so in a file."""
    assert label(place) == head


FILE = """\
[kind.a]
role = "x"
[kind.a.websocket]
path = "x"
[[kind.a.service]]
use = "x:1"
[[kind.a.service]]
use = "x:2"
[kind.b]
[[kind.b.service]]
use = "x:3"

[[server]]
id = "a"
[[server.service]]
use = "x:4"
[server.service.options]
x = 1
[[server]]
id = "b"
websocket.path = "x"
[server.rooms]
preset = []
[[server.service]]
use = "x:5"
[[ server . service ]]
use = "x:6"

[production.bus]
type = "redis"
[[production.server]]
id = "c"
[[production."server"]]
id = "d"
"""


class TestLines:
    @pytest.mark.parametrize(
        ("place", "key", "line"),
        [
            (("kind", "a"), "role", 2),
            (("kind", "a", "websocket"), "path", 4),
            (("kind", "a", "service", 1), "use", 6),
            (("kind", "a", "service", 2), "use", 8),
            (("kind", "a", "service"), "", 5),
            (("kind", "b", "service", 1), "use", 11),
            (("kind", "b"), "role", 9),
            (("server", 1), "id", 14),
            (("server", 1, "service", 1), "use", 16),
            (("server", 1, "service", 1), "options", 17),
            (("server", 2), "id", 20),
            (("server", 2, "websocket"), "path", 21),
            (("server", 2, "rooms"), "preset", 23),
            (("server", 2, "service", 1), "use", 25),
            (("server", 2, "service", 2), "use", 27),
            (("server", 2), "port", 19),
            (("server", 0), "", 13),
            (("production", "bus"), "type", 30),
            (("production", "server", 1), "id", 32),
            (("production", "server", 2), "id", 34),
            (("production", "node"), "role", None),
        ],
    )
    def test_line(self, place: Place, key: str, line: int | None) -> None:
        """Sections within repeated sections belong to the last of them."""
        tomllib.loads(FILE)
        said = Source("x", FILE).fault(place, key, "is wrong.")
        found = re.match(r"x, line (\d+): ", said)
        assert (int(found[1]) if found else None) == line

    def test_nowhere(self) -> None:
        """What is wrong with the whole file has neither place nor line."""
        assert Source("x", FILE).fault((), "", "is wrong.") == "x: is wrong."
