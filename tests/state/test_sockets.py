"""The application's handles of its clients, and which of them has which socketId."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.internet.task import Clock

from twisted_crossws.errors import CloseCode, SocketClosed
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.sockets import Socket, Sockets
from twisted_crossws.wire.rfc6455 import Prepared


class FakeChannel:
    """
    A way to a client that writes down what it is asked to do.

    @ivar done: in order, what was asked for.
    """

    def __init__(self) -> None:
        self.open = True
        self.done: list[tuple[Any, ...]] = []

    def isOpen(self) -> bool:
        return self.open

    def sendText(self, text: bytes) -> bool:
        self.done.append(("text", text))
        return self.open

    def sendBytes(self, data: bytes) -> bool:
        self.done.append(("bytes", data))
        return self.open

    def sendPrepared(self, message: Prepared) -> bool:
        self.done.append(("prepared", message.text))
        return self.open

    def close(self, code: int, reason: str) -> None:
        self.done.append(("close", code, reason))
        self.open = False

    def abort(self, reason: str) -> None:
        self.done.append(("abort", reason))
        self.open = False

    def fault(self, code: int, reason: str) -> None:
        self.done.append(("fault", code, reason))
        self.open = False


class FakeRequest:
    """The request of a client at a documentation address."""

    path = "chat"
    params: dict[str, str | list[str]] = {"token": "secret"}
    headers: dict[str, str] = {}
    peer = "192.0.2.1:5000"
    version = 1


class FakeHost:
    """What the sockets of a node share."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.backgroundCloseAfter = 10.0


class Opened:
    """A socket, with all that it has to do with."""

    def __init__(self) -> None:
        self.host = FakeHost()
        self.channel = FakeChannel()
        self.request = FakeRequest()
        self.socket = Socket(self.channel, self.request, self.host)


@pytest.fixture
def opened() -> Opened:
    return Opened()


