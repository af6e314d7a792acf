"""
One hall for everybody, whichever process they are connected to.

    C→S  enter           reply {you, worker}       who you are, and which process serves you
    C→S  say  TEXT       reply: how many of the hall this process has written it to itself
    S→C  said {from, worker, text}                 to everybody in the hall
"""

from itertools import count

HALL = ("hall", "all")
MAX_TEXT = 500


def makeService(node):
    """Attach the listeners. Each process has its own node, and this code in it; the bus makes them one."""
    numbers = count(1)

    @node.clients.on("enter")
    async def enter(socket, payload):
        if socket.socketId is None:
            # The name of a process is unique in the cluster, so this is, too.
            node.sockets.bind(f"{node.serverName}-{next(numbers)}", socket)
        await node.rooms.join(*HALL, socket.socketId)
        return {"you": socket.socketId, "worker": node.serverName}

    @node.clients.on("say")
    def say(socket, text):
        if socket.socketId is None or not isinstance(text, str):
            return None
        said = {"from": socket.socketId, "worker": node.serverName, "text": text[:MAX_TEXT]}
        return node.clients.toRoom(*HALL, "said", said)
