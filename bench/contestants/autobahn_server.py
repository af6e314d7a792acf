"""
An echo, and a room: Autobahn on Twisted, in a straightforward way.

    python autobahn_server.py PORT
"""

import json
import sys
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet import reactor

rooms: dict[str, set["Bench"]] = {}


class Bench(WebSocketServerProtocol):
    def onOpen(self) -> None:
        self.joined: set[str] = set()

    def onMessage(self, data: bytes, isBinary: bool) -> None:
        message = json.loads(data)
        result = getattr(self, "on_" + message["event"])(message["payload"])
        if "callbackId" in message:
            reply = {"payload": result, "callbackId": message["callbackId"]}
            self.sendMessage(json.dumps(reply).encode())

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        for room in getattr(self, "joined", ()):
            rooms[room].discard(self)

    def on_echo(self, payload: Any) -> Any:
        return payload

    def on_joinRoom(self, payload: Any) -> None:
        self.joined.add(payload["roomId"])
        rooms.setdefault(payload["roomId"], set()).add(self)

    def on_shout(self, payload: Any) -> None:
        text = json.dumps({"event": "say", "payload": payload}).encode()
        for member in rooms["1000"]:
            member.sendMessage(text)


factory = WebSocketServerFactory()
factory.protocol = Bench
factory.setProtocolOptions(autoPingInterval=20, autoPingTimeout=20)
reactor.listenTCP(int(sys.argv[1]), factory, interface="127.0.0.1")
reactor.run()
