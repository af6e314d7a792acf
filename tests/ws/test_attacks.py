"""
What clients may try, and what becomes of it. In each case the node lives on, another client notices nothing, and
something is counted.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import eventAsText, globalLogPublisher

from twisted_crossws import Config, Node, Refuse, WebSocketConfig
from twisted_crossws.testing import FakePeer
from twisted_crossws.wire.rfc6455 import maskedFrame

MASK = b"\x01\x02\x03\x04"


def makeNode(clock: Clock, **options: Any) -> Node:
    node = Node("serverA", clock=clock, config=Config(websocket=WebSocketConfig(**options)))
    node.clients.on("echo", lambda socket, payload: payload)
    return node


def assertServes(node: Node, clock: Clock) -> None:
    """A new client is served as if nothing had been."""
    probe = FakePeer(node, clock)
    probe.sendEvent("echo", "probe", "1")
    assert probe.takeTexts() == ['{"payload":"probe","callbackId":"1"}']


def assertClosed(peer: FakePeer, code: int) -> None:
    """It was sent this close code, and when it has answered the connection is ended."""
    assert peer.closeCode == code
    assert not peer.isConnected


def frame(opcode: int, payload: bytes = b"", final: bool = True) -> bytes:
    return maskedFrame(opcode, payload, MASK, final=final)


class TestHandshake:
    @pytest.mark.parametrize(
        "origin",
        ["http://evil.example", "null", "https://localhost.evil.example", "https://evil.example:9000", "file://", "x"],
    )
    def test_foreignOrigin(self, clock: Clock, origin: str) -> None:
        """1: a page of another host is refused with 403."""
        node = makeNode(clock)
        assert FakePeer(node, clock, headers={"Origin": origin}).status == 403
        assert node.counters["handshakes_foreign_origin"] == 1
        assertServes(node, clock)

    @pytest.mark.parametrize("origin", ["http://localhost:9000", "https://localhost", "http://LOCALHOST:1"])
    def test_ownOrigin(self, clock: Clock, origin: str) -> None:
        """1: a page of the same host comes in, whatever its port; so does a client that is no browser."""
        assert FakePeer(makeNode(clock), clock, headers={"Origin": origin}).status == 101

    @pytest.mark.parametrize("byte", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\n", "\r", "\x00", "\x7f"])
    def test_headerSplitting(self, clock: Clock, byte: str) -> None:
        """2: no byte within a value begins a new header; a request with one that might is refused with 400."""
        node = makeNode(clock)
        seen: list[Any] = []
        node.authenticate = seen.append
        peer = FakePeer(node, clock, headers={"X-Note": f"a{byte}Authorization: forged"})
        assert peer.status == 400
        assert seen == []
        assert node.counters["handshakes_malformed"] == 1

    @pytest.mark.parametrize(
        "query", ["redirect=http://evil.example", "redirect=http://evil.example&after=1", "redirect=x&after=a"]
    )
    def test_noRedirect(self, clock: Clock, query: str) -> None:
        """3: a plain request is never redirected, whatever its URL says."""
        peer = FakePeer(makeNode(clock), clock, request=f"GET /?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert peer.status == 404
        answer = peer.transport.value()
        assert b"evil" not in answer
        assert b"Location" not in answer

    @pytest.mark.parametrize(
        "request_",
        [None, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", b"rubbish\r\n\r\n"],
    )
    def test_noVersion(self, clock: Clock, request_: bytes | None) -> None:
        """4: no answer says which software this is."""
        answer = FakePeer(makeNode(clock), clock, request=request_).transport.value().lower()
        assert answer.startswith(b"http/1.1 ")
        assert b"server:" not in answer
        assert b"twisted" not in answer and b"autobahn" not in answer

    def test_slowHandshake(self, clock: Clock) -> None:
        """5: a handshake that stalls is cut after C{handshake_timeout}."""
        node = makeNode(clock, handshake_timeout=5.0)
        peer = FakePeer(node, clock, request=b"G")
        clock.advance(4.9)
        assert peer.isConnected
        clock.pump([0.2, 0])
        assert peer.transport.isAborted and not peer.isConnected
        assert node.counters["handshakes_timed_out"] == 1

    def test_drippingHandshake(self, clock: Clock) -> None:
        """5: bytes that come one by one do not prolong it."""
        peer = FakePeer(makeNode(clock), clock, request=b"GET /")
        for _ in range(6):
            clock.advance(1)
            peer.sendBytes(b"x")
        assert not peer.isConnected

    def test_endlessHandshake(self, clock: Clock) -> None:
        """6: a head that does not end is refused at 16 KiB, and no more of it is kept."""
        node = makeNode(clock)
        peer = FakePeer(node, clock, request=b"GET / HTTP/1.1\r\n")
        for _ in range(40):
            peer.sendBytes(b"X: " + b"y" * 1000 + b"\r\n")
        assert peer.status == 431
        assert not peer.isConnected
        assert node.counters["handshakes_malformed"] == 1

    def test_handshakeFlood(self, clock: Clock) -> None:
        """7: more handshakes than C{max_handshakes_per_second} get 503; those who are connected notice nothing."""
        node = makeNode(clock, max_handshakes_per_second=10.0, handshake_burst=20)
        probe = FakePeer(node, clock)
        statuses = [FakePeer(node, clock).status for _ in range(30)]
        assert statuses == [101] * 19 + [503] * 11
        assert node.counters["handshakes_over_limit"] == 11
        probe.sendEvent("echo", 1, "1")
        assert len(probe.takeTexts()) == 1
        clock.advance(0.5)
        assert [FakePeer(node, clock).status for _ in range(6)] == [101] * 5 + [503]

    def test_tooManyConnections(self, clock: Clock) -> None:
        """More than C{max_connections} get 503, and a place that is left is given again."""
        node = makeNode(clock, max_connections=2)
        first, _ = FakePeer(node, clock), FakePeer(node, clock)
        assert FakePeer(node, clock).status == 503
        first.leave()
        assert FakePeer(node, clock).status == 101
        assert node.counters["handshakes_over_limit"] == 1

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_mutatedHandshakes(self, data: st.DataObject) -> None:
        """32: whatever a handshake is turned into, it is accepted or answered with an error, and nothing is raised."""
        good = (
            b"GET /chat?id=1 HTTP/1.1\r\nHost: localhost:9000\r\nUpgrade: websocket\r\n"
            b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a, b\r\n"
            b"Origin: http://localhost\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
        )
        mutated = bytearray(good)
        for _ in range(data.draw(st.integers(0, 6))):
            at = data.draw(st.integers(0, max(0, len(mutated) - 1)))
            cut = data.draw(st.integers(0, 12))
            mutated[at : at + cut] = data.draw(st.binary(max_size=12) | st.sampled_from(good.split(b"\r\n")))
        clock = Clock()
        node = makeNode(clock)
        peer = FakePeer(node, clock, request=bytes(mutated) + b"\r\n\r\n")
        assert peer.status is None or peer.status in (101, 200) or 400 <= peer.status < 600
        clock.advance(10)
        assertServes(node, clock)


class TestFrames:
    def test_oversizedFrame(self, clock: Clock) -> None:
        """8: a frame that announces too much is closed with 1009 at its header, before any of it is kept."""
        node = makeNode(clock, max_message_size=65536)
        peer = FakePeer(node, clock)
        peer.sendBytes(b"\x81\xff" + (2**40).to_bytes(8, "big") + MASK)
        assert peer.closeCode == 1009
        for _ in range(10):
            peer.sendBytes(b"x" * 65536)
        clock.pump([3, 0])
        assert not peer.isConnected
        assert node.counters["clients_oversized"] == 1
        assertServes(node, clock)

    def test_largestMessage(self, clock: Clock) -> None:
        """8: a message of exactly C{max_message_size} is served."""
        peer = FakePeer(makeNode(clock, max_message_size=1000), clock)
        text = '{"event":"echo","callbackId":"1","payload":"' + "x" * 954 + '"}'
        peer.sendText(text)
        assert len(text) == 1000 and len(peer.takeTexts()) == 1
        peer.sendText(text + " ")
        assertClosed(peer, 1009)

    def test_emptyFragments(self, clock: Clock) -> None:
        """9: a message of endless empty frames is closed with 1008 after C{max_fragments}."""
        node = makeNode(clock, max_fragments=128)
        peer = FakePeer(node, clock)
        peer.sendBytes(frame(1, final=False) + frame(0, final=False) * 127)
        assert peer.closeCode is None
        peer.sendBytes(frame(0, final=False) * 1000)
        assert peer.closeCode == 1008
        assert node.counters["clients_flooding"] == 1

    def test_fragmentsUpToTheLimit(self, clock: Clock) -> None:
        """9: a message of C{max_fragments} frames is served, and the count begins anew with each message."""
        peer = FakePeer(makeNode(clock, max_fragments=3), clock)
        for _ in range(3):
            parts = [b'{"event":"echo",', b'"callbackId":"1",', b'"payload":1}']
            peer.sendBytes(frame(1, parts[0], False) + frame(0, parts[1], False) + frame(0, parts[2]))
        assert len(peer.takeTexts()) == 3

    def test_smallFragments(self, clock: Clock) -> None:
        """10: fragments are held to the size limit together."""
        node = makeNode(clock, max_message_size=1000, max_fragments=100_000)
        peer = FakePeer(node, clock)
        peer.sendBytes(frame(1, b"xx", False) + frame(0, b"xx", False) * 499)
        assert peer.closeCode is None
        peer.sendBytes(frame(0, b"xx", False))
        assert peer.closeCode == 1009

    def test_compressionBomb(self, clock: Clock) -> None:
        """11: a message is held to the size limit as it is inflated, not as it came."""
        node = makeNode(clock, compression=True, max_message_size=65536)
        peer = FakePeer(node, clock, headers={"Sec-WebSocket-Extensions": "permessage-deflate"})
        assert b"permessage-deflate" in peer.transport.value()
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        bomb = (deflate.compress(b"x" * 50_000_000) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
        assert len(bomb) < 65536
        peer.sendBytes(b"\xc1" + frame(1, bomb)[1:])
        assert peer.closeCode == 1009
        assertServes(node, clock)

    def test_compressionUnasked(self, clock: Clock) -> None:
        """11: without C{compression} it is not agreed to, and a compressed frame is closed with 1002."""
        peer = FakePeer(makeNode(clock), clock, headers={"Sec-WebSocket-Extensions": "permessage-deflate"})
        assert b"permessage-deflate" not in peer.transport.value()
        peer.sendBytes(b"\xc1" + frame(1, b"xx")[1:])
        assertClosed(peer, 1002)

    @pytest.mark.parametrize("noise", [frame(1), frame(2), frame(9), frame(10), frame(1, b"x"), frame(1, b"{}")])
    def test_tinyFrames(self, clock: Clock, noise: bytes) -> None:
        """12: more frames that are no events than C{max_noise_per_second} allows are closed with 1008."""
        node = makeNode(clock, max_noise_per_second=20.0)
        peer = FakePeer(node, clock)
        peer.sendBytes(noise * 200)
        assert peer.closeCode is None
        peer.sendBytes(noise * 5000)
        assertClosed(peer, 1008)
        assert node.counters["clients_flooding"] == 1
        assertServes(node, clock)

    def test_noiseOfALongLife(self, clock: Clock) -> None:
        """12: heartbeats and pongs at the usual pace are never too many."""
        peer = FakePeer(makeNode(clock, max_noise_per_second=2.0), clock)
        for _ in range(200):
            clock.pump([1.0, 0])
            peer.sendText("")
        assert peer.isConnected

    def test_eventFlood(self, clock: Clock) -> None:
        """12: events are limited where C{max_events_per_second} says so."""
        node = makeNode(clock, max_events_per_second=10.0)
        peer = FakePeer(node, clock)
        for number in range(21):
            peer.sendEvent("echo", number, "1")
        assert len(peer.takeTexts()) == 20
        assertClosed(peer, 1008)

    def test_pingFlood(self, clock: Clock) -> None:
        """13: answers that are not read are bounded, and then the client is closed."""
        node = makeNode(clock, max_queued_bytes=50_000, max_queued_hard=100_000, max_noise_per_second=0.0)
        peer = FakePeer(node, clock)
        peer.transport.isStalled = True
        for _ in range(50):
            peer.sendBytes(frame(9, b"x" * 125) * 100)
        assert peer.closeCode == 4008
        assert len(peer.transport.value()) < 100_000 + 65536 + 1000
        assert node.counters["clients_slow"] == 1

    def test_slowReader(self, clock: Clock) -> None:
        """14: a client that does not read is closed at C{max_queued_hard}; no other client notices."""
        node = makeNode(clock, max_queued_hard=1_100_000)
        slow, other = FakePeer(node, clock), FakePeer(node, clock)
        slow.transport.isStalled = True
        written = [node.clients.broadcast("news", "x" * 1000) for _ in range(3000)]
        assert len(other.takeTexts()) == 3000
        assert len(slow.transport.value()) < 1_100_000 + 65536 + 2000
        clock.advance(3.0)
        assert slow.closeCode == 4008 and not slow.isConnected and other.isConnected
        assert node.counters["clients_slow"] == 1
        assert written[0] == 2 and written[-1] == 1
        assert node.counters["messages_sent"] == sum(written)

    def test_slowReaderThatReads(self, clock: Clock) -> None:
        """14: what counts is what waits now: a client that catches up again and again is never cut."""
        node = makeNode(clock, max_queued_bytes=200_000)
        peer = FakePeer(node, clock)
        peer.transport.isStalled = True
        for _ in range(20):
            for _ in range(150):
                node.clients.broadcast("news", "x" * 1000)
            peer.transport.read()
        assert peer.isConnected
        assert len(peer.takeTexts()) == 3000

    def test_halfFrame(self, clock: Clock) -> None:
        """15: half a frame and then silence ends by the ping that is not answered."""
        node = makeNode(clock, ping_interval=20.0)
        peer = FakePeer(node, clock)
        peer.answersPings = False
        peer.sendBytes(frame(1, b"x" * 100)[:50])
        clock.pump([20, 0])
        assert peer.isConnected and peer.pings == 1
        clock.pump([20, 0])
        assert not peer.isConnected
        assert node.counters["clients_silent"] == 1

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (frame(1, b"\xff\xfe"), 1007),
            (frame(1, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"), 1007),
            (frame(1, b"\xf4\x90\x80\x80"), 1007),
            (b"\x91" + frame(1, b"{}")[1:], 1002),
            (b"\xc1" + frame(1, b"{}")[1:], 1002),
            (b"\x81\x02{}", 1002),
            (frame(3, b"x"), 1002),
            (frame(11, b""), 1002),
            (frame(0, b"x"), 1002),
            (frame(1, b"x", False) + frame(1, b"x"), 1002),
            (frame(9, b"x" * 126), 1002),
            (frame(9, b"x", False), 1002),
            (frame(8, b"x"), 1002),
            (frame(8, b"\x03\xe7"), 1002),
            (frame(8, b"\x03\xed"), 1002),
            (frame(8, b"\x13\x88"), 1002),
            (frame(8, b"\x03\xe8\xff"), 1007),
        ],
    )
    def test_brokenFrames(self, clock: Clock, data: bytes, code: int) -> None:
        """16: what breaks RFC 6455 is closed with the code that says how, and told to C{error} listeners."""
        node = makeNode(clock)
        told: list[Any] = []
        node.lifecycle.on("error", lambda socket, failure: told.append(failure.value.code))
        peer = FakePeer(node, clock)
        peer.sendBytes(data)
        assert peer.closeCode == code
        clock.pump([3, 0])
        assert not peer.isConnected
        assert told == [code]
        assert node.counters["clients_faulty"] == 1
        assertServes(node, clock)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "x",
            "{",
            "[]",
            '"x"',
            "null",
            "{}",
            '{"event":""}',
            '{"event":1}',
            '{"event":null,"callbackId":"1"}',
            '{"event":"echo","payload":' + "[" * 5000 + "]" * 5000 + ',"callbackId":"1"}',
            '{"event":"echo","payload":NaN,"callbackId":"1"}',
            '{"event":"echo","payload":Infinity,"callbackId":"1"}',
            '{"event":"echo","payload":1e999,"callbackId":"1"}',
            '{"event":"echo","payload":{"a":[1,' + "9" * 4000 + ']},"callbackId":"1"}',
        ],
    )
    def test_rubbish(self, clock: Clock, text: str) -> None:
        """17, 28, 29: a text that is no frame is dropped and counted, and the connection lives."""
        node = makeNode(clock, heartbeat="h")
        peer = FakePeer(node, clock)
        peer.sendText(text)
        assert peer.takeTexts() == []
        assert node.counters["frames_malformed"] == 1
        peer.sendEvent("echo", 1, "2")
        assert len(peer.takeTexts()) == 1

    @pytest.mark.parametrize(
        "callbackId", ["[]", "{}", "1", "1.0", "true", "null", '""', '"' + "x" * 65 + '"', '"' + "x" * 60000 + '"']
    )
    def test_callbackIdAbuse(self, clock: Clock, callbackId: str) -> None:
        """18: only a string of 1 to 64 characters asks for a reply."""
        heard: list[Any] = []
        node = makeNode(clock)
        node.clients.on("tell", lambda socket, payload: heard.append(payload))
        peer = FakePeer(node, clock)
        peer.sendText(f'{{"event":"tell","payload":1,"callbackId":{callbackId}}}')
        assert heard == [1]
        assert peer.takeTexts() == []

    def test_neverAnswered(self, clock: Clock) -> None:
        """18: events that are never answered are bounded for each client; more are dropped, and said to be."""
        node = makeNode(clock, max_unanswered=100)
        waiting: list[Deferred[Any]] = []

        def never(socket: Any, payload: Any) -> Deferred[Any]:
            waiting.append(Deferred())
            return waiting[-1]

        node.clients.on("never", never)
        peer = FakePeer(node, clock, params={"crossws": 2})
        peer.takeTexts()
        for number in range(150):
            peer.sendEvent("never", None, str(number))
        assert len(waiting) == 100
        assert node.counters["events_overloaded"] == 50
        assert all('"code":"overloaded"' in text for text in peer.takeTexts())
        waiting[0].callback("late")
        assert peer.takeTexts() == ['{"payload":"late","callbackId":"0"}']
        peer.sendEvent("never", None, "again")
        assert len(waiting) == 101

    @pytest.mark.parametrize(("version", "callbackId"), [(1, "1"), (2, None)])
    def test_neverAnsweredInSilence(self, clock: Clock, version: int, callbackId: str | None) -> None:
        """18: a client that wants no reply, or cannot read an error, is told nothing; its connection lives."""
        node = makeNode(clock, max_unanswered=1)
        node.clients.on("never", lambda socket, payload: Deferred())
        peer = FakePeer(node, clock, params={"crossws": version})
        peer.sendEvent("never", None, callbackId)
        peer.takeTexts()
        peer.sendEvent("never", None, callbackId)
        assert node.counters["events_overloaded"] == 1
        assert peer.takeTexts() == [] and peer.isConnected


class TestLogs:
    def read(self, do: Callable[[], object]) -> str:
        lines: list[str] = []

        def see(event: Any) -> None:
            lines.append(eventAsText(event, includeTraceback=True))

        globalLogPublisher.addObserver(see)
        try:
            do()
        finally:
            globalLogPublisher.removeObserver(see)
        return "\x00".join(lines)

    def test_injection(self, clock: Clock, logged: list[Any]) -> None:
        """30: what a client chooses stands in a log line in quotes, on one line, and cut to 200 characters."""
        node = makeNode(clock)
        evil = "x\r\n2026-01-01 [-] INFO forged\x1b[31m" + "y" * 5000

        @node.clients.on(evil)
        def fails(socket: Any, payload: Any) -> None:
            raise RuntimeError("on purpose")

        peer = FakePeer(node, clock)
        text = self.read(lambda: peer.sendEvent(evil))
        logged.clear()
        assert "RuntimeError" in text
        assert "\r" not in text and "\x1b" not in text and "\n2026-01-01" not in text
        assert "y" * 201 not in text

    def test_tokens(self, clock: Clock, logged: list[Any]) -> None:
        """31: what stands in a URL's query is in no log line, however the request ends."""
        node = makeNode(clock)
        secret = "s3cr3t"

        def go() -> None:
            node.authenticate = lambda request: "someone"
            peer = FakePeer(node, clock, params={"token": secret})
            assert peer.status == 101
            peer.sendText("rubbish")
            peer.sendBytes(frame(3))
            node.authenticate = refuse
            FakePeer(node, clock, params={"token": secret})
            node.authenticate = fail
            FakePeer(node, clock, params={"token": secret})
            for line in (f"GET /healthz?token={secret}", f"GET /x?token={secret}", f"BAD /?token={secret} x"):
                FakePeer(node, clock, request=line.encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n")

        def refuse(request: Any) -> None:
            raise Refuse()

        def fail(request: Any) -> None:
            raise RuntimeError("on purpose")

        assert secret not in self.read(go)
        logged.clear()
        assert node.counters["handshakes_failed"] == 1
