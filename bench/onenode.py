"""
One node: every scenario with every contestant, turn by turn.

In each turn all contestants do a scenario one after the other, so that what else the machine does meanwhile hits all of
them alike.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

from bench.contestants import Contestant
from bench.measured import Absent, Measured, median
from bench.processes import Server, StartError, freePort
from bench.programs import MissingError, Tools
from bench.scenarios import LoadError, Scenario, run, warmUp


def say(text: str) -> None:
    """Tell whoever waits what happens."""
    print(text, file=sys.stderr, flush=True)


class OneNode:
    """
    A run of the scenarios.

    @ivar seconds: that each scenario takes in each turn.
    """

    def __init__(
        self, tools: Tools, contestants: Sequence[Contestant], scenarios: Sequence[Scenario], seconds: float
    ) -> None:
        self.seconds = seconds
        self._tools = tools
        self._contestants = list(contestants)
        self._scenarios = scenarios
        self._turns: dict[tuple[str, str], list[Measured]] = {}
        self._absent: dict[tuple[str, str], Absent] = {}

    def measure(self, rounds: int) -> list[Measured | Absent]:
        """
        @return: for each scenario and contestant the medians, or why there are none.
        """
        for number in range(1, rounds + 1):
            say(f"One node, turn {number} of {rounds}")
            self._busy([scenario for scenario in self._scenarios if not scenario.fresh])
            # What a connection takes of memory is the same each time, and takes long to find out.
            self._fresh([each for each in self._scenarios if each.fresh and (each.mode != "idle" or number == 1)])
        return list(self._found())

    def _busy(self, scenarios: Sequence[Scenario]) -> None:
        """Scenarios for servers that have run for a while."""
        if not scenarios:
            return
        with ExitStack() as stack:
            running = []
            for contestant in list(self._contestants):
                try:
                    server = stack.enter_context(contestant.start(self._tools, freePort()))
                    warmUp(self._tools, contestant, server, min(0.5, self.seconds))
                except (MissingError, StartError, LoadError) as error:
                    self._leaveOut(contestant, error)
                else:
                    running.append((contestant, server))
            for scenario in scenarios:
                for contestant, server in running:
                    self._turn(scenario, contestant, server)

    def _fresh(self, scenarios: Sequence[Scenario]) -> None:
        """Scenarios for servers that have just been started."""
        for scenario in scenarios:
            for contestant in list(self._contestants):
                if scenario.mode == "idle" and contestant.notIdle:
                    self._miss(scenario, contestant, contestant.notIdle)
                    continue
                try:
                    with contestant.start(self._tools, freePort()) as server:
                        self._turn(scenario, contestant, server)
                except (MissingError, StartError) as error:
                    self._leaveOut(contestant, error)

    def _turn(self, scenario: Scenario, contestant: Contestant, server: Server) -> None:
        key = scenario.title, contestant.title
        if scenario.mode == "idle":
            scenario = replace(scenario, conns=min(scenario.conns, contestant.mostIdle))
        try:
            measured = run(self._tools, scenario, contestant, server, self.seconds)
        except LoadError as error:
            self._miss(scenario, contestant, str(error))
        else:
            self._turns.setdefault(key, []).append(measured)
            say(f"  {scenario.title}, {contestant.title}: {measured.cost:.1f}")

    def _miss(self, scenario: Scenario, contestant: Contestant, reason: str) -> None:
        self._absent[scenario.title, contestant.title] = Absent(scenario.title, contestant.title, reason)
        say(f"  {scenario.title}, {contestant.title}: {reason}")

    def _leaveOut(self, contestant: Contestant, error: Exception) -> None:
        self._contestants.remove(contestant)
        self._absent["", contestant.title] = Absent("", contestant.title, str(error))
        say("\n".join([f"  {contestant.title} is left out: {error}", *getattr(error, "__notes__", ())]))

    def _found(self) -> Iterator[Measured | Absent]:
        for scenario in self._scenarios:
            turns = [each for (title, _), each in self._turns.items() if title == scenario.title]
            yield from map(median, turns)
        # A turn that failed beside others that did not is no empty cell.
        yield from (absent for key, absent in self._absent.items() if key not in self._turns)
