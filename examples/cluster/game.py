"""
A game server. It has no clients of its own; what its kind's C{env} says in the cluster file is in its environment.
"""

import os
from random import randint


def makeService(node):
    sides = int(os.environ.get("GAME_SIDES", "6"))

    @node.servers.on("roll")
    def roll(message):
        return {"server": node.serverName, "rolled": randint(1, sides)}
