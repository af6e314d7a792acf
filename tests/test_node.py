"""
A node as an application holds it, seen by clients on fake transports.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock

from twisted_crossws import BusUnavailable, Config, Node, Refuse, ReplyError, Socket, SocketClosed, WebSocketConfig
from twisted_crossws.bus.memory import MemoryLink
from twisted_crossws.testing import FakePeer
from twisted_crossws.wire.frames import ErrorReply, Event, Reply


@pytest.fixture
def node(clock: Clock) -> Node:
    return Node("serverA", clock=clock)


def connect(node: Node, clock: Clock, socketId: str | None = None, **options: Any) -> tuple[FakePeer, Socket]:
    """A client and the node's socket of it, bound if there is a C{socketId}."""
    sockets: list[Socket] = []
    node.lifecycle.once("connection", sockets.append)
    peer = FakePeer(node, clock, **options)
    if socketId is not None:
        node.sockets.bind(socketId, sockets[0])
    peer.takeTexts()
    return peer, sockets[0]


class TestReplies:
    def test_result(self, node: Node, clock: Clock) -> None:
        """What a listener returns is the reply, with the id of the event."""
        node.clients.on("sum", lambda socket, payload: {"sum": sum(payload)})
        peer, _ = connect(node, clock)
        peer.sendEvent("sum", [1, 2, 3], "id-1")
        assert peer.takeTexts() == ['{"payload":{"sum":6},"callbackId":"id-1"}']

    def test_notWanted(self, node: Node, clock: Clock) -> None:
        """A client that does not ask gets none."""
        node.clients.on("sum", lambda socket, payload: 6)
        peer, _ = connect(node, clock)
        peer.sendEvent("sum", [1, 2, 3])
        assert peer.takeTexts() == []

    def test_later(self, node: Node, clock: Clock) -> None:
        """A Deferred's result is the reply, when it fires."""
        result: Deferred[str] = Deferred()
        node.clients.on("slow", lambda socket, payload: result)
        peer, _ = connect(node, clock)
        peer.sendEvent("slow", None, "1")
        assert peer.takeTexts() == []
        result.callback("done")
        assert peer.takeFrames() == [Reply("1", "done")]

    def test_coroutine(self, node: Node, clock: Clock) -> None:
        """So is what an C{async def} returns."""
        result: Deferred[str] = Deferred()

        @node.clients.on("slow")
        async def slow(socket: Socket, payload: Any) -> str:
            return await result + payload

        peer, _ = connect(node, clock)
        peer.sendEvent("slow", "!", "1")
        result.callback("done")
        assert peer.takeFrames() == [Reply("1", "done!")]

    def test_firstResultOfSeveral(self, node: Node, clock: Clock) -> None:
        """Of several listeners, all run, and the first result that is not C{None} is the one reply."""
        ran: list[int] = []
        for number, result in enumerate([None, "second", "third"]):
            node.clients.on("ask", lambda s, p, number=number, result=result: ran.append(number) or result)
        peer, _ = connect(node, clock)
        peer.sendEvent("ask", None, "1")
        assert ran == [0, 1, 2]
        assert peer.takeFrames() == [Reply("1", "second")]

    @pytest.mark.parametrize("listeners", [1, 2])
    def test_noResult(self, node: Node, clock: Clock, listeners: int) -> None:
        """If none gives a result, the reply is C{null}."""
        for _ in range(listeners):
            node.clients.on("ask", lambda socket, payload: None)
        peer, _ = connect(node, clock)
        peer.sendEvent("ask", None, "1")
        assert peer.takeFrames() == [Reply("1", None)]
        assert node.counters["events_without_listener"] == 0

    def test_failureAmongResults(self, node: Node, clock: Clock, logged: list[Any]) -> None:
        """A listener that raises is logged; the others run, and may give the reply."""
        node.clients.on("ask", lambda socket, payload: 1 / 0)
        node.clients.on("ask", lambda socket, payload: "fine")
        peer, _ = connect(node, clock)
        peer.sendEvent("ask", None, "1")
        assert peer.takeFrames() == [Reply("1", "fine")]
        assert logged.pop().check(ZeroDivisionError)
        assert node.counters["listener_failures"] == 1

    def test_failureForOldClients(self, node: Node, clock: Clock, logged: list[Any]) -> None:
        """A client that does not speak version 2 gets no error reply: it could not read one. Its connection lives."""
        node.clients.on("ask", lambda socket, payload: 1 / 0)
        peer, _ = connect(node, clock)
        peer.sendEvent("ask", None, "1")
        assert peer.takeTexts() == []
        assert peer.isConnected
        logged.clear()

    def test_failureForNewClients(self, node: Node, clock: Clock, logged: list[Any]) -> None:
        """One that does gets an error, which tells nothing of what failed."""
        node.clients.on("ask", lambda socket, payload: {}["secret"])
        peer, _ = connect(node, clock, params={"crossws": "2"})
        peer.sendEvent("ask", None, "1")
        (reply,) = peer.takeFrames()
        assert isinstance(reply, ErrorReply)
        assert reply.code == "internal_error" and "secret" not in reply.message
        logged.clear()

    def test_lateFailure(self, node: Node, clock: Clock, logged: list[Any]) -> None:
        """A Deferred that fails is a listener that failed."""
        result: Deferred[None] = Deferred()
        node.clients.on("ask", lambda socket, payload: result)
        peer, _ = connect(node, clock, params={"crossws": "2"})
        peer.sendEvent("ask", None, "1")
        result.errback(KeyError("x"))
        assert [type(frame) for frame in peer.takeFrames()] == [ErrorReply]
        assert logged.pop().check(KeyError)

    def test_replyError(self, node: Node, clock: Clock) -> None:
        """L{ReplyError} is an answer like another: it is told to the client as it is, and not logged."""

        @node.clients.on("ask")
        def ask(socket: Socket, payload: Any) -> None:
            raise ReplyError("too_young", "You must be 18.")

        peer, _ = connect(node, clock, params={"crossws": "2"})
        peer.sendEvent("ask", None, "1")
        assert peer.takeFrames() == [ErrorReply("1", "too_young", "You must be 18.")]
        assert node.counters["listener_failures"] == 0

    @pytest.mark.parametrize("result", [object(), [1, object()], {"a": {1j}}])
    def test_resultWithoutForm(self, node: Node, clock: Clock, logged: list[Any], result: object) -> None:
        """A result that JSON has no form for is a failure of the listener, and is told as one."""
        node.clients.on("ask", lambda socket, payload: result)
        peer, _ = connect(node, clock, params={"crossws": "2"})
        peer.sendEvent("ask", None, "1")
        assert [type(frame) for frame in peer.takeFrames()] == [ErrorReply]
        assert logged.pop().check(TypeError)
        assert node.counters["listener_failures"] == 1

    def test_replyToTheGone(self, node: Node, clock: Clock) -> None:
        """A reply whose client has gone is counted."""
        result: Deferred[int] = Deferred()
        node.clients.on("slow", lambda socket, payload: result)
        peer, _ = connect(node, clock)
        peer.sendEvent("slow", None, "1")
        peer.leave()
        result.callback(1)
        assert node.counters["replies_undeliverable"] == 1
        assert node.counters["replies_sent"] == 0

    def test_closingListener(self, node: Node, clock: Clock) -> None:
        """A listener that closes its socket has the last word: nothing follows the close frame."""

        @node.clients.on("bye")
        def bye(socket: Socket, payload: Any) -> str:
            socket.close(4010, "logged out")
            return "never sent"

        peer, _ = connect(node, clock)
        peer.sendEvent("bye", None, "1")
        assert (peer.closeCode, peer.closeReason, peer.takeTexts()) == (4010, "logged out", [])
        assert node.counters["replies_undeliverable"] == 1

    def test_binaryFrame(self, node: Node, clock: Clock) -> None:
        """A binary frame is read as if it were text."""
        node.clients.on("ask", lambda socket, payload: payload)
        peer, _ = connect(node, clock)
        peer.sendBytes(b"\x82" + _masked('{"event":"ask","payload":1,"callbackId":"1"}')[1:])
        assert peer.takeFrames() == [Reply("1", 1)]

    def test_severalInOneRead(self, node: Node, clock: Clock) -> None:
        """Events that come together are answered in their order."""
        node.clients.on("ask", lambda socket, payload: payload)
        peer, _ = connect(node, clock)
        texts = [f'{{"event":"ask","payload":{n},"callbackId":"{n}"}}' for n in range(5)]
        peer.sendBytes(b"".join(map(_masked, texts)))
        assert peer.takeFrames() == [Reply(str(n), n) for n in range(5)]


