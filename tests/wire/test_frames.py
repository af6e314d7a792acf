"""What clients and servers say to each other (wire section 1), and what hostile texts come to."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_crossws.errors import FrameError, OverLimit
from twisted_crossws.wire.frames import (
    MAX_CALLBACK_ID,
    Answer,
    ErrorAnswer,
    ErrorReply,
    Event,
    Frame,
    Reply,
    Request,
    decodeAnswer,
    decodeFromClient,
    decodeFromServer,
    encode,
    encodeAnswer,
    encodeCall,
    encodeErrorReply,
    encodeEvent,
    encodeReply,
    encodeRequest,
)
from twisted_crossws.wire.values import MAX_INTEGER, MAX_NESTING, MIN_INTEGER

examples = settings(deadline=None, max_examples=150)

#: Every JSON value that all peers can hold.
payloads = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(MIN_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=16,
)
names = st.text(min_size=1)
callbackIds = st.text(min_size=1, max_size=MAX_CALLBACK_ID)

#: Values that Python's own json module writes, though they are no JSON, or not every peer can hold them.
hostileValues = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
hostileFrames = st.builds(
    lambda frame, ascii: json.dumps(frame, ensure_ascii=ascii).encode("utf-8", "surrogatepass"),
    st.fixed_dictionaries(
        {},
        optional={
            "event": names | hostileValues,
            "payload": payloads | hostileValues,
            "callbackId": callbackIds | hostileValues,
            "error": st.dictionaries(st.sampled_from(["code", "message"]), st.text()) | hostileValues,
        },
    ),
    st.booleans(),
)
hostileBytes = (
    st.binary()
    | hostileFrames
    | st.builds(
        lambda text, at, junk: text[:at] + junk + text[at:], hostileFrames, st.integers(0, 60), st.binary(max_size=3)
    )
)


WRITERS = [
    lambda payload: encodeEvent("e", payload),
    lambda payload: encodeCall("e", payload, "7"),
    lambda payload: encodeReply("7", payload),
    lambda payload: encodeRequest("e", payload, "7"),
    lambda payload: encodeAnswer("7", payload),
    lambda payload: encode(Event("e", payload)),
]


def nested(depth: int, innermost: Any = None) -> list[Any]:
    """A list in a list, and so on."""
    value: list[Any] = [] if innermost is None else innermost
    for _ in range(depth - 1):
        value = [value]
    return value


def withPayload(value: str) -> bytes:
    return ('{"event":"e","payload":' + value + "}").encode()


class TestFromClient:
    def test_event(self) -> None:
        """An event without a callbackId wants no reply."""
        assert decodeFromClient(b'{"event":"say","payload":{"text":"hi"}}') == Event("say", {"text": "hi"}, None)

    def test_call(self) -> None:
        """An event with a callbackId wants a reply that carries it."""
        assert decodeFromClient(b'{"event":"say","payload":1,"callbackId":"7"}') == Event("say", 1, "7")

    def test_noPayload(self) -> None:
        """An absent payload is null."""
        assert decodeFromClient(b'{"event":"say"}').payload is None

    def test_unknownKeys(self) -> None:
        """Keys that nobody knows are ignored (wire section 3)."""
        assert decodeFromClient(b'{"event":"say","seq":[1,{}],"payload":1}') == Event("say", 1)

    @pytest.mark.parametrize("callbackId", ["x", "x" * MAX_CALLBACK_ID, "0", " ", "ü" * MAX_CALLBACK_ID])
    def test_callbackId(self, callbackId: str) -> None:
        """A string of 1 to 64 characters is a callbackId."""
        text = json.dumps({"event": "e", "callbackId": callbackId}).encode()
        assert decodeFromClient(text).callbackId == callbackId

    @pytest.mark.parametrize(
        "callbackId",
        ["", "x" * (MAX_CALLBACK_ID + 1), "x" * 60_000, None, True, 1, 1.0, [], ["x"], {}, {"x": 1}, 2**60],
    )
    def test_noCallbackId(self, callbackId: object) -> None:
        """Anything else in its place means that no reply is wanted, and the event counts all the same."""
        text = json.dumps({"event": "e", "payload": 5, "callbackId": callbackId}).encode()
        assert decodeFromClient(text) == Event("e", 5, None)

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b" ",
            b"ping",
            b"null",
            b"1",
            b'"say"',
            b'["say"]',
            b"{}",
            b'{"payload":1}',
            b'{"event":""}',
            b'{"event":null}',
            b'{"event":1}',
            b'{"event":["say"]}',
            b'{"event":"say"',
            b'{"event":"say"} {}',
            b"{'event':'say'}",
            b'{"event":"say",}',
            b'\xef\xbb\xbf{"event":"say"}',
            b'{"event":"\xff"}',
            b'{"event":"say","payload":"\xc3\x28"}',
        ],
    )
    def test_malformed(self, text: bytes) -> None:
        """What is not JSON, not an object, or has no event that is a non-empty string, is no frame."""
        with pytest.raises(FrameError):
            decodeFromClient(text)

    @pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "[NaN]"])
    def test_noNumbers(self, value: str) -> None:
        """What Python's own json module takes for a number, and JavaScript does not, is refused at the edge."""
        with pytest.raises(FrameError) as caught:
            decodeFromClient(withPayload(value))
        assert (caught.value.code, caught.value.askedBy) == ("", None)

    @pytest.mark.parametrize(
        ("written", "read"),
        [
            (r'"\ud800"', "\ufffd"),
            (r'"\udc00"', "\ufffd"),
            (r'"\uDC00\uD800"', "\ufffd\ufffd"),
            (r'"\ud800\ud800\udc00"', "\ufffd\U00010000"),
            (r'"\ud800\udc00\udc00"', "\U00010000\ufffd"),
            (r'"\ud800abcdefgh"', "\ufffdabcdefgh"),
            (r'"\ud83d\ude00\udfff"', "\U0001f600\ufffd"),
            (r'"\\ud800\udfff"', "\\ud800\ufffd"),
            (r'"\\\ud800"', "\\\ufffd"),
            (r'{"\udfff":["\n\ud800\u0041"]}', {"\ufffd": ["\n\ufffdA"]}),
        ],
    )
    def test_halfPairs(self, written: str, read: object) -> None:
        """Half of a surrogate pair, which JavaScript may send, becomes U+FFFD; whole pairs stay what they are."""
        assert decodeFromClient(withPayload(written)).payload == read

    def test_halfPairsElsewhere(self) -> None:
        """So it does in the event's name, and in the id that is to come back."""
        assert decodeFromClient(rb'{"event":"\ud800e","callbackId":"\udfff1"}') == Event("\ufffde", None, "\ufffd1")

    @pytest.mark.parametrize("wrap", ["%s", "[%s]", '{"id":%s}', '[1,{"a":[2,%s]}]', "[" * 70 + "%s" + "]" * 70])
    @pytest.mark.parametrize(
        "digits", [str(2**63), str(-(2**63) - 1), str(2**64), "1" + "0" * 20, "-1" + "0" * 30], ids=len
    )
    def test_hugeIntegers(self, digits: str, wrap: str) -> None:
        """An integer beyond 64 bits, as JavaScript writes 1e20, is the float that it is there, wherever it stands."""
        text = withPayload(wrap % digits)
        found, expected = decodeFromClient(text).payload, json.loads(wrap % f"{float(digits)!r}")
        assert repr(found) == repr(expected)

    @pytest.mark.parametrize("integer", [2**53 + 1, 2**60, MAX_INTEGER, MIN_INTEGER])
    def test_largestIntegers(self, integer: int) -> None:
        """What has 64 bits stays an integer, exactly."""
        assert repr(decodeFromClient(withPayload(f"[{integer}]")).payload) == f"[{integer}]"

    @pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400, "9" * 5000, "[1e999]"], ids=len)
    def test_beyondDoubles(self, number: str) -> None:
        """A number that no double can hold is beyond a limit, and who asked can be told so."""
        with pytest.raises(FrameError) as caught:
            decodeFromClient(b'{"event":"e","payload":' + number.encode() + b',"callbackId":"7"}')
        assert (caught.value.code, caught.value.askedBy) == ("too_large", "7")

    @pytest.mark.parametrize("inner", ["", "1", '"text"', "{}", "1e20", r'"\ud800"'])
    def test_nestedArrays(self, inner: str) -> None:
        """Arrays and objects may stand 1,000 deep, whatever the innermost holds, and no deeper."""
        more = 1 if inner == "{}" else 0
        depth = MAX_NESTING - more
        decodeFromClient(withPayload("[" * depth + inner + "]" * depth))
        with pytest.raises(FrameError, match="deeper than 1000") as caught:
            decodeFromClient(withPayload("[" * (depth + 1) + inner + "]" * (depth + 1)))
        assert (caught.value.code, caught.value.askedBy) == ("too_deep", None)

    def test_nestedObjects(self) -> None:
        """Arrays and objects count alike."""
        pairs = MAX_NESTING // 2
        decodeFromClient(withPayload('[{"a":' * pairs + "1" + "}]" * pairs))
        with pytest.raises(FrameError, match="deeper than 1000"):
            decodeFromClient(withPayload('[{"a":' * pairs + "{}" + "}]" * pairs))

    def test_deepStack(self) -> None:
        """That does not depend on how deep the call stands that reads it, or on how much deeper Python would go."""

        def further(levels: int) -> Any:
            if levels:
                return further(levels - 1)
            return decodeFromClient(withPayload("[" * MAX_NESTING + "]" * MAX_NESTING))

        limit = sys.getrecursionlimit()
        further(limit - 250)
        sys.setrecursionlimit(10 * limit)
        try:
            with pytest.raises(FrameError, match="deeper than 1000"):
                decodeFromClient(withPayload("[" * (MAX_NESTING + 1) + "]" * (MAX_NESTING + 1)))
        finally:
            sys.setrecursionlimit(limit)

    @pytest.mark.parametrize(
        "form",
        [
            '{"event":"e","payload":%s,"callbackId":"7"}',
            '{"event":"e]","payload":{"a":"]","b":%s},"callbackId":"7"}',
            ' { "event" : "e" , "payload" : %s , "callbackId" : "7" } ',
            '{"callbackId":"7","event":"e","payload":%s}',
            '{"event":"\\"","callbackId":"7","payload":%s}',
            '{"payload":%s,"callbackId":"7","event":"e"}',
            '{"event":"e","payload":[%s,",\\"callbackId\\":\\"8\\"}"],"callbackId":"\\u0037"}',
        ],
    )
    @pytest.mark.parametrize("depth", [1001, 100_000])
    def test_whoAsked(self, form: str, depth: int) -> None:
        """Who asked by a frame that is too deep to be read can be told, wherever the id stands before or after it."""
        with pytest.raises(FrameError) as caught:
            decodeFromClient((form % ("[" * depth + "]" * depth)).encode())
        assert (caught.value.code, caught.value.askedBy) == ("too_deep", "7")

    @pytest.mark.parametrize(
        "id", ["7", "null", '""', '"' + "x" * 65 + '"', r'"\ud800"', r'"\u00"', '{"callbackId":"7"}', '"7"}']
    )
    def test_nobodyAsked(self, id: str) -> None:
        """What is no id there is none."""
        deep = "[" * 5000 + "]" * 5000
        with pytest.raises(FrameError) as caught:
            decodeFromClient(('{"event":"e","payload":' + deep + ',"callbackId":' + id + "}").encode())
        assert (caught.value.code, caught.value.askedBy) == ("too_deep", None)

    def test_cost(self) -> None:
        """A text that is all brackets is refused after the first thousand, not read to its end."""
        text = withPayload("[" * 1_000_000)
        began = time.perf_counter()
        with pytest.raises(FrameError, match="deeper than 1000"):
            decodeFromClient(text)
        assert time.perf_counter() - began < 0.1

    @pytest.mark.parametrize("key", ["payload", "callbackId", "unknown"])
    @pytest.mark.parametrize("tail", ["", "]" * 100_000 + "}"])
    def test_abyss(self, key: str, tail: str) -> None:
        """A hundred thousand levels are no frame, whether or not they end, and under any key."""
        with pytest.raises(FrameError):
            decodeFromClient(('{"event":"e","' + key + '":' + "[" * 100_000 + tail).encode())

    def test_faultNamesNoPayload(self) -> None:
        """What is wrong can be logged: it holds nothing of the payload."""
        with pytest.raises(FrameError) as caught:
            decodeFromClient(b'{"event":5,"payload":"secret","secret":"secret"}')
        assert "secret" not in str(caught.value)

    @examples
    @given(hostileBytes)
    def test_anyBytes(self, text: bytes) -> None:
        """Any bytes are an event that can be passed on to other clients, or a FrameError for one line of a log."""
        try:
            frame = decodeFromClient(text)
        except FrameError as fault:
            assert str(fault).isprintable()
            return
        assert isinstance(frame.event, str) and frame.event
        assert frame.callbackId is None or 1 <= len(frame.callbackId) <= MAX_CALLBACK_ID
        json.dumps([frame.event, frame.payload, frame.callbackId], allow_nan=False, ensure_ascii=False).encode()
        assert decodeFromClient(encode(frame)) == frame


