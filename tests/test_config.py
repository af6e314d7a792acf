"""
The configuration: what may be said, what it means, and how faults are told.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, to_builtins
from msgspec.structs import fields

from twisted_crossws.clusterfile.sections import KindConfig, ServerConfig
from twisted_crossws.config import (
    FAST_PATH,
    BusConfig,
    ChannelsConfig,
    Config,
    HubConfig,
    MasterConfig,
    NodeConfig,
    RedisConfig,
    RoomsConfig,
    ServiceConfig,
    WebSocketConfig,
    WorkersConfig,
)
from twisted_crossws.configfile import Source, configFromMapping, loadConfig, readConfig
from twisted_crossws.errors import ConfigError

SECTIONS: dict[str, type[Struct]] = {
    "node": NodeConfig,
    "websocket": WebSocketConfig,
    "bus": BusConfig,
    "bus.redis": RedisConfig,
    "bus.hub": HubConfig,
    "rooms": RoomsConfig,
    "channels": ChannelsConfig,
    "service": ServiceConfig,
    "workers": WorkersConfig,
    "master": MasterConfig,
}

#: What a file with many servers has beside these; tested with their plan, in C{tests/clusterfile}.
OF_SERVERS: dict[str, type[Struct]] = {"[kind.NAME]": KindConfig, "[[server]]": ServerConfig}

#: Every key that has a value of its own.
KEYS = [
    (name, field.name)
    for name, kind in SECTIONS.items()
    for field in fields(kind)
    if (name, field.name) not in {("bus", "redis"), ("bus", "hub")}
]

#: The sample of the public interface, as it is printed there.
API_SAMPLE = """
[node]
server_name = "serverA"

[websocket]
listen = ["tcp:9000"]            # Twisted endpoint strings, ssl: for wss
path = ""                        # empty: any path
heartbeat = ""
ping_interval = 20.0
handshake_timeout = 5.0
background_close_after = 10.0
max_message_size = 1_048_576
max_connections = 0              # 0: no limit
allowed_origins = ["same-host"]  # host names must match, ports need not; no Origin (no browser) passes; "*": any
max_queued_bytes = 1_048_576     # a client that does not read is cut beyond this
compression = false              # permessage-deflate
fast_path = true
static = ""                      # a folder, served over HTTP on the same port

[bus]
type = "memory"                  # memory | hub | redis
compression = true
bridge_prefix = "csbp:"
room_prefix = "ws:"

[bus.redis]
urls = ["redis://127.0.0.1:6379"]
strategy = "pinned"              # pinned | random | round-robin | fastest
force_ping = true
ping_interval = 5.0
ping_timeout = 2.0

[rooms]
preset = ["chat"]
auto_unsubscribe = true

[channels]
subscribe = []