def _masked(text: str) -> bytes:
    from twisted_crossws.wire.rfc6455 import maskedFrame

    return maskedFrame(1, text.encode(), b"abcd")


class TestHeartbeat:
    @pytest.mark.parametrize("heartbeat", ["", "ping", '{"event":"connection"}'])
    def test_comesBack(self, clock: Clock, heartbeat: str) -> None:
        """The heartbeat text comes back as it is, ahead of anything else, and is no event."""
        node = Node("serverA", clock=clock, config=Config(websocket=WebSocketConfig(heartbeat=heartbeat)))
        told: list[str] = []
        node.lifecycle.on("clientPing", lambda socket: told.append("clientPing"))
        node.lifecycle.on("message", lambda socket, text: told.append("message"))
        peer, _ = connect(node, clock)
        peer.sendText(heartbeat)
        assert peer.takeTexts() == [heartbeat]
        assert told == ["clientPing"]
        assert node.counters["events_received"] == node.counters["frames_malformed"] == 0

    def test_serverPings(self, node: Node, clock: Clock) -> None:
        """A client is pinged once in C{ping_interval}, and lives as long as it answers."""
        pongs: list[Socket] = []
        node.lifecycle.on("pong", pongs.append)
        peer, socket = connect(node, clock)
        clock.pump([20.0, 0] * 5)
        assert peer.pings == 5
        assert pongs == [socket] * 5
        assert peer.isConnected

    def test_silence(self, node: Node, clock: Clock) -> None:
        """One that has not answered by the next ping is cut, without a close frame."""
        closes: list[Any] = []
        node.lifecycle.on("close", lambda socket, code, reason: closes.append((code, reason)))
        peer, _ = connect(node, clock)
        peer.answersPings = False
        clock.pump([1.0] * 39)
        assert peer.isConnected
        clock.pump([1.0, 0])
        assert not peer.isConnected and peer.closeCode is None
        assert closes == [(1006, "no answer to a ping")]

    def test_anyTrafficCounts(self, node: Node, clock: Clock) -> None:
        """A busy client whose pongs are late is not cut."""
        peer, _ = connect(node, clock)
        peer.answersPings = False
        for _ in range(10):
            clock.pump([15.0, 0])
            peer.sendEvent("any")
        assert peer.isConnected

    def test_noPings(self, clock: Clock) -> None:
        """With C{ping_interval} 0 there are none, and no timer for them."""
        node = Node("serverA", clock=clock, config=Config(websocket=WebSocketConfig(ping_interval=0.0)))
        peer, _ = connect(node, clock)
        assert clock.getDelayedCalls() == []
        clock.advance(1000)
        assert peer.isConnected and peer.pings == 0

    def test_noTimerWithoutClients(self, node: Node, clock: Clock) -> None:
        """When the last client has left, no timer is left behind."""
        peers = [FakePeer(node, clock) for _ in range(3)]
        for peer in peers:
            peer.leave()
        assert clock.getDelayedCalls() == []


