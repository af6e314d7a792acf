"""
What clients talk to: it knows no game, and asks a server that does.

    C→S  roll            reply {server, rolled}     a game server's answer
"""

from itertools import count

from twisted_crossws import Relay
from twisted_crossws.errors import ReplyError


def makeService(node):
    turns = count()

    @node.clients.on("roll")
    def roll(socket, payload):
        """Its answer goes from the game server to the client; this node does not wait for it."""
        games = sorted(name for name in node.servers.names() if node.servers.info(name).role == "game")
        if not games:
            raise ReplyError("noGame", "No game server is running now. Try again in a moment.")
        return Relay(games[next(turns) % len(games)], "roll", payload)
