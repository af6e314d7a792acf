"""Who is to be pinged when, and who has been silent for too long."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_crossws.state.heartbeat import PingWheel


class Client:
    """Somebody whose life is watched."""

    heard = False
    pingSlot = -1


def turned(wheel: PingWheel[Client], times: int) -> list[tuple[list[Client], list[Client]]]:
    return [wheel.turn() for _ in range(times)]


NOBODY: tuple[list[Client], list[Client]] = ([], [])


class TestPingWheel:
    def test_nobody(self) -> None:
        """Without members nobody is due."""
        wheel: PingWheel[Client] = PingWheel(4)
        assert len(wheel) == 0
        assert turned(wheel, 8) == [NOBODY] * 8

    def test_firstPing(self) -> None:
        """A new member is pinged after one whole interval."""
        wheel: PingWheel[Client] = PingWheel(4)
        member = Client()
        wheel.add(member)
        assert len(wheel) == 1
        assert turned(wheel, 4) == [NOBODY] * 3 + [([member], [])]

    def test_silent(self) -> None:
        """Of whom nothing was heard from one ping to the next is to be cut."""
        wheel: PingWheel[Client] = PingWheel(3)
        member = Client()
        wheel.add(member)
        assert turned(wheel, 3)[-1] == ([member], [])
        assert turned(wheel, 3) == [NOBODY] * 2 + [([], [member])]

    def test_heard(self) -> None:
        """Who is heard of is pinged again and again."""
        wheel: PingWheel[Client] = PingWheel(3)
        member = Client()
        wheel.add(member)
        for _ in range(5):
            assert turned(wheel, 3) == [NOBODY] * 2 + [([member], [])]
            member.heard = True

    def test_heardTooLate(self) -> None:
        """Being heard of counts for the interval in which it happens."""
        wheel: PingWheel[Client] = PingWheel(2)
        member = Client()
        wheel.add(member)
        turned(wheel, 2)
        member.heard = True
        assert turned(wheel, 2)[-1] == ([member], [])
        assert turned(wheel, 2)[-1] == ([], [member])

    def test_spread(self) -> None:
        """Members are due in the order of the moments in which they came, not all at once."""
        wheel: PingWheel[Client] = PingWheel(4)
        members = [Client() for _ in range(3)]
        for member in members:
            wheel.add(member)
            wheel.turn()
        assert turned(wheel, 3) == [([member], []) for member in members]

    def test_together(self) -> None:
        """Those that came in the same moment are due together, each as it deserves."""
        wheel: PingWheel[Client] = PingWheel(2)
        lively, silent = Client(), Client()
        wheel.add(lively)
        wheel.add(silent)
        assert set(turned(wheel, 2)[-1][0]) == {lively, silent}
        lively.heard = True
        assert turned(wheel, 2)[-1] == ([lively], [silent])

    def test_remove(self) -> None:
        """Who is gone is never due again."""
        wheel: PingWheel[Client] = PingWheel(2)
        gone, stays = Client(), Client()
        wheel.add(gone)
        wheel.add(stays)
        wheel.turn()
        wheel.remove(gone)
        assert len(wheel) == 1
        assert wheel.turn() == ([stays], [])

    def test_removeWhileToldAbout(self) -> None:
        """The members that a turn names can be removed, and added again, while they are looked at."""
        wheel: PingWheel[Client] = PingWheel(1)
        members = {Client() for _ in range(5)}
        for member in members:
            wheel.add(member)
        ping, _ = wheel.turn()
        for member in ping:
            wheel.remove(member)
        assert set(ping) == members
        assert len(wheel) == 0
        wheel.add(ping[0])
        assert wheel.turn() == ([ping[0]], [])

    def test_defaultInterval(self) -> None:
        """The wheel has 20 slots: with one turn each second, pings come each 20 s (wire section 1)."""
        wheel: PingWheel[Client] = PingWheel()
        member = Client()
        wheel.add(member)
        assert turned(wheel, 20) == [NOBODY] * 19 + [([member], [])]

    @settings(deadline=None, max_examples=150)
    @given(
        st.integers(1, 6),
        st.lists(st.tuples(st.integers(0, 3), st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)))),
    )
    def test_eachOncePerInterval(self, slots: int, turns: list[tuple[int, set[int], set[int]]]) -> None:
        """Everyone is due at each whole interval since it came, never else, and cut only if nothing was heard of it."""
        wheel: PingWheel[Client] = PingWheel(slots)
        came: dict[Client, int] = {}
        heard: set[Client] = set()
        numbered: list[Client] = []
        for now, (new, speaking, leaving) in enumerate(turns, 1):
            for client in [numbered[at] for at in leaving if at < len(numbered) and numbered[at] in came]:
                wheel.remove(client)
                del came[client]
            for client in [numbered[at] for at in speaking if at < len(numbered)]:
                client.heard = True
                heard.add(client)
            for _ in range(new):
                numbered.append(Client())
                wheel.add(numbered[-1])
                came[numbered[-1]] = now
                heard.add(numbered[-1])
            due = {
                client for client, since in came.items() if now - since >= slots - 1 and (now - since + 1) % slots == 0
            }
            ping, cut = wheel.turn()
            assert set(ping) == due & heard
            assert set(cut) == due - heard
            heard -= due
            assert len(wheel) == len(came)