class TestSocket:
    def test_new(self, opened: Opened) -> None:
        """A new socket is open, unbound, owes no answers, and speaks no extensions."""
        socket = opened.socket
        assert socket.isOpen
        assert socket.socketId is None
        assert socket.request is opened.request
        assert socket.unanswered == 0
        assert socket.speaksErrors is False
        assert Socket(opened.channel, opened.request, opened.host, speaksErrors=True).speaksErrors is True

    def test_data(self, opened: Opened) -> None:
        """Each socket has a dict of the application's own, which stays the same."""
        opened.socket.data["name"] = "Sam"
        assert opened.socket.data == {"name": "Sam"}
        assert Opened().socket.data == {}

    def test_isOpen(self, opened: Opened) -> None:
        """It is closed as soon as either side has begun to close."""
        opened.channel.open = False
        assert not opened.socket.isOpen

    def test_send(self, opened: Opened) -> None:
        """An event is written as a client frame without a callbackId, and counted."""
        assert opened.socket.send("said", {"text": "hi"}) is True
        assert opened.socket.send("left") is True
        frames = [json.loads(text) for _, text in opened.channel.done]
        assert frames == [{"event": "said", "payload": {"text": "hi"}}, {"event": "left", "payload": None}]
        assert opened.host.counters["messages_sent"] == 2
        assert opened.host.counters["messages_skipped"] == 0

    def test_sendClosing(self, opened: Opened) -> None:
        """To a closing one nothing is sent, and that is counted."""
        opened.channel.open = False
        assert opened.socket.send("said", 1) is False
        assert opened.host.counters["messages_sent"] == 0
        assert opened.host.counters["messages_skipped"] == 1

    def test_sendNoForm(self, opened: Opened) -> None:
        """A payload without a form in JSON is the caller's mistake: nothing is sent or counted."""
        with pytest.raises(TypeError):
            opened.socket.send("said", object())
        assert opened.channel.done == []
        assert opened.host.counters == Counters()

    @pytest.mark.parametrize("event", ["", None, 5])
    def test_sendBadEvent(self, opened: Opened, event: Any) -> None:
        """So is an event that is no name."""
        with pytest.raises(TypeError, match="non-empty string"):
            opened.socket.send(event, 1)
        assert opened.channel.done == []

    @pytest.mark.parametrize(("text", "sent"), [(b"{}", b"{}"), ("hü\U0001f600", "hü\U0001f600".encode()), ("", b"")])
    def test_sendText(self, opened: Opened, text: str | bytes, sent: bytes) -> None:
        """A text is sent as it is, and counted as an event is."""
        assert opened.socket.sendText(text) is True
        opened.channel.open = False
        assert opened.socket.sendText(text) is False
        assert opened.channel.done == [("text", sent)] * 2
        assert (opened.host.counters["messages_sent"], opened.host.counters["messages_skipped"]) == (1, 1)

    @pytest.mark.parametrize("data", [b"\xff\x00", bytearray(b"\xff\x00"), memoryview(b"\xff\x00")])
    def test_sendBytes(self, opened: Opened, data: Any) -> None:
        """So are bytes, whatever they are in."""
        assert opened.socket.sendBytes(data) is True
        opened.channel.open = False
        assert opened.socket.sendBytes(data) is False
        assert opened.channel.done == [("bytes", b"\xff\x00")] * 2
        assert (opened.host.counters["messages_sent"], opened.host.counters["messages_skipped"]) == (1, 1)

    def test_noText(self, opened: Opened) -> None:
        """What is no text, or no bytes, is the caller's mistake."""
        for text in (5, None, {"a": 1}, "\ud800", b"\xff", bytearray(b"x")):
            with pytest.raises(TypeError):
                opened.socket.sendText(text)  # type: ignore[arg-type]
        for data in ("text", 5, None, [1]):
            with pytest.raises(TypeError):
                opened.socket.sendBytes(data)  # type: ignore[arg-type]
        assert opened.channel.done == []

    def test_callerCounts(self, opened: Opened) -> None:
        """Replies and messages to many are counted by whoever sends them."""
        assert opened.socket.sendReply(b"reply") is True
        assert opened.socket.sendPrepared(Prepared(b"many")) is True
        opened.channel.open = False
        assert opened.socket.sendReply(b"reply") is False
        assert opened.socket.sendPrepared(Prepared(b"many")) is False
        assert opened.channel.done == [("text", b"reply"), ("prepared", b"many")] * 2
        assert opened.host.counters == Counters()

    def test_close(self, opened: Opened) -> None:
        """It says goodbye with a code and a reason, by default that nothing is wrong."""
        opened.socket.close()
        opened.socket.close(4010, "logged out")
        assert opened.channel.done == [("close", 1000, ""), ("close", 4010, "logged out")]

    @pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999, CloseCode.REPLACED])
    def test_closeCodes(self, opened: Opened, code: int) -> None:
        """Codes that a close frame may carry are sent as plain numbers."""
        opened.socket.close(code)
        [(_, sent, _)] = opened.channel.done
        assert sent == code
        assert type(sent) is int

    @pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 70000])
    def test_closeCodesNotSent(self, opened: Opened, code: int) -> None:
        """Reserved codes and those without a meaning are the caller's mistake, and nothing is closed."""
        with pytest.raises(ValueError, match=str(code)):
            opened.socket.close(code)
        assert opened.channel.done == []

    @pytest.mark.parametrize("reason", [5, None, b"bye"])
    def test_closeReason(self, opened: Opened, reason: Any) -> None:
        """So is a reason that is no string."""
        with pytest.raises(TypeError, match="reason"):
            opened.socket.close(4010, reason)
        assert opened.channel.done == []

    def test_abort(self, opened: Opened) -> None:
        """It is cut at once, without a goodbye."""
        opened.socket.abort()
        assert [done[0] for done in opened.channel.done] == ["abort"]

    def test_fault(self, opened: Opened) -> None:
        """A limit that was broken is told to whoever holds the connection, with code and reason."""
        opened.socket.fault(1008, "too many frames")
        assert opened.channel.done == [("fault", 1008, "too many frames")]

    def test_repr(self, opened: Opened) -> None:
        """In a log it says who and from where, and nothing of the URL."""
        assert repr(opened.socket) == "<Socket None of 192.0.2.1:5000, open>"
        opened.socket.socketId = "ann"
        opened.channel.open = False
        assert repr(opened.socket) == "<Socket 'ann' of 192.0.2.1:5000, closed>"

    def test_reprOfHostileId(self, opened: Opened) -> None:
        """An id that a client chose does not flood or forge a log."""
        opened.socket.socketId = "\r\n\x1b[31m" + "x" * 10_000
        assert repr(opened.socket).isprintable()
        assert len(repr(opened.socket)) < 300