[[service]]
use = "chat_app:makeService"     # module:callable, or the name of an installed plugin
[service.options]
motd = "hello"
"""

#: What the complete samples say that is no default.
SAID = {
    "node": NodeConfig(server_name="serverA"),
    "service": (ServiceConfig(use="chat_app:makeService", options={"motd": "hello"}),),
}

SECONDS = ([0.001, 1, 2.5, 86400], [0, -1, "5", True, float("nan"), float("inf"), None, 10**400])
SECONDS_OR_NEVER = ([0, 0.5, 20], [-0.1, "often", False, float("nan"), float("inf")])
AT_LEAST_1 = ([1, 10**6], [0, -1, 1.0, "1", True, float("nan")])
AT_LEAST_0 = ([0, 1, 10**6], [-1, 0.5, "0", False])
FLAG = ([True, False], [0, 1, "true", "yes"])
TEXT = (["", "x"], [0, False, ["x"]])
NAMES = ([[], ["a"], ["a", "b c"]], ["a", [""], [" "], ["a", 1], {"a": 1}])
PREFIX = (["a:", "other"], ["", " ", 1, ["a:"]])

#: For each key what is accepted, and what is refused.
RULES: dict[tuple[str, str], tuple[list[Any], list[Any]]] = {
    ("node", "server_name"): (["serverA", "a b"], ["", "  ", 5, ["a"]]),
    ("node", "role"): TEXT,
    ("node", "tags"): NAMES,
    ("node", "announce_interval"): ([0.001, 1, 2.5], [0, -1, "5", True, float("nan")]),
    ("node", "join_timeout"): ([0.1, 3, 60], [0, -1, "5", True, float("inf")]),
    ("node", "lost_after"): ([1.6, 10, 86400], [0, -1, "5", True, float("inf"), 1.5]),
    ("node", "drain_seconds"): ([0, 0.5, 14.9], [-0.1, "often", False, float("nan"), float("inf")]),
    ("node", "stop_deadline"): ([5.1, 15, 86400], [0, -1, "5", True, float("inf"), 5]),
    ("node", "collector"): (["steady", "python"], ["", "lazy", True]),
    ("websocket", "listen"): ([["tcp:1"], ["tcp:1", "unix:/x"]], [[], "tcp:1", [""], ["tcp:1", 9000], 9000]),
    ("websocket", "path"): (["", "chat", "/some/path/", "ü"], ["a?b", "a#b", "a%20b", "a b", "a\n", "/", "//", 1]),
    ("websocket", "heartbeat"): TEXT,
    ("websocket", "ping_interval"): SECONDS_OR_NEVER,
    ("websocket", "handshake_timeout"): SECONDS,
    ("websocket", "background_close_after"): SECONDS,
    ("websocket", "max_message_size"): AT_LEAST_1,
    ("websocket", "max_connections"): AT_LEAST_0,
    ("websocket", "max_plain_connections"): AT_LEAST_0,
    ("websocket", "allowed_origins"): NAMES,
    ("websocket", "subprotocols"): ([[], ["chat"], ["chat.v2", "chat"]], ["chat", [""], ["a b"], ["a,b"], ["ü"], [1]]),
    ("websocket", "lowercase_params"): FLAG,
    ("websocket", "max_queued_bytes"): AT_LEAST_1,
    ("websocket", "max_queued_hard"): AT_LEAST_1,
    ("websocket", "slow_timeout"): SECONDS,
    ("websocket", "compression"): FLAG,
    ("websocket", "fast_path"): FLAG,
    ("websocket", "static"): TEXT,
    ("websocket", "max_fragments"): AT_LEAST_1,
    ("websocket", "max_noise_per_second"): ([0, 0.1, 50], [-1, 0.09, "x", True, float("inf")]),
    ("websocket", "max_events_per_second"): ([0, 0.5, 50], [-1, 0.49, "x", True, float("inf")]),
    ("websocket", "max_unanswered"): AT_LEAST_1,
    ("websocket", "max_handshakes_per_second"): ([0, 0.1, 50], [-1, "x", True, float("nan")]),
    ("websocket", "handshake_burst"): AT_LEAST_1,
    ("bus", "type"): (["memory", "hub", "redis"], ["Memory", "kafka", 1, True]),
    ("bus", "compression"): FLAG,
    ("bus", "bridge_prefix"): PREFIX,
    ("bus", "room_prefix"): PREFIX,
    ("bus", "subscribe_timeout"): SECONDS_OR_NEVER,
    ("bus.redis", "urls"): (
        [["redis://127.0.0.1:6379"], ["rediss://:pw@h:1/0", "unix:///run/redis.sock"]],
        [[], "redis://h", ["http://h"], [""], ["redis://"], ["redis://h", 1], ["redis://a b"]],
    ),
    ("bus.redis", "strategy"): (["pinned", "random", "round-robin", "fastest"], ["slowest", "", 1]),
    ("bus.redis", "force_ping"): FLAG,
    ("bus.redis", "ping_interval"): SECONDS,
    ("bus.redis", "ping_timeout"): SECONDS,
    ("bus.redis", "max_waiting_packets"): AT_LEAST_0,
    ("bus.redis", "max_waiting_bytes"): AT_LEAST_0,
    ("bus.redis", "max_waiting_seconds"): SECONDS_OR_NEVER,
    ("bus.hub", "path"): TEXT,
    ("bus.hub", "max_queued_bytes"): AT_LEAST_1,
    ("rooms", "preset"): NAMES,
    ("rooms", "auto_unsubscribe"): FLAG,
    ("rooms", "unsubscribe_after"): SECONDS_OR_NEVER,
    ("channels", "subscribe"): ([[], ["news"]], ["news", [""], ["csbp:news"], ["ws:chat"], [1]]),
    ("service", "use"): (["a:b", "plugin"], ["", " ", 1, None]),
    ("service", "options"): ([{}, {"a": {"b": [1]}}], ["a", [1], 5]),
    ("workers", "count"): ([1, 64, "cores"], [0, -1, 1.0, "4", "all", True]),
    ("workers", "spread"): (["least-connection", "round-robin", "random", "kernel"], ["", "least", 1]),
    ("master", "run_dir"): TEXT,
    ("master", "host"): TEXT,
    ("master", "environments"): ([["development", "staging"]], ["development", [""], [1], ["development", "bus"]]),
    ("master", "environment"): (["development", "production"], ["", "staging", 1, ["production"]]),
    ("master", "max_restarts"): AT_LEAST_1,
    ("master", "restart_delay"): ([0.001, 1, 30], [0, -1, "5", True, float("nan"), None]),
    ("master", "restart_max_delay"): ([0.2, 1, 86400], [0, -1, "5", True, float("inf"), 0.1]),
}

ACCEPTED = [(*place, value) for place, (good, _) in RULES.items() for value in good]
REFUSED = [(*place, value) for place, (_, bad) in RULES.items() for value in bad]


@pytest.fixture(autouse=True)
def quietEnvironment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The defaults are those of an environment that says nothing."""
    monkeypatch.delenv(FAST_PATH, raising=False)


