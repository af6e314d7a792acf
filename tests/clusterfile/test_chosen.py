"""
What of a plan runs: here, by name, by number; and how it is told.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.clusterfile.files import planned, planOfMapping
from twisted_crossws.clusterfile.summary import summaryOfPlan
from twisted_crossws.plan import Plan, chosen

FILE = """
[bus]
type = "redis"
[kind.front]
[[kind.front.service]]
use = "shop:front"
[[server]]
id = "a-"
kind = "front"
port = [5, 6]
host = "web1"
[[server]]
id = "b"
port = 7
host = "web2"
instances = 2
[[server]]
id = "c"
host = "web1"
instances = 3
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return planned(tmp_path, FILE)


def names(plan: Plan, name: str | None = None, index: int | None = None) -> tuple[list[str], str | None]:
    found = chosen(plan, name, index)
    return [server.name for server in found.servers], found.process


class TestChoice:
    def test_here(self, plan: Plan) -> None:
        """By default all that is meant for this machine, under a master."""
        assert names(plan) == (["a-1", "a-2", "c"], None)
        assert [server.isHere for server in plan.servers] == [True, True, False, True]

    @pytest.mark.parametrize(
        ("name", "servers", "process"),
        [
            ("a-2", ["a-2"], "a-2"),
            ("c", ["c"], None),
            ("c.2", ["c"], "c.2"),
            ("b", ["b"], None),
            ("b.1", ["b"], "b.1"),
        ],
    )
    def test_name(self, plan: Plan, name: str, servers: list[str], process: str | None) -> None:
        """A server by its name, or one process of it, whatever machine it is meant for."""
        assert names(plan, name) == (servers, process)

    def test_index(self, plan: Plan) -> None:
        """One process by its number, of those that are meant for this machine."""
        found = [names(plan, None, index) for index in range(5)]
        assert found == [(["a-1"], "a-1"), (["a-2"], "a-2"), (["c"], "c.1"), (["c"], "c.2"), (["c"], "c.3")]

    def test_indexOfServer(self, plan: Plan) -> None:
        """Or of those of one server."""
        assert names(plan, "c", 2) == (["c"], "c.3")
        assert names(plan, "a-2", 0) == (["a-2"], "a-2")

    @pytest.mark.parametrize("index", [5, 6, -1])
    def test_noIndex(self, plan: Plan, index: int) -> None:
        """A number that there is not is said, with what there is."""
        says = f"^--server-index counts from 0, and {index} is none of 5 processes: a-1, a-2, c.1, c.2, c.3.$"
        with pytest.raises(LookupError, match=says):
            chosen(plan, None, index)

    def test_noName(self, plan: Plan) -> None:
        """So is a name, with the nearest or with all."""
        with pytest.raises(
            LookupError, match='^cluster.toml has no server "a-22" in the environment "development"; did'
        ):
            chosen(plan, "a-22")
        says = '"zzz" .*there are: "a-1", "a-2", "b", "c", "b.1", "b.2", "c.1", "c.2", "c.3"'
        with pytest.raises(LookupError, match=says):
            chosen(plan, "zzz")

    def test_nothingHere(self, tmp_path: Path) -> None:
        """A machine that the file has nothing for gets nothing, and is told what to do."""
        with pytest.raises(
            LookupError, match='for this machine, "web3", .*its servers are for "web1", "web2". Say what'
        ):
            chosen(planned(tmp_path, FILE, host="web3"))

    def test_oneHere(self, tmp_path: Path) -> None:
        """One process needs no master."""
        text = FILE.replace("instances = 2", "")
        assert names(planned(tmp_path, text, host="web2")) == (["b"], "b")

    def test_plain(self, tmp_path: Path) -> None:
        """A file that describes one node has one process, whatever it is called."""
        assert chosen(planned(tmp_path, "")).process == ""
        plan = planned(tmp_path, "[node]\nserver_name = 'x'\n")
        assert chosen(plan).process == chosen(plan, "x").process == chosen(plan, None, 0).process == "x"

    def test_workers(self, tmp_path: Path) -> None:
        """One with workers has a master, and its processes can be chosen."""
        plan = planned(tmp_path, "[bus]\ntype = 'hub'\n[node]\nserver_name = 'x'\n[workers]\ncount = 2\n")
        assert chosen(plan).process is None
        assert chosen(plan, "x.2").process == chosen(plan, None, 1).process == "x.2"


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_everyProcessOnce(counts: list[int]) -> None:
    """Counting through the numbers starts every process once."""
    said = [{"id": f"s{number}", "instances": count} for number, count in enumerate(counts)]
    plan, faults = planOfMapping({"bus": {"type": "hub"}, "server": said})
    assert faults == []
    started = [chosen(plan, None, index).process for index in range(sum(counts))]
    assert started == [process for server in plan.servers for process in server.processes]


def test_summary(plan: Plan) -> None:
    """The whole plan in words: every server with what it is, where, and what runs in it."""
    assert summaryOfPlan(plan, plan.servers, "cluster.toml").splitlines() == [
        "cluster.toml has no faults. It runs",
        "  environment  development",
        "  machine      web1",
        "  bus          redis",
        f"  sockets      {plan.runFolder}",
        "  server       a-1",
        "    kind       front",
        "    host       web1",
        "    listen     tcp:5",
        "    service    shop:front",
        "  server       a-2",
        "    kind       front",
        "    host       web1",
        "    listen     tcp:6",
        "    service    shop:front",
        "  server       b, on another machine",
        "    host       web2",
        "    listen     tcp:7",
        "    processes  2, b.1 to b.2, least-connection",
        "    service    none: nobody listens to what clients send",
        "  server       c",
        "    host       web1",
        "    listen     nowhere",
        "    processes  3, c.1 to c.3, least-connection",
        "    service    none: nobody listens to what clients send",
    ]
