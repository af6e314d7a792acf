"""
The names of channels on the bus (wire section 2).

::

    csbp:server_bridge    events between servers, and their replies
    csbp:members          signs of life of servers, ours alone
    csbp:members:<name>   what is for that one server, from those who have heard its signs of life
    ws:private_socket     a frame for one or some sockets
    ws:broadcast          a frame for every client
    ws:<roomNamespace>    a frame for a room
    anything else         the application's own channels
"""

from __future__ import annotations


def serverChannel(members: str, name: str) -> str:
    """
    What one server hears alone.

    @param members: L{Topics.members}.
    """
    return f"{members}:{name}"


class Topics:
    """
    The channel names of one cluster; every node of it has the same two prefixes.

    @ivar bridge: where servers talk to each other.
    @ivar members: where servers tell each other that they are alive.
    @ivar privateSocket: where frames for single sockets go.
    @ivar broadcast: where frames for everyone go.
    """

    def __init__(self, bridgePrefix: str = "csbp:", roomPrefix: str = "ws:") -> None:
        """
        @raise ValueError: the prefixes are equal, or one is empty.
        """
        if not bridgePrefix or not roomPrefix or bridgePrefix == roomPrefix:
            raise ValueError(
                "bridge_prefix and room_prefix must differ, and neither may be empty: "
                f"they are {bridgePrefix!r} and {roomPrefix!r}."
            )
        self._roomPrefix = roomPrefix
        self._bridgePrefix = bridgePrefix
        self.bridge = bridgePrefix + "server_bridge"
        self.members = bridgePrefix + "members"
        self.privateSocket = roomPrefix + "private_socket"
        self.broadcast = roomPrefix + "broadcast"
        self._taken = frozenset((self.bridge, self.privateSocket, self.broadcast))

    def room(self, namespace: str) -> str:
        """
        The channel of a room namespace; one that already has the prefix is its own channel.

        @raise ValueError: it is empty, or its channel is one of those that carry no rooms.
        """
        channel = namespace if namespace.startswith(self._roomPrefix) else self._roomPrefix + namespace
        if not namespace or not self.isRoom(channel):
            raise ValueError(f"{namespace!r} cannot be a room namespace: its channel {channel!r} is taken.")
        return channel

    def preset(self, namespace: str) -> str:
        """The channel of a preset namespace: as L{room}, but one of the bridge's is left as it is."""
        return namespace if namespace.startswith(self._bridgePrefix) else self.room(namespace)

    def isReserved(self, channel: str) -> bool:
        """Whether a channel is one of the cluster's own, by its prefix."""
        return channel.startswith((self._roomPrefix, self._bridgePrefix))

    def isRoom(self, channel: str) -> bool:
        """Whether a channel carries frames for rooms."""
        return channel.startswith(self._roomPrefix) and channel not in self._taken
