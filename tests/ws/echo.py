"""
What stands in the place of a node where the wire itself is tested: it says again what it is told.
"""

from __future__ import annotations

from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Site

from twisted_crossws import WebSocketConfig
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.seams import Channel, Request
from twisted_crossws.ws.door import Door
from twisted_crossws.ws.front import FrontFactory
from twisted_crossws.ws.handshake import Admission
from twisted_crossws.ws.server import ServerFactory


class Echo:
    """A L{Gateway<twisted_crossws.state.seams.Gateway>} that says again what it is told."""

    def opened(self, channel: Channel, request: Request, socketId: str | None) -> Channel:
        return channel

    def messageReceived(self, socket: Channel, text: bytes) -> bytes | None:
        return text

    def pingReceived(self, socket: Channel) -> None:
        """Answered elsewhere."""

    def pongReceived(self, socket: Channel) -> None:
        """Not asked for."""

    def faultDetected(self, socket: Channel, code: int, reason: str) -> None:
        """The testsuite says whether that was right."""

    def closed(self, socket: Channel, code: int, reason: str) -> None:
        """The same."""


def echoFactory(clock: Any, *, isFast: bool) -> FrontFactory:
    """What an echo listens with."""
    counters = Counters()
    options = WebSocketConfig(fast_path=isFast, allowed_origins=("*",), max_message_size=16 * 1024 * 1024)
    admission = Admission(options, clock, counters, lambda: 0)
    door = Door(
        admission=admission,
        sockets=ServerFactory(
            gateway=Echo(), options=options, clock=clock, counters=counters, refusals=admission.refusals
        ),
        clock=clock,
        handshakeTimeout=options.handshake_timeout,
        holdTimeout=0.0,
    )
    return FrontFactory(door, Site(Resource()))
