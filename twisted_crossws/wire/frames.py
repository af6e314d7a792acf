"""
Client frames: what a client and a server say to each other, as JSON text (wire section 1).

::

    C→S  {"event": E, "payload": P}                       Event
    C→S  {"event": E, "payload": P, "callbackId": I}      Event that wants a reply
    S→C  {"payload": R, "callbackId": I}                  Reply
    S→C  {"event": E, "payload": P}                       Event
    S→C  {"callbackId": I, "error": {"code", "message"}}  ErrorReply    (version 2)
    S→C  {"event": E, "payload": P, "ackId": I}           Request       (version 2)
    C→S  {"ackId": I, "payload": R}                       Answer        (version 2)
    C→S  {"ackId": I, "error": {"code", "message"}}       ErrorAnswer   (version 2)

Here a I{reply} goes to a client that asked, and an I{answer} comes from a client that was asked.

Reading is strict, because what is read here is passed on to other clients: numbers that JavaScript cannot
hold, C{NaN}, lone surrogates and deep nesting end in L{FrameError}, and nothing else ever does.
"""

from __future__ import annotations

from typing import Any

import msgspec

from twisted_crossws.errors import FrameError

#: The longest C{callbackId} or C{ackId} that counts as one; anything else means that no reply is wanted.
MAX_CALLBACK_ID = 64

#: How deep arrays and objects may stand inside each other. Real payloads stay below ten; Python's own
#: recursion limit is far above, and is not to be found by a client.
MAX_NESTING = 64

#: The largest integer that every peer holds exactly: a JavaScript number is a double.
MAX_INTEGER = 2**53


class Event(msgspec.Struct, frozen=True, gc=False):
    """
    An event, from either side.

    @ivar event: its name, not empty.
    @ivar payload: any JSON value.
    @ivar callbackId: the id that the reply is to carry, or C{None} if no reply is wanted.
    """

    event: str
    payload: Any = None
    callbackId: str | None = None


class Reply(msgspec.Struct, frozen=True):
    """The answer to the event that carried C{callbackId}."""

    callbackId: str
    payload: Any = None


class ErrorReply(msgspec.Struct, frozen=True):
    """The answer to the event that carried C{callbackId}: an error. Only to clients that speak version 2."""

    callbackId: str
    code: str
    message: str = ""


class Request(msgspec.Struct, frozen=True):
    """
    An event from the server that wants an answer. Only to clients that speak version 2.

    @ivar ackId: the id that the answer is to carry.
    """

    event: str
    payload: Any
    ackId: str


class Answer(msgspec.Struct, frozen=True):
    """The client's answer to the request that carried C{ackId}."""

    ackId: str
    payload: Any = None


class ErrorAnswer(msgspec.Struct, frozen=True):
    """The client's answer to the request that carried C{ackId}: an error."""

    ackId: str
    code: str
    message: str = ""


Frame = Event | Reply | ErrorReply | Request | Answer | ErrorAnswer


class _FromClient(msgspec.Struct):
    event: str
    payload: Any = None
    callbackId: Any = None


class _Error(msgspec.Struct):
    code: str = "error"
    message: str = ""


class _FromServer(msgspec.Struct):
    event: Any = None
    payload: Any = None
    callbackId: Any = None
    error: _Error | None = None
    ackId: Any = None


class _AnswerIn(msgspec.Struct):
    ackId: str
    payload: Any = None
    error: _Error | None = None


class _EventOut(msgspec.Struct, gc=False):
    event: str
    payload: Any


class _CallOut(msgspec.Struct, gc=False):
    event: str
    payload: Any
    callbackId: str


class _ReplyOut(msgspec.Struct, gc=False):
    payload: Any
    callbackId: str


class _ErrorOut(msgspec.Struct):
    callbackId: str
    error: _Error


class _RequestOut(msgspec.Struct):
    event: str
    payload: Any
    ackId: str


class _AnswerOut(msgspec.Struct):
    ackId: str
    payload: Any


class _ErrorAnswerOut(msgspec.Struct):
    ackId: str
    error: _Error


_decodeEvent = msgspec.json.Decoder(Event).decode
_decodeFromClient = msgspec.json.Decoder(_FromClient).decode
_decodeFromServer = msgspec.json.Decoder(_FromServer).decode
_decodeAnswer = msgspec.json.Decoder(_AnswerIn).decode
_encode = msgspec.json.Encoder().encode

#: Everything that msgspec raises for bytes that are not what they should be.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decodeFromClient(text: bytes) -> Event:
    """
    Read what a client sent.

    @param text: one whole message; its size was limited by who received it.
    @raise FrameError: it is no frame: not JSON, not an object, without an event, or beyond a limit.
    """
    try:
        frame = _decodeEvent(text)
    except _UNREADABLE:
        frame = _withoutCallbackId(text)
    else:
        if frame.callbackId is not None and not 0 < len(frame.callbackId) <= MAX_CALLBACK_ID:
            frame = Event(frame.event, frame.payload)
    if not frame.event:
        raise FrameError("The frame's event is an empty string.")
    payload = frame.payload
    if payload.__class__ is dict:
        # What most payloads are, and what most of them hold.
        for value in payload.values():
            if value.__class__ is not str:
                _checkValue(payload)
                break
    elif payload.__class__ is not str:
        _checkValue(payload)
    return frame


