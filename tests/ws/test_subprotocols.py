"""
Which of the subprotocols that a client offers is agreed to, and how URL parameters are called.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.server import Site

from twisted_crossws import Config, Node, Refuse, Socket, WebSocketConfig
from twisted_crossws.testing import FakePeer


class Met:
    """A node, and what its clients have got."""

    def __init__(self, clock: Clock, *, site: bool, **options: Any) -> None:
        self._clock = clock
        self.node = Node("serverA", clock=clock, config=Config(websocket=WebSocketConfig(**options)))
        self.node.clients.on("echo", lambda socket, payload: payload)
        self.sockets: list[Socket] = []
        self.node.lifecycle.on("connection", self.sockets.append)
        self._entrance: Any = Site(self.node.webResource(), reactor=clock) if site else self.node

    def peer(self, offered: str | None, path: str = "/", *, deflates: bool = True) -> FakePeer:
        headers = {"Sec-WebSocket-Extensions": "permessage-deflate"} if deflates else {}
        if offered is not None:
            headers["Sec-WebSocket-Protocol"] = offered
        return FakePeer(self._entrance, self._clock, path=path, headers=headers)


def agreed(peer: FakePeer) -> str | None:
    """The subprotocol of the answer to the handshake."""
    found = re.search(rb"(?i)\r\nsec-websocket-protocol: *([^\r]*)\r\n", peer.transport.value())
    return found[1].decode() if found else None


WAYS = [(site, isFast, deflate) for site in (False, True) for isFast in (True, False) for deflate in (False, True)]


@pytest.fixture(
    params=WAYS, ids=lambda way: "-".join(("site", "fast", "deflate")[n] for n in range(3) if way[n]) or "-"
)
def meet(request: pytest.FixtureRequest, clock: Clock) -> Callable[..., Met]:
    site, isFast, deflate = request.param
    return lambda **options: Met(clock, site=site, fast_path=isFast, compression=deflate, **options)


class TestOption:
    @pytest.mark.parametrize(
        ("spoken", "offered", "expected"),
        [
            ((), "a, b", "a"),
            ((), None, None),
            (("b",), "a, b", "b"),
            (("c", "b", "a"), "a, b", "b"),
            (("b", "a"), "a,b", "b"),
            (("c",), "a, b", None),
            (("A",), "a", None),
            (("b",), None, None),
        ],
    )
    def test_chosen(
        self, meet: Callable[..., Met], spoken: tuple[str, ...], offered: str | None, expected: str | None
    ) -> None:
        """The best of those that are spoken is agreed to; the first one, if it is not said which are."""
        met = meet(subprotocols=spoken)
        peer = met.peer(offered)
        assert (peer.status, agreed(peer)) == (101, expected)
        request = met.sockets[0].request
        assert request.subprotocol == expected
        assert request.subprotocols == (tuple(offered.replace(" ", "").split(",")) if offered else ())


class TestHook:
    def test_chosen(self, meet: Callable[..., Met]) -> None:
        """The application says which, by all that it knows of the handshake; the option says nothing then."""
        met = meet(subprotocols=("a",))
        met.node.chooseSubprotocol = lambda request: request.subprotocols[-1] if request.path == "chat" else None
        assert agreed(met.peer("a, b", "/chat")) == "b"
        assert agreed(met.peer("a, b")) is None
        assert [socket.request.subprotocol for socket in met.sockets] == ["b", None]

    def test_notAsked(self, meet: Callable[..., Met]) -> None:
        """Where nothing is offered there is nothing to ask."""
        met = meet()
        asked: list[Any] = []
        met.node.chooseSubprotocol = asked.append
        assert met.peer(None).status == 101 and asked == []

    def test_later(self, clock: Clock) -> None:
        """It may take its time, after the authenticator has named the client; the way to say so is the constructor."""
        waiting: Deferred[str] = Deferred()
        order: list[str] = []

        async def choose(request: Any) -> str:
            order.append("choose")
            return await waiting

        node = Node(
            "serverA", clock=clock, authenticate=lambda request: order.append("authenticate"), chooseSubprotocol=choose
        )
        assert node.chooseSubprotocol is choose
        peer = FakePeer(node, clock, headers={"Sec-WebSocket-Protocol": "a, b"})
        assert peer.status is None and order == ["authenticate", "choose"]
        waiting.callback("b")
        clock.advance(0)
        assert (peer.status, agreed(peer)) == (101, "b")

    def test_refused(self, meet: Callable[..., Met]) -> None:
        """It may refuse the client, as an authenticator."""

        def choose(request: Any) -> None:
            raise Refuse(400, "No version of ours")

        met = meet()
        met.node.chooseSubprotocol = choose
        assert met.peer("a").status == 400 and met.sockets == []
        assert met.node.counters["handshakes_refused"] == 1

    @pytest.mark.parametrize("wrong", ["c", "", 5, ("a",), "A"])
    def test_notOffered(self, meet: Callable[..., Met], wrong: object, logged: list[Any]) -> None:
        """One that the client does not offer would end the connection: it is a mistake, and the log says whose."""
        met = meet()
        met.node.chooseSubprotocol = lambda request: wrong
        peer = met.peer("a, b")
        assert peer.status == 500 and met.sockets == []
        assert b"failed to agree to the connection" in peer.transport.value()
        assert met.node.counters["handshakes_failed"] == 1
        assert "one that is offered ('a', 'b')" in logged.pop().getErrorMessage()

    def test_taken(self, clock: Clock) -> None:
        """What cannot be called so is refused at once, and None takes it away."""
        node = Node("serverA", clock=clock)
        for wrong in (5, lambda: None):
            with pytest.raises(TypeError):
                node.chooseSubprotocol = wrong  # type: ignore[assignment]
        node.chooseSubprotocol = lambda request: "b"
        node.chooseSubprotocol = None
        assert agreed(FakePeer(node, clock, headers={"Sec-WebSocket-Protocol": "a, b"})) == "a"


class TestParams:
    @pytest.mark.parametrize(
        ("option", "params"),
        [
            (False, {"ID": "1", "id": "2", "Name": "Sam"}),
            (True, {"id": ["1", "2"], "name": "Sam"}),
        ],
    )
    def test_lowercase(self, meet: Callable[..., Met], option: bool, params: dict[str, Any]) -> None:
        """With C{lowercase_params} keys are lower-case, and values stay what they are; without it both do."""
        met = meet(lowercase_params=option)
        met.peer(None, "/?ID=1&id=2&Name=Sam")
        assert met.sockets[0].request.params == params

    def test_version(self, meet: Callable[..., Met]) -> None:
        """The parameter of the wire's version is read so, too, and is not the application's."""
        met = meet(lowercase_params=True)
        met.peer(None, "/?CrossWS=2", deflates=False)
        assert (met.sockets[0].request.params, met.sockets[0].request.version) == ({}, 2)
