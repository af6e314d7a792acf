"""
An echo, and rooms, as many as there are to be of what a node has to remember.
"""

import gc
import itertools
import random
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory

from twisted_crossws import Node, Socket


def makeService(
    node: Node, listeners: int = 1, rooms: int = 0, members: int = 0, pauses: str = "", nodes: int = 1, ready: str = ""
) -> None:
    """
    @param listeners: for how many events there is a listener.
    @param rooms: how many rooms there are, beside the one that C{wsload} joins.
    @param members: how many of its connections are in each of them, and hear in turn what is shouted in one; 0: each
        has one member, who is nowhere else, and shouting is for the room that C{wsload} joins.
    @param pauses: a file; a line is added to it for each time the collector is at work, with the generation and how
        many seconds it took.
    @param nodes: when so many know each other
    @param ready: this endpoint is listened on.
    """

    def echo(socket: Socket, payload: Any) -> Any:
        return payload

    names = [f"room{number}" for number in range(rooms)]
    for event in ("echo", *(f"event{number}" for number in range(1, listeners))):
        node.clients.on(event, echo)
    if not members:
        for name in names:
            # What a node remembers of a member is the same with a socket and without one.
            node.rooms._table.join("bench", name, f"of {name}")
    everywhere = {f"u{number}" for number in range(members)}
    # Not in the order in which they lie in memory.
    random.Random(1).shuffle(names)
    turn = itertools.cycle(names if members else ["1000"])

    @node.clients.on("joinRoom")
    def join(socket: Socket, payload: Any) -> None:
        socketId = socket.request.params["id"]
        node.sockets.bind(socketId, socket)
        for name in [payload["roomId"], *(names if socketId in everywhere else ())]:
            node.rooms.join("bench", name, socketId)

    @node.clients.on("shout")
    def shout(socket: Socket, payload: Any) -> None:
        node.clients.toRoom("bench", next(turn), "say", payload)

    if pauses:
        _watch(pauses)
    if ready:
        factory = Factory()
        factory.noisy = False
        known = node.servers.whenServers(nodes)
        known.addCallback(lambda _: serverFromString(reactor, ready).listen(factory))


def _watch(file: str) -> None:
    began = 0.0
    # It stays open until the process ends.
    lines = open(file, "a", buffering=1)

    def collecting(phase: str, about: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.perf_counter()
        else:
            lines.write(f"{about['generation']} {time.perf_counter() - began:.6f}\n")

    gc.callbacks.append(collecting)