def _withoutCallbackId(text: bytes) -> Event:
    """Read a frame whose C{callbackId} is none, if that is all that is wrong with it."""
    try:
        found = _decodeFromClient(text)
    except _UNREADABLE as fault:
        raise FrameError(f"The text is not a client frame: {fault}.") from None
    return Event(found.event, found.payload)


def decodeAnswer(text: bytes) -> Answer | ErrorAnswer:
    """
    Read what L{decodeFromClient} took for no frame, since it is no event: the answer to a request.

    @param text: one whole message.
    @raise FrameError: it is not that either, or is beyond a limit.
    """
    try:
        found = _decodeAnswer(text)
    except _UNREADABLE as fault:
        raise FrameError(f"The text is no answer: {fault}.") from None
    if not _isId(found.ackId):
        raise FrameError(f"The answer's ackId is not a string of 1 to {MAX_CALLBACK_ID} characters.")
    if found.error is not None:
        return ErrorAnswer(found.ackId, found.error.code, found.error.message)
    _checkValue(found.payload)
    return Answer(found.ackId, found.payload)


def decodeFromServer(text: bytes) -> Event | Reply | ErrorReply | Request:
    """
    Read what a server sent. A frame with a C{callbackId} is a reply, whatever else it holds.

    @param text: one whole message.
    @raise FrameError: it is no frame.
    """
    try:
        found = _decodeFromServer(text)
    except _UNREADABLE as fault:
        raise FrameError(f"The text is not a server's frame: {fault}.") from None
    _checkValue(found.payload)
    if _isId(found.callbackId):
        if found.error is not None:
            return ErrorReply(found.callbackId, found.error.code, found.error.message)
        return Reply(found.callbackId, found.payload)
    if not (isinstance(found.event, str) and found.event):
        raise FrameError("The frame has neither a callbackId nor an event.")
    if _isId(found.ackId):
        return Request(found.event, found.payload, found.ackId)
    return Event(found.event, found.payload)


def encodeEvent(event: str, payload: object) -> bytes:
    """
    @raise TypeError: C{payload} holds something that JSON has no form for; the message names its type.
    """
    return _encode(_EventOut(event, payload))


def encodeCall(event: str, payload: object, callbackId: str) -> bytes:
    """
    An event that wants a reply.

    @raise TypeError: C{payload} holds something that JSON has no form for.
    """
    return _encode(_CallOut(event, payload, callbackId))


def encodeReply(callbackId: str, payload: object) -> bytes:
    """
    @raise TypeError: C{payload} holds something that JSON has no form for.
    """
    return _encode(_ReplyOut(payload, callbackId))


def encodeErrorReply(callbackId: str, code: str, message: str = "") -> bytes:
    """An error as the reply, for clients that speak version 2."""
    return _encode(_ErrorOut(callbackId, _Error(code, message)))


def encodeRequest(event: str, payload: object, ackId: str) -> bytes:
    """
    An event that wants an answer, for clients that speak version 2.

    @raise TypeError: C{payload} holds something that JSON has no form for.
    """
    return _encode(_RequestOut(event, payload, ackId))


def encodeAnswer(ackId: str, payload: object) -> bytes:
    """
    @raise TypeError: C{payload} holds something that JSON has no form for.
    """
    return _encode(_AnswerOut(ackId, payload))


def encodeErrorAnswer(ackId: str, code: str, message: str = "") -> bytes:
    """An error as the answer to a request."""
    return _encode(_ErrorAnswerOut(ackId, _Error(code, message)))


def encode(frame: Frame) -> bytes:
    """
    Write any frame; L{decodeFromServer} (or, for events, L{decodeFromClient}, and for answers, L{decodeAnswer}) reads
    it back as it was.

    @raise TypeError: its payload holds something that JSON has no form for.
    """
    if isinstance(frame, Reply):
        return encodeReply(frame.callbackId, frame.payload)
    if isinstance(frame, ErrorReply):
        return encodeErrorReply(frame.callbackId, frame.code, frame.message)
    if isinstance(frame, Request):
        return encodeRequest(frame.event, frame.payload, frame.ackId)
    if isinstance(frame, Answer):
        return encodeAnswer(frame.ackId, frame.payload)
    if isinstance(frame, ErrorAnswer):
        return encodeErrorAnswer(frame.ackId, frame.code, frame.message)
    if frame.callbackId is None:
        return encodeEvent(frame.event, frame.payload)
    return encodeCall(frame.event, frame.payload, frame.callbackId)


def _isId(value: object) -> bool:
    return value.__class__ is str and 0 < len(value) <= MAX_CALLBACK_ID


def _checkValue(value: object, room: int = MAX_NESTING) -> None:
    """Hold a decoded JSON value to the limits. Scalars inside containers cost no call of their own."""
    kind = value.__class__
    if kind is dict:
        inner = value.values()  # type: ignore[attr-defined]
    elif kind is list:
        inner = value
    else:
        if kind is int and not -MAX_INTEGER <= value <= MAX_INTEGER:  # type: ignore[operator]
            raise FrameError("The frame holds an integer beyond 2^53, which JavaScript peers cannot hold.")
        return
    if not room:
        raise FrameError(f"The frame is nested deeper than {MAX_NESTING} levels.")
    for each in inner:
        kind = each.__class__
        if kind is dict or kind is list or kind is int:
            _checkValue(each, room - 1)
