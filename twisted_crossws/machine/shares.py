"""
The ports that the processes of one server share, as its master sees them.

A master that starts makes the listening sockets. One that was restarted finds processes that have them already, and
asks the first that comes for them: a port that is listened on is never closed as long as one of its processes lives.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.machine.binding import keyOf, listeningSocket, ownSocket
from twisted_crossws.machine.control import Give, Offer
from twisted_crossws.machine.sharedport import SharedPort
from twisted_crossws.machine.spread import spreadOf

_log = Logger()


class Shares:
    """
    The shared ports of one server. There are none until L{open} was called, or a process has given them.
    """

    def __init__(self, descriptions: Sequence[str], place: str, spread: str, reactor: Any) -> None:
        """
        @param descriptions: Twisted endpoint strings.
        @param place: where they were configured, to begin a sentence with.
        @raise ListenError: one of them cannot be shared.
        """
        self._wanted = {keyOf(description, place): description for description in descriptions}
        self._place = place
        self._spread = spread
        self._reactor = reactor
        self._ports: dict[str, SharedPort] = {}

    @property
    def isOpen(self) -> bool:
        """Whether there is a socket for each of them."""
        return self._wanted.keys() == self._ports.keys()

    def open(self) -> None:
        """
        Listen, wherever nobody has given us a socket.

        @raise ListenError: a port cannot be listened on; the others are closed again.
        """
        try:
            for key, description in self._wanted.items():
                if key not in self._ports:
                    self._add(*listeningSocket(description, self._place))
        except Exception:
            self.close()
            raise

    def take(self, keys: Iterable[str], agent: Any) -> Deferred[Any]:
        """
        Ask a process for the sockets that we lack.

        @param keys: those that it has.
        @return: fires when it has answered.
        """
        missing = [key for key in keys if key in self._wanted and key not in self._ports]
        return gatherResults([self._ask(key, agent) for key in missing])

    def offer(self, name: str, agent: Any) -> Deferred[Any]:
        """
        Let a process take part.

        @return: fires when it has been told of all ports.
        """
        return gatherResults([self._offer(port, name, agent) for port in self._ports.values()])

    def pause(self, name: str) -> None:
        """No new connections for this process."""
        for port in self._ports.values():
            port.pause(name)

    def remove(self, name: str) -> None:
        """This process is gone."""
        for port in self._ports.values():
            port.removeWorker(name)

    def close(self) -> None:
        """The processes that have the sockets go on by themselves."""
        ports, self._ports = self._ports, {}
        for port in ports.values():
            port.close()

    def _add(self, key: str, listening: socket.socket) -> None:
        self._ports[key] = SharedPort(key, listening, spreadOf(self._spread), self._reactor)

    def _ask(self, key: str, agent: Any) -> Deferred[Any]:
        def given(answer: dict[str, Any]) -> None:
            listening = ownSocket(answer["listening"])
            if key in self._ports:
                listening.close()  # Another process was faster.
            else:
                self._add(key, listening)

        return agent.callRemote(Give, key=key).addCallbacks(given, _notGiven)  # type: ignore[no-any-return]

    def _offer(self, port: SharedPort, name: str, agent: Any) -> Deferred[Any]:
        end = port.addWorker(name)

        def sent(result: Any) -> None:
            # While we have it too, the death of the process would not be seen.
            end.close()
            if isinstance(result, Failure):
                _log.debug("{name} was not told of a port: {reason}", name=name, reason=result.getErrorMessage())

        offered = agent.callRemote(Offer, key=port.key, listening=port.descriptor(), channel=end.fileno())
        return offered.addBoth(sent)  # type: ignore[no-any-return]


def _notGiven(failure: Failure) -> Deferred[None]:
    """The process has ended meanwhile, or has closed its port."""
    return succeed(None)
