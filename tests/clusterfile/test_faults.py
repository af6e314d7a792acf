"""
What is wrong with servers, all of it found before anything starts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clusterfile.files import faultsOf, planned, planOfMapping
from twisted_crossws.clusterfile.faults import MAX_SOCKET_PATH, Address, addressOf

HUB = "[bus]\ntype = 'hub'\n"
REDIS = "[bus]\ntype = 'redis'\n"


def server(id: str, *said: str) -> str:
    return "\n".join(["[[server]]", f"id = '{id}'", *said, ""])


class TestAllAtOnce:
    def test_together(self, tmp_path: Path) -> None:
        """Faults of keys, of servers by themselves and of servers together, are all said."""
        faults = faultsOf(
            tmp_path,
            "[bus]\ntyp = 'hub'\n[kind.connector]\n"
            + server("a", "kind = 'conector'", "port = [5, 4]")
            + server("b-", "port = [7, 9]")
            + server("b-", "port = 8", "id_start = 2")
            + server("", "instances = 0"),
        )
        starts = [
            "line 2: [bus] typ is not a key",
            "line 16: [[server]] number 4: id must be",
            "line 17: [[server]] number 4: instances must be",
            'line 6: [[server]] number 1: kind is "conector", and there is no section [kind.conector]; did you mean',
            "line 7: [[server]] number 1: port is [5, 4]",
            'line 12: [[server]] number 3: id makes "b-2"',
            "line 13: [[server]] number 3: port overlaps that of [[server]] number 2: both have 8 on the same",
            'line 1: [bus] type must be "hub" or "redis"',
        ]
        for fault, start in zip(faults, starts, strict=True):
            assert fault.startswith(start)


class TestGuide:
    def test_sample(self, tmp_path: Path) -> None:
        """The faults that the guide shows are those of its sample, with three slips."""
        guide = (Path(__file__).parents[2] / "docs" / "machine.md").read_text("utf-8")
        sample = next(text for text in re.findall(r"^```toml\n(.*?)^```$", guide, re.DOTALL | re.M) if "[kind." in text)
        for right, wrong in (
            ('type = "hub"', 'type = "memory"'),
            ('kind = "connector"\nid = "big"', 'kind = "conector"\nid = "big"'),
            ("port = 4030", "port = 4023"),
        ):
            assert right in sample
            sample = sample.replace(right, wrong)
        shown = [line.partition(", ")[2] for line in re.findall(r"^cluster\.toml, line .*$", guide, re.M)]
        assert len(shown) == 3
        assert faultsOf(tmp_path, sample) == shown


class TestKeys:
    """Keys of kinds and servers by themselves."""

    @pytest.mark.parametrize(
        ("key", "good", "bad"),
        [
            ("id", ["'a'", "'a-'"], ["''", "'a b'", "'a/b'", "5", "['a']"]),
            ("kind", ["''"], ["5", "['a']"]),
            ("id_start", ["0", "7"], ["-1", "1.0", "'1'", "true"]),
            ("host", ["''", "'web1'"], ["5", "['a']"]),
            (
                "port",
                ["1", "65535", "[65534, 65535]", "[5, 5]"],
                ["0", "65536", "[0, 1]", "[1]", "[1, 2, 3]", "'5'", "[]"],
            ),
            ("environment", ["[]", "['development']"], ["'development'", "['']", "[1]"]),
            ("role", ["''", "'x'"], ["5"]),
            ("tags", ["[]", "['x']"], ["'x'", "['']"]),
            ("env", ["{}", "{A = ''}"], ["'A=1'", "{A = 1}", "{'A=B' = '1'}", "{'' = '1'}", '{A = "a\\u0000b"}']),
            ("instances", ["1", "5", "'cores'"], ["0", "-1", "1.5", "'two'", "true"]),
            ("service", ["[]", "[{use = 'a:b'}]"], ["5", "{use = 'a:b'}", "[{}]", "[{use = ''}]"]),
            ("websocket", ["{}", "{path = 'x'}"], ["5", "[]", "{path = 5}", "{nothing = 1}"]),
            ("bus", [], ["{type = 'hub'}"]),
            ("master", [], ["{}"]),
        ],
    )
    def test_values(self, tmp_path: Path, key: str, good: list[str], bad: list[str]) -> None:
        """Of each key: what is accepted, and what is refused by one sentence that names it."""
        start = "[[server]]\n" + ("" if key == "id" else "id = 'a'\n")
        for value in good:
            big = "bus = {type = 'hub'}\n" if value in ("5", "'cores'", "[65534, 65535]") and key != "id_start" else ""
            assert faultsOf(tmp_path, f"{big}{start}{key} = {value}\n") == []
        for value in bad:
            (fault,) = faultsOf(tmp_path, f"{start}{key} = {value}\n")
            assert "[[server]] number 1: " in fault and f"{key}" in fault

    def test_kinds(self, tmp_path: Path) -> None:
        """Kinds have the keys and sections that servers have, but for those that make servers."""
        faults = faultsOf(
            tmp_path,
            "[kind.k]\nport = 5\nping_interval = 5\nheartbeat = ''\ntags = 5\n[kind.k.websocket]\nlisten = []\n"
            "[kind.k.redis]\n[[kind.k.service]]\n[[kind.k.service]]\nuse = 5\n" + server("a"),
        )
        assert [fault.partition(";")[0] for fault in faults] == [
            "line 2: [kind.k] port is not a key of this section",
            "line 3: [kind.k] ping_interval is not a key of this section",
            "line 4: [kind.k] heartbeat is not a key of this section",
            "line 5: [kind.k] tags must be a list of strings, none of them blank, and is 5.",
            'line 7: [kind.k.websocket] listen must be a list of one or more endpoints such as "tcp:9000", and is [].',
            "line 8: [kind.k] redis is not a key of this section",
            "line 9: [[kind.k.service]] number 1: use is missing",
            "line 11: [[kind.k.service]] number 2: use must be a string that is not blank, and is 5.",
        ]
        assert faults[0].endswith("it belongs to [[server]].")
        assert faults[1].endswith("it belongs to [kind.k.websocket].")

    @pytest.mark.parametrize("text", ["kind = 5\n", "[kind]\nk = 5\n", "[[kind]]\n"])
    def test_noKinds(self, tmp_path: Path, text: str) -> None:
        """A kind is a section with a name."""
        (fault, *_) = faultsOf(tmp_path, text + server("a"))
        assert "must be a section, with the head [kind." in fault

    @pytest.mark.parametrize("text", ["server = 5\n", "[server]\nid = 'a'\n", "server = ['a']\n"])
    def test_noServers(self, tmp_path: Path, text: str) -> None:
        """Servers are sections with two brackets, even if it is one."""
        assert faultsOf(tmp_path, text) == [
            "line 1: [[server]] must be a section, with the head [[server]] once for each."
        ]

    def test_secrets(self, tmp_path: Path) -> None:
        """Values of variables are never shown."""
        (fault,) = faultsOf(tmp_path, server("a", "env = {PASSWORD = 'hunter2', X = 5}"))
        assert "[[server]] number 1: env must be a table of names and strings; its value is not shown" in fault
        assert "hunter2" not in fault

    def test_sectionsOfServers(self, tmp_path: Path) -> None:
        """The sections inside a server have their own places."""
        text = server("a") + "[server.websocket]\npath = 1\n" + server("b") + "[server.websocket]\npath = 2\n"
        faults = faultsOf(tmp_path, HUB + text)
        assert [fault.partition(" must")[0] for fault in faults] == [
            "line 6: [[server]] number 1: [server.websocket] path",
            "line 10: [[server]] number 2: [server.websocket] path",
        ]

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("[node]\nserver_name = 'x'\n", "[node] server_name names one server, and this file has many: their names"),
            ("[kind.k.node]\nserver_name = 'x'\n", "[kind.k.node] server_name belongs to [[server]] id."),
            ("[kind.k.node]\nrole = 'x'\n", "[kind.k.node] role belongs to [kind.k]."),
            ("[kind.k.node]\ntags = ['x']\n", "[kind.k.node] tags belongs to [kind.k]."),
        ],
    )
    def test_misplaced(self, tmp_path: Path, text: str, fault: str) -> None:
        """What is said of one node in C{[node]} is said of many elsewhere."""
        (found,) = faultsOf(tmp_path, text + "[[server]]\nid = 'a'\n" + ("kind = 'k'\n" if "kind" in text else ""))
        assert fault in found

    def test_misplacedInServer(self, tmp_path: Path) -> None:
        """In a server, too."""
        (found,) = faultsOf(tmp_path, server("a") + "[server.node]\nrole = 'x'\n")
        assert found == "line 4: [[server]] number 1: [server.node] role belongs to [[server]]."


class TestContradictions:
    def test_ofAKind(self, tmp_path: Path) -> None:
        """What contradicts itself for many servers is said once, where it is said."""
        text = "[kind.k.node]\nlost_after = 1.0\n" + server("a-", "kind = 'k'", "port = [5, 9]")
        (fault,) = faultsOf(tmp_path, HUB + text)
        assert fault.startswith("line 4: [kind.k.node] lost_after must be above announce_interval (1.5)")

    def test_ofAServer(self, tmp_path: Path) -> None:
        """Only for the server for which it does."""
        text = "[node]\nlost_after = 4.0\n" + server("a") + "[server.node]\nannounce_interval = 4.5\n" + server("b")
        (fault,) = faultsOf(tmp_path, HUB + text)
        assert fault.startswith("line 4: [node] lost_after must be above announce_interval (4.5)")

    def test_sharedKeysOverridden(self, tmp_path: Path) -> None:
        """What is wrong for all, and is right for each, is no fault."""
        text = "[node]\nannounce_interval = 6.0\n[kind.k.node]\nlost_after = 20.0\n" + server("a", "kind = 'k'")
        assert faultsOf(tmp_path, text) == []


class TestNames:
    def test_twice(self, tmp_path: Path) -> None:
        """Two servers of one name are a fault, which says which."""
        (fault,) = faultsOf(tmp_path, HUB + server("a") + server("b") + server("a"))
        assert (
            fault
            == 'line 8: [[server]] number 3: id makes "a", and so does [[server]] number 1; all names must differ.'
        )

    def test_ranges(self, tmp_path: Path) -> None:
        """So are ranges that have names in common; not more of them are listed than help."""
        text = HUB + server("a", "port = [10, 29]") + server("a", "port = [40, 49]", "id_start = 5")
        (fault,) = faultsOf(tmp_path, text)
        assert 'id makes "a5", "a6", "a7", "a8", "a9" and 5 more, and so does [[server]] number 1;' in fault

    def test_processes(self, tmp_path: Path) -> None:
        """A server may not be called what a process of another is called."""
        (fault,) = faultsOf(tmp_path, HUB + server("a", "instances = 2") + server("a.2"))
        assert 'number 2: id makes "a.2", and so does [[server]] number 1;' in fault

    def test_serverAndProcesses(self, tmp_path: Path) -> None:
        """Nor what another is called that has several processes, though none of these is called so."""
        (fault,) = faultsOf(tmp_path, HUB + server("a", "instances = 2") + server("a"))
        assert 'number 2: id makes "a", and so does [[server]] number 1;' in fault

    def test_otherEnvironment(self, tmp_path: Path) -> None:
        """Servers of different environments may have one name."""
        assert (
            faultsOf(
                tmp_path, server("a", "environment = ['production']") + server("a", "environment = ['development']")
            )
            == []
        )

    @pytest.mark.parametrize("name", ["master", "hub"])
    def test_reserved(self, tmp_path: Path, name: str) -> None:
        """Two names are those of sockets that belong to no server."""
        (fault,) = faultsOf(tmp_path, HUB + server("a") + server(name))
        assert f'number 2: id makes "{name}", and no server can be called that' in fault

    @pytest.mark.parametrize("text", [HUB, REDIS, HUB + "[workers]\ncount = 2\n"])
    def test_missing(self, tmp_path: Path, text: str) -> None:
        """A node that others can reach needs a name."""
        (fault,) = faultsOf(tmp_path, text)
        assert fault.startswith("[node] server_name is missing; a node that others can reach needs a name")
        assert faultsOf(tmp_path, text, instead={"node": {"server_name": "x"}}) == []

    def test_missingAmongWorkers(self, tmp_path: Path) -> None:
        """It is missing also where the bus is another fault."""
        name, bus = faultsOf(tmp_path, "[workers]\ncount = 2\n")
        assert name.startswith("[node] server_name is missing;") and bus.startswith("[bus] type must be")


class TestPorts:
    def test_twice(self, tmp_path: Path) -> None:
        """Two servers at one port of a machine are a fault."""
        (fault,) = faultsOf(tmp_path, HUB + server("a", "port = 5") + server("b", "port = 5"))
        assert (
            fault == "line 8: [[server]] number 2: port overlaps that of [[server]] number 1: "
            "both have 5 on the same machine."
        )

    def test_ranges(self, tmp_path: Path) -> None:
        """So are ranges that overlap, with what they share."""
        text = (
            HUB + server("a", "port = [1000, 1010]") + server("b", "port = [1004, 1006]") + server("c", "port = 1005")
        )
        faults = faultsOf(tmp_path, text)
        assert [fault.partition("number ")[2] for fault in faults] == [
            "2: port overlaps that of [[server]] number 1: both have 1004, 1005, 1006 on the same machine.",
            "3: port overlaps that of [[server]] number 1: both have 1005 on the same machine.",
            "3: port overlaps that of [[server]] number 2: both have 1005 on the same machine.",
        ]

    @pytest.mark.parametrize(
        ("one", "other", "overlaps"),
        [
            ("web1", "web1", True),
            ("web2", "WEB2", True),
            ("web1", "web2", False),
            ("web2", "web3", False),
            ("localhost", "127.0.0.1", True),
        ],
    )
    def test_machines(self, tmp_path: Path, one: str, other: str, overlaps: bool) -> None:
        """On different machines they may have the same port."""
        text = REDIS + server("a", "port = 5", f"host = '{one}'") + server("b", "port = 5", f"host = '{other}'")
        assert any("overlaps" in fault for fault in faultsOf(tmp_path, text)) == overlaps

    @pytest.mark.parametrize(
        ("one", "other", "overlaps"),
        [
            ("", "5", True),
            ("127.0.0.1", "5", True),
            ("5", "127.0.0.1", True),
            ("127.0.0.1", "10.0.0.1", False),
            ("127.0.0.1", "127.0.0.1", True),
        ],
    )
    def test_interfaces(self, tmp_path: Path, one: str, other: str, overlaps: bool) -> None:
        """At different interfaces, too."""
        listen = [
            f"listen = ['tcp:{{port}}:interface={each}']" if each != "5" else "listen = ['tcp:{port}']"
            for each in (one, other)
        ]
        text = "".join(
            server(name, "port = 5") + f"[server.websocket]\n{said}\n" for name, said in zip("ab", listen, strict=True)
        )
        assert bool(faultsOf(tmp_path, HUB + text)) == overlaps

    def test_fixedEndpoint(self, tmp_path: Path) -> None:
        """An endpoint that is the same for several servers says where it is said."""
        (fault,) = faultsOf(tmp_path, HUB + "[websocket]\nlisten = ['unix:/run/x.sock']\n" + server("a") + server("b"))
        assert fault == (
            'line 4: [websocket] listen lets "a" and "b" listen at the same /run/x.sock; write {port} or {name} there.'
        )

    def test_withoutPlace(self, tmp_path: Path) -> None:
        """A port that no endpoint has a place for would do nothing."""
        (fault,) = faultsOf(tmp_path, "[websocket]\nlisten = ['tcp:9000']\n" + server("a", "port = 5"))
        assert fault.startswith("line 5: [[server]] number 1: port is 5, but no endpoint of listen has a place for it;")

    def test_emptyRange(self, tmp_path: Path) -> None:
        """A range that is backwards has no port."""
        (fault,) = faultsOf(tmp_path, HUB + server("a", "port = [4023, 4021]") + server("b"))
        assert (
            fault == "line 5: [[server]] number 1: port is [4023, 4021], "
            "and no port lies between these; the lower comes first."
        )
        assert len(faultsOf(tmp_path, server("a", "port = [4023, 4021]"))) == 1

    @pytest.mark.parametrize(
        "text", ["[node]\nserver_name = 'a'\n[workers]\ncount = 2\n", server("a", "instances = 2")]
    )
    def test_notToBeShared(self, tmp_path: Path, text: str) -> None:
        """Several processes cannot share a Unix socket."""
        (fault,) = faultsOf(tmp_path, f"{HUB}[websocket]\nlisten = ['unix:/x']\n{text}")
        assert fault.startswith(
            'line 4: [websocket] listen names "unix:/x", which several processes cannot share; they can'
        )
        assert faultsOf(tmp_path, f"{HUB}[websocket]\nlisten = ['unix:/x']\n{text.replace('2', '1')}") == []

    @pytest.mark.parametrize(
        ("description", "address"),
        [
            ("tcp:80", Address(80)),
            ("tcp:port=80:interface=10.0.0.1", Address(80, "10.0.0.1")),
            (r"tcp6:80:interface=\:\:1", Address(80, "::1")),
            ("ssl:443:privateKey=a:certKey=b", Address(443)),
            ("tls:/etc/keys:443", Address(443)),
            ("unix:/run/x.sock:mode=660", Address("/run/x.sock")),
            (r"unix:address=/run/a\:b", Address("/run/a:b")),
            ("unix:", None),
            ("tcp:x", None),
            ("tcp:", None),
            ("systemd:domain=INET:index=0", None),
            ("nonsense", None),
            ("", None),
        ],
    )
    def test_addresses(self, description: str, address: Address | None) -> None:
        """What can be told of an endpoint string."""
        assert addressOf(description) == address


@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.integers(0, 8), st.sampled_from(["", "web1", "web2"])), min_size=2, max_size=5
    )
)
def test_overlaps(ranges: list[tuple[int, int, str]]) -> None:
    """Whether ports overlap is found exactly, for servers of any number of ranges and machines."""
    said = [
        {"id": f"{number}-", "port": [first, first + more], "host": host}
        for number, (first, more, host) in enumerate(ranges)
    ]
    _, faults = planOfMapping({"bus": {"type": "redis"}, "server": said})
    wanted = {
        (second + 1, first + 1)
        for first, (low, more, host) in enumerate(ranges)
        for second, (other, most, there) in enumerate(ranges)
        if first < second and set(range(low, low + more + 1)) & set(range(other, other + most + 1))
        if "" in (host, there) or host == there
    }
    found = set()
    for fault in faults:
        if "overlaps" in fault:
            later, earlier = fault.split(" number ")[1:]
            found.add((int(later.partition(":")[0]), int(earlier.partition(":")[0])))
    assert found == wanted


class TestMachinesAndBus:
    def test_memory(self, tmp_path: Path) -> None:
        """Memory does not leave a process."""
        wanted = 'must be "hub" or "redis": "memory" does not leave a process, and this file asks for {} of them.'
        assert faultsOf(tmp_path, "[node]\nserver_name = 'a'\n[workers]\ncount = 3\n") == [
            f"[bus] type {wanted.format(3)}"
        ]
        assert faultsOf(tmp_path, "[bus]\ncompression = true\n" + server("a") + server("b")) == [
            f"line 1: [bus] type {wanted.format(2)}"
        ]
        assert faultsOf(tmp_path, server("a")) == []

    def test_hub(self, tmp_path: Path) -> None:
        """A hub does not leave its machine."""
        text = HUB + server("a", "host = 'web1'") + server("b", "host = '10.0.0.2'") + server("c", "host = 'web1'")
        assert faultsOf(tmp_path, text) == [
            'line 2: [bus] type must be "redis": "hub" is for the processes of one machine, and these servers are for '
            '"web1", "10.0.0.2".'
        ]
        assert faultsOf(tmp_path, text.replace("10.0.0.2", "WEB1")) == []

    def test_anywhere(self, tmp_path: Path) -> None:
        """Where servers are for several machines, one without a machine would run on each of them."""
        text = server("a", "host = 'web1'") + server("b", "host = 'web2'") + server("c") + server("d", "host = '::1'")
        faults = faultsOf(tmp_path, REDIS + text)
        wanted = 'host must be one of the machines that others are for ("web1", "web2"): each would start a'
        assert [fault.partition(": ")[2] for fault in faults] == [
            f'[[server]] number 3: {wanted} "c".',
            f'[[server]] number 4: {wanted} "d".',
        ]
        assert faultsOf(tmp_path, REDIS + text.replace("web2", "web1")) == []

    def test_runFolder(self, tmp_path: Path) -> None:
        """A path that no socket can have is a fault, where there are sockets to be."""
        text = f"[master]\nrun_dir = '/run/{'x' * MAX_SOCKET_PATH}'\n"
        (fault,) = faultsOf(tmp_path, HUB + text + server("a") + server("b"))
        assert fault.startswith(
            f"line 4: [master] run_dir is too long: the path of a socket has {MAX_SOCKET_PATH} bytes"
        )
        assert faultsOf(tmp_path, text) == []

    def test_longestSocket(self, tmp_path: Path) -> None:
        """It is the longest name that counts, and its path may be just as long as that."""
        room = MAX_SOCKET_PATH - len("/run/.sock")
        text = HUB + "[master]\nrun_dir = '/run'\n" + server("a") + server("b" * room)
        assert planned(tmp_path, text).servers[1].name == "b" * room
        assert len(faultsOf(tmp_path, text.replace("bb", "bbb", 1))) == 1


KEYS = st.sampled_from(
    [
        "id",
        "kind",
        "id_start",
        "host",
        "port",
        "environment",
        "env",
        "role",
        "instances",
        "service",
        "websocket",
        "listen",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 70000) | st.text(max_size=4) | st.sampled_from(["k", "a", "web2"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "server": VALUES | st.lists(st.dictionaries(KEYS, VALUES, max_size=4), max_size=3),
            "kind": VALUES | st.dictionaries(st.sampled_from("ka"), st.dictionaries(KEYS, VALUES, max_size=3)),
            "production": VALUES | st.dictionaries(st.sampled_from(["server", "bus", "kind"]), VALUES),
            "workers": st.fixed_dictionaries({"count": VALUES}),
            "bus": st.just({"type": "redis"}),
        },
    ),
    st.sampled_from([None, "production", "nowhere"]),
)
def test_anything(mapping: dict[str, Any], environment: str | None) -> None:
    """Whatever is said, it is either a plan or refused by sentences on one line."""
    plan, faults = planOfMapping(mapping, environment)
    for fault in faults:
        assert fault.startswith("configuration: ") and fault.endswith((".", "?")) and "\n" not in fault
    names = [process for server in plan.servers for process in server.processes]
    assert len(set(names)) == len(names) or faults
    assert names or faults or environment == "nowhere"
