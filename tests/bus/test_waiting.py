"""Packets that wait for a Redis."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_crossws.bus.waiting import Entry, WaitingQueue

examples = settings(deadline=None, max_examples=200)


def entry(packet: bytes) -> Entry:
    return "x", packet, 0


class TestWaitingQueue:
    def test_order(self) -> None:
        """They leave in the order in which they came."""
        queue = WaitingQueue(10, 1000, 2.0)
        entries = [entry(b"%d" % number) for number in range(5)]
        assert all(queue.add(each, 0.0) for each in entries)
        assert len(queue) == 5
        assert queue.takeAll() == entries
        assert len(queue) == 0
        assert queue.takeAll() == []

    def test_count(self) -> None:
        """So many, and no more: those that wait already stay."""
        queue = WaitingQueue(2, 1000, 2.0)
        assert [queue.add(entry(packet), 0.0) for packet in (b"1", b"2", b"3")] == [True, True, False]
        assert [packet for _, packet, _ in queue.takeAll()] == [b"1", b"2"]
        assert queue.add(entry(b"4"), 0.0)

    def test_bytes(self) -> None:
        """So many bytes, and no more; one that is small enough is still taken."""
        queue = WaitingQueue(10, 5, 2.0)
        assert [queue.add(entry(packet), 0.0) for packet in (b"123", b"456", b"45", b"")] == [True, False, True, True]
        queue.takeAll()
        assert queue.add(entry(b"12345"), 0.0)

    def test_none(self) -> None:
        """With 0 none wait."""
        assert not WaitingQueue(0, 1000, 2.0).add(entry(b""), 0.0)
        assert not WaitingQueue(10, 0, 2.0).add(entry(b"1"), 0.0)

    def test_age(self) -> None:
        """Each waits so long, and no longer."""
        queue = WaitingQueue(10, 5, 2.0)
        assert queue.due is None
        queue.add(entry(b"123"), 10.0)
        queue.add(entry(b"45"), 11.0)
        assert queue.due == 12.0
        assert queue.expired(11.9) == []
        assert queue.expired(12.0) == [entry(b"123")]
        assert queue.due == 13.0
        assert queue.add(entry(b"678"), 12.0)
        assert queue.expired(20.0) == [entry(b"45"), entry(b"678")]
        assert queue.due is None

    @examples
    @given(
        steps=st.lists(st.tuples(st.sampled_from(["add", "expire", "take"]), st.integers(0, 4)), max_size=40),
        packets=st.integers(0, 5),
        size=st.integers(0, 8),
    )
    def test_limits(self, steps: list[tuple[str, int]], packets: int, size: int) -> None:
        """Whatever happens, the limits hold, and each packet is refused, or leaves once, in its order."""
        queue = WaitingQueue(packets, size, 2.0)
        now = 0.0
        inside: list[tuple[float, Entry]] = []
        for kind, number in steps:
            if kind == "add":
                fits = len(inside) < packets and sum(len(each[1]) for _, each in inside) + number <= size
                assert queue.add(entry(b"x" * number), now) == fits
                inside += [(now, entry(b"x" * number))] * fits
            elif kind == "expire":
                now += number * 0.5
                assert queue.expired(now) == [each for at, each in inside if at + 2.0 <= now]
                inside = [(at, each) for at, each in inside if at + 2.0 > now]
            else:
                assert queue.takeAll() == [each for _, each in inside]
                inside = []
            assert len(queue) == len(inside)
            assert queue.due == (inside[0][0] + 2.0 if inside else None)
