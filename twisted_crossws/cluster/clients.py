"""
The clients of the whole cluster, as an application sees them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twisted_crossws.cluster.delivery import Delivery
from twisted_crossws.cluster.here import SocketsHere
from twisted_crossws.cluster.outbox import Outbox
from twisted_crossws.cluster.pages import Pages
from twisted_crossws.cluster.questions import ClientReplies, Questions
from twisted_crossws.cluster.remote import Affected, Chosen, Everywhere, RemoteSockets
from twisted_crossws.cluster.rooms import Rooms
from twisted_crossws.cluster.servers import Servers
from twisted_crossws.errors import CloseCode
from twisted_crossws.state.asking import Asking
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.listeners import Listeners
from twisted_crossws.state.sockets import REQUEST_TIMEOUT, Socket, Sockets
from twisted_crossws.wire.remote import JOIN, LEAVE, Room
from twisted_crossws.wire.topics import Topics

#: Seconds that servers have by default to answer for their sockets.
DEFAULT_TIMEOUT = 5.0


class Clients(Delivery, Listeners):
    """
    C{node.clients}: events from clients, messages to clients, and what can be done with the clients of all servers.

    A listener is called with the socket and the payload; what it returns (or its Deferred or coroutine results in) is
    the reply, where the client wanted one.

    What asks other servers ends early for those that go away, and gives what the others said. Node.js peers know
    nothing of it: their clients are not found, and nothing is done with them.

    @ivar volatile: has C{send}, C{sendMany}, C{toRoom} and C{broadcast}, too: what is sent so is skipped for clients
        that have not taken what was sent to them before, on every server, and counted as C{messages_volatile_skipped}.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        topics: Topics,
        sockets: Sockets,
        rooms: Rooms,
        everyone: Iterable[Socket],
        counters: Counters,
        servers: Servers,
        asking: Asking,
        clock: IReactorTime,
    ) -> None:
        """
        @param everyone: all sockets of this node, bound or not.
        """
        Listeners.__init__(self, "socket, payload")
        Delivery.__init__(
            self, outbox=outbox, topics=topics, sockets=sockets, rooms=rooms, everyone=everyone, counters=counters
        )
        self.volatile = Delivery(
            outbox=outbox,
            topics=topics,
            sockets=sockets,
            rooms=rooms,
            everyone=everyone,
            counters=counters,
            isVolatile=True,
        )
        self._bound = sockets
        self._pages = Pages(clock)
        self._everywhere = Everywhere(servers, topics, outbox.serverName, clock)
        self._questions = Questions(servers, outbox, sockets, asking, clock)
        SocketsHere(
            servers=servers,
            pages=self._pages,
            outbox=outbox,
            sockets=sockets,
            rooms=rooms,
            everyone=everyone,
            asking=asking,
        )

    def count(self) -> int:
        """How many clients of this node are bound."""
        return self._bound.count()

    def fetch(
        self, room: Room | None = None, *, localOnly: bool = False, timeout: float = DEFAULT_TIMEOUT
    ) -> Deferred[RemoteSockets]:
        """
        Who is there, in the whole cluster.

        @param room: a pair of namespace and id; without one, all sockets, those included that are not bound.
        @param localOnly: only those of this node.
        @param timeout: seconds.
        @return: fires with a list of L{RemoteSocket<twisted_crossws.cluster.remote.RemoteSocket>}; its C{missing} are
            the servers that have not told all of theirs.
        @raise TypeError: the room is not a pair of non-empty strings.
        @raise ValueError: its namespace is one that the bus needs for something else, or the time-out is negative.
        """
        return self._everywhere.fetch(room, localOnly, timeout)

    def joinAll(
        self, rooms: Room | Iterable[Room], *, of: Chosen = None, timeout: float = DEFAULT_TIMEOUT
    ) -> Deferred[Affected]:
        """
        Let sockets join rooms, wherever they are. Those that are not bound cannot be in a room, and are left out.

        @param rooms: pairs of namespace and id, or one such pair.
        @param of: those of a room, those that bear this C{socketId}, or all.
        @param timeout: seconds.
        @return: fires with how many, when their servers hear these rooms; its C{missing} are the servers that have not
            said so, and its C{unheard} those that have, but do not hear them within C{subscribe_timeout}, as the bus is
            away.
        @raise TypeError: C{rooms} or C{of} is none of these.
        @raise ValueError: as L{fetch}.
        """
        return self._everywhere.move(JOIN, rooms, of, timeout)

    def leaveAll(
        self, rooms: Room | Iterable[Room], *, of: Chosen = None, timeout: float = DEFAULT_TIMEOUT
    ) -> Deferred[Affected]:
        """
        Let sockets leave rooms. Arguments and result are those of L{joinAll}; those that were not in are counted, too.
        """
        return self._everywhere.move(LEAVE, rooms, of, timeout)

    def disconnectAll(
        self,
        *,
        of: Chosen = None,
        code: int = CloseCode.NORMAL,
        reason: str = "",
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Deferred[Affected]:
        """
        Close sockets, wherever they are.

        @param of: as L{joinAll}; but of all, those that are not bound are closed, too.
        @param code: 1000 to 1014 without the reserved ones, or 3000 to 4999.
        @return: fires with how many; its C{missing} are the servers that have not said so.
        @raise TypeError: C{of} is none of these, or the reason is no string.
        @raise ValueError: the code is none that may be sent; or as L{fetch}.
        """
        return self._everywhere.disconnect(of, code, reason, timeout)

    def request(
        self, socketId: str, event: str, payload: object = None, timeout: float = REQUEST_TIMEOUT
    ) -> Deferred[Any]:
        """
        Ask a client, wherever it is connected, and get its answer: what a listener of its own returns. Where several
        sockets of the cluster bear the C{socketId}, all of them are asked, and the first one that answers is heard.

        @param timeout: seconds.
        @return: fires with the answer. Fails with L{NotConnected<twisted_crossws.errors.NotConnected>} if there is no
            such client, or it goes before it answers, alone or with its server;
            L{CallTimeout<twisted_crossws.errors.CallTimeout>};
            L{RemoteError<twisted_crossws.errors.RemoteError>} if the answer is an error;
            L{CannotAnswer<twisted_crossws.errors.CannotAnswer>} if it does not speak version 2 of the wire; or
            L{BusUnavailable<twisted_crossws.errors.BusUnavailable>} if other servers could not be asked. Cancelling it
            ends the wait.
        @raise TypeError: the event or the C{socketId} is not a non-empty string, or the payload has no form in JSON.
        @raise ValueError: the time-out is negative.
        """
        return self._questions.one(socketId, event, payload, timeout)

    def requestRoom(
        self, namespace: str, roomId: str, event: str, payload: object = None, timeout: float = REQUEST_TIMEOUT
    ) -> Deferred[ClientReplies]:
        """
        Ask everyone in a room.

        @param timeout: seconds.
        @return: fires when everyone has answered or is gone, or time is up, with
            L{ClientReplies<twisted_crossws.cluster.questions.ClientReplies>}. Cancelling it ends the wait.
        @raise TypeError: as L{request}; namespace or id is not a non-empty string.
        @raise ValueError: as L{fetch}.
        """
        room = self._everywhere.checkRoom((namespace, roomId))
        return self._questions.room(room, event, payload, timeout)

    def stop(self) -> None:
        """No server needs to be told more."""
        self._pages.stop()
