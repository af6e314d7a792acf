"""
The configuration as typed values, every default with its reason.

The attributes are the keys of the configuration file, in its sections. Whoever embeds a node writes the same::

    Node("serverA", config=Config(websocket=WebSocketConfig(heartbeat="ping", max_connections=5000)))

The defaults hold in both cases; what is said of listening, of the kind of bus and of services is for C{twistd}, and
does nothing in a node that is embedded. Values that are given in code are not checked here: what a file or a
mapping says is, by L{twisted_crossws.configfile}.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field


class Says(Struct, frozen=True):
    """
    Stands in a type, beside what holds for programs: the same for people.

    @ivar words: what the value must be.
    @ivar secret: whether the value may hold a secret, and so is never shown.
    """

    words: str
    secret: bool = False


#: Neither infinity nor "not a number" passes this, and no limit is meant by it.
_FINITE = sys.float_info.max

_Flag = Annotated[bool, Says("true or false")]
_Text = Annotated[str, Says("a string")]
_Filled = Annotated[str, Meta(pattern=r"\S")]
_Name = Annotated[_Filled, Says("a string that is not blank")]
_Names = Annotated[tuple[_Filled, ...], Says("a list of strings, none of them blank")]
# Slashes alone would be no path, and so be any path: who writes that means something else.
_Path = Annotated[
    str,
    Meta(pattern=r"\A(/*[^/?#%\s\x00-\x1f\x7f][^?#%\s\x00-\x1f\x7f]*)?\Z"),
    Says('a path such as "chat", without "?", "#", "%" and blanks, or empty for any path'),
]
_Subprotocols = Annotated[
    tuple[Annotated[str, Meta(pattern=r"\A[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")], ...],
    Says('a list of subprotocols such as "chat.v2", of letters, digits and !#$%&\'*+-.^_`|~'),
]
_Endpoints = Annotated[
    tuple[_Filled, ...], Meta(min_length=1), Says('a list of one or more endpoints such as "tcp:9000"')
]
_RedisUrls = Annotated[
    tuple[Annotated[str, Meta(pattern=r"\A(redis|rediss|unix)://\S+\Z")], ...],
    Meta(min_length=1),
    Says("a list of one or more URLs that start with redis://, rediss:// or unix://", secret=True),
]
_Options = Annotated[dict[str, Any], Says("a table of names and values", secret=True)]
_Seconds = Annotated[float, Meta(gt=0, le=_FINITE), Says("a number of seconds above 0")]
_SecondsOrNever = Annotated[float, Meta(ge=0, le=_FINITE), Says("a number of seconds, 0 or above")]
_Rate = Annotated[float, Meta(ge=0, le=_FINITE), Says("a number for each second, 0 or above")]
_Bytes = Annotated[int, Meta(ge=1), Says("a whole number of bytes, 1 or above")]
_Count = Annotated[int, Meta(ge=1), Says("a whole number, 1 or above")]
_CountOrAny = Annotated[int, Meta(ge=0), Says("a whole number, 0 or above")]
#: How many processes.
Processes = Annotated[
    Annotated[int, Meta(ge=1)] | Literal["cores"], Says('a whole number, 1 or above, or "cores" for one for each core')
]


class NodeConfig(Struct, frozen=True, kw_only=True):
    """C{[node]}: who this node is."""

    #: Its name, unique in the cluster. No default can be: two nodes of one name do not hear each other. One
    #: that is alone needs none.
    server_name: Annotated[_Filled | None, Says("a string that is not blank")] = None
    #: What it is for, in words of the application; others can ask for all nodes of a role. Empty: none.
    role: _Text = ""
    #: What else others may want to know about it.
    tags: _Names = ()
    #: Seconds between two signs of life. A third of L{lost_after}, so that two may be lost.
    announce_interval: _Seconds = 1.5
    #: Seconds of silence after which a node is gone. With the interval of looking, 6 seconds at most.
    lost_after: _Seconds = 5.0
    #: Seconds after which a node lets clients in though it has not joined its cluster, since its bus is away: a little
    #: longer than joining takes with a bus that is busy, and shorter than the patience of clients that wait.
    join_timeout: _Seconds = 3.0
    #: Seconds over which the clients of a node that is told to stop are spread as they are sent away, so that they do
    #: not all come back in one moment: 5 make 2,000 handshakes in a second of 10,000 clients. 0: they are not sent away
    #: before it stops.
    drain_seconds: _SecondsOrNever = 5.0
    #: Seconds after which a node that was told to stop has stopped, whatever is still open: above what calls take by
    #: default, and below the 30 after which Kubernetes kills.
    stop_deadline: _Seconds = 15.0
    #: What C{twistd crossws} does with Python's garbage collector. With 10,000 connections it would stop all of them
    #: for 100 ms at a time, so it is kept steady; C{"python"} leaves it as it is.
    collector: Annotated[Literal["steady", "python"], Says('one of "steady" and "python"')] = "steady"


class WebSocketConfig(Struct, frozen=True, kw_only=True):
    """C{[websocket]}: how clients reach this node, and what they may cost."""

    #: Endpoint strings of Twisted. 9000 needs no privileges, and is no port that a system uses itself.
    listen: _Endpoints = ("tcp:9000",)
    #: The one path of the URL that is served, its outer slashes not counted. Empty is any: clients of the Node.js
    #: package use what path they like.
    path: _Path = ""
    #: The text that comes back to the client as it is. Empty, as in the client of the Node.js package.
    heartbeat: _Text = ""
    #: Seconds between pings; who did not answer by the next one is cut. 0: no pings. 20 is below the 60 after
    #: which proxies, and the 30 after which some mobile networks, forget a silent connection.
    ping_interval: _SecondsOrNever = 20.0
    #: Seconds for the request to arrive and for the authenticator to decide. A connection without a handshake
    #: costs its sender nothing, so it must not last; Autobahn and Daphne have 5, too.
    handshake_timeout: _Seconds = 5.0
    #: Seconds that a client may stay in the background, as in the Node.js package: mobile systems freeze an app
    #: soon after that, and what is sent to it then is lost.
    background_close_after: _Seconds = 10.0
    #: Bytes of one message, whole and inflated. 1 MiB, as in Socket.IO, Daphne and websockets: every client may
    #: take that much memory.
    max_message_size: _Bytes = 1_048_576
    #: Connections at one time that carry plain HTTP. 0: no limit. When one more comes, the one that is idle for longest
    #: is closed, so this is no limit for visitors: 100 are the kept connections of some proxies, and some downloads.
    max_plain_connections: _CountOrAny = 100
    #: Clients at one time. 0: no limit, since only the operator knows the memory and the limit of open files.
    max_connections: _CountOrAny = 0
    #: The pages that may connect. A browser sends its cookies to every server that any page asks it to connect
    #: to, so only the pages of this host may, unless it is said otherwise.
    allowed_origins: _Names = ("same-host",)
    #: Bytes that may wait for one client for as long as it likes. Who has more waiting must take something of it within
    #: L{slow_timeout}. 1 MiB, as in Centrifugo: seconds of a busy room, and few of those who are stuck.
    max_queued_bytes: _Bytes = 1_048_576
    #: The subprotocols that are spoken, the best one first. Empty: whatever a client offers first is agreed to, as the
    #: Node.js package does.
    subprotocols: _Subprotocols = ()
    #: Whether the keys of URL parameters are read in lower case, as the Node.js package can. Off: keys are as sent.
    lowercase_params: _Flag = False
    #: Bytes that wait for one client at any time, a burst included; at least L{max_queued_bytes}. 16 MiB: what a
    #: listener sends in one go is rarely more, and some hundred clients that are stuck at once do not fill a machine.
    max_queued_hard: _Bytes = 16_777_216
    #: Seconds in which a client with more than L{max_queued_bytes} waiting takes nothing, and is closed. 5: above the
    #: pauses of a phone that changes its network, and short enough that memory is free again soon.
    slow_timeout: _Seconds = 5.0
    #: permessage-deflate. It takes a connection from 10 to 108 kB of memory, so off.
    compression: _Flag = False
    #: Whether whole frames are read without Autobahn's general machine, and sent without Twisted's round trip through
    #: the reactor. That changes costs alone, so it is on, unless the environment says otherwise (L{FAST_PATH}).
    fast_path: _Flag = field(default_factory=lambda: os.environ.get(FAST_PATH) != "off")
    #: A folder that is served over HTTP on the same ports. Empty: none, so that nothing is public by accident.
    static: _Text = ""
    #: Frames of one message. Browsers send one frame; without a limit a message of empty frames never ends.
    max_fragments: _Count = 128
    #: Heartbeats, pings, pongs and texts that are no frames, in one second from one client, with bursts of
    #: L{NOISE_BURST} as many. 0: no limit. An honest client sends one in some seconds.
    max_noise_per_second: _Rate = 200.0
    #: Events in one second from one client, with bursts of L{EVENT_BURST} as many. 0: no limit, since only the
    #: application knows what is much.
    max_events_per_second: _Rate = 0.0
    #: Events of one client that listeners still work on. A client that waits for its replies has few; one that
    #: does not must not fill the memory.
    max_unanswered: _Count = 1024
    #: Handshakes in one second. 0: no limit. 1000 take a fifth of a core, which leaves the rest to who is
    #: connected already.
    max_handshakes_per_second: _Rate = 1000.0
    #: Handshakes at once: after a restart all clients of a node come back.
    handshake_burst: _Count = 20_000


#: The variable that, if it is C{off}, turns the fast paths off wherever the configuration does not say: to find out in
#: a minute whether they have to do with a fault, without touching a file.
FAST_PATH = "CROSSWS_FAST_PATH"

#: A client may send so many times L{WebSocketConfig.max_noise_per_second} at once, after a pause.
NOISE_BURST = 10

#: A client may send so many times L{WebSocketConfig.max_events_per_second} at once, after a pause.
EVENT_BURST = 2


class RedisConfig(Struct, frozen=True, kw_only=True):
    """C{[bus.redis]}: the Redis servers that carry the bus."""

    #: All of them, for every node of the cluster the same. They may hold passwords. Redis is usually here.
    urls: _RedisUrls = ("redis://127.0.0.1:6379",)
    #: Which Redis a packet is published on. C{pinned} alone keeps the order of what one node sends.
    strategy: Annotated[
        Literal["pinned", "random", "round-robin", "fastest"],
        Says('one of "pinned", "random", "round-robin" and "fastest"'),
    ] = "pinned"
    #: Ping each connection also if it shows by itself that it is alive. On, since a ping costs next to nothing.
    force_ping: _Flag = True
    #: Seconds between pings, as in the Node.js package.
    ping_interval: _Seconds = 5.0
    #: Seconds to wait for the answer, as in the Node.js package.
    ping_timeout: _Seconds = 2.0
    #: Packets that wait while no Redis is healthy. Few: they bridge a reconnect, and are no store.
    max_waiting_packets: _CountOrAny = 1000
    #: Bytes of these together.
    max_waiting_bytes: _CountOrAny = 1_048_576
    #: Seconds that one of them may wait. Who called has a time-out of seconds, and who chats has sent it again.
    max_waiting_seconds: _SecondsOrNever = 2.0


class HubConfig(Struct, frozen=True, kw_only=True):
    """C{[bus.hub]}: the hub that carries the bus between the processes of one machine."""

    #: Its Unix socket; a relative one counts from the folder of the configuration file. Empty: in the run folder, where
    #: nobody else can put another one in its place.
    path: _Text = ""
    #: Bytes that wait for a process that does not read. 64 MiB: seconds of all that a hub can carry, so that nobody who
    #: is merely busy is cut off, and no more than a machine has to spare for some stuck processes.
    max_queued_bytes: _Bytes = 67_108_864


class BusConfig(Struct, frozen=True, kw_only=True):
    """C{[bus]}: how the nodes of a cluster reach each other. The same for every one of them."""

    #: C{memory} needs nothing else, and is right for a node that is alone.
    type: Annotated[Literal["memory", "hub", "redis"], Says('one of "memory", "hub" and "redis"')] = "memory"
    #: MessagePack instead of JSON text, as in the Node.js package.
    compression: _Flag = True
    #: What the channel of the servers starts with, as in the Node.js package.
    bridge_prefix: _Name = "csbp:"
    #: What the channels of clients and rooms start with, as in the Node.js package.
    room_prefix: _Name = "ws:"
    #: Seconds after which who joins a room is told that this node does not hear it yet, since the bus is away. Half of
    #: what a person waits for an answer. 0: at once.
    subscribe_timeout: _SecondsOrNever = 1.0
    #: The sections below this one.
    redis: RedisConfig = RedisConfig()
    hub: HubConfig = HubConfig()


class RoomsConfig(Struct, frozen=True, kw_only=True):
    """C{[rooms]}: which room namespaces this node is subscribed to."""

    #: Namespaces to subscribe to from the start, and for ever. None: a node hears of rooms that it has members in.
    preset: _Names = ()
    #: Unsubscribe when the last local member has left, so that a node does not read what nobody there wants.
    auto_unsubscribe: _Flag = True
    #: Seconds that this waits for somebody else to join: whoever reloads a page is back by then. 0: none.
    unsubscribe_after: _SecondsOrNever = 1.0


class ChannelsConfig(Struct, frozen=True, kw_only=True):
    """C{[channels]}: the application's own channels on the bus."""

    #: Channels to subscribe to from the start. None, since an application that has some knows their names.
    subscribe: _Names = ()