def said(section: str, key: str, value: Any) -> dict[str, Any]:
    """A configuration that says just this."""
    if section == "service":
        return {"service": [{"use": "a:b", key: value}]}
    mapping: Any = {key: value}
    for name in reversed(section.split(".")):
        mapping = {name: mapping}
    return mapping  # type: ignore[no-any-return]


def faultsOf(mapping: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        configFromMapping(mapping)
    return caught.value.faults


def written(folder: Path, text: str | bytes, name: str = "crossws.toml") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def faultsIn(folder: Path, text: str | bytes) -> list[str]:
    return readConfig(written(folder, text))[2]


class TestMeaning:
    def test_apiSample(self, tmp_path: Path) -> None:
        """The sample of the public interface is accepted, and says the defaults but for what is an example."""
        config = loadConfig(written(tmp_path, API_SAMPLE))
        assert config == Config(**SAID, rooms=RoomsConfig(preset=("chat",)))

    def test_empty(self, tmp_path: Path) -> None:
        """A file that says nothing means the defaults."""
        assert loadConfig(written(tmp_path, "")) == Config()

    def test_defaultsAreAccepted(self) -> None:
        """What is the default in code may be said in a file."""
        assert configFromMapping(to_builtins(Config())) == Config()

    def test_everyKeyHasARule(self) -> None:
        """The rules that are tested here are those of every key."""
        assert sorted(RULES) == sorted(KEYS)

    @pytest.mark.parametrize(("section", "key", "value"), ACCEPTED)
    def test_accepted(self, section: str, key: str, value: Any) -> None:
        """A proper value arrives as it was said, lists as tuples."""
        found: Any = configFromMapping(said(section, key, value))
        for name in section.split("."):
            found = getattr(found, name)
        if section == "service":
            (found,) = found
        assert getattr(found, key) == (tuple(value) if isinstance(value, list) else value)

    @pytest.mark.parametrize(("section", "key", "value"), REFUSED)
    def test_refused(self, section: str, key: str, value: Any) -> None:
        """A bad value is one fault, which names its section and key."""
        (fault,) = faultsOf(said(section, key, value))
        label = "[[service]] number 1:" if section == "service" else f"[{section}]"
        assert fault.startswith(f"configuration: {label} {key} ")
        assert fault.endswith(".")

    def test_numberIsAFloat(self) -> None:
        """A whole number where a float is wanted becomes one."""
        interval = configFromMapping({"websocket": {"ping_interval": 5}}).websocket.ping_interval
        assert type(interval) is float

    def test_embeddedOptions(self) -> None:
        """Options of a service pass as they are, whatever they are."""
        thing = object()
        config = configFromMapping({"service": [{"use": "a:b", "options": {"thing": thing}}]})
        assert config.service[0].options["thing"] is thing

    def test_frozen(self) -> None:
        """A configuration does not change under those who hold it."""
        with pytest.raises(AttributeError):
            Config().websocket.path = "chat"  # type: ignore[misc]


class TestContradictions:
    def test_equalPrefixes(self) -> None:
        """The two prefixes must differ."""
        (fault,) = faultsOf({"bus": {"bridge_prefix": "x:", "room_prefix": "x:"}})
        assert fault == 'configuration: [bus] room_prefix must differ from bridge_prefix, and both are "x:".'

    def test_deadlineBeforeTheLastClient(self) -> None:
        """A node cannot send its clients away for longer than it may take to stop."""
        (fault,) = faultsOf({"node": {"drain_seconds": 20}})
        assert fault.startswith("configuration: [node] stop_deadline must be above drain_seconds (20), or ")
        assert configFromMapping({"node": {"drain_seconds": 20, "stop_deadline": 30}}).node.drain_seconds == 20.0

    def test_redisSectionUnderMemory(self) -> None:
        """The section of Redis is accepted, and checked, whatever the bus is."""
        config = configFromMapping({"bus": {"type": "memory", "redis": {"strategy": "fastest"}}})
        assert config.bus.redis.strategy == "fastest"

    def test_channelsOfTheCluster(self) -> None:
        """The application's own channels stay clear of the prefixes, as they are configured."""
        mapping = {"bus": {"room_prefix": "r:"}, "channels": {"subscribe": ["r:a", "ws:b", "csbp:c"]}}
        faults = faultsOf(mapping)
        assert [re.findall('"(.*)"', fault) for fault in faults] == [["r:a"], ["csbp:c"]]

    def test_rateWithoutBurst(self) -> None:
        """A rate so low that its burst is less than one is refused, with the least that works."""
        faults = faultsOf({"websocket": {"max_noise_per_second": 0.05, "max_events_per_second": 0.3}})
        assert [re.findall("or ([0-9.]+) and above", fault) for fault in faults] == [["0.1"], ["0.5"]]


class TestFaults:
    def test_sentence(self) -> None:
        """A fault says where, what it must be, and what it is."""
        (fault,) = faultsOf({"websocket": {"handshake_timeout": "often"}})
        wanted = 'configuration: [websocket] handshake_timeout must be a number of seconds above 0, and is "often".'
        assert fault == wanted

    def test_source(self) -> None:
        """Faults of a mapping start with the name that it was given."""
        with pytest.raises(ConfigError, match=r"^app\.ini: \[bus\] type must be "):
            configFromMapping({"bus": {"type": 3}}, "app.ini")

    def test_allAtOnce(self) -> None:
        """Every fault is reported, in the order of the keys, and the message of the exception has them all."""
        mapping = {"nod": {}, "websocket": {"path": 1, "listen": []}, "bus": {"x": 1, "redis": {"urls": []}}}
        with pytest.raises(ConfigError) as caught:
            configFromMapping(mapping)
        places = ["nod", "[websocket] path", "[websocket] listen", "[bus] x", "[bus.redis] urls"]
        for place, fault in zip(places, caught.value.faults, strict=True):
            assert fault.startswith(f"configuration: {place} ")
        assert str(caught.value).splitlines() == list(caught.value.faults)

    def test_valuesAreShort(self) -> None:
        """No more of a value is shown than helps to find it."""
        (fault,) = faultsOf({"websocket": {"static": ["x" * 1000]}})
        assert len(fault) < 160
        assert fault.endswith("xxx....")

    def test_valuesAreOnOneLine(self) -> None:
        """A value with line ends does not break the sentence into lines."""
        (fault,) = faultsOf({"websocket": {"path": "a\nb"}})
        assert "\n" not in fault
        assert '"a\\nb"' in fault

    def test_datesAreShown(self, tmp_path: Path) -> None:
        """A date of TOML is shown as it stands there, and not as the string that is wanted."""
        (fault,) = faultsIn(tmp_path, "[websocket]\nstatic = 2024-01-31\n")
        assert fault.endswith("must be a string, and is 2024-01-31.")

    def test_whatCannotBeShown(self, tmp_path: Path) -> None:
        """A number too long for Python to write is a fault like others."""
        (fault,) = faultsIn(tmp_path, f"[websocket]\nstatic = 0x{'f' * 9000}\n")
        assert fault.endswith("must be a string, and is a value that cannot be shown.")

    @pytest.mark.parametrize(
        "mapping",
        [
            {"bus": {"redis": {"urls": ["http://:hunter2@h"]}}},
            {"bus": {"redis": {"urls": "redis://:hunter2@h"}}},
            {"bus": {"redis": "redis://:hunter2@h"}},
            {"bus": {"urls": ["redis://:hunter2@h"]}},
            {"bus": {"redis": {"password": "hunter2"}}},
            {"redis": {"urls": ["redis://:hunter2@h"]}},
            {"service": [{"use": "a:b", "options": "hunter2"}]},
            {"service": [{"options": {"password": "hunter2"}}]},
            {"service": [{"use": "a:b", "password": "hunter2"}]},
            {"service": {"use": "a:b", "options": {"password": "hunter2"}}},
        ],
    )
    def test_secretsAreNotShown(self, mapping: Any) -> None:
        """What may be a secret is in no fault, wherever it was put."""
        assert "hunter2" not in "".join(faultsOf(mapping))


class TestUnknown:
    @pytest.mark.parametrize(
        ("mapping", "advice"),
        [
            ({"websockets": {}}, "websockets is not a section; did you mean [websocket]?"),
            ({"services": []}, "services is not a section; did you mean [[service]]?"),
            ({"bus-redis": {}}, "bus-redis is not a section; did you mean [bus.redis]?"),
            ({"redis": {}}, "redis is not a section; it belongs to [bus]."),
            ({"listen": ["tcp:1"]}, "listen is not a section; it belongs to [websocket]."),
            (
                {"zzz": 1},
                "zzz is not a section; the sections are [node], [websocket], [bus], [bus.redis], [bus.hub], [rooms], "
                "[channels], [[service]], [workers], [master], [kind.NAME], [[server]], [development], [production].",
            ),
            ({"websocket": {"heartbeet": ""}}, "did you mean heartbeat?"),
            ({"websocket": {"pingInterval": 5}}, "did you mean ping_interval?"),
            (
                {"bus": {"redis": {"strateggy": ""}}},
                "[bus.redis] strateggy is not a key of this section; did you mean ",
            ),
            ({"websocket": {"urls": []}}, "it belongs to [bus.redis]."),
            ({"node": {"ping_interval": 5}}, "it belongs to [websocket] or [bus.redis]."),
            (
                {"rooms": {"zzz": 5}},
                "[rooms] zzz is not a key of this section; its keys are preset, auto_unsubscribe, unsubscribe_after.",
            ),
            ({"rooms": {"two words\n": 5}}, '[rooms] "two words\\n" is not a key'),
            ({"rooms": {7: 5}}, "[rooms] 7 is not a key"),
        ],
    )
    def test_advice(self, mapping: Any, advice: str) -> None:
        """Of a key or section that there is not, the fault says what may have been meant."""
        (fault,) = faultsOf(mapping)
        assert advice in fault


class TestSections:
    @pytest.mark.parametrize("value", [5, "memory", [], [{}], None])
    def test_noSection(self, value: Any) -> None:
        """What is to be one section is nothing else."""
        (fault,) = faultsOf({"bus": value})
        assert fault == "configuration: [bus] must be a section, with the head [bus] once."

    @pytest.mark.parametrize("value", [{"use": "a:b"}, "a:b", ["a:b"], [{"use": "a:b"}, 5]])
    def test_noServices(self, value: Any) -> None:
        """Services are sections with two brackets, even if it is one."""
        (fault,) = faultsOf({"service": value})
        assert fault == "configuration: [[service]] must be a section, with the head [[service]] once for each."

    def test_useIsRequired(self) -> None:
        """A service without C{use} is a fault that says which of them it is."""
        (fault,) = faultsOf({"service": [{"use": "a:b"}, {}]})
        wanted = "configuration: [[service]] number 2: use is missing; it must be a string that is not blank."
        assert fault == wanted

    def test_order(self) -> None:
        """Services keep their order."""
        config = configFromMapping({"service": [{"use": "b:b"}, {"use": "a:a"}]})
        assert [service.use for service in config.service] == ["b:b", "a:a"]


class TestFiles:
    def test_missing(self, tmp_path: Path) -> None:
        """A file that is not there is one sentence, with its whole path."""
        path = str(tmp_path / "crossws.toml")
        with pytest.raises(ConfigError) as caught:
            loadConfig(path)
        assert caught.value.faults == (f"crossws.toml cannot be read: No such file or directory ({path}).",)

    def test_relative(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A relative path is shown whole, since it may be meant from another folder."""
        monkeypatch.chdir(tmp_path)
        _, _, (fault,) = readConfig("crossws.toml")
        assert f"({os.getcwd()}{os.sep}crossws.toml)" in fault

    def test_folder(self, tmp_path: Path) -> None:
        """A folder is one sentence."""
        _, _, faults = readConfig(f"{tmp_path}/")
        assert faults == [f"{tmp_path.name} cannot be read: Is a directory ({tmp_path})."]

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_forbidden(self, tmp_path: Path) -> None:
        """A file that may not be read is one sentence."""
        path = written(tmp_path, "")
        os.chmod(path, 0)
        assert readConfig(path)[2] == [f"crossws.toml cannot be read: Permission denied ({path})."]

    def test_notUTF8(self, tmp_path: Path) -> None:
        """A file in another encoding is one sentence with the line."""
        faults = faultsIn(tmp_path, b'[node]\nserver_name = "M\xfcnchen"\n')
        assert faults == ["crossws.toml, line 2: this is not UTF-8; save the file as UTF-8."]

    def test_byteOrderMark(self, tmp_path: Path) -> None:
        """The mark that some editors put before UTF-8 does not matter."""
        path = written(tmp_path, b'\xef\xbb\xbf[node]\nserver_name = "a"\n')
        assert loadConfig(path).node.server_name == "a"

    def test_notTOML(self, tmp_path: Path) -> None:
        """A file that is no TOML is one sentence with line and column."""
        faults = faultsIn(tmp_path, '[node]\nserver_name = "a"\n[bus]\ntype = memory\n')
        assert faults == ["crossws.toml, line 4, column 8: this is not TOML: Invalid value."]

    def test_endsTooEarly(self, tmp_path: Path) -> None:
        """A file that is cut off says so."""
        faults = faultsIn(tmp_path, '[websocket]\nlisten = ["tcp:1",')
        assert faults == ["crossws.toml, end of document: this is not TOML: Invalid value."]

    @pytest.mark.parametrize("text", [f"x = {'1' * 9000}", f"x = {'[' * 9000}"])
    def test_beyondPython(self, tmp_path: Path, text: str) -> None:
        """Numbers and nesting that are too much for Python are one sentence too."""
        (fault,) = faultsIn(tmp_path, text)
        assert fault.startswith("crossws.toml: this is ")
        assert fault.endswith(".")

    def test_faults(self, tmp_path: Path) -> None:
        """C{loadConfig} raises what C{readConfig} returns."""
        path = written(tmp_path, "[websocket]\nlisten = []\npath = 1\n")
        with pytest.raises(ConfigError) as caught:
            loadConfig(path)
        assert list(caught.value.faults) == readConfig(path)[2]
        assert len(caught.value.faults) == 2


class TestReading:
    """What C{readConfig} gives to a caller that has more to check."""

    def test_unreadable(self, tmp_path: Path) -> None:
        """Without a file there are the defaults."""
        config, source, faults = readConfig(str(tmp_path / "crossws.toml"))
        assert (config, source.name, len(faults)) == (Config(), "crossws.toml", 1)

    def test_validKeysOfFaultyFile(self, tmp_path: Path) -> None:
        """Faulty keys have their defaults, the others what they say."""
        text = (
            '[websocket]\nlisten = 5\nstatic = "www"\n[bus]\ntype = "x"\nroom_prefix = "r:"\n[rooms]\npreset = ["a"]\n'
        )
        config, _, faults = readConfig(written(tmp_path, text))
        assert len(faults) == 2
        assert config == Config(
            websocket=WebSocketConfig(static="www"), bus=BusConfig(room_prefix="r:"), rooms=RoomsConfig(preset=("a",))
        )

    def test_servicesKeepTheirNumbers(self, tmp_path: Path) -> None:
        """A service without a proper C{use} stays in its place, with an empty one."""
        text = '[[service]]\n[[service]]\nuse = 5\n[[service]]\nuse = "a:b"\n'
        config, _, faults = readConfig(written(tmp_path, text))
        assert len(faults) == 2
        assert [service.use for service in config.service] == ["", "", "a:b"]

    def test_furtherFaults(self, tmp_path: Path) -> None:
        """The caller's own faults look like the others, with their lines."""
        text = '[websocket]\nstatic = "www"\n\n[[service]]\nuse = "a:b"\n\n[[service]]\nuse = "c:d"\n'
        _, source, _ = readConfig(written(tmp_path, text))
        wanted = 'crossws.toml, line 2: [websocket] static names "www", which is no folder.'
        assert source.fault("websocket", "static", 'names "www", which is no folder.') == wanted
        wanted = "crossws.toml, line 8: [[service]] number 2: use names nothing."
        assert source.fault("service", "use", "names nothing.", 2) == wanted


class TestLines:
    """Where a fault is; a line is told only where it is certain."""

    def lineOf(self, text: str, section: str, key: str, number: int = 0) -> int | None:
        tomllib.loads(text)  # Samples that are no TOML would prove nothing.
        found = re.match(r"x, line (\d+): ", Source("x", text).fault(section, key, "is wrong.", number))
        return int(found[1]) if found else None

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("[node]\n[websocket]\n# path\n\npath = 'a'\n", 5),
            ("[websocket]\r\n\r\n  path='a'\r\n", 3),
            ("  [ websocket ]  # here\n\"path\" = 'a'\n", 2),
            ("['websocket']\npath = 'a'\n", 2),
            ("websocket.path = 'a'\n", 1),
            ("[node]\npath = 1\n[websocket]\npath = 'a'\n", 4),
            ("[websocket]\nlisten = [\n  'path = 1',\n]\npath = 'a'\n", 5),
            ("[websocket]\nheartbeat = 'a\u2028b\x85'\npath = 'a'\n", 3),
        ],
    )
    def test_key(self, text: str, line: int) -> None:
        """The line of a key is that on which it begins."""
        assert self.lineOf(text, "websocket", "path") == line

    def test_keyThatIsNotThere(self) -> None:
        """A key that is left out has the line of its section, or of what that stands in."""
        assert self.lineOf("\n[websocket]\n", "websocket", "path") == 2
        assert self.lineOf("\n[bus]\nredis = {urls = []}\n", "bus.redis", "urls") == 3
        assert self.lineOf("\n[bus]\n", "bus.redis", "urls") == 2

    def test_noLine(self) -> None:
        """Without its section there is no line."""
        assert self.lineOf("[node]\n", "websocket", "path") is None

    def test_stringsOfSeveralLines(self) -> None:
        """What stands in a string of several lines is no key; after it no line is told but that of the section."""
        text = "[websocket]\npath = 'a'\nheartbeat = '''\nstatic = 1\n'''\nstatic = 'b'\n"
        assert self.lineOf(text, "websocket", "path") == 2
        assert self.lineOf(text, "websocket", "heartbeat") == 3
        assert self.lineOf(text, "websocket", "static") == 1

    def test_services(self) -> None:
        """Each service has its own lines."""
        text = "[[service]]\nuse = 'a'\n[service.options]\nx = 1\n[[service]]\nuse = 'b'\n[service.options]\nx = 1\n"
        assert self.lineOf(text, "service", "use", 1) == 2
        assert self.lineOf(text, "service", "options", 1) == 3
        assert self.lineOf(text, "service", "use", 2) == 6
        assert self.lineOf(text, "service", "options", 2) == 7

    def test_inlineServices(self) -> None:
        """Services in one line are all on that line."""
        assert self.lineOf("\nservice = [{use = 'a'}, {use = 'b'}]\n", "service", "use", 2) == 2


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
NAMED = st.sampled_from(sorted({key for _, key in RULES} | {name.split(".")[-1] for name in SECTIONS})) | st.text()
TABLES = st.dictionaries(NAMED, VALUES | st.dictionaries(NAMED, VALUES, max_size=4), max_size=4)