class TestFromServer:
    def test_event(self) -> None:
        """A frame without a callbackId is an event."""
        assert decodeFromServer(b'{"event":"said","payload":[1]}') == Event("said", [1])

    def test_reply(self) -> None:
        """A frame with a callbackId is a reply."""
        assert decodeFromServer(b'{"payload":{"a":1},"callbackId":"7"}') == Reply("7", {"a": 1})

    def test_replyBeforeEvent(self) -> None:
        """The callbackId is looked at before the event."""
        assert decodeFromServer(b'{"event":"said","payload":1,"callbackId":"7"}') == Reply("7", 1)

    def test_emptyReply(self) -> None:
        """A reply without a payload is null."""
        assert decodeFromServer(b'{"callbackId":"7"}') == Reply("7", None)

    def test_error(self) -> None:
        """With an error, the reply is that error."""
        text = b'{"callbackId":"7","error":{"code":"no_seat","message":"The table is full."}}'
        assert decodeFromServer(text) == ErrorReply("7", "no_seat", "The table is full.")

    def test_bareError(self) -> None:
        """An error needs neither code nor message to be one."""
        assert decodeFromServer(b'{"callbackId":"7","error":{}}') == ErrorReply("7", "error", "")

    def test_noError(self) -> None:
        """An error of null is none."""
        assert decodeFromServer(b'{"callbackId":"7","payload":1,"error":null}') == Reply("7", 1)

    @pytest.mark.parametrize("callbackId", ["", "x" * (MAX_CALLBACK_ID + 1), None, True, 1, [], {}])
    def test_noCallbackId(self, callbackId: object) -> None:
        """What does not count as a callbackId does not make a frame a reply."""
        text = json.dumps({"event": "said", "payload": 1, "callbackId": callbackId}).encode()
        assert decodeFromServer(text) == Event("said", 1)

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"[]",
            b"{}",
            b'{"payload":1}',
            b'{"event":""}',
            b'{"event":5}',
            b'{"event":null}',
            b'{"callbackId":5}',
            b'{"callbackId":"7","error":"no"}',
            b'{"event":"\xff"}',
            b'{"payload":' + b"[" * 100_000,
            b'{"event":"e","payload":1e400}',
        ],
    )
    def test_malformed(self, text: bytes) -> None:
        """What is neither a reply nor an event, or is beyond a limit, is no frame."""
        with pytest.raises(FrameError):
            decodeFromServer(text)

    def test_whatJavaScriptWrites(self) -> None:
        """Huge integers, half pairs and deep nesting are read as from clients."""
        found = decodeFromServer(rb'{"payload":[100000000000000000000,"\ud800"],"callbackId":"7"}')
        assert repr(found) == repr(Reply("7", [1e20, "\ufffd"]))
        deep = b"[" * MAX_NESTING + b"]" * MAX_NESTING
        assert encode(decodeFromServer(b'{"event":"e","payload":' + deep + b"}")).count(b"[") == MAX_NESTING

    @pytest.mark.parametrize(("payload", "code"), [("[" * 1001 + "]" * 1001, "too_deep"), ("1e400", "too_large")])
    def test_beyondLimits(self, payload: str, code: str) -> None:
        """
        A reply that is beyond a limit is an error of that code, so that nobody waits for it in vain; and of a request
        it is known whom to tell.
        """
        reply = decodeFromServer(('{"payload":' + payload + ',"callbackId":"7"}').encode())
        assert isinstance(reply, ErrorReply) and (reply.callbackId, reply.code) == ("7", code)
        with pytest.raises(FrameError) as caught:
            decodeFromServer(('{"event":"e","payload":' + payload + ',"ackId":"7"}').encode())
        assert (caught.value.code, caught.value.askedBy) == (code, "7")

    @examples
    @given(hostileBytes)
    def test_anyBytes(self, text: bytes) -> None:
        """Any bytes are a frame, or a FrameError for one line of a log."""
        try:
            frame = decodeFromServer(text)
        except FrameError as fault:
            assert str(fault).isprintable()
            return
        assert decodeFromServer(encode(frame)) == frame


