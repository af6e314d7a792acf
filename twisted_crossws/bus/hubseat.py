"""
Where the hub sits, as far as others need to know.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory


class Vacant(Exception):
    """There is no hub."""


class Unanswered(Exception):
    """There is a hub, and it takes no connections."""


class SeatFault(Exception):
    """There can be no hub, for a reason that people must remove; the message is for them."""


class Seat(Protocol):
    """
    What one process has of the place of a hub.

    @ivar shown: where it is, for people.
    """

    shown: str

    def take(self) -> bool:
        """
        @return: whether it is this process's own now; C{False} if another one has it.
        @raise SeatFault: nobody can have it.
        """

    def holder(self) -> object:
        """Something that stands for who has it now, and is another thing for another holder."""

    def depose(self, holder: object) -> bool:
        """
        Take it from a holder that does not answer.

        @return: whether it is this process's own now; C{False} if somebody was quicker.
        @raise SeatFault: nobody can have it.
        """

    def isMine(self) -> bool:
        """Whether it still is this process's own. Asked often."""

    def restore(self) -> bool:
        """
        Make again what somebody has removed, while this process has it.

        @return: whether it is this process's own again; C{False} if another one was quicker, or it cannot be.
        """

    def listen(self, factory: IProtocolFactory) -> None:
        """
        Be found here. Only while it is this process's own.

        @raise SeatFault: that cannot be.
        """

    def close(self) -> Deferred[Any]:
        """
        Be found here no more.

        @return: fires when nothing is left of that.
        """

    def leave(self) -> None:
        """Let others have it."""

    def connect(self, protocol: IProtocol) -> None:
        """
        A connection to the hub; it is there at once.

        @raise Vacant: there is no hub.
        @raise Unanswered: it takes no connections.
        @raise SeatFault: there can be none.
        """
