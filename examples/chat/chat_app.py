"""
A chat: names, rooms, who is here, and the last words of each room.

    C→S  enter {name, room}      reply {history: [message…]}     to come in, to change rooms, after a reconnect
    C→S  say   {id, text}        reply: the message              the same id again is the same message
    S→C  said  {room, message}   to everyone else in the room    message = {id, name, text, time}
    S→C  here  {room, names}     to the room, when it has changed
    S→C  rooms [[room, count]…]  to everyone, when it has changed

A name is the socketId of whoever has it, so the tables of the node already know all names and who is where.
"""

from collections import defaultdict, deque
from time import time

from twisted_crossws.errors import ReplyError

SPACE, LOBBY = "chat", "lobby"


def makeService(node, keep=50):
    """Put a chat on a node, where a newcomer gets to see the last C{keep} messages of the room."""
    clients, rooms, sockets = node.clients, node.rooms, node.sockets
    history = defaultdict(lambda: deque(maxlen=keep))

    @clients.on("enter")
    async def enter(socket, payload):
        """Take a name and a place in a room. The parameter C{tab} proves that a name which is taken is one's own."""
        name, room = field(payload, "name", 32), field(payload, "room", 32)
        holder, tab = sockets.get(name), socket.request.params.get("tab")
        if holder not in (None, socket) and not (tab and tab == holder.request.params.get("tab")):
            raise ReplyError("nameTaken", f"Somebody here is called {name} already. Choose another name.")
        for former in {socket.socketId, name} - {None}:
            leave(former)
        sockets.bind(name, socket)
        socket.data["room"] = room
        await rooms.join(SPACE, room, name)
        announce(room)
        return {"history": list(history.get(room, ()))}

    @clients.on("say")
    def say(socket, payload):
        """To everyone else in the room. Saying it again, after a reply that got lost, is harmless."""
        message = {"id": field(payload, "id", 36), "name": socket.socketId, "text": field(payload, "text", 2000)}
        if (room := socket.data.get("room")) is None:
            raise ReplyError("notInRoom", "Enter a room first.")
        for former in history[room]:
            if former.items() >= message.items():
                return former
        message["time"] = int(time() * 1000)
        history[room].append(message)
        clients.toRoom(SPACE, room, "said", {"room": room, "message": message}, exclude=[socket.socketId])
        return message

    @node.lifecycle.on("close")
    def closed(socket, code, reason):
        """Out of the room, unless a newer socket has taken the name over."""
        if sockets.get(socket.socketId) is socket:
            leave(socket.socketId)

    def leave(name):
        for room in rooms.joined(name).get(SPACE, ()):
            rooms.leave(SPACE, room, name)
            announce(room)

    def announce(room):
        names = sorted(rooms.members(SPACE, room), key=str.casefold)
        if not names and room != LOBBY:
            history.pop(room, None)
        clients.toRoom(SPACE, room, "here", {"room": room, "names": names})
        clients.broadcast("rooms", [[each, rooms.count(SPACE, each)] for each in sorted({LOBBY} | rooms.ids(SPACE))])


def field(payload, key, limit):
    """One field of a payload: text, trimmed, neither empty nor beyond the limit of characters."""
    value = payload.get(key) if isinstance(payload, dict) else None
    if not (isinstance(value, str) and 0 < len(value.strip()) <= limit):
        raise ReplyError("badInput", f"The {key} must have 1 to {limit} characters.")
    return value.strip()