@settings(deadline=None)
@given(st.dictionaries(NAMED, VALUES | TABLES | st.lists(TABLES, max_size=2), max_size=4))
def test_anything(mapping: dict[str, Any]) -> None:
    """Whatever is said, it is either accepted, and then is accepted again, or refused by sentences on one line."""
    try:
        config = configFromMapping(mapping)
    except ConfigError as refused:
        for fault in refused.faults:
            assert fault.startswith("configuration: ")
            assert fault.endswith((".", "?"))
            assert "\n" not in fault
    else:
        assert configFromMapping(to_builtins(config)) == config


GUIDE = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    return [text for name, text in found if name == language]


class TestGuide:
    """The guide in C{docs/configuration.md}."""

    @pytest.mark.parametrize(("section", "key"), KEYS)
    def test_keys(self, section: str, key: str) -> None:
        """Every key is explained below the head of its section, with its default, if it has one."""
        head = f"[[{section}]]" if section == "service" else f"[{section}]"
        (part,) = re.findall(rf"^##+ `{re.escape(head)}`.*?(?=^##+ `|^## |\Z)", GUIDE, re.DOTALL | re.MULTILINE)
        (default,) = re.findall(rf"^- \*\*`{key}`\*\*(?: = `(.*?)`)?", part, re.MULTILINE)
        if not default:
            assert (section, key) in {("node", "server_name"), ("service", "use")}
            return
        nothing = {"service": [{"use": "a:b"}]} if section == "service" else {}
        value = tomllib.loads(f"x = {default}")["x"]
        assert configFromMapping(said(section, key, value)) == configFromMapping(nothing)

    @pytest.mark.parametrize("head", OF_SERVERS)
    def test_keysOfServers(self, head: str) -> None:
        """So is every key of kinds and servers; what a server has from its kind is explained there."""
        (part,) = re.findall(rf"^##+ `{re.escape(head)}`.*?(?=^##+ `|^## |\Z)", GUIDE, re.DOTALL | re.MULTILINE)
        defaults = dict(re.findall(r"^- \*\*`(.*?)`\*\*(?: = `(.*?)`)?", part, re.MULTILINE))
        inherited = {field.name for field in fields(KindConfig)} if head == "[[server]]" else set(SECTIONS)
        own = {field.name: field for field in fields(OF_SERVERS[head]) if field.name not in inherited}
        assert defaults.keys() == own.keys()
        for key, said in defaults.items():
            sample = OF_SERVERS[head](id="a") if head == "[[server]]" else OF_SERVERS[head]()
            value = tomllib.loads(f"x = {said}")["x"] if said else None
            assert key == "id" or getattr(sample, key) == (tuple(value) if isinstance(value, list) else value)

    def test_onlyKeys(self) -> None:
        """No key is explained that there is not."""
        known = {field.name for kind in (*SECTIONS.values(), *OF_SERVERS.values()) for field in fields(kind)}
        explained = set(re.findall(r"^- \*\*`(.*?)`\*\*", GUIDE, re.MULTILINE))
        assert explained == known - {"redis", "hub"} - set(SECTIONS)

    def test_completeSample(self, tmp_path: Path) -> None:
        """The complete sample has every key, and says the defaults but where it says that there are none."""
        sample = blocks("toml")[0]
        table = tomllib.loads(sample)
        for name, kind in SECTIONS.items():
            found: Any = table
            for part in name.split("."):
                found = found[part]
            assert set(found[0] if name == "service" else found) == {field.name for field in fields(kind)}
        assert loadConfig(written(tmp_path, sample)) == Config(**SAID)

    def test_faults(self, tmp_path: Path) -> None:
        """The faults that the guide shows are those that its faulty file has."""
        assert faultsIn(tmp_path, blocks("toml")[1]) == blocks("")[0].splitlines()

    def test_notTOML(self, tmp_path: Path) -> None:
        """So is that of the file that is not TOML."""
        assert faultsIn(tmp_path, "server_name serverA") == blocks("")[1].splitlines()[:1]
