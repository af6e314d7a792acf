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
from twisted_crossws.state.members import ServerInfo


class Identity:
    """
    This server, as others may know it.

    @ivar name: unique in the cluster.
    @ivar incarnation: what tells this life of the server from others of the same name.
    """

    def __init__(self, name: str, options: NodeConfig, clients: Callable[[], int]) -> None:
        """
        @param clients: says how many clients it serves now.
        """
        self.name = name
        self.incarnation = token_hex(6)
        self._since = time()
        self._options = options
        self._clients = clients

    def describe(self) -> ServerInfo:
        """
        @return: what it is now.
        """
        about = self._options
        return ServerInfo(
            self.name,
            self.incarnation,
            self._since,
            about.role,
            about.tags,
            f"{gethostname()}, process {getpid()}",
            __version__,
            self._clients(),
        )