class TestLifecycle:
    def test_order(self, node: Node, clock: Clock) -> None:
        """C{connection}, C{message} and C{close} come in this order, with the socket."""
        told: list[Any] = []
        node.lifecycle.on("connection", lambda socket: told.append(("connection", socket)))
        node.lifecycle.on("message", lambda socket, text: told.append((text, socket)))
        node.lifecycle.on("close", lambda socket, code, reason: told.append((code, reason, socket)))
        peer, socket = connect(node, clock)
        peer.sendText("any text")
        peer.sendClose(4001, "bye")
        assert told == [("connection", socket), ("any text", socket), (4001, "bye", socket)]
        assert not peer.isConnected

    @pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, ""), (4001, "bye, ü"), (4002, "x" * 123)])
    def test_goodbye(self, node: Node, clock: Clock, code: int, reason: str) -> None:
        """A close frame is answered with its own code and reason: by what comes back a page decides to reconnect."""
        peer, _ = connect(node, clock)
        peer.sendClose(code, reason)
        assert (peer.closeCode, peer.closeReason) == (code, reason)
        assert not peer.isConnected

    @pytest.mark.parametrize("event", ["connection", "close", "error", "message", "pong", "listening", "serverClose"])
    def test_clientsCannotCauseThem(self, node: Node, clock: Clock, event: str) -> None:
        """A client that sends an event of that name reaches no lifecycle listener, but those of clients."""
        peer, _ = connect(node, clock)
        told: list[Any] = []
        node.lifecycle.on(event, lambda *args: told.append(args))
        node.clients.on(event, lambda socket, payload: "mine")
        peer.sendEvent(event, {"forged": True}, "1")
        assert peer.takeFrames() == [Reply("1", "mine")]
        assert told == ([] if event != "message" else [told[0]])

    def test_failingListener(self, node: Node, clock: Clock, logged: list[Any]) -> None:
        """A lifecycle listener that raises is logged, and the next one runs."""
        told: list[Any] = []
        node.lifecycle.on("connection", lambda socket: 1 / 0)
        node.lifecycle.on("connection", told.append)
        peer = FakePeer(node, clock)
        assert peer.isConnected and len(told) == 1
        assert logged.pop().check(ZeroDivisionError)

    def test_abruptEnd(self, node: Node, clock: Clock) -> None:
        """A connection that ends without a close frame is told as 1006, and one without a code as 1005."""
        codes: list[int] = []
        node.lifecycle.on("close", lambda socket, code, reason: codes.append(code))
        connect(node, clock)[0].leave()
        connect(node, clock)[0].sendBytes(b"\x88\x80abcd")
        assert codes == [1006, 1005]

    def test_closeListenersSeeEverything(self, node: Node, clock: Clock) -> None:
        """While the listeners of C{close} run, the socket is bound and in its rooms; afterwards it is neither."""
        seen: list[Any] = []
        node.lifecycle.on(
            "close", lambda s, code, reason: seen.append((node.sockets.get("u1"), node.rooms.joined("u1")))
        )
        peer, socket = connect(node, clock, "u1")
        node.rooms.join("chat", "1", "u1")
        peer.leave()
        assert seen == [(socket, {"chat": frozenset({"1"})})]
        assert node.sockets.get("u1") is None
        assert node.rooms.members("chat") == frozenset()


