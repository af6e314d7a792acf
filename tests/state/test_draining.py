"""How a node leaves: in which order and at which pace its clients go, who is waited for, and when it is over."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from twisted_crossws.state.backoff import hintOf
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.draining import RETRY_AFTER, SPACING, TICK, Draining, Pace

examples = settings(deadline=None, max_examples=60)

counts = st.integers(1, 20_000)
seconds = st.floats(0, 3600)


class TestPace:
    @examples
    @given(counts, seconds)
    def test_everybody(self, clients: int, within: float) -> None:
        """All have gone when the last batch has, and that comes within the time."""
        pace = Pace(clients, within)
        assert pace.gone(0) == 0 and pace.gone(pace.batches) == clients
        assert (pace.batches - 1) * pace.step <= within

    @examples
    @given(counts, seconds)
    def test_even(self, clients: int, within: float) -> None:
        """Each batch has somebody in it, and no batch has more than one client more than another."""
        pace = Pace(clients, within)
        sizes = {pace.gone(batch) - pace.gone(batch - 1) for batch in range(1, pace.batches + 1)}
        assert min(sizes) >= 1 and max(sizes) - min(sizes) <= 1

    @examples
    @given(counts, seconds)
    def test_step(self, clients: int, within: float) -> None:
        """Batches are no further apart than nobody minds, and not so close that they are thousands of timers."""
        pace = Pace(clients, within)
        assert pace.step <= SPACING
        assert pace.batches == 1 or pace.step > TICK / 2

    @examples
    @given(st.integers(1, 20_000), st.floats(1, 60))
    def test_spread(self, clients: int, within: float) -> None:
        """Many clients are spread over all of the time; few do not take longer than they need."""
        pace = Pace(clients, within)
        wanted = min(within, clients * SPACING)
        assert pace.batches * pace.step == pytest.approx(wanted, rel=0.05)

    def test_examples(self) -> None:
        """Two browsers go within a twentieth of a second, 10,000 clients by the forty; with no time all go at once."""
        assert (Pace(2, 5.0).batches, Pace(2, 5.0).step) == (2, 0.05)
        assert (Pace(10_000, 5.0).batches, Pace(10_000, 5.0).step) == (250, 0.02)
        assert Pace(10_000, 0.0).batches == 1
        assert Pace(0, 5.0).batches == 1 and Pace(0, 5.0).gone(1) == 0


class FakeSocket:
    """A client, as far as draining knows it."""

    def __init__(self, world: World, name: object) -> None:
        self.name = name
        self.unanswered = 0
        self.isOpen = True
        self._world = world

    def close(self, code: int, reason: str) -> None:
        self.isOpen = False
        self._world.closed.append((self._world.clock.seconds(), self.name, int(code), reason))

    def ask(self) -> None:
        """It has sent an event."""
        self.unanswered += 1

    def answer(self) -> None:
        """It gets an answer."""
        self.unanswered -= 1
        self._world.draining.answered(self)  # type: ignore[arg-type]


class World:
    """
    A node that is drained.

    @ivar closed: time, name, code and reason of each goodbye.
    @ivar calls: those that are open between servers.
    @ivar over: whether the course has ended.
    """

    def __init__(self, clients: int = 0, within: float = 5.0, deadline: float = 14.0) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.closed: list[tuple[float, object, int, str]] = []
        self.calls: set[object] = set()
        self.sockets = [FakeSocket(self, number) for number in range(clients)]
        self.empty: Deferred[None] = Deferred()
        self.isOver = False
        self.jitter: Callable[[], float] = lambda: 0.5
        self.draining = Draining(
            "serverA",
            self.clock,
            self.counters,
            seconds=within,
            deadline=deadline,
            random=lambda: self.jitter(),
            isBusy=lambda socket: socket.unanswered > 0,
            openCalls=lambda: self.calls,
        )

    def begin(self, *, empty: bool = False) -> World:
        """Go. With C{empty} nobody is connected any more."""
        self.draining.when().addCallback(self._over)
        sockets: Any = self.sockets
        self.draining.begin(sockets, lambda: succeed(None) if empty else self.empty)
        return self

    def run(self, seconds: float, step: float = 0.01) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    @property
    def times(self) -> list[float]:
        return [entry[0] for entry in self.closed]

    @property
    def names(self) -> list[object]:
        return [entry[1] for entry in self.closed]

    def _over(self, _: None) -> None:
        self.isOver = True


class TestGoodbyes:
    def test_firstAtOnce(self) -> None:
        """The first client goes in the moment in which it begins."""
        world = World(2).begin()
        assert world.names == [0]
        world.run(0.05)
        assert world.names == [0, 1]

    def test_order(self) -> None:
        """They go in order, each once, one after the other."""
        world = World(30).begin()
        world.run(5)
        assert world.names == list(range(30))
        assert world.times == pytest.approx([number * SPACING for number in range(30)], abs=0.011)

    def test_many(self) -> None:
        """Ten thousand are gone within the time, at an even pace."""
        world = World(10_000).begin()
        world.run(2.5)
        assert len(world.closed) == pytest.approx(5000, abs=80)
        world.run(2.5)
        assert sorted(world.names, key=str) == sorted(range(10_000), key=str)
        assert max(world.times) <= 5.0

    @examples
    @given(st.integers(1, 300), st.floats(0, 10))
    def test_within(self, clients: int, within: float) -> None:
        """However many, and whatever the time: all have gone when it is over, each once."""
        world = World(clients, within).begin()
        world.run(within + 0.02)
        assert world.names == list(range(clients))
        assert max(world.times) <= within + 0.01

    def test_lateReactor(self) -> None:
        """A reactor that was busy puts off what is due meanwhile, and nothing after it."""
        world = World(100).begin()
        world.clock.advance(3.0)
        world.clock.pump([0] * 100)
        assert len(world.closed) == pytest.approx(61, abs=1)
        world.run(2.0)
        assert len(world.closed) == 100

    def test_code(self) -> None:
        """They are closed with 1012, and told when to come back, none at the same time as another."""
        world = World(3)
        chances = iter([0.0, 0.25, 1.0])
        world.jitter = lambda: next(chances)
        world.begin().run(0.2)
        assert [entry[2:] for entry in world.closed] == [
            (1012, "retry-after=0.50"),
            (1012, "retry-after=1.00"),
            (1012, "retry-after=2.50"),
        ]
        assert world.counters["clients_drained"] == 3

    @examples
    @given(st.floats(0, 1))
    def test_hintIsUnderstood(self, chance: float) -> None:
        """Our clients read the hint as it is meant."""
        world = World(1)
        world.jitter = lambda: chance
        world.begin()
        ((_, _, code, reason),) = world.closed
        earliest, latest = RETRY_AFTER
        hint = hintOf(code, reason)
        assert hint is not None and re.fullmatch(r"retry-after=\d\.\d\d", reason)
        assert hint == pytest.approx(earliest + (latest - earliest) * chance, abs=0.006)

    def test_closedAlready(self) -> None:
        """Who has left, or is leaving, is let go."""
        world = World(3)
        world.sockets[0].isOpen = False
        world.begin()
        world.sockets[1].isOpen = False
        world.run(1)
        assert world.names == [2] and world.counters["clients_drained"] == 1


class TestAnswers:
    def test_waitsForThem(self) -> None:
        """A client that waits for answers goes when it has all of them, and the others do not wait for it."""
        world = World(3)
        first = world.sockets[0]
        first.ask()
        first.ask()
        world.begin().run(1)
        assert world.names == [1, 2]
        first.answer()
        world.run(1)
        assert world.names == [1, 2]
        first.answer()
        assert world.names == [1, 2]
        world.clock.advance(0)
        assert world.names == [1, 2, 0]

    def test_answerFirst(self) -> None:
        """It goes in a later turn than its answer comes, so that the answer goes before."""
        world = World(1)
        world.sockets[0].ask()
        world.begin()
        world.sockets[0].answer()
        assert world.closed == []
        world.clock.advance(0)
        assert world.names == [0]

    def test_asksAgain(self) -> None:
        """What it asks meanwhile is answered, too, before it goes."""
        world = World(1)
        client = world.sockets[0]
        client.ask()
        world.begin()
        client.answer()
        client.ask()
        world.run(1)
        assert world.closed == []
        client.answer()
        world.clock.advance(0)
        assert world.names == [0]

    def test_answeredBeforeItsTurn(self) -> None:
        """One that has its answers before its turn comes goes when it does."""
        world = World(2)
        world.sockets[1].ask()
        world.begin()
        world.sockets[1].answer()
        world.clock.advance(0)
        assert world.names == [0]
        world.run(0.05)
        assert world.names == [0, 1]

    def test_twoInOneTurn(self) -> None:
        """Several that get their last answers in one turn all go after it."""
        world = World(2, within=0.0)
        for client in world.sockets:
            client.ask()
        world.begin()
        for client in world.sockets:
            client.answer()
        world.clock.advance(0)
        assert set(world.names) == {0, 1}

    def test_leavesMeanwhile(self) -> None:
        """One that leaves while it waits is not told goodbye."""
        world = World(1)
        client = world.sockets[0]
        client.ask()
        world.begin()
        client.isOpen = False
        client.answer()
        world.clock.advance(0)
        assert world.closed == []


class TestEnd:
    def test_nobody(self) -> None:
        """With no clients and no calls it is over at once."""
        world = World().begin(empty=True)
        assert world.isOver and world.draining.isOver
        assert world.clock.getDelayedCalls() == []

    def test_clientsGone(self) -> None:
        """It is over when the last client is gone, not when it was told to."""
        world = World(1).begin()
        world.run(1)
        assert not world.isOver
        world.empty.callback(None)
        assert world.isOver
        assert world.clock.getDelayedCalls() == []

    def test_calls(self) -> None:
        """Then the calls that are open are waited for; not those that come later."""
        world = World(1)
        world.calls = {"a", "b"}
        world.begin()
        world.empty.callback(None)
        world.calls = {"b", "c"}
        world.run(1)
        assert not world.isOver
        world.calls = {"c", "d"}
        world.run(0.1)
        assert world.isOver
        assert world.clock.getDelayedCalls() == []

    def test_deadline(self) -> None:
        """At the deadline whoever is still there is told goodbye at once, and it is over; that is counted."""
        world = World(4, within=5.0, deadline=0.06)
        world.sockets[0].ask()
        world.begin()
        world.run(0.05)
        assert world.names == [1] and not world.isOver
        world.run(0.01)
        assert world.isOver and sorted(world.names, key=str) == [0, 1, 2, 3]
        assert world.counters["clients_drained"] == 4
        assert world.counters["clients_drained_unanswered"] == 1
        assert world.clock.getDelayedCalls() == []
        world.sockets[0].answer()
        world.empty.callback(None)
        assert world.clock.getDelayedCalls() == [] and len(world.closed) == 4

    def test_deadlineOfCalls(self) -> None:
        """So it is when only calls are left."""
        world = World(0, deadline=2.0)
        world.calls = {"a"}
        world.begin(empty=True)
        world.run(1.9)
        assert not world.isOver
        world.run(0.2)
        assert world.isOver and world.clock.getDelayedCalls() == []

    def test_everybodyIsTold(self) -> None:
        """Who asks when it is over is told so at any time, before and after."""
        world = World(1).begin()
        second = world.draining.when()
        world.empty.callback(None)
        assert world.isOver and second.called and world.draining.when().called

    def test_ended(self) -> None:
        """It can be ended: who waits for it is told, and nobody is told goodbye any more."""
        world = World(3).begin()
        world.draining.end()
        world.draining.end()
        assert world.isOver
        world.run(6)
        assert world.names == [0] and world.clock.getDelayedCalls() == []

    @pytest.mark.parametrize("within", [0.0, 0.06])
    def test_endedByAClient(self, within: float) -> None:
        """It may be ended by what is told of a client: then the others stay, those of its batch and of later ones."""
        world = World(3, within=within)
        close = world.sockets[1].close

        def closeAndEnd(code: int, reason: str) -> None:
            close(code, reason)
            world.draining.end()

        world.sockets[1].close = closeAndEnd  # type: ignore[method-assign]
        world.begin().run(1)
        assert world.names == [0, 1] and world.isOver
        assert world.clock.getDelayedCalls() == []

    def test_endedBeforeItBegan(self) -> None:
        """So it may before anybody was told goodbye."""
        world = World(2)
        world.draining.end()
        world.begin().run(1)
        assert world.closed == [] and world.isOver
        assert world.clock.getDelayedCalls() == []
