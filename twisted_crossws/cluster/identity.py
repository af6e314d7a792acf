"""
What a server says of itself, and what tells its lives apart.
"""

from __future__ import annotations

from collections.abc import Callable
from os import getpid
from secrets import token_hex
from socket import gethostname
from time import time

from twisted_crossws._version import __version__
from twisted_crossws.config import NodeConfig
from twisted_crossws.state.members import RETURNED, ServerInfo, processOf
from twisted_crossws.wire.packets import Kind, Presence


class Identity:
    """
    This server, as others may know it.

    @ivar name: unique in the cluster.
    @ivar incarnation: what tells this life of the server from others of the same name.
    @ivar since: Unix time in seconds at which the first of these lives began.
    @ivar isDraining: it sends its clients away, and stops.
    """

    def __init__(self, name: str, options: NodeConfig, clients: Callable[[], int]) -> None:
        """
        @param clients: says how many clients it serves now.
        """
        self.name = name
        self._process = self.incarnation = token_hex(6)
        self.since = time()
        self.isDraining = False
        self._lives = 0
        self._isUsed = False
        self._options = options
        self._clients = clients

    def begin(self) -> None:
        """The server starts, perhaps not for the first time in this process."""
        if self._isUsed:
            self.renew()
        self._isUsed, self.isDraining = True, False

    def renew(self) -> None:
        """Others have taken the server for lost, and are to see that it is there again: begin another life."""
        self._lives += 1
        self.incarnation = f"{self._process}{RETURNED}{self._lives:06}"

    def isOwn(self, incarnation: str) -> bool:
        """Whether that is this life of the server, or one before it."""
        return processOf(incarnation) == self._process

    def describe(self) -> ServerInfo:
        """
        @return: what it is now.
        """
        about = self._options
        return ServerInfo(
            self.name,
            self.incarnation,
            self.since,
            about.role,
            about.tags,
            f"{gethostname()}, process {getpid()}",
            __version__,
            self._clients(),
            "draining" if self.isDraining else "running",
        )

    def presence(self, kind: Kind, to: str, now: float, silence: float) -> Presence:
        """
        @param now: seconds of this server's clock.
        @return: what to say of it.
        """
        me = self.describe()
        return Presence(
            kind,
            me.name,
            me.incarnation,
            me.since,
            me.role,
            me.tags,
            me.address,
            me.version,
            me.clients,
            to,
            now,
            state="draining" if self.isDraining else "",
            silence=silence,
        )


def infoOf(said: Presence) -> ServerInfo:
    """
    @return: what a server has said of itself.
    """
    return ServerInfo(
        said.senderServer,
        said.incarnation,
        said.since,
        said.role,
        said.tags,
        said.address,
        said.version,
        said.clients,
        "draining" if said.state == "draining" else "running",
    )