class TestRequest:
    def test_whatItSays(self, node: Node, clock: Clock) -> None:
        """Path, parameters, headers and peer are those of the handshake."""
        _, socket = connect(
            node,
            clock,
            path="/some/pa%20th/",
            params={"id": 1, "name": "Sam & Max", "tag": ["a", "b"], "e": ""},
            headers={"X-A": "1"},
        )
        assert socket.request.path == "some/pa th"
        assert socket.request.params == {"id": "1", "name": "Sam & Max", "tag": ["a", "b"], "e": ""}
        assert socket.request.headers["x-a"] == "1"
        assert socket.request.peer == "192.0.2.1:54321"

    def test_versionIsOurs(self, node: Node, clock: Clock) -> None:
        """The parameter that asks for version 2 is answered by C{_hello_}, and not shown to the application."""
        sockets: list[Socket] = []
        node.lifecycle.on("connection", sockets.append)
        assert FakePeer(node, clock, params={"crossws": 2, "id": 1}).takeFrames() == [Event("_hello_", {"version": 2})]
        assert FakePeer(node, clock, params={"id": 1}).takeFrames() == []
        assert [socket.request.params for socket in sockets] == [{"id": "1"}, {"id": "1"}]

    def test_tokensAreNotShown(self, node: Node, clock: Clock) -> None:
        """A socket or request in a log line or traceback does not show what the URL held."""
        _, socket = connect(node, clock, params={"token": "s3cr3t"}, headers={"Authorization": "s3cr3t"})
        assert "s3cr3t" not in repr(socket) + repr(socket.request)

    def test_path(self, clock: Clock) -> None:
        """A WebSocket request on another path than the configured one gets 404."""
        node = Node("serverA", clock=clock, config=Config(websocket=WebSocketConfig(path="chat/v1")))
        assert FakePeer(node, clock, path="/chat/v1?x=1").status == 101
        assert FakePeer(node, clock, path="/chat/v1/").status == 101
        assert FakePeer(node, clock, path="/chat").status == 404
        assert FakePeer(node, clock, path="/").status == 404
        assert node.counters["handshakes_wrong_path"] == 2

    def test_subprotocol(self, node: Node, clock: Clock) -> None:
        """Of the subprotocols that a client offers, the first is agreed to, as by Node.js peers."""
        peer = FakePeer(node, clock, headers={"Sec-WebSocket-Protocol": "one, two"})
        assert b"\r\nSec-WebSocket-Protocol: one\r\n" in peer.transport.value()


