"""
What one file says of many servers: the kinds of servers that there are, and the servers.

Each of these sections has sections inside, such as C{[kind.connector.websocket]}: what is said there takes the place of
what the file says for all, and what is not said there holds as it stands for all. What becomes of them is in
L{twisted_crossws.plan}.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from twisted_crossws.config import (
    ChannelsConfig,
    Config,
    NodeConfig,
    Processes,
    RoomsConfig,
    Says,
    ServiceConfig,
    WebSocketConfig,
    WorkersConfig,
)

_Filled = Annotated[str, Meta(pattern=r"\S")]
_Text = Annotated[str, Says("a string")]
_Names = Annotated[tuple[_Filled, ...], Says("a list of strings, none of them blank")]
# A server's name is the name of its socket's file.
_Id = Annotated[
    str, Meta(pattern=r"\A[^/\s\x00-\x1f\x7f]+\Z"), Says('a string without blanks and "/", such as "connector-"')
]
_Variables = Annotated[
    dict[Annotated[str, Meta(pattern=r"\A[^=\x00]+\Z")], Annotated[str, Meta(pattern=r"\A[^\x00]*\Z")]],
    Says("a table of names and strings", secret=True),
]
_Port = Annotated[int, Meta(ge=1, le=65535)]
# Not tuple[_Port, _Port]: beside a number with limits that is a crash of msgspec 0.22.
_Ports = Annotated[
    _Port | Annotated[tuple[_Port, ...], Meta(min_length=2, max_length=2)] | None,
    Says("a port from 1 to 65535, or the first and the last of several, such as [4021, 4023]"),
]
_Start = Annotated[Annotated[int, Meta(ge=0)] | None, Says("a whole number, 0 or above")]


class KindConfig(Struct, frozen=True, kw_only=True):
    """C{[kind.NAME]}: what the servers of a kind have in common."""

    #: What they are for, as in C{[node]}. Nothing said there or here: the name of the kind.
    role: _Text = ""
    #: As in C{[node]}, and instead of what is said there.
    tags: _Names = ()
    #: The environment of their processes, beside what they inherit. Values may be secrets.
    env: _Variables = field(default_factory=dict)
    #: Processes of each server, on the same port, instead of C{[workers] count}.
    instances: Annotated[Processes | None, Says('a whole number, 1 or above, or "cores"')] = None
    #: What takes the place of what the file says for all servers.
    node: NodeConfig = NodeConfig()
    websocket: WebSocketConfig = field(default_factory=WebSocketConfig)
    rooms: RoomsConfig = RoomsConfig()
    channels: ChannelsConfig = ChannelsConfig()
    workers: WorkersConfig = WorkersConfig()
    #: Services of their own, after those of the file.
    service: tuple[ServiceConfig, ...] = ()


class ServerConfig(KindConfig, frozen=True, kw_only=True):
    """C{[[server]]}: a server, or as many as its range has ports. Says it instead of its kind, services beside it."""

    #: The name, unique in the cluster; with a range, or with L{id_start}, what comes before the number.
    id: _Id
    #: The kind that it is of. Empty: none.
    kind: _Text = ""
    #: The number of the first. Said, there is a number also if there is no range.
    id_start: _Start = None
    #: The machine that it is meant for. Empty, C{"localhost"} or C{"127.0.0.1"}: whatever machine reads the file.
    host: _Text = ""
    #: Where its clients come. Not said: it has none.
    port: _Ports = None
    #: The environments that have it. Empty: all.
    environment: _Names = ()


class FileConfig(Config, frozen=True, kw_only=True):
    """
    All sections that a file may have, but for those that belong to one environment. It is never made, but says what
    is right: what a file says of servers is merged before anything is made of it.
    """

    kind: dict[str, KindConfig] = field(default_factory=dict)
    server: tuple[ServerConfig, ...] = ()


#: The values of a file, section by section, as far as they are right and were said.
Said = dict[str, Any]