class TestEncode:
    def test_event(self) -> None:
        """An event to a client has exactly these keys: with a callbackId it would be read as a reply."""
        assert encodeEvent("said", {"n": 1}) == b'{"event":"said","payload":{"n":1}}'
        assert encodeEvent("said", None) == b'{"event":"said","payload":null}'

    def test_call(self) -> None:
        """An event that wants a reply carries the callbackId."""
        assert encodeCall("say", [1], "7") == b'{"event":"say","payload":[1],"callbackId":"7"}'

    def test_reply(self) -> None:
        """A reply has a payload, if only null, and the callbackId, and no event."""
        assert encodeReply("7", None) == b'{"payload":null,"callbackId":"7"}'

    def test_error(self) -> None:
        """An error reply has no payload: code and message stand under C{error}, both always."""
        assert encodeErrorReply("7", "full", "No seat.") == (
            b'{"callbackId":"7","error":{"code":"full","message":"No seat."}}'
        )
        assert encodeErrorReply("7", "full") == b'{"callbackId":"7","error":{"code":"full","message":""}}'

    @pytest.mark.parametrize(
        ("frame", "text"),
        [
            (Event("e", 1), encodeEvent("e", 1)),
            (Event("e", 1, "7"), encodeCall("e", 1, "7")),
            (Reply("7", 1), encodeReply("7", 1)),
            (ErrorReply("7", "c", "m"), encodeErrorReply("7", "c", "m")),
        ],
    )
    def test_anyFrame(self, frame: Frame, text: bytes) -> None:
        """Each kind of frame is written in its own form."""
        assert encode(frame) == text

    @pytest.mark.parametrize("write", WRITERS)
    def test_noFormInJSON(self, write: Any) -> None:
        """A payload that JSON has no form for is the caller's mistake, and the message names its type."""
        with pytest.raises(TypeError, match="complex"):
            write({"a": [1j]})

    @pytest.mark.parametrize("payload", ["\ud800", ["\udfff"], {"\ud800": 1}])
    def test_halfPairs(self, payload: object) -> None:
        """Half of a surrogate pair has no form in UTF-8, and is never sent: that is the caller's mistake."""
        for write in WRITERS:
            with pytest.raises(TypeError, match="surrogate"):
                write(payload)
        with pytest.raises(TypeError, match="surrogate"):
            encodeEvent("\udfff", None)

    def test_nesting(self) -> None:
        """A payload of 1,000 levels is written, and no deeper one; nor one that holds itself."""
        own: list[Any] = []
        own.append(own)
        for write in WRITERS:
            assert write(nested(MAX_NESTING)).count(b"[") == MAX_NESTING
            for tooMuch in (nested(MAX_NESTING + 1), nested(100_000), own):
                with pytest.raises(OverLimit, match="deeper than 1000") as caught:
                    write(tooMuch)
                assert caught.value.code == "too_deep"

    def test_deepNoForm(self) -> None:
        """Deep inside, too, what has no form is said to have none."""
        with pytest.raises(TypeError, match="surrogate"):
            encodeEvent("e", nested(MAX_NESTING - 1, ["\ud800"]))
        with pytest.raises(TypeError, match="no form"):
            encodeEvent("e", 10**5000)

    @examples
    @given(names, payloads, st.none() | callbackIds)
    def test_eventRoundTrip(self, event: str, payload: Any, callbackId: str | None) -> None:
        """A client's event is read by the server as it was written, types included."""
        frame = Event(event, payload, callbackId)
        found = decodeFromClient(encode(frame))
        assert repr(found) == repr(frame)

    @examples
    @given(st.builds(Event, names, payloads) | st.builds(Reply, callbackIds, payloads))
    def test_serverRoundTrip(self, frame: Frame) -> None:
        """A server's event or reply is read by the client as it was written, types included."""
        assert repr(decodeFromServer(encode(frame))) == repr(frame)

    @examples
    @given(st.builds(ErrorReply, callbackIds, st.text(), st.text()))
    def test_errorRoundTrip(self, frame: ErrorReply) -> None:
        """An error reply is read by the client as it was written."""
        assert decodeFromServer(encode(frame)) == frame

    @examples
    @given(st.builds(Request, names, payloads, callbackIds))
    def test_requestRoundTrip(self, frame: Request) -> None:
        """A request is read by the client as it was written, and is an event for one that knows no requests."""
        assert repr(decodeFromServer(encode(frame))) == repr(frame)
        assert repr(decodeFromClient(encode(frame))) == repr(Event(frame.event, frame.payload))

    @examples
    @given(st.builds(Answer, callbackIds, payloads) | st.builds(ErrorAnswer, callbackIds, st.text(), st.text()))
    def test_answerRoundTrip(self, frame: Answer | ErrorAnswer) -> None:
        """An answer is read by the server as it was written, once it was found to be no event."""
        with pytest.raises(FrameError):
            decodeFromClient(encode(frame))
        assert repr(decodeAnswer(encode(frame))) == repr(frame)


