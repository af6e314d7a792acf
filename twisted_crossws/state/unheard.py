"""
Events that came and that nobody listens to, in the log.
"""

from __future__ import annotations

from twisted.logger import Logger

from twisted_crossws.nearest import nearest
from twisted_crossws.state.listeners import Listeners
from twisted_crossws.wire.text import MAX_SHOWN, shown

_log = Logger()

#: For how many names it is logged. A person makes a few such mistakes, an attacker as many as it likes; looking for the
#: nearest name takes a millisecond.
MAX_TOLD = 100


class Unheard:
    """
    Logs each name once, at level debug, with the nearest that is listened to: most likely it is misspelled.
    """

    def __init__(self, serverName: str, what: str, listeners: Listeners) -> None:
        """
        @param what: whose events they are, for the log.
        """
        self._serverName = serverName
        self._what = what
        self._listeners = listeners
        self._told: set[str] = set()

    def tell(self, event: str, sender: str) -> None:
        """
        An event came.

        @param sender: who sent it, for the log.
        """
        if event in self._told or len(self._told) >= MAX_TOLD or len(event) > MAX_SHOWN:
            return
        self._told.add(event)
        _log.debug(
            "{server}: no listener of {what} for {event}, sent by {sender}{nearest}",
            server=self._serverName,
            what=self._what,
            event=shown(event),
            sender=shown(sender),
            nearest=nearest(event, list(self._listeners.heard)),
        )
