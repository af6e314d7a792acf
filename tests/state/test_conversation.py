"""What a client and its server say to each other (through the whole client)."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from tests.clientfakes import Rig, faultOf, isWaiting, resultOf
from twisted_crossws.errors import CallTimeout, NotConnected, RemoteError
from twisted_crossws.state.conversation import MAX_MESSAGE_BYTES


class TestEvents:
    def test_emit(self) -> None:
        """emit() sends an event of wire section 1, without a callbackId."""
        rig = Rig()
        server = rig.connected()
        rig.client.emit("say", {"text": "hü"})
        rig.client.emit("ping")
        assert server.events() == [{"event": "say", "payload": {"text": "hü"}}, {"event": "ping", "payload": None}]

    def test_emitNotConnected(self) -> None:
        """emit() without a connection raises NotConnected: never connected, connecting, lost, closing."""
        rig = Rig()
        with pytest.raises(NotConnected, match="'say' was not sent"):
            rig.client.emit("say")
        rig.client.connect()
        with pytest.raises(NotConnected):
            rig.client.emit("say")
        server = rig.accept()
        server.sendClose(1001)
        with pytest.raises(NotConnected):
            rig.client.emit("say")
        assert server.events() == []

    @pytest.mark.parametrize("event", ["", None, 7])
    def test_badEvent(self, event: Any) -> None:
        """An event that is not a non-empty string is a TypeError, everywhere."""
        rig = Rig()
        rig.connected()
        for method in (rig.client.emit, rig.client.call):
            with pytest.raises(TypeError):
                method(event)
        for method in (rig.client.on, rig.client.once):
            with pytest.raises(TypeError):
                method(event, print)

    def test_badPayload(self) -> None:
        """A payload that JSON has no form for is a TypeError, and nothing is sent or waited for."""
        rig = Rig(pingInterval=0)
        server = rig.connected()
        for method in (rig.client.emit, rig.client.call):
            with pytest.raises(TypeError):
                method("say", object())
        assert server.events() == [] and not rig.clock.getDelayedCalls()

    def test_bigPayload(self) -> None:
        """A payload beyond 16 MiB is a ValueError, and nothing is sent or waited for."""
        rig = Rig(pingInterval=0)
        server = rig.connected()
        for method in (rig.client.emit, rig.client.call):
            with pytest.raises(ValueError, match="bytes"):
                method("say", "x" * MAX_MESSAGE_BYTES)
        assert server.events() == [] and not rig.clock.getDelayedCalls()

    def test_listeners(self) -> None:
        """Listeners run in order, with the payload; on() is a decorator, too."""
        rig = Rig()
        heard: list[Any] = []
        rig.client.on("said", lambda payload: heard.append(("a", payload)))

        @rig.client.on("said")
        def second(payload: Any) -> None:
            heard.append(("b", payload))

        rig.connected().emit("said", [1])
        assert heard == [("a", [1]), ("b", [1])]

    def test_onceAndOff(self) -> None:
        """once() is for one time, off() takes away by listener, by tag, or all."""
        rig = Rig()
        heard: list[str] = []
        rig.client.once("said", lambda _: heard.append("once"))
        first = rig.client.on("said", lambda _: heard.append("first"))
        rig.client.on("said", lambda _: heard.append("tagged"), tag="t")
        rig.client.on("said", lambda _: heard.append("last"))
        server = rig.connected()
        server.emit("said")
        rig.client.off("said", first)
        server.emit("said")
        rig.client.off("said", "t")
        server.emit("said")
        rig.client.off("said")
        server.emit("said")
        assert heard == ["once", "first", "tagged", "last", "tagged", "last", "last"]

    def test_failingListener(self, logged: list[Failure]) -> None:
        """A listener that raises, or whose Deferred or coroutine fails, is logged, and the next one runs."""
        rig = Rig()
        heard: list[Any] = []
        later: Deferred[None] = Deferred()

        async def failing(payload: Any) -> None:
            raise KeyError(payload)

        rig.client.on("said", lambda payload: 1 // 0)
        rig.client.on("said", lambda payload: later)
        rig.client.on("said", failing)
        rig.client.on("said", heard.append)
        rig.connected().emit("said", "p")
        later.errback(Failure(IndexError()))
        assert heard == ["p"]
        assert [failure.type for failure in logged] == [ZeroDivisionError, KeyError, IndexError]
        logged.clear()
        assert rig.client.isConnected

    def test_failingLifecycleListener(self, logged: list[Failure]) -> None:
        """A lifecycle listener that fails is logged, and disturbs neither the next one nor the client."""
        rig = Rig()
        rig.client.lifecycle.off("open")
        heard: list[str] = []
        rig.client.lifecycle.on("open", lambda: 1 // 0)
        rig.client.lifecycle.on("open", lambda: heard.append("open"))
        connected = rig.client.connect()
        rig.accept()
        assert resultOf(connected) is None and heard == ["open"]
        assert [failure.type for failure in logged] == [ZeroDivisionError]
        logged.clear()

    @pytest.mark.parametrize("event", ["_hello_", "_", "__", "_x_"])
    def test_protocolEvents(self, event: str) -> None:
        """Events that start and end with an underscore reach no listener, and none can be added."""
        rig = Rig()
        heard: list[Any] = []
        with pytest.raises(ValueError, match="protocol's own"):
            rig.client.on(event, heard.append)
        rig.client.on("_x", heard.append)
        server = rig.connected()
        server.emit(event, {"version": 2})
        server.emit("_x", 1)
        assert heard == [1]

    def test_lifecycleCannotBeForged(self) -> None:
        """A server's event of the name of a lifecycle event does not reach the lifecycle."""
        rig = Rig()
        rig.connected().emit("close", 1)
        assert [entry[0] for entry in rig.events] == ["open", "message"]

    @pytest.mark.parametrize("text", [b"no json", b"[]", b'{"payload":1}', b'{"event":""}', b"7"])
    def test_noFrame(self, text: bytes) -> None:
        """A text that is no frame goes to the lifecycle's message only."""
        rig = Rig()
        server = rig.connected()
        server.sendText(text)
        assert rig.told("message") == [("message", text.decode())]
        assert rig.client.isConnected

    def test_message(self) -> None:
        """message() is told of frames, too, before their listeners."""
        rig = Rig()
        rig.client.on("said", lambda payload: rig.events.append(("said", payload)))
        rig.connected().emit("said", 1)
        assert rig.events[1:] == [("message", '{"event":"said","payload":1}'), ("said", 1)]

    def test_nobodyAsksForMessages(self) -> None:
        """Events are told to their listeners whether or not anybody listens to message()."""
        rig = Rig()
        rig.client.lifecycle.off("message")
        heard: list[Any] = []
        rig.client.on("said", heard.append)
        rig.connected().emit("said", 1)
        assert heard == [1] and rig.events == [("open",)]

    def test_binaryFrame(self) -> None:
        """A binary message is read as if it were text, and one that is no UTF-8 harms nobody."""
        rig = Rig()
        heard: list[Any] = []
        rig.client.on("a", heard.append)
        server = rig.connected()
        server.sendBinary(b'{"event":"a","payload":1}')
        server.sendBinary(b"\xff")
        assert heard == [1]
        assert rig.client.isConnected
        assert rig.told("message")[-1] == ("message", "\ufffd")

    def test_rfc6455Ping(self) -> None:
        """The server's own pings are answered (wire section 1: who does not is cut)."""
        rig = Rig()
        server = rig.connected()
        server.answer(b"\x89\x02hi")
        assert server.frames() == [(10, b"hi")]