class TestAnswers:
    def test_answer(self) -> None:
        """What carries an ackId, and is no event, is an answer; without a payload it is null."""
        assert decodeAnswer(b'{"ackId":"a-1","payload":{"x":1}}') == Answer("a-1", {"x": 1})
        assert decodeAnswer(b'{"ackId":"a-1","other":1}') == Answer("a-1", None)
        assert decodeAnswer(b'{"ackId":"a-1","payload":1,"error":null}') == Answer("a-1", 1)

    def test_error(self) -> None:
        """With an error it is that, whatever else it holds."""
        text = b'{"ackId":"a-1","payload":1,"error":{"code":"no","message":"No."}}'
        assert decodeAnswer(text) == ErrorAnswer("a-1", "no", "No.")
        assert decodeAnswer(b'{"ackId":"a-1","error":{}}') == ErrorAnswer("a-1", "error", "")

    @pytest.mark.parametrize("ackId", ["", "x" * (MAX_CALLBACK_ID + 1), None, True, 1, [], {}])
    def test_noAckId(self, ackId: Any) -> None:
        """Anything but a string of 1 to 64 characters is no ackId."""
        with pytest.raises(FrameError):
            decodeAnswer(json.dumps({"ackId": ackId, "payload": 1}).encode())

    def test_whatJavaScriptWrites(self) -> None:
        """Huge integers, half pairs and deep nesting are read as in events."""
        deep = "[" * (MAX_NESTING - 1) + "]" * (MAX_NESTING - 1)
        text = '{"ackId":"a-1","payload":[100000000000000000000,"\\ud800",' + deep + "]}"
        found = decodeAnswer(text.encode())
        assert isinstance(found, Answer) and repr(found.payload[:2]) == repr([1e20, "\ufffd"])

    @pytest.mark.parametrize(("value", "code"), [("[" * 1001 + "]" * 1001, "too_deep"), ("1e999", "too_large")])
    def test_limits(self, value: str, code: str) -> None:
        """An answer that is beyond a limit of events is an error of that code: whoever asked need not wait for more."""
        found = decodeAnswer(('{"ackId":"a-1","payload":' + value + "}").encode())
        assert isinstance(found, ErrorAnswer) and (found.ackId, found.code) == ("a-1", code)
        with pytest.raises(FrameError) as caught:
            decodeAnswer(('{"ackId":"' + "x" * 65 + '","payload":' + value + "}").encode())
        assert caught.value.code == code

    @examples
    @given(hostileBytes)
    def test_anyBytes(self, text: bytes) -> None:
        """Any bytes are an answer, or a FrameError."""
        try:
            frame = decodeAnswer(text)
        except FrameError:
            return
        assert repr(decodeAnswer(encode(frame))) == repr(frame)

    def test_requests(self) -> None:
        """A server's event with an ackId wants an answer; a callbackId counts more, and another ackId is none."""
        assert decodeFromServer(b'{"event":"e","payload":1,"ackId":"a-1"}') == Request("e", 1, "a-1")
        assert decodeFromServer(b'{"event":"e","payload":1,"ackId":"a-1","callbackId":"7"}') == Reply("7", 1)
        assert decodeFromServer(b'{"event":"e","payload":1,"ackId":7}') == Event("e", 1)
        with pytest.raises(FrameError):
            decodeFromServer(b'{"ackId":"a-1","payload":1}')
