"""
A process with one link to a hub, which tells of itself when it is asked by a packet::

    python -m tests.integration.hubnode PATH NAME MAX_QUEUED_BYTES CHANNEL…

    report   →  reported {name, counters, came}
"""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.internet import reactor as _reactor

from tests.bus.test_promises import Receiver
from twisted_crossws import HealthChange, hubBus
from twisted_crossws.state.counters import Counters

reactor: Any = _reactor


class Reporter(Receiver):
    """Answers on the bus, and says on standard output when it is connected."""

    def packetReceived(self, channel: str, packet: bytes) -> None:
        if channel == "report":
            about = {"name": self.serverName, "counters": counters, "came": len(self.came)}
            link.publish("reported", json.dumps(about).encode())
        else:
            super().packetReceived(channel, packet)

    def healthChanged(self, change: HealthChange) -> None:
        if change.role == "subscriber" and change.healthy:
            print("healthy", flush=True)


if __name__ == "__main__":
    path, name, maxQueuedBytes, *channels = sys.argv[1:]
    counters = Counters()
    link = hubBus(path, maxQueuedBytes=int(maxQueuedBytes)).attach(Reporter(name), reactor, counters)
    for each in ("report", *channels):
        link.subscribe(each)
    reactor.callWhenRunning(link.start)
    reactor.addSystemEventTrigger("before", "shutdown", link.stop)
    reactor.run()