class TestAuthentication:
    def test_binds(self, node: Node, clock: Clock) -> None:
        """The C{socketId} that an authenticator gives is bound before C{connection} is fired."""
        bound: list[Any] = []
        node.authenticate = lambda request: "user-" + request.params["id"]
        node.lifecycle.on(
            "connection", lambda socket: bound.append((socket.socketId, node.sockets.get("user-7") is socket))
        )
        assert FakePeer(node, clock, params={"id": 7}).status == 101
        assert bound == [("user-7", True)]

    def test_exchanged(self, node: Node, clock: Clock) -> None:
        """It can be looked at, and put into another, at any time."""
        assert node.authenticate is None
        node.authenticate = inner = lambda request: "u1"
        assert node.authenticate is inner
        node.authenticate = lambda request: inner(request) + "!"
        FakePeer(node, clock)
        assert node.sockets.get("u1!") is not None

    def test_none(self, node: Node, clock: Clock) -> None:
        """C{None} lets the client in unbound."""
        node.authenticate = lambda request: None
        _, socket = connect(node, clock)
        assert socket.socketId is None and node.clients.count() == 0

    def test_refuse(self, clock: Clock) -> None:
        """C{Refuse} answers with its status and reason, and there is no socket."""

        def no(request: Any) -> None:
            raise Refuse(403, "Not you")

        node = Node("serverA", clock=clock, authenticate=no)
        peer = FakePeer(node, clock)
        assert peer.transport.value().startswith(b"HTTP/1.1 403 Not you\r\n")
        assert not peer.isConnected
        assert node.counters["handshakes_refused"] == 1 and node.counters["connections_opened"] == 0

    def test_slow(self, node: Node, clock: Clock) -> None:
        """One that takes its time is waited for; what comes meanwhile is kept for later."""
        answer: Deferred[str] = Deferred()
        node.authenticate = lambda request: answer
        node.clients.on("ask", lambda socket, payload: socket.socketId)
        peer = FakePeer(node, clock)
        peer.sendBytes(_masked('{"event":"ask","callbackId":"1"}'))
        assert peer.status is None
        answer.callback("u1")
        assert peer.status == 101
        assert peer.takeFrames() == [Reply("1", "u1")]

    def test_coroutine(self, node: Node, clock: Clock) -> None:
        """It may be an C{async def}."""
        answer: Deferred[str] = Deferred()

        async def authenticate(request: Any) -> str:
            return await answer + "!"

        node.authenticate = authenticate
        peer = FakePeer(node, clock)
        answer.callback("u1")
        assert peer.status == 101 and node.sockets.get("u1!") is not None

    def test_never(self, node: Node, clock: Clock) -> None:
        """One that does not answer is given up after C{handshake_timeout}: it is cancelled, and the connection cut."""
        cancelled: list[object] = []
        node.authenticate = lambda request: Deferred(cancelled.append)
        peer = FakePeer(node, clock)
        clock.pump([4.9, 0])
        assert peer.isConnected
        clock.pump([0.1, 0])
        assert not peer.isConnected and peer.status is None
        assert len(cancelled) == 1
        assert node.counters["handshakes_timed_out"] == 1
        assert clock.getDelayedCalls() == []

    def test_clientLeaves(self, node: Node, clock: Clock) -> None:
        """A client that leaves meanwhile leaves no ghost, even if the answer comes anyway."""
        answer: Deferred[str] = Deferred()
        node.authenticate = lambda request: answer
        peer = FakePeer(node, clock)
        peer.leave()
        answer.callback("u1")
        assert node.sockets.get("u1") is None
        assert node.counters["connections_opened"] == 0
        assert clock.getDelayedCalls() == []

    def test_impatient(self, node: Node, clock: Clock) -> None:
        """Who floods before the answer is cut."""
        node.authenticate = lambda request: Deferred()
        peer = FakePeer(node, clock)
        peer.sendBytes(b"x" * 20000)
        assert not peer.isConnected

    @pytest.mark.parametrize("result", [7, "", b"u1", ["u1"]])
    def test_wrongResult(self, node: Node, clock: Clock, logged: list[Any], result: object) -> None:
        """A result that is no C{socketId} is the application's mistake: 500, logged, nobody is let in."""
        node.authenticate = lambda request: result
        assert FakePeer(node, clock).status == 500
        assert logged.pop().check(TypeError)

    def test_failure(self, node: Node, clock: Clock, logged: list[Any]) -> None:
        """One that fails answers with 500, and tells the client nothing of it."""
        node.authenticate = lambda request: {}["secret"]
        peer = FakePeer(node, clock)
        assert peer.status == 500 and b"secret" not in peer.transport.value()
        assert logged.pop().check(KeyError)


