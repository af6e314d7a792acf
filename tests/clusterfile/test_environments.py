"""
Sections that hold in one environment alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.clusterfile.files import faultsOf, named, planned, written
from twisted_crossws.clusterfile.layers import merged
from twisted_crossws.configfile import configFromMapping, loadConfig, readConfig
from twisted_crossws.errors import ConfigError

FILE = """
[bus]
type = "hub"
compression = false
[websocket]
path = "all"
heartbeat = "all"

[kind.k]
tags = ["all"]
role = "all"
[[kind.k.service]]
use = "all:k"

[[service]]
use = "all:one"
[[service]]
use = "all:two"

[[server]]
id = "a"
kind = "k"

[production.bus]
type = "redis"
[production.bus.redis]
urls = ["redis://10.0.0.1"]
[production.websocket]
path = "live"
[production.kind.k]
tags = ["live"]
[[production.service]]
use = "live:one"
[[production.server]]
id = "b-"
kind = "k"
port = [5, 6]
"""


class TestOverlay:
    @pytest.mark.parametrize("environment", [None, "development"])
    def test_without(self, tmp_path: Path, environment: str | None) -> None:
        """In the environment that is meant by default, sections of others do not hold."""
        plan = planned(tmp_path, FILE, environment)
        config = named(plan, "a").config
        assert plan.environment == "development" and len(plan.servers) == 1
        assert (config.bus.type, config.websocket.path, config.node.tags) == ("hub", "all", ("all",))
        assert [service.use for service in config.service] == ["all:one", "all:two", "all:k"]

    def test_over(self, tmp_path: Path) -> None:
        """What it says goes before what is said for all, key by key; lists take the place of lists."""
        plan = planned(tmp_path, FILE, "production")
        assert plan.environment == "production"
        assert [server.name for server in plan.servers] == ["b-1", "b-2"]
        server = plan.servers[1]
        config = server.config
        assert (config.bus.type, config.bus.compression, config.bus.redis.urls) == (
            "redis",
            False,
            ("redis://10.0.0.1",),
        )
        assert (config.websocket.path, config.websocket.heartbeat) == ("live", "all")
        assert (config.node.tags, config.node.role) == (("live",), "all")
        assert [service.use for service in config.service] == ["live:one", "all:k"]

    def test_places(self, tmp_path: Path) -> None:
        """It is known where each came from."""
        server = planned(tmp_path, FILE, "production").servers[0]
        assert server.place("websocket", "path") == ("production", "websocket")
        assert server.place("websocket", "heartbeat") == ("websocket",)
        assert server.place("bus.redis", "urls") == ("production", "bus", "redis")
        assert server.services == (("production", "service", 1), ("kind", "k", "service", 1))
        assert server.stands == ("production", "server", 1)

    def test_default(self, tmp_path: Path) -> None:
        """The file may say which is meant by default."""
        assert planned(tmp_path, FILE + "[master]\nenvironment = 'production'\n").environment == "production"
        text = FILE + "[master]\nenvironment = 'production'\n"
        assert planned(tmp_path, text, "development").environment == "development"

    def test_declared(self, tmp_path: Path) -> None:
        """Others than the usual two are declared, and then these two are no sections any more."""
        text = "[master]\nenvironments = ['staging']\nenvironment = 'staging'\n[staging.node]\nrole = 'x'\n"
        assert planned(tmp_path, text).servers[0].config.node.role == "x"
        (fault,) = faultsOf(tmp_path, text + "[production.node]\nrole = 'y'\n")
        assert "production is not a section; " in fault and fault.endswith("[[server]], [staging].")

    def test_serversOfSome(self, tmp_path: Path) -> None:
        """A server may be there in some environments alone."""
        text = (
            "[bus]\ntype = 'hub'\n[[server]]\nid = 'a'\n[[server]]\nid = 'b'\nenvironment = ['production']\n"
            "[[server]]\nid = 'c'\nenvironment = ['production', 'development']\n"
        )
        assert [server.name for server in planned(tmp_path, text).servers] == ["a", "c"]
        assert [server.name for server in planned(tmp_path, text, "production").servers] == ["a", "b", "c"]

    def test_onlyThere(self, tmp_path: Path) -> None:
        """A file that has servers in one environment alone has none in others, and does not become one node there."""
        text = "[bus]\ntype = 'redis'\n[[production.server]]\nid = 'a'\n"
        assert [server.name for server in planned(tmp_path, text, "production").servers] == ["a"]
        assert faultsOf(tmp_path, text) == ['there is no [[server]] for the environment "development".']


class TestConfig:
    """A configuration that is read without a plan."""

    def test_environment(self, tmp_path: Path) -> None:
        """It is that of the environment, too."""
        path = written(tmp_path, "[node]\nrole = 'a'\n[production.node]\nrole = 'b'\n")
        assert (loadConfig(path).node.role, loadConfig(path, "production").node.role) == ("a", "b")
        mapping = {"node": {"role": "a"}, "production": {"node": {"role": "b"}}}
        assert configFromMapping(mapping, environment="production").node.role == "b"

    def test_unknown(self, tmp_path: Path) -> None:
        """One that there is not is a fault."""
        path = written(tmp_path, "")
        _, _, faults = readConfig(path, "prodction")
        says = (
            'has no environment "prodction"; did you mean "production"? Others are declared by [master] environments.'
        )
        assert faults == [f"cluster.toml {says}"]
        with pytest.raises(ConfigError, match=r'cluster.toml has no environment "" \(there are: "development", "'):
            loadConfig(path, "")

    def test_servers(self, tmp_path: Path) -> None:
        """Of a file that describes many servers it is what they share."""
        config = loadConfig(written(tmp_path, FILE))
        assert config.websocket.path == "all" and config.node.server_name is None


class TestFaults:
    def test_everywhere(self, tmp_path: Path) -> None:
        """Slips in the sections of an environment are found whichever is chosen, with their places."""
        text = (
            "[production.websockets]\n[production.websocket]\npath = 5\nhartbeat = ''\n[production]\nnothing = 1\n"
            "[production.kind.k]\nrol = 'x'\n[[production.server]]\nport = 'x'\n[[production.server.service]]\n"
        )
        wanted = [
            "line 1: [production] websockets is not a section; did you mean [production.websocket]?",
            'line 3: [production.websocket] path must be a path such as "chat", without "?", "#", "%" and blanks, or '
            "empty for any path, and is 5.",
            "line 4: [production.websocket] hartbeat is not a key of this section; did you mean heartbeat?",
            "line 6: [production] nothing is not a section; the sections are [production.node], "
            "[production.websocket], [production.bus], [production.bus.redis], [production.bus.hub], "
            "[production.rooms], [production.channels], [[production.service]], [production.workers], "
            "[production.master], [production.kind.NAME], [[production.server]].",
            "line 8: [production.kind.k] rol is not a key of this section; did you mean role?",
            "line 10: [[production.server]] number 1: port must be a port from 1 to 65535, or the first and the "
            'last of several, such as [4021, 4023], and is "x".',
            "line 11: [[production.server]] number 1: [[production.server.service]] number 1: use is missing; it "
            "must be a string that is not blank.",
            'line 9: [[production.server]] number 1: id is missing; it must be a string without blanks and "/", such '
            'as "connector-".',
        ]
        faults = faultsOf(tmp_path, text + "[[server]]\nid = 'a'\n")
        assert faults == wanted
        _, _, again = readConfig(str(tmp_path / "cluster.toml"))
        assert len(again) == len(wanted)

    def test_contradictions(self, tmp_path: Path) -> None:
        """What contradicts itself in the chosen environment has its place there."""
        text = "[node]\nlost_after = 5.0\n[production.node]\nlost_after = 1.0\n"
        assert faultsOf(tmp_path, text) == []
        (fault,) = faultsOf(tmp_path, text, "production")
        assert fault.startswith("line 4: [production.node] lost_after must be above announce_interval (1.5)")

    def test_noTable(self, tmp_path: Path) -> None:
        """An environment is a section of sections."""
        assert faultsOf(tmp_path, "production = 5\n") == [
            "line 1: [production] must be a section, with the head [production] once."
        ]

    def test_chosenByItself(self, tmp_path: Path) -> None:
        """What says which environment holds cannot stand in one."""
        text = "[production.master]\nenvironment = 'production'\nmax_restarts = 3\nenvironments = ['x']\n"
        faults = sorted(faultsOf(tmp_path, text))
        assert faults == sorted(faultsOf(tmp_path, text, "production"))
        assert faults == [
            "line 2: [production.master] environment belongs to [master]: it is what such a section is chosen by.",
            "line 4: [production.master] environments belongs to [master]: it is what such a section is chosen by.",
        ]
        (tmp_path / "cluster.toml").write_text("[production.master]\nmax_restarts = 3\n")
        assert loadConfig(str(tmp_path / "cluster.toml"), "production").master.max_restarts == 3

    def test_unknown(self, tmp_path: Path) -> None:
        """Of an environment that there is not nothing else is said: nothing would be as it was meant."""
        (fault,) = faultsOf(tmp_path, "[[server]]\nid = 'a'\ninstances = 3\n", "prod")
        assert fault.startswith('has no environment "prod" (there are: "development", "production").')

    @pytest.mark.parametrize(
        ("said", "start"),
        [
            ("environments = ['bus']\nenvironment = 'bus'", 'environments names "bus", which is a section of every '),
            (
                "environments = ['staging']",
                'environment is "development", which is none of environments (there are: "st',
            ),
            ("environments = []", 'environment is "development", which is none of environments (there are none).'),
            ("environment = 'productoin'", 'environment is "productoin", which is none of environments'),
        ],
    )
    def test_declarations(self, tmp_path: Path, said: str, start: str) -> None:
        """What is declared must not be a section, and what is meant must be declared."""
        (fault,) = faultsOf(tmp_path, f"[master]\n{said}\n")
        assert f"[master] {start}" in fault

    def test_ofServers(self, tmp_path: Path) -> None:
        """A server is for environments that there are."""
        text = "[[server]]\nid = 'a'\n[[server]]\nid = 'b'\nenvironment = ['devlopment']\n"
        assert faultsOf(tmp_path, text) == [
            'line 5: [[server]] number 2: environment names "devlopment", which is no environment of this '
            'file; did you mean "development"?'
        ]


TABLES = st.recursive(
    st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2).map(tuple),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
).filter(lambda value: isinstance(value, dict))


@given(TABLES, TABLES, TABLES)
def test_merging(one: dict[str, object], two: dict[str, object], three: dict[str, object]) -> None:
    """Nothing over something, and something over itself, changes nothing; what lies on top is all there."""
    assert merged(one, {}) == merged({}, one) == merged(one, one) == one
    both = merged(one, two)
    assert merged(both, two) == both
    assert set(both) == set(one) | set(two)
    before = (dict(one), dict(two))
    merged(both, three)
    assert (one, two) == before
