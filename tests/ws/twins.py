"""
One script, two nodes: what each of them makes of it is written down, to be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from tests.ws.deeds import ACTIONS, ANSWERS, EVENTS, LIFECYCLE
from twisted_crossws import Config, Node, WebSocketConfig
from twisted_crossws.testing import FakeTransport
from twisted_crossws.wire.rfc6455 import maskedFrame

Step = tuple[Any, ...]


@dataclass
class Script:
    """
    All that happens to a node with two clients.

    @ivar options: of the section C{[websocket]}.
    @ivar version: of the wire, that the clients ask for.
    @ivar lifecycle: what listeners of these events do: one of L{ACTIONS<tests.ws.deeds.ACTIONS>}, or C{"note"}. Nobody
        listens to the others.
    @ivar nested: what arrives while a listener of C{nested} is being called, one after the other.
    @ivar steps: see the methods of L{Twin} whose names end in C{Step}.
    """

    options: dict[str, Any] = field(default_factory=dict)
    version: int = 2
    lifecycle: dict[str, str] = field(default_factory=dict)
    nested: list[bytes] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


class Client:
    """
    One connection, seen from its other side.

    @ivar isLost: the server knows that it has ended.
    """

    def __init__(self, node: Node, clock: Clock, version: int, compression: bool) -> None:
        factory: Any = node.webSocketFactory()
        self.isLost = False
        self.socket: Any = None
        self.protocol: Any = factory.buildProtocol(None)
        self.transport = _Transport(clock, self)
        self.protocol.makeConnection(self.transport)
        self.head = (
            f"GET /?crossws={version} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            + ("Sec-WebSocket-Extensions: permessage-deflate\r\n" if compression else "")
            + "\r\n"
        ).encode()

    def dataReceived(self, data: bytes) -> None:
        """Something arrives, if it still can."""
        if not (self.isLost or self.transport.isAborted or self.transport.hasLeft):
            self.protocol.dataReceived(data)

    def read(self, data: bytes) -> None:
        """The same by the reactor: who raises loses the connection."""
        try:
            self.dataReceived(data)
        except BaseException:
            self.connectionLost(Failure())
            raise

    def connectionLost(self, reason: Failure) -> None:
        if not self.isLost:
            self.isLost = True
            self.transport.isEnded = True
            self.protocol.connectionLost(reason)


class _Transport(FakeTransport):
    """
    As Twisted's: what is written after C{loseConnection} still goes out, and after C{abortConnection} nothing does.

    @ivar hasLeft: the other side has ended it.
    @ivar lost: what was written after it had been cut.
    """

    bufferSize = 200
    hasLeft = False
    lost = b""

    def __init__(self, clock: Clock, client: Client) -> None:
        super().__init__(clock, client, lambda: None)  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        if self.isAborted:
            self.lost += data
            return
        wasEnded, self.isEnded = self.isEnded, False
        super().write(data)
        self.isEnded = self.isEnded or wasEnded

    def leave(self) -> None:
        self.hasLeft = True
        super().leave()


class Twin:
    """
    A node that goes through a script.

    @ivar journal: what it told its listeners, and what was logged or raised, in order.
    @ivar turns: how everything stood whenever a turn of the reactor was over.
    """

    def __init__(self, script: Script, *, isFast: bool) -> None:
        self.clock = Clock()
        self.journal: list[Any] = []
        self.turns: list[Any] = []
        self._script = script
        self._nested = list(script.nested)
        self._pending: list[Deferred[Any]] = []
        self._depth = 0
        options = WebSocketConfig(fast_path=isFast, **script.options)
        self.node = Node("serverA", clock=self.clock, config=Config(websocket=options))
        self._listen()
        compression = script.options.get("compression", False)
        self.clients: list[Client] = []
        self._makeClients(compression)

    # What happens

    def run(self) -> None:
        """Go through the script, then say goodbye."""
        globalLogPublisher.addObserver(self._logged)
        try:
            for client in self.clients:
                self._guarded(client.read, client.head)
                # In different slots of the wheel of pings: within one the order is by chance.
                self.advanceStep(1.0)
            for name, *args in self._script.steps:
                getattr(self, f"{name}Step")(*args)
            self._end()
        finally:
            globalLogPublisher.removeObserver(self._logged)

    def readStep(self, which: int, data: bytes) -> None:
        """
        One read of the reactor.

        While a client does not read, each of its frames comes alone. The fast path joins the answers to the frames of
        one read, so that only then both nodes see after the same frame that too much waits.
        """
        client = self.clients[which]
        for part in _frames(data) if client.transport.isStalled else [data]:
            self._guarded(client.read, part)

    def turnStep(self) -> None:
        """The turn of the reactor is over."""
        self._guarded(self.clock.advance, 0)
        self._snapshot()

    def advanceStep(self, seconds: float) -> None:
        """Time passes."""
        self.turnStep()
        self._guarded(self.clock.advance, seconds)
        self.turnStep()

    def fireStep(self, which: int, isGood: bool) -> None:
        """A listener has what it was waiting for, or learns that it will not get it."""
        if which < len(self._pending):
            self._pending.pop(which).callback("late" if isGood else Failure(RuntimeError("late")))

    def stallStep(self, which: int) -> None:
        """A client does not read any more."""
        self.clients[which].transport.isStalled = True

    def drainStep(self, which: int) -> None:
        """It reads everything that waited, and goes on reading."""
        self.clients[which].transport.isStalled = False
        self.clients[which].transport.read()

    def leaveStep(self, which: int) -> None:
        """It is gone."""
        self.clients[which].transport.leave()

    def actStep(self, which: int, action: str) -> None:
        """The application does something by itself."""
        socket = self.clients[which].socket
        if socket is not None:
            self._guarded(self._act, action, socket)

    # For L{tests.ws.deeds}

    def wait(self) -> Deferred[Any]:
        """What a listener waits for, until the script fires it."""
        waiting: Deferred[Any] = Deferred()
        self._pending.append(waiting)
        return waiting

    def fireAll(self) -> None:
        """All that listeners wait for is there."""
        while self._pending:
            self.fireStep(0, True)

    def feedNested(self, socket: Any) -> None:
        """Something arrives in the middle of a call."""
        client = None if socket is None else self.clientOf(socket)
        if self._nested and client is not None and not client.transport.isStalled:
            self._guarded(client.read, self._nested.pop(0))

    def clientOf(self, socket: Any) -> Client:
        return next(client for client in self.clients if client.socket is socket)

    def otherThan(self, socket: Any) -> Client:
        return next(client for client in self.clients if client.socket is not socket)

    # What it was like

    def outcome(self) -> dict[str, Any]:
        """All that anybody can see of it."""
        return {
            "journal": self.journal,
            "turns": self.turns,
            "wires": [client.transport.value().partition(b"\r\n\r\n")[2] for client in self.clients],
            "lost": [client.transport.lost for client in self.clients],
            "counters": {name: count for name, count in self.node.counters.items() if count},
        }

    def _snapshot(self) -> None:
        self.turns.append(
            (
                len(self.journal),
                [self._state(client) for client in self.clients],
                sorted(call.getTime() for call in self.clock.getDelayedCalls()),
                self.node.clients.count(),
                sorted(self.node.rooms.members("ns", "room")),
            )
        )

    def _state(self, client: Client) -> tuple[Any, ...]:
        transport, socket = client.transport, client.socket
        return (
            len(transport.value()),
            client.isLost,
            transport.isEnded,
            transport.isAborted,
            transport.disconnecting,
            None if socket is None else (socket.isOpen, socket.unanswered, socket.socketId),
        )

    def _end(self) -> None:
        """
        Whoever is still there shows whether it is in the middle of something: it asks, whole and in pieces, says
        goodbye, and waits.
        """
        probe = maskedFrame(1, b'{"event":"echo","callbackId":"end"}', b"mask")
        for which in range(len(self.clients)):
            for part in (probe, probe[:9], probe[9:], maskedFrame(8, b"\x03\xe8", b"mask")):
                self.readStep(which, part)
                self.turnStep()
        self.fireAll()
        for _ in range(4):
            self.advanceStep(1.0)
        for client in self.clients:
            client.transport.leave()
        self.advanceStep(30.0)

    # What listeners do

    def _makeClients(self, compression: bool) -> None:
        for _ in range(2):
            self.clients.append(Client(self.node, self.clock, self._script.version, compression))

    def _listen(self) -> None:
        node = self.node
        node.lifecycle.on("connection", self._opened)
        for name in LIFECYCLE:
            if name in self._script.lifecycle:
                node.lifecycle.on(name, self._lifecycleListener(name, self._script.lifecycle[name]))
        for name in EVENTS:
            attach = node.clients.once if name == "once" else node.clients.on
            attach(name, self._clientListener(name))
        # An answer comes from whichever gives one first, and each of them is called.
        node.clients.on("none", lambda socket, payload: self._note("second", socket, payload))
        node.servers.on("ask", lambda message: message.payload)

    def _opened(self, socket: Any) -> None:
        client = next(client for client in self.clients if client.socket is None)
        client.socket = socket
        socket.data["name"] = name = f"c{self.clients.index(client)}"
        self.node.sockets.bind(name, socket)
        self.node.rooms.join("ns", "room", name)

    def _lifecycleListener(self, name: str, action: str) -> Callable[..., None]:
        def listener(socket: Any, *args: Any) -> None:
            self._note(name, socket, *(str(arg.value) if isinstance(arg, Failure) else arg for arg in args))
            if action != "note":
                self._act(action, socket)

        return listener

    def _clientListener(self, name: str) -> Callable[[Any, Any], Any]:
        def listener(socket: Any, payload: Any) -> Any:
            self._note(name, socket, payload)
            if name in ANSWERS:
                return ANSWERS[name](self, socket, payload)
            self._act(name, socket)
            return payload

        return listener

    def _act(self, action: str, socket: Any) -> None:
        # What is done may bring about an event whose listener does the same again.
        if self._depth < 4:
            self._depth += 1
            try:
                ACTIONS[action](self, socket)
            finally:
                self._depth -= 1

    # Writing down

    def _note(self, *what: Any) -> None:
        self.journal.append(tuple(each.data["name"] if hasattr(each, "socketId") else each for each in what))

    def _guarded(self, call: Callable[..., Any], *args: Any) -> None:
        try:
            call(*args)
        except BaseException as fault:
            if isinstance(fault, KeyboardInterrupt):
                raise
            self.journal.append(("raised", type(fault).__name__, str(fault)))

    def _logged(self, event: Any) -> None:
        failure = event.get("log_failure") or event.get("failure")
        # What nobody handles in a Deferred is logged whenever the garbage is collected.
        if failure is not None and event["log_namespace"] != Deferred.__module__:
            self.journal.append(("logged", failure.type.__name__, event.get("log_format")))


def _frames(data: bytes) -> Iterator[bytes]:
    """What is read, cut where frames end, as far as these are small and whole."""
    at = 0
    while len(data) - at > 6 and data[at + 1] >= 0x80 and (end := at + 6 + data[at + 1] - 0x80) < len(data):
        yield data[at:end]
        at = end
    yield data[at:]
