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

Whatever JavaScript writes is read, as L{values<twisted_crossws.wire.values>} says; what is beyond a limit ends in
L{FrameError}, which tells whom to answer so, and nothing else ever does. What is read can be passed on to others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from twisted_crossws.errors import FrameError, OverLimit
from twisted_crossws.wire.values import (
    MAX_NESTING,
    UNREADABLE,
    UNWRITABLE,
    reread,
    rewritten,
    settled,
)

#: The longest C{callbackId} or C{ackId} that counts as one; anything else means that no reply is wanted.
MAX_CALLBACK_ID = 64


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
_decodeAny = msgspec.json.Decoder().decode
_decodeText = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode

# The frame itself is one.
_LEVELS = MAX_NESTING + 1

# Bytes from the end in which an id is looked for that cannot be read with the rest: it has 64 characters at most, and
# as an escape each has 12 bytes.
_TAIL = 1000

_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'


def decodeFromClient(text: bytes) -> Event:
    """
    Read what a client sent.

    @param text: one whole message; its size was limited by who received it.
    @raise FrameError: it is no frame: not JSON, not an object, without an event, or beyond a limit.
    """
    try:
        frame = _decodeEvent(text)
    except UNREADABLE:
        frame = _oddEvent(text)
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
                return _withinLimits(frame)
    elif payload.__class__ is not str:
        return _withinLimits(frame)
    return frame


def _withinLimits(frame: Event) -> Event:
    try:
        payload = settled(frame.payload)
    except OverLimit as fault:
        raise FrameError(f"The frame is beyond a limit. {fault}", fault.code, frame.callbackId) from None
    return frame if payload is frame.payload else Event(frame.event, payload, frame.callbackId)


def _oddEvent(text: bytes) -> Event:
    """Read a frame that holds what only JavaScript takes, or whose C{callbackId} is none."""
    try:
        found = reread(_decodeFromClient, text)
    except OverLimit as fault:
        raise FrameError(f"The frame is beyond a limit. {fault}", fault.code, _idIn(text, b"callbackId")) from None
    except UNREADABLE as fault:
        raise FrameError(f"The text is not a client frame: {fault}.") from None
    return Event(found.event, found.payload, found.callbackId if _isId(found.callbackId) else None)


def decodeAnswer(text: bytes) -> Answer | ErrorAnswer:
    """
    Read what L{decodeFromClient} took for no frame, since it is no event: the answer to a request.

    @param text: one whole message.
    @return: one that is beyond a limit is an error of that code, as far as it can be told whose it is.
    @raise FrameError: it is not that either, or is beyond a limit.
    """
    try:
        found = _read(_decodeAnswer, text)
        payload = settled(found.payload)
    except OverLimit as fault:
        if (ackId := _idIn(text, b"ackId")) is None:
            raise FrameError(f"The answer is beyond a limit. {fault}", fault.code) from None
        return ErrorAnswer(ackId, fault.code, str(fault))
    except UNREADABLE as fault:
        raise FrameError(f"The text is no answer: {fault}.") from None
    if not _isId(found.ackId):
        raise FrameError(f"The answer's ackId is not a string of 1 to {MAX_CALLBACK_ID} characters.")
    if found.error is not None:
        return ErrorAnswer(found.ackId, found.error.code, found.error.message)
    return Answer(found.ackId, payload)


def decodeFromServer(text: bytes) -> Event | Reply | ErrorReply | Request:
    """
    Read what a server sent. A frame with a C{callbackId} is a reply, whatever else it holds.

    @param text: one whole message.
    @return: a reply that is beyond a limit is an error of that code, as far as it can be told whose it is.
    @raise FrameError: it is no frame, or is beyond a limit.
    """
    try:
        found = _read(_decodeFromServer, text)
        payload = settled(found.payload)
    except OverLimit as fault:
        if (callbackId := _idIn(text, b"callbackId")) is not None:
            return ErrorReply(callbackId, fault.code, str(fault))
        raise FrameError(f"The frame is beyond a limit. {fault}", fault.code, _idIn(text, b"ackId")) from None
    except UNREADABLE as fault:
        raise FrameError(f"The text is not a server's frame: {fault}.") from None
    if _isId(found.callbackId):
        if found.error is not None:
            return ErrorReply(found.callbackId, found.error.code, found.error.message)
        return Reply(found.callbackId, payload)
    if not (isinstance(found.event, str) and found.event):
        raise FrameError("The frame has neither a callbackId nor an event.")
    if _isId(found.ackId):
        return Request(found.event, payload, found.ackId)
    return Event(found.event, payload)


def _read(decode: Callable[[bytes], Any], text: bytes) -> Any:
    try:
        return decode(text)
    except UNREADABLE:
        return reread(decode, text)


def encodeEvent(event: str, payload: object) -> bytes:
    """
    @raise TypeError: C{payload} holds something that JSON has no form for; the message names its type.
    """
    try:
        return _encode(_EventOut(event, payload))
    except UNWRITABLE as fault:
        return rewritten(_encode, _decodeAny, _EventOut(event, payload), fault, _LEVELS)


def encodeCall(event: str, payload: object, callbackId: str) -> bytes:
    """
    An event that wants a reply.

    @raise TypeError: C{payload} holds something that JSON has no form for.
    """
    try:
        return _encode(_CallOut(event, payload, callbackId))
    except UNWRITABLE as fault:
        return rewritten(_encode, _decodeAny, _CallOut(event, payload, callbackId), fault, _LEVELS)


def encodeReply(callbackId: str, payload: object) -> bytes:
    """
    @raise TypeError: C{payload} holds something that JSON has no form for.
    """
    try:
        return _encode(_ReplyOut(payload, callbackId))
    except UNWRITABLE as fault:
        return rewritten(_encode, _decodeAny, _ReplyOut(payload, callbackId), fault, _LEVELS)


def encodeErrorReply(callbackId: str, code: str, message: str = "") -> bytes:
    """An error as the reply, for clients that speak version 2."""
    return _encode(_ErrorOut(callbackId, _Error(code, message)))


def encodeRequest(event: str, payload: object, ackId: str) -> bytes:
    """
    An event that wants an answer, for clients that speak version 2.

    @raise TypeError: C{payload} holds something that JSON has no form for.
    """
    try:
        return _encode(_RequestOut(event, payload, ackId))
    except UNWRITABLE as fault:
        return rewritten(_encode, _decodeAny, _RequestOut(event, payload, ackId), fault, _LEVELS)


def encodeAnswer(ackId: str, payload: object) -> bytes:
    """
    @raise TypeError: C{payload} holds something that JSON has no form for.
    """
    try:
        return _encode(_AnswerOut(ackId, payload))
    except UNWRITABLE as fault:
        return rewritten(_encode, _decodeAny, _AnswerOut(ackId, payload), fault, _LEVELS)


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


def _idIn(text: bytes, key: bytes) -> str | None:
    """
    The id of a frame that cannot be read as a whole, where it stands before or after all that is deep: every client
    puts it there. Within JSON what is found is no part of a string, as its quotes would be escaped.
    """
    pair = rb'"' + key + rb'"\s*:\s*(' + _STRING + rb")"
    event = rb'"event"\s*:\s*' + _STRING
    found = re.match(rb"\s*\{\s*(?:" + event + rb"\s*,\s*)?" + pair + rb"\s*[,}]", text) or re.search(
        rb",\s*" + pair + rb"\s*(?:,\s*" + event + rb"\s*)?\}\s*\Z", text[-_TAIL:]
    )
    try:
        value = _decodeText(found[1]) if found else None
    except UNREADABLE:
        return None
    return value if _isId(value) else None