class TestSockets:
    def test_replaced(self, node: Node, clock: Clock) -> None:
        """
        Binding a taken id closes the older socket with 4012; its end does not touch the newer one, which begins in no
        room.
        """
        older, oldSocket = connect(node, clock, "u1")
        node.rooms.join("chat", "2", "u1")
        newer, newSocket = connect(node, clock, "u1")
        assert node.rooms.joined("u1") == {}
        node.rooms.join("chat", "1", "u1")
        assert older.closeCode == 4012
        clock.advance(0)
        assert not older.isConnected and newer.isConnected
        assert node.sockets.get("u1") is newSocket
        assert node.rooms.isMember("u1", "chat", "1")
        assert node.clients.send("u1", "hi") == 1
        assert newer.takeFrames() == [Event("hi", None)]

    def test_bindClosed(self, node: Node, clock: Clock) -> None:
        """A socket that has closed meanwhile cannot be bound: there would be nobody to unbind it."""
        peer, socket = connect(node, clock)
        peer.leave()
        with pytest.raises(SocketClosed):
            node.sockets.bind("u1", socket)
        assert node.sockets.count() == 0

    def test_background(self, node: Node, clock: Clock) -> None:
        """A client that stays in the background is cut after C{background_close_after}; one that comes back is not."""
        staying, first = connect(node, clock)
        returning, second = connect(node, clock)
        first.enterBackground()
        second.enterBackground()
        clock.pump([9.0, 0])
        second.leaveBackground()
        clock.pump([1.0, 0])
        assert not staying.isConnected and returning.isConnected
        assert node.counters["clients_background"] == 1

    def test_closeInBackground(self, node: Node, clock: Clock) -> None:
        """A client that leaves while it is in the background leaves no timer."""
        peer, socket = connect(node, clock)
        socket.enterBackground()
        peer.leave()
        assert clock.getDelayedCalls() == []

    def test_noAnswerToClose(self, node: Node, clock: Clock) -> None:
        """A client that does not answer a close frame is cut some seconds later."""
        peer, socket = connect(node, clock)
        peer.answersClose = False
        socket.close(4010)
        assert not socket.isOpen and peer.isConnected
        clock.pump([3.0, 0])
        assert not peer.isConnected
        assert clock.getDelayedCalls() == []

    def test_sendWhileClosing(self, node: Node, clock: Clock) -> None:
        """Nothing is sent to a closing client, and that is counted."""
        peer, socket = connect(node, clock, "u1")
        socket.close()
        assert socket.send("late") is False
        assert node.clients.send("u1", "late") == 0
        assert node.counters["messages_skipped"] == 2
        assert peer.takeTexts() == []

    def test_abort(self, node: Node, clock: Clock) -> None:
        """C{abort} ends the connection at once."""
        peer, socket = connect(node, clock)
        socket.abort()
        clock.advance(0)
        assert peer.transport.isAborted and peer.closeCode is None and not socket.isOpen

    def test_longReason(self, node: Node, clock: Clock) -> None:
        """A reason that does not fit into a close frame is cut between characters."""
        peer, socket = connect(node, clock)
        socket.close(4010, "ä" * 100)
        assert peer.closeReason == "ä" * 61


