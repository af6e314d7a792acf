"""
The servers of a run folder without a master: each is asked by its own control socket.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any
from urllib.parse import unquote

from twisted.internet.defer import TimeoutError
from twisted.internet.error import ConnectError, ConnectionClosed

from twisted_crossws.machine.agent import socketOf
from twisted_crossws.machine.control import ANSWER_TIMEOUT, MASTER_SOCKET, Connection, List, Order, Refused, connect
from twisted_crossws.machine.rows import Row
from twisted_crossws.runfolder import HUB_SOCKET

_SUFFIX = ".sock"

#: What stands in the run folder beside the sockets of servers.
_OTHERS = {MASTER_SOCKET, HUB_SOCKET}

#: What only a master can do.
_NEEDS_MASTER = frozenset({"restart", "add", "remove", "detach"})


class Nodes:
    """
    All servers whose control sockets are in a folder.
    """

    def __init__(self, reactor: Any, folder: str) -> None:
        self._reactor = reactor
        self._folder = folder

    def names(self) -> list[str]:
        """Of all that have a socket there, whether they live or not."""
        try:
            found = sorted(os.listdir(self._folder))
        except OSError:
            return []
        return [unquote(each.removesuffix(_SUFFIX)) for each in found if each.endswith(_SUFFIX) and each not in _OTHERS]

    async def rows(self) -> list[Row]:
        """One for each; those that do not answer are unreachable."""
        return [await self._row(name) for name in self.names()]

    async def order(self, verb: str, words: dict[str, Any]) -> Sequence[str]:
        """
        @raise Refused: it cannot be done.
        """
        names = self.names()
        if verb in _NEEDS_MASTER or (verb == "stop" and "name" not in words):
            raise Refused(f"{verb} needs the master, which does not run; start it with twistd -n crossws --config FILE")
        if "name" not in words:
            return await self._byAny(names, verb, words)
        name = words["name"]
        if name not in names:
            close = get_close_matches(name, names, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names) or 'none'}"
            raise Refused(f"no server is named {name}; {hint}")
        try:
            return await self._ask(name, verb, words)
        except ConnectError:
            raise Refused(f"{name} does not answer") from None

    async def _byAny(self, names: Sequence[str], verb: str, words: dict[str, Any]) -> Sequence[str]:
        for name in names:
            try:
                return await self._ask(name, verb, words)
            except ConnectError:
                continue
        raise Refused("no server of this machine answers")

    async def _ask(self, name: str, verb: str, words: dict[str, Any]) -> Sequence[str]:
        connection = await connect(self._reactor, socketOf(self._folder, name), Connection())
        try:
            answer = await connection.callRemote(Order, verb=verb, words=words)
        finally:
            connection.close()
        return list(answer["said"])

    async def _row(self, name: str) -> Row:
        try:
            connection = await connect(self._reactor, socketOf(self._folder, name), Connection())
        except ConnectError:
            return Row(name=name, state="unreachable")
        try:
            answer = await connection.callRemote(List, start=0).addTimeout(ANSWER_TIMEOUT, self._reactor)
        except (TimeoutError, ConnectionClosed):
            return Row(name=name, state="unreachable")
        finally:
            connection.close()
        return Row(**answer["rows"][0])

    def close(self) -> None:
        """Nothing is left open here."""