class ServiceConfig(Struct, frozen=True, kw_only=True):
    """C{[[service]]}: an application that runs in this node."""

    #: C{module:callable}, or the name of an installed plugin. There is nothing to run by default.
    use: _Name
    #: What it is called with, beside the node. They are the application's own, and may hold secrets.
    options: _Options = field(default_factory=dict)


class WorkersConfig(Struct, frozen=True, kw_only=True):
    """C{[workers]}: how many processes share the work of one node description, and its port."""

    #: Python uses one core for each process. One is enough for some thousands of clients, and needs no hub.
    count: Processes = 1
    #: Who gets the next connection. Connections last, so those that there are count more than whose turn it is.
    spread: Annotated[
        Literal["least-connection", "round-robin", "random", "kernel"],
        Says('one of "least-connection", "round-robin", "random" and "kernel"'),
    ] = "least-connection"


class MasterConfig(Struct, frozen=True, kw_only=True):
    """C{[master]}: the process that starts the others, and what it may take for granted."""

    #: The folder of the sockets by which the processes of this machine reach each other. Empty: one of the user's
    #: own, since who may write there may stop them.
    run_dir: _Text = ""
    #: What this machine is called in C{[[server]] host}. Empty: as the system calls it, so that one file does for all.
    host: _Text = ""
    #: The environments that the file may have sections for. Declared, so that a slip in the name of a section is found.
    environments: _Names = ("development", "production")
    #: That of them which is meant when nobody says another. It is production that is chosen on purpose.
    environment: _Name = "development"
    #: Deaths at once, one after the other, after which a process is given up: what fails ten times fails again.
    max_restarts: _Count = 10
    #: Seconds until a process that died at once is started again. Doubled each time that it does.
    restart_delay: _Seconds = 0.2
    #: The most that becomes of it: whoever repairs the cause need not wait longer.
    restart_max_delay: _Seconds = 30.0


class Config(Struct, frozen=True, kw_only=True):
    """Everything that can be said of a node."""

    node: NodeConfig = NodeConfig()
    websocket: WebSocketConfig = field(default_factory=WebSocketConfig)
    bus: BusConfig = BusConfig()
    rooms: RoomsConfig = RoomsConfig()
    channels: ChannelsConfig = ChannelsConfig()
    service: tuple[ServiceConfig, ...] = ()
    workers: WorkersConfig = WorkersConfig()
    master: MasterConfig = MasterConfig()