class TestStopping:
    def test_closesClients(self, node: Node, clock: Clock) -> None:
        """Clients are closed with 1001, and stopping fires when they are gone."""
        told: list[str] = []
        node.lifecycle.on("serverClose", lambda: told.append("serverClose"))
        node.startService()
        peers = [connect(node, clock)[0] for _ in range(3)]
        stopping = node.stopService()
        assert [peer.closeCode for peer in peers] == [1001] * 3
        clock.advance(0)
        assert stopping.called and told == ["serverClose"]
        assert clock.getDelayedCalls() == []

    def test_clientsThatDoNotAnswer(self, node: Node, clock: Clock) -> None:
        """Those that do not answer are cut after a second."""
        node.startService()
        peer, _ = connect(node, clock)
        peer.answersClose = False
        stopping = node.stopService()
        assert not stopping.called
        clock.pump([1.0, 0])
        assert stopping.called and not peer.isConnected
        assert clock.getDelayedCalls() == []

    def test_nobodyComesIn(self, node: Node, clock: Clock) -> None:
        """From then on handshakes get 503: new ones, and those that are being decided."""
        node.startService()
        answer: Deferred[str] = Deferred()
        node.authenticate = lambda request: answer
        factory = node.webSocketFactory()
        deciding, beginning = FakePeer(factory, clock), FakePeer(factory, clock, request=b"GET")
        node.stopService()
        assert deciding.status == beginning.status == FakePeer(factory, clock).status == 503
        assert FakePeer(factory, clock, request=b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").status == 503
        clock.advance(30)
        assert clock.getDelayedCalls() == []

    def test_twice(self, node: Node, clock: Clock) -> None:
        """A node that stops already is not stopped again: both who asked are told when it has."""
        node.startService()
        peer, _ = connect(node, clock)
        peer.answersClose = False
        closing: list[None] = []
        node.lifecycle.on("serverClose", lambda: closing.append(None))
        first, second = node.stopService(), node.stopService()
        assert not first.called and not second.called
        clock.pump([1.0, 0])
        assert first.called and second.called and node.stopService().called
        assert closing == [None]
        assert clock.getDelayedCalls() == []

    def test_inAListener(self, node: Node, clock: Clock) -> None:
        """A listener of C{serverClose} that stops the node, too, is told with the others."""
        stopping: list[Deferred[None]] = []
        node.lifecycle.on("serverClose", lambda: stopping.append(node.stopService()))
        node.startService()
        stopping.append(node.stopService())
        assert [each.called for each in stopping] == [True, True]

    def test_again(self, node: Node, clock: Clock) -> None:
        """A node that has stopped can be started again, and serves."""
        factory = node.webSocketFactory()
        for _ in range(2):
            node.startService()
            peer = FakePeer(factory, clock)
            assert peer.status == 101
            stopping = node.stopService()
            clock.advance(0)
            assert stopping.called and not peer.isConnected
            assert FakePeer(factory, clock).status == 503

    def test_busThatDoesNotStop(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        """If the bus fails to stop, who waits for the end is told so, and does not wait for ever."""
        monkeypatch.setattr(MemoryLink, "stop", lambda self: fail(BusUnavailable("It hangs.")))
        node.startService()
        faults: list[Any] = []
        node.stopService().addErrback(faults.append)
        assert [fault.type for fault in faults] == [BusUnavailable]
        assert node.stopService().called

    def test_beforeItHasJoined(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        """A node that stops while its bus has never been there was not refused: that is no error of the server."""
        waiting: list[Deferred[None]] = []

        def subscribe(link: MemoryLink, channel: str) -> Deferred[None]:
            waiting.append(Deferred())
            return waiting[-1]

        def stop(link: MemoryLink) -> Deferred[None]:
            for each in waiting:
                each.errback(BusUnavailable("The bus was stopped."))
            return succeed(None)

        monkeypatch.setattr(MemoryLink, "subscribe", subscribe)
        monkeypatch.setattr(MemoryLink, "stop", stop)
        node = Node("serverA", clock=clock)
        told: list[Any] = []
        node.lifecycle.on("serverError", told.append)
        node.startService()
        node.whenJoined().addErrback(lambda failure: told.append(failure.type))
        assert node.stopService().called
        assert told == [CancelledError]

    def test_withoutServiceStart(self, node: Node, clock: Clock) -> None:
        """A node that was never started serves clients of this process all the same."""
        node.clients.on("ask", lambda socket, payload: "served")
        peer, _ = connect(node, clock)
        peer.sendEvent("ask", None, "1")
        assert peer.takeFrames() == [Reply("1", "served")]


def test_nameIsNeededBeyondTheProcess() -> None:
    """A bus that leaves the process needs nodes with names."""

    class FarBus:
        leavesProcess = True

    with pytest.raises(ValueError, match="serverName"):
        Node(bus=FarBus())  # type: ignore[arg-type]