class TestBackground:
    def test_cut(self, opened: Opened) -> None:
        """Who stays in the background is cut when its time is over, not before, and that is counted."""
        opened.socket.enterBackground()
        opened.host.clock.advance(9.9)
        assert opened.channel.done == []
        opened.host.clock.advance(0.2)
        assert opened.channel.done == [("abort", "too long in the background")]
        assert opened.host.counters["clients_background"] == 1

    def test_back(self, opened: Opened) -> None:
        """Who comes back in time stays, and no timer is left."""
        opened.socket.enterBackground()
        opened.host.clock.advance(9.9)
        opened.socket.leaveBackground()
        assert opened.host.clock.getDelayedCalls() == []
        assert opened.socket.isOpen

    def test_again(self, opened: Opened) -> None:
        """Each time in the background counts from its own beginning."""
        opened.socket.enterBackground()
        opened.host.clock.advance(9.0)
        opened.socket.leaveBackground()
        opened.socket.enterBackground()
        opened.host.clock.advance(9.0)
        assert opened.socket.isOpen
        opened.host.clock.advance(1.0)
        assert not opened.socket.isOpen

    def test_twice(self, opened: Opened) -> None:
        """Saying so again does not begin it anew."""
        opened.socket.enterBackground()
        opened.host.clock.advance(9.0)
        opened.socket.enterBackground()
        assert len(opened.host.clock.getDelayedCalls()) == 1
        opened.host.clock.advance(1.0)
        assert not opened.socket.isOpen

    def test_closed(self, opened: Opened) -> None:
        """A socket that is closing is not watched."""
        opened.channel.open = False
        opened.socket.enterBackground()
        assert opened.host.clock.getDelayedCalls() == []

    def test_leaveOnly(self, opened: Opened) -> None:
        """Who was not in the background, or was cut there, can come back from it without harm."""
        opened.socket.leaveBackground()
        opened.socket.enterBackground()
        opened.host.clock.advance(10.0)
        opened.socket.leaveBackground()
        assert opened.host.counters["clients_background"] == 1


class TestSockets:
    def setup_method(self) -> None:
        self.unbound: list[str] = []
        self.sockets = Sockets(self.unbound.append)

    def bound(self, socketId: str) -> Opened:
        opened = Opened()
        self.sockets.bind(socketId, opened.socket)
        return opened

    def test_bind(self) -> None:
        """A bound socket knows its id, is found by it, and counts."""
        ann = self.bound("ann")
        assert ann.socket.socketId == "ann"
        assert self.sockets.get("ann") is ann.socket
        assert self.sockets.get("bob") is None
        assert self.sockets.count() == 1
        assert list(self.sockets) == [ann.socket]

    @pytest.mark.parametrize("socketId", ["", None, 5, b"ann", ["ann"]])
    def test_malformedId(self, socketId: Any) -> None:
        """An id that is not a non-empty string is the caller's mistake."""
        opened = Opened()
        with pytest.raises(TypeError, match="non-empty string"):
            self.sockets.bind(socketId, opened.socket)
        assert opened.socket.socketId is None
        assert self.sockets.count() == 0

    def test_bindClosed(self) -> None:
        """A socket that is closed cannot be bound any more, and does not replace anybody."""
        ann = self.bound("ann")
        late = Opened()
        late.channel.open = False
        with pytest.raises(SocketClosed, match="'ann'"):
            self.sockets.bind("ann", late.socket)
        assert self.sockets.get("ann") is ann.socket
        assert ann.socket.isOpen

    def test_bindAgain(self) -> None:
        """Binding a socket to the id that it has changes nothing."""
        ann = self.bound("ann")
        self.sockets.bind("ann", ann.socket)
        assert ann.channel.done == []
        assert self.unbound == []
        assert self.sockets.count() == 1

    def test_replace(self) -> None:
        """A newer socket takes an id over: the older is closed with 4012, and its rooms are left."""
        older = self.bound("ann")
        newer = self.bound("ann")
        assert self.sockets.get("ann") is newer.socket
        assert [done[:2] for done in older.channel.done] == [("close", 4012)]
        assert newer.channel.done == []
        assert self.unbound == ["ann"]
        assert self.sockets.count() == 1

    def test_newerIsInPlaceWhenOlderCloses(self) -> None:
        """By the time that the older one is closed, the newer one can be addressed already."""
        older, newer = self.bound("ann"), Opened()
        seen: list[Socket | None] = []
        older.channel.close = lambda code, reason: seen.append(self.sockets.get("ann"))  # type: ignore[method-assign]
        self.sockets.bind("ann", newer.socket)
        assert seen == [newer.socket]

    def test_releaseOfOlder(self) -> None:
        """When the older of two sockets is gone, the newer one keeps the id and its rooms."""
        older, newer = self.bound("ann"), self.bound("ann")
        self.unbound.clear()
        self.sockets.release(older.socket)
        assert self.sockets.get("ann") is newer.socket
        assert self.unbound == []
        assert older.socket.socketId == "ann"

    def test_release(self) -> None:
        """A closed socket gives its id up, whose rooms are left, and still says whose it was."""
        ann = self.bound("ann")
        self.sockets.release(ann.socket)
        assert self.sockets.get("ann") is None
        assert self.unbound == ["ann"]
        assert ann.socket.socketId == "ann"

    def test_releaseTwice(self) -> None:
        """An id is given up once; who has none gives none up."""
        ann = self.bound("ann")
        self.sockets.release(ann.socket)
        self.sockets.release(ann.socket)
        self.sockets.release(Opened().socket)
        assert self.unbound == ["ann"]

    def test_newId(self) -> None:
        """A socket has one id: a new one takes the place of the old one, whose rooms are left."""
        ann = self.bound("ann")
        self.sockets.bind("anna", ann.socket)
        assert self.sockets.get("ann") is None
        assert self.sockets.get("anna") is ann.socket
        assert ann.socket.socketId == "anna"
        assert self.unbound == ["ann"]
        assert ann.socket.isOpen

    def test_newIdOfAnother(self) -> None:
        """A socket that takes another's id leaves its own, and the other is replaced."""
        ann, bob = self.bound("ann"), self.bound("bob")
        self.sockets.bind("bob", ann.socket)
        assert self.sockets.get("ann") is None
        assert self.sockets.get("bob") is ann.socket
        assert self.unbound == ["ann", "bob"]
        assert [done[:2] for done in bob.channel.done] == [("close", 4012)]

    def test_unbind(self) -> None:
        """Unbinding forgets the id, whose rooms are left; the socket stays open and can be bound again."""
        ann = self.bound("ann")
        self.sockets.unbind("ann")
        assert self.sockets.get("ann") is None
        assert ann.socket.socketId is None
        assert ann.socket.isOpen
        assert self.unbound == ["ann"]
        self.sockets.bind("ann", ann.socket)
        assert self.sockets.get("ann") is ann.socket

    def test_unbindUnknown(self) -> None:
        """Unbinding an id that nobody has does nothing."""
        self.sockets.unbind("nobody")
        assert self.unbound == []

    def test_iterateWhileChanging(self) -> None:
        """All bound sockets can be gone through while some of them go."""
        bound = [self.bound(name).socket for name in ("ann", "bob", "cid")]
        seen = []
        for socket in self.sockets:
            seen.append(socket)
            self.sockets.release(socket)
        assert seen == bound
        assert self.sockets.count() == 0