class TestCalls:
    def test_reply(self) -> None:
        """A call fires with the payload of its reply, and leaves no timer."""
        rig = Rig(pingInterval=0)
        server = rig.connected()
        reply = rig.client.call("say", {"text": "hi"})
        (event,) = server.events()
        assert (event["event"], event["payload"]) == ("say", {"text": "hi"})
        assert isWaiting(reply)
        server.reply({"heard": True})
        assert resultOf(reply) == {"heard": True}
        assert not rig.clock.getDelayedCalls()

    def test_ids(self) -> None:
        """Each call has an id of its own of at most 64 characters, also in another client, and gets its own reply."""
        rig, other = Rig(), Rig(random=lambda: 0.25)
        servers = [rig.connected(), other.connected()]
        first = rig.client.call("a")
        servers[0].reply(1)
        second = rig.client.call("b")
        other.client.call("c")
        ids = [event["callbackId"] for server in servers for event in server.events()]
        assert len(set(ids)) == 3 and all(0 < len(each) <= 64 for each in ids)
        servers[0].reply(2)
        assert (resultOf(first), resultOf(second)) == (1, 2)

    def test_nullReply(self) -> None:
        """A reply of null is a reply."""
        rig = Rig()
        server = rig.connected()
        reply = rig.client.call("say")
        server.reply(None)
        assert resultOf(reply) is None

    def test_errorReply(self) -> None:
        """An error as the reply is a RemoteError with its code and message."""
        rig = Rig()
        server = rig.connected()
        reply = rig.client.call("say")
        server.replyError("busy", "Try later.")
        fault = faultOf(reply)
        assert isinstance(fault, RemoteError) and (fault.code, fault.message) == ("busy", "Try later.")

    def test_timeout(self) -> None:
        """Without a reply a call fails with CallTimeout, after callTimeout, or its own timeout."""
        rig = Rig(callTimeout=1.5, pingInterval=0)
        server = rig.connected()
        usual, own = rig.client.call("slow"), rig.client.call("slower", timeout=4.0)
        rig.clock.advance(1.4)
        assert isWaiting(usual)
        rig.clock.advance(0.2)
        fault = faultOf(usual)
        assert isinstance(fault, CallTimeout) and "'slow'" in str(fault) and "1.5 seconds" in str(fault)
        assert isWaiting(own)
        rig.clock.advance(2.5)
        assert isinstance(faultOf(own), CallTimeout)
        server.reply("late")
        assert rig.client.isConnected and not rig.clock.getDelayedCalls()

    def test_defaultTimeout(self) -> None:
        """callTimeout is 5 seconds by default."""
        rig = Rig()
        rig.connected()
        reply = rig.client.call("slow")
        rig.clock.advance(4.9)
        assert isWaiting(reply)
        rig.clock.advance(0.2)
        assert isinstance(faultOf(reply), CallTimeout)

    def test_badNumbers(self) -> None:
        """A negative time is a ValueError."""
        rig = Rig()
        rig.connected()
        with pytest.raises(ValueError, match="timeout"):
            rig.client.call("say", timeout=-1)
        with pytest.raises(ValueError, match="pendingAfter"):
            rig.client.call("say", pendingAfter=-1)

    def test_notConnected(self) -> None:
        """A call without a connection fails at once with NotConnected, and says nothing later."""
        rig = Rig()
        assert isinstance(faultOf(rig.client.call("say", onPending=print)), NotConnected)
        assert not rig.clock.getDelayedCalls()
        assert rig.connected().events() == []

    def test_loss(self) -> None:
        """Calls in flight fail with NotConnected when the connection is lost, before close is told."""
        rig = Rig()
        server = rig.connected()
        reply = rig.client.call("say")
        reply.addErrback(lambda failure: rig.events.append(("reply", failure.type)))
        server.crash()
        assert [entry[0] for entry in rig.events] == ["open", "reply", "close", "reconnect"]
        assert rig.events[1][1] is NotConnected

    @pytest.mark.parametrize("how", ["close", "reconnect"])
    def test_ownEnd(self, how: str) -> None:
        """Calls in flight fail with NotConnected at once when the client itself ends the connection."""
        rig = Rig()
        rig.connected()
        reply = rig.client.call("say")
        getattr(rig.client, how)()
        assert isinstance(faultOf(reply), NotConnected)

    def test_replyOnTheNextConnection(self) -> None:
        """A reply to a call of an earlier connection finds nobody."""
        rig = Rig()
        first = rig.connected()
        rig.client.call("say").addErrback(lambda _: None)
        callbackId = first.events()[0]["callbackId"]
        first.crash()
        rig.clock.advance(3)
        second = rig.accept()
        reply = rig.client.call("again")
        second.sendText(b'{"payload":1,"callbackId":"%b"}' % callbackId.encode())
        assert isWaiting(reply)
        second.reply(2)
        assert resultOf(reply) == 2

    def test_cancel(self) -> None:
        """A cancelled call is forgotten, with its timers."""
        rig = Rig(pingInterval=0)
        rig.connected()
        reply = rig.client.call("say", onPending=print)
        reply.cancel()
        assert isinstance(faultOf(reply), CancelledError)
        assert not rig.clock.getDelayedCalls()

    def test_callInErrback(self) -> None:
        """Whoever calls again when a call fails by a loss gets NotConnected, not an endless wait."""
        rig = Rig()
        server = rig.connected()
        reply = rig.client.call("say").addErrback(lambda _: rig.client.call("say"))
        server.crash()
        assert isinstance(faultOf(reply), NotConnected)


