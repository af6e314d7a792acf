"""
C{crossws-ctl}: commands for the servers of one machine, from a terminal or a program.

It speaks to the master, or, while there is none, to the servers themselves. Whatever it cannot do, it says, and exits
with status 1.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from msgspec import to_builtins
from twisted.internet.defer import ensureDeferred
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.internet.task import react

from twisted_crossws.clusterfile.reading import readPlan
from twisted_crossws.machine.control import MASTER_SOCKET, Connection, List, Order, Progress, Refused, connect
from twisted_crossws.machine.nodes import Nodes
from twisted_crossws.machine.rows import Row, table

#: Bytes of a payload on the way to a server: AMP carries 65,535 in one value.
MAX_WORDS = 60_000


def main(argv: Sequence[str] | None = None) -> None:
    """The console script."""
    options = parser().parse_args(argv)
    react(lambda reactor: ensureDeferred(run(reactor, options)))


def parser() -> ArgumentParser:
    """What can be said on the command line."""
    top = ArgumentParser(prog="crossws-ctl", description="Commands for the servers of one machine.")
    top.add_argument("--config", default="crossws.toml", help="the configuration file that they run by (crossws.toml)")
    top.add_argument("--socket", help="the control socket of a master or a server, instead of a configuration file")
    top.add_argument("--json", action="store_true", help="say it for programs")
    orders = top.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    orders.add_parser("list", help="all servers: state, process, address, clients, rooms, memory, uptime")
    for verb, says in (
        ("stop", "stop a server, or, without a name, all of them and their master"),
        ("restart", "restart a server, or all of them, one process after the other, each drained before"),
    ):
        orders.add_parser(verb, help=says).add_argument("name", nargs="?", metavar="NAME")
    for verb, says in (
        ("add", "start a server that is not running, by what the file says now"),
        ("remove", "stop a server, and forget it until it is added again"),
        ("drain", "send the clients of a server elsewhere, and let no new ones in"),
    ):
        orders.add_parser(verb, help=says).add_argument("name", metavar="NAME")
    orders.add_parser("detach", help="end the master, and let its servers run on")
    orders.add_parser("kick", help="disconnect a client, with code 4010").add_argument("socketId", metavar="SOCKETID")
    send = orders.add_parser("send", help="send an event to all clients of the cluster, to a room, or to one")
    send.add_argument("event", metavar="EVENT")
    send.add_argument("payload", metavar="JSON", nargs="?", default="null")
    whom = send.add_mutually_exclusive_group()
    whom.add_argument("--to", metavar="SOCKETID")
    whom.add_argument("--room", nargs=2, metavar=("NAMESPACE", "ROOM"))
    return top


async def run(reactor: Any, options: Namespace) -> None:
    """
    @raise SystemExit: it could not be done; it was said why.
    """
    try:
        words = wordsOf(options)
        commanded = await find(reactor, options)
        try:
            await _do(commanded, options, words)
        finally:
            commanded.close()
    except Refused as fault:
        _fail(options, str(fault))
    except (ConnectionDone, ConnectionLost):
        _fail(options, "the connection was lost before there was an answer; see crossws-ctl list")


async def find(reactor: Any, options: Namespace) -> Any:
    """
    Who is to be asked: the master, or, while there is none, all servers of its run folder.

    @return: something with C{rows()}, C{order(verb, words)} and C{close()}.
    @raise Refused: there is nobody.
    """
    if options.socket:
        path = options.socket
    else:
        if not os.path.isfile(options.config):
            raise Refused(f"there is no file {options.config}; name the one that the servers run by with --config")
        # Whatever is wrong with it now, the servers of it can be commanded.
        plan, _, _ = readPlan(options.config)
        path = os.path.join(plan.runFolder, MASTER_SOCKET)
    try:
        return await connect(reactor, path, _Connection())
    except ConnectError:
        if options.socket:
            raise Refused(f"nobody answers at {path}") from None
        nodes = Nodes(reactor, os.path.dirname(path))
        if not nodes.names():
            raise Refused(f"no server of {options.config} runs on this machine, as far as this user can tell") from None
        return nodes


async def _do(commanded: Any, options: Namespace, words: dict[str, Any]) -> None:
    if options.verb == "list":
        rows = await commanded.rows()
        print(json.dumps(to_builtins(rows)) if options.json else table(rows))
    else:
        said = await commanded.order(options.verb, words)
        print(json.dumps({"said": said}) if options.json else "\n".join(said))


def wordsOf(options: Namespace) -> dict[str, Any]:
    """
    What an order says beside its verb.

    @raise Refused: the payload is no JSON, or too long.
    """
    words = {key: value for key, value in vars(options).items() if key in ("name", "socketId", "event", "to", "room")}
    if options.verb == "send":
        if len(options.payload) > MAX_WORDS:
            raise Refused(f"the payload has {len(options.payload)} bytes; {MAX_WORDS} are the most that can be sent so")
        try:
            words["payload"] = json.loads(options.payload)
        except ValueError as fault:
            raise Refused(f"{options.payload!r} is not JSON: {fault} (a text is written '\"so\"')") from None
    return {key: value for key, value in words.items() if value is not None}


class _Connection(Connection):
    """To a master, or to a node."""

    @Progress.responder
    def progress(self, sentence: str) -> dict[str, Any]:
        """It goes on."""
        print(sentence, file=sys.stderr)
        return {}

    async def rows(self) -> list[Row]:
        """All that it knows of."""
        rows: list[Row] = []
        more = True
        while more:
            answer = await self.callRemote(List, start=len(rows))
            rows += [Row(**row) for row in answer["rows"]]
            more = answer["more"]
        return rows

    async def order(self, verb: str, words: dict[str, Any]) -> list[str]:
        """
        @raise Refused: it cannot be done.
        """
        answer = await self.callRemote(Order, verb=verb, words=words)
        return list(answer["said"])


def _fail(options: Namespace, sentence: str) -> None:
    print(json.dumps({"error": sentence}) if options.json else f"crossws-ctl: {sentence}", file=sys.stderr)
    raise SystemExit(1)
