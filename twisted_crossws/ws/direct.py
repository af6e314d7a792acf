"""
Fast path: what is written is sent at the end of the same turn.

Twisted's TCP transport collects what is written, asks epoll to be told when the socket can take it, and sends it in a
later turn. Nearly always the socket can take it at once. L{DirectServer} changes one thing only: I{when} Twisted's own
C{doWrite} is called for the first time. All that was written to a connection in one turn of the reactor goes out with
one call of C{send}. What the socket did not take goes the ordinary way: the reactor says when it can be written to,
and calls C{doWrite} again.

What is written, in which order, how much waits, when a producer is paused, closing, aborting, TLS: all that is
Twisted's, unchanged, and so is where it is kept, since L{DirectServer._sendAtOnce} is C{doWrite} in the one case that
nearly always is the case. The tests run random histories through this and Twisted's own transport.

On these conditions a transport is of this kind:

 - it was accepted by a port of our own that is Twisted's own TCP port and makes Twisted's own transports
   (L{useDirectWrites});
 - C{fast_path} is on.

TLS endpoints have such a port below, which sends what is encrypted. Unix sockets, sites of others and fakes have
their own transports, and are served the ordinary way.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.tcp import Server

from twisted_crossws.ws.turn import Turn

#: Attributes whose defaults are on one of Twisted's classes. On the instance they are found ten times faster.
_ASKED_OFTEN = (
    "TLS",
    "_aborting",
    "dataBuffer",
    "disconnecting",
    "producer",
    "producerPaused",
    "streamingProducer",
    "_writeDisconnected",
    "_writeDisconnecting",
    "_isArmed",
    "_isWaiting",
)

_BUFFER_SIZE = Server.bufferSize
_SEND_LIMIT = Server.SEND_LIMIT


class DirectServer(Server):
    """
    One accepted connection.

    It has nothing to send; or something waits for the end of the turn; or the socket was full, and the reactor is to
    say when it is not (armed), which is Twisted's ordinary state of writing.
    """

    _isWaiting = False
    _isArmed = False

    def __init__(self, turn: Turn, *args: Any) -> None:
        self._turn = turn
        for name in _ASKED_OFTEN:
            setattr(self, name, getattr(self, name))
        super().__init__(*args)

    def startReading(self) -> None:
        if not self._turn.watch(self):
            super().startReading()

    def stopReading(self) -> None:
        if not self._turn.unwatch(self):
            super().stopReading()

    def startWriting(self) -> None:
        """Whoever has written calls this, and whoever wants to close."""
        if not (self._isWaiting or self._isArmed):
            self._isWaiting = True
            self._turn.send(self)

    def stopWriting(self) -> None:
        """C{doWrite} calls this when all is sent, and everything that ends a connection."""
        self._isWaiting = False
        if self._isArmed:
            self._isArmed = False
            super().stopWriting()

    def doRead(self) -> Any:
        """As Twisted's, in one step instead of three."""
        try:
            data = self.socket.recv(_BUFFER_SIZE)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    def write(self, data: bytes) -> None:
        """As Twisted's, in one step instead of five."""
        if data.__class__ is bytes and data and self.connected and not (self.TLS or self._writeDisconnected):
            self._tempDataBuffer.append(data)
            self._tempDataLen += len(data)
            if self._tempDataLen + len(self.dataBuffer) > _BUFFER_SIZE:
                self._maybePauseProducer()
            if not (self._isWaiting or self._isArmed):
                self._isWaiting = True
                self._turn.send(self)
        else:
            super().write(data)

    def sendNow(self) -> Any:
        """
        Send what waits, and ask the reactor for what the socket did not take.

        @return: C{None}, or the exception that is to end the connection, as from C{doWrite}.
        """
        if not self._isWaiting or self._sendAtOnce():
            return None
        problem = self.doWrite()
        if self._isWaiting:
            self._isWaiting = False
            self._isArmed = True
            super().startWriting()
        return problem

    def _sendAtOnce(self) -> bool:
        """
        What C{doWrite} does if there is nothing but what was just written, nobody waits for it to be sent, and the
        socket takes all of it.

        @return: whether that was so; if not, what was not taken still waits.
        """
        if (
            self.dataBuffer
            or not 0 < self._tempDataLen <= _SEND_LIMIT
            or self.disconnecting
            or self._aborting
            or self._writeDisconnecting
            or self.producerPaused
            or (self.producer is not None and not self.streamingProducer)
        ):
            return False
        data = b"".join(self._tempDataBuffer)
        try:
            sent = self.socket.send(data)
        except OSError:
            return False
        if sent < len(data):
            self._tempDataBuffer = [data[sent:]]
            self._tempDataLen -= sent
            return False
        self._tempDataBuffer.clear()
        self._tempDataLen = 0
        self._isWaiting = False
        return True


def useDirectWrites(port: Any, reactor: Any) -> None:
    """
    Let a listening port make connections that cost less: they are read and sent to in one turn of the reactor. What is
    said on them is the same. C{twistd crossws} does this for its ports; an application does it for its own as soon as
    it has one, before the reactor can accept::

        port = await endpoint.listen(node.webSocketFactory())
        useDirectWrites(port, reactor)

    @param port: what C{listen} of an endpoint has fired with. One that is not of Twisted's own kind for TCP, such as of
        a Unix socket, is left as it is.
    """
    if getattr(port, "transport", None) is Server:
        port.transport = partial(DirectServer, Turn(reactor))