class TestPending:
    def started(self, **options: Any) -> tuple[Rig, Any, Deferred[Any], list[bool]]:
        rig = Rig(pingInterval=0)
        server = rig.connected()
        told: list[bool] = []
        return rig, server, rig.client.call("slow", onPending=told.append, **options), told

    def test_slowReply(self) -> None:
        """onPending(True) comes after 0.1 seconds without a reply, and onPending(False) with the reply."""
        rig, server, reply, told = self.started()
        rig.clock.advance(0.09)
        assert told == []
        rig.clock.advance(0.02)
        assert told == [True]
        reply.addCallback(lambda value: (value, list(told)))
        server.reply(7)
        assert resultOf(reply) == (7, [True, False])
        assert not rig.clock.getDelayedCalls()

    def test_quickReply(self) -> None:
        """For a quick reply onPending is not called at all."""
        rig, server, reply, told = self.started()
        server.reply(7)
        rig.clock.advance(10)
        assert resultOf(reply) == 7 and told == []

    def test_timeout(self) -> None:
        """onPending(False) comes also when the call times out."""
        rig, _, reply, told = self.started()
        rig.clock.advance(1)
        rig.clock.advance(5)
        assert isinstance(faultOf(reply), CallTimeout) and told == [True, False]

    def test_loss(self) -> None:
        """onPending(False) comes also when the connection is lost."""
        rig, server, reply, told = self.started()
        rig.clock.advance(1)
        server.crash()
        assert isinstance(faultOf(reply), NotConnected) and told == [True, False]

    def test_ownPendingAfter(self) -> None:
        """A call can have a pendingAfter of its own, and the client another default."""
        rig, _, reply, told = self.started(pendingAfter=2.0)
        rig.clock.advance(1.9)
        assert told == []
        rig.clock.advance(0.2)
        assert told == [True]
        reply.addErrback(lambda _: None).cancel()
        patient = Rig(pendingAfter=3.0)
        patient.connected()
        later: list[bool] = []
        patient.client.call("slow", onPending=later.append)
        patient.clock.advance(2.9)
        assert later == []
        patient.clock.advance(0.2)
        assert later == [True]

    def test_failingOnPending(self, logged: list[Failure]) -> None:
        """An onPending that fails is logged, and does not touch the call."""
        rig = Rig()
        server = rig.connected()
        reply = rig.client.call("slow", onPending=lambda isPending: 1 // 0)
        rig.clock.advance(1)
        server.reply(7)
        assert resultOf(reply) == 7
        assert [failure.type for failure in logged] == [ZeroDivisionError] * 2
        logged.clear()