names = st.sampled_from(["ann", "bob", "cid"])


class Bindings(RuleBasedStateMachine):
    """Sockets that come, are bound, unbound and go, against a plain dict of who has which id."""

    def __init__(self) -> None:
        super().__init__()
        self.gone: list[str] = []
        self.sockets = Sockets(self.gone.append)
        self.open: list[Opened] = []
        self.model: dict[str, Socket] = {}

    @rule()
    def come(self) -> None:
        self.open.append(Opened())

    @rule(at=st.integers(0, 5), name=names)
    def bind(self, at: int, name: str) -> None:
        if at < len(self.open):
            opened = self.open[at]
            if not opened.socket.isOpen:
                with pytest.raises(SocketClosed):
                    self.sockets.bind(name, opened.socket)
                return
            self.sockets.bind(name, opened.socket)
            lost = [old for old, socket in self.model.items() if socket is opened.socket and old != name]
            if self.model.get(name) not in (None, opened.socket):
                lost.append(name)
            self.expectGone(lost)
            self.model[name] = opened.socket
            assert opened.socket.socketId == name

    @rule(name=names)
    def unbind(self, name: str) -> None:
        self.sockets.unbind(name)
        self.expectGone([name] if name in self.model else [])

    @rule(at=st.integers(0, 5))
    def go(self, at: int) -> None:
        if at < len(self.open):
            socket = self.open.pop(at).socket
            self.sockets.release(socket)
            self.expectGone([name for name, owner in self.model.items() if owner is socket])

    def expectGone(self, names: list[str]) -> None:
        """Just these ids have lost their sockets."""
        assert self.gone == names
        self.gone.clear()
        for name in names:
            del self.model[name]

    @invariant()
    def sameOwners(self) -> None:
        """The table holds just what the model does; each owner is open and knows its id."""
        assert {socket.socketId: socket for socket in self.sockets} == self.model
        assert self.sockets.count() == len(self.model)
        assert all(socket.isOpen for socket in self.sockets)


Bindings.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
TestBindings = Bindings.TestCase
