"""
Python's garbage collector, so that it never stops a node for long.

A full collection looks at every container that there is: some 60,000 of the loaded modules, and two dozen for each
connection. With 10,000 connections that is a pause of a tenth of a second and more, again and again, and nearly always
for nothing, as whatever belongs to a connection is freed without the collector. So what has survived one full
collection is left out of the next ones ("frozen"), until much more is allocated than was at the last look at
everything.

    start ──▶ one look at everything, freeze ──▶ full collections of what is new since, freeze after each
                          ▲                                          │
                          └──── twice as many blocks, and more ──────┘

What this costs: a cycle that lives long, and then dies frozen, waits for the next look at everything. They come as
the resizing of a list does: each when the process is twice as large as at the last one.

This is for a process that is the node's own, as C{twistd crossws}. The collector of an application that embeds a
node is that application's.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service

#: A collection of generation 1 comes after 7,000 new containers, and a full one after three of these, not ten: what it
#: has to look at is what is new, so that it is short if it comes often.
THRESHOLDS = (700, 10, 2)

#: Blocks that may be allocated beyond twice those at the last look at everything, some 200 MB. A connection has 77 of
#: them, so a node with 10,000 does not come there at all.
HEADROOM = 2_000_000


class SteadyCollector(Service):
    """While it runs, full collections are short. Stopping it leaves all as it was."""

    def __init__(self, collector: Any = gc, allocatedBlocks: Callable[[], int] = sys.getallocatedblocks) -> None:
        """
        @param collector: the module C{gc}, or what behaves like it.
        @param allocatedBlocks: how many blocks of memory Python has allocated.
        """
        self._collector = collector
        self._allocatedBlocks = allocatedBlocks
        self._thresholds: tuple[int, int, int] = collector.get_threshold()
        self._wasFrozen = False
        self._limit = 0
        self._isEverything = False

    def startService(self) -> None:
        """One pause of some 25 ms, before anyone is connected."""
        super().startService()
        self._thresholds = self._collector.get_threshold()
        self._wasFrozen = self._collector.get_freeze_count() > 0
        self._collector.collect()
        self._collector.freeze()
        self._collector.set_threshold(*THRESHOLDS)
        self._limit = self._nextLimit()
        self._collector.callbacks.append(self._collected)

    def stopService(self) -> None:
        super().stopService()
        self._collector.callbacks.remove(self._collected)
        self._collector.set_threshold(*self._thresholds)
        if not self._wasFrozen:
            self._collector.unfreeze()

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        if phase != "stop" or info["generation"] != 2:
            return
        if self._isEverything:
            self._isEverything = False
            self._limit = self._nextLimit()
        elif self._allocatedBlocks() > self._limit:
            # The next full collection looks at everything.
            self._isEverything = True
            self._collector.unfreeze()
            return
        self._collector.freeze()

    def _nextLimit(self) -> int:
        return 2 * self._allocatedBlocks() + HEADROOM
