"""Who is in which room, on this node."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from twisted_crossws.state.rooms import RoomTable


@pytest.fixture
def table() -> RoomTable:
    """Ann and Bob in the red room of the game, Ann in the green one too, Bob in a game of another namespace."""
    table = RoomTable()
    table.join("game", "red", "ann")
    table.join("game", "red", "bob")
    table.join("game", "green", "ann")
    table.join("game2", "red2", "bob")
    return table


class TestChanges:
    def test_join(self) -> None:
        """Joining is told apart from having joined before."""
        table = RoomTable()
        assert table.join("game", "red", "ann") is True
        assert table.join("game", "red", "ann") is False
        assert table.join("game", "green", "ann") is True
        assert table.members("game", "red") == {"ann"}

    def test_leave(self, table: RoomTable) -> None:
        """Leaving is told apart from not having been there, and leaves the others."""
        assert table.leave("game", "red", "ann") is True
        assert table.leave("game", "red", "ann") is False
        assert table.leave("game", "nowhere", "ann") is False
        assert table.leave("nowhere", "red", "ann") is False
        assert table.members("game", "red") == {"bob"}
        assert table.joined("ann") == {"game": {"green"}}

    def test_lastLeaves(self, table: RoomTable) -> None:
        """A room is gone with its last member, and a namespace with its last room."""
        table.leave("game", "green", "ann")
        assert table.ids("game") == {"red"}
        assert table.isUsed("game")
        table.remove("game", "red")
        assert not table.isUsed("game")
        assert table.isUsed("game2")

    def test_leaveAll(self, table: RoomTable) -> None:
        """Who goes leaves every room, and it is known which namespaces that concerns."""
        assert table.leaveAll("bob") == {"game", "game2"}
        assert table.joined("bob") == {}
        assert table.members("game", "red") == {"ann"}
        assert not table.isUsed("game2")
        assert table.leaveAll("bob") == frozenset()

    def test_remove(self, table: RoomTable) -> None:
        """With a room all its memberships are gone, and it is known whose they were."""
        assert table.remove("game", "red") == {"ann", "bob"}
        assert table.members("game", "red") == frozenset()
        assert table.joined("ann") == {"game": {"green"}}
        assert table.joined("bob") == {"game2": {"red2"}}
        assert table.remove("game", "red") == frozenset()
        assert table.remove("nowhere", "red") == frozenset()


class TestQuestions:
    def test_members(self, table: RoomTable) -> None:
        """In one room, in a whole namespace, or in all whose names begin so."""
        assert table.members("game", "red") == {"ann", "bob"}
        assert table.members("game") == {"ann", "bob"}
        assert table.members("game2") == {"bob"}
        assert table.members("game", "gr", exact=False) == {"ann"}
        assert table.members("game", "", exact=False) == {"ann", "bob"}
        assert table.members("ga", "red", exact=False) == frozenset()
        assert table.members("game2", exact=False) == {"bob"}
        assert table.members("g", exact=False) == {"ann", "bob"}
        assert table.members("g") == frozenset()
        assert table.members("game", "gr") == frozenset()

    def test_count(self, table: RoomTable) -> None:
        """Memberships are counted, not members."""
        assert table.count("game", "red") == 2
        assert table.count("game") == 3
        assert table.count("game", "r", exact=False) == 2
        assert table.count("game", exact=False) == 4
        assert table.count("nowhere") == 0
        assert table.count("game", "nowhere") == 0

    def test_ids(self, table: RoomTable) -> None:
        """The rooms of a namespace, or of all that begin so."""
        assert table.ids("game") == {"red", "green"}
        assert table.ids("game", exact=False) == {"red", "green", "red2"}
        assert table.ids("ga") == frozenset()

    def test_roomCount(self, table: RoomTable) -> None:
        """Rooms of the same id in two namespaces are two rooms."""
        table.join("game2", "red", "bob")
        assert table.roomCount("game") == 2
        assert table.roomCount("game", exact=False) == 4
        assert table.roomCount("ga") == 0

    def test_joined(self, table: RoomTable) -> None:
        """Where somebody is, everywhere or in the namespaces that begin so."""
        assert table.joined("ann") == {"game": {"red", "green"}}
        assert table.joined("bob") == {"game": {"red"}, "game2": {"red2"}}
        assert table.joined("bob", "game2") == {"game2": {"red2"}}
        assert table.joined("bob", "x") == {}
        assert table.joined("nobody") == {}

    def test_isMember(self, table: RoomTable) -> None:
        """In that room, or in any of the namespace."""
        assert table.isMember("ann", "game", "red")
        assert table.isMember("ann", "game")
        assert not table.isMember("bob", "game", "green")
        assert not table.isMember("ann", "game2")
        assert not table.isMember("nobody", "game", "red")

    def test_here(self, table: RoomTable) -> None:
        """The members of one room, empty where there is none; asking makes no room."""
        assert table.here("game", "red") == {"ann", "bob"}
        assert table.here("game", "nowhere") == set()
        assert table.here("nowhere", "red") == set()
        assert not table.isUsed("nowhere")
        assert table.ids("game") == {"red", "green"}

    def test_answersStay(self, table: RoomTable) -> None:
        """An answer that was given does not change when the table does."""
        members, joined, ids = table.members("game", "red"), table.joined("ann"), table.ids("game")
        table.leaveAll("ann")
        assert members == {"ann", "bob"}
        assert joined == {"game": {"red", "green"}}
        assert ids == {"red", "green"}

    def test_oddNames(self) -> None:
        """Names are names: empty, with patterns or separators in them, they mean nothing else."""
        table = RoomTable()
        for name in ("", "*", "a:b", "a", ":b", "\r\n", "{tag}"):
            assert table.join(name, name, name) is True
        assert table.members("*", "*") == {"*"}
        assert table.members("a", ":b") == frozenset()
        assert table.joined("a") == {"a": {"a"}}


namespaces = st.sampled_from(["a", "ab", "b", ""])
roomIds = st.sampled_from(["r", "rs", "s", ""])
socketIds = st.sampled_from(["x", "y", "z"])


class Rooms(RuleBasedStateMachine):
    """The table against a plain set of memberships."""

    def __init__(self) -> None:
        super().__init__()
        self.table = RoomTable()
        self.model: set[tuple[str, str, str]] = set()

    @rule(namespace=namespaces, roomId=roomIds, socketId=socketIds)
    def join(self, namespace: str, roomId: str, socketId: str) -> None:
        entry = (namespace, roomId, socketId)
        assert self.table.join(*entry) is (entry not in self.model)
        self.model.add(entry)

    @rule(namespace=namespaces, roomId=roomIds, socketId=socketIds)
    def leave(self, namespace: str, roomId: str, socketId: str) -> None:
        entry = (namespace, roomId, socketId)
        assert self.table.leave(*entry) is (entry in self.model)
        self.model.discard(entry)

    @rule(socketId=socketIds)
    def leaveAll(self, socketId: str) -> None:
        gone = {entry for entry in self.model if entry[2] == socketId}
        assert self.table.leaveAll(socketId) == {entry[0] for entry in gone}
        self.model -= gone

    @rule(namespace=namespaces, roomId=roomIds)
    def remove(self, namespace: str, roomId: str) -> None:
        gone = {entry for entry in self.model if entry[:2] == (namespace, roomId)}
        assert self.table.remove(namespace, roomId) == {entry[2] for entry in gone}
        self.model -= gone

    @rule(namespace=namespaces, roomId=st.none() | roomIds, exact=st.booleans())
    def members(self, namespace: str, roomId: str | None, exact: bool) -> None:
        matching = {
            entry
            for entry in self.model
            if (entry[0] == namespace or (roomId is None and not exact and entry[0].startswith(namespace)))
            and (roomId is None or entry[1] == roomId or (not exact and entry[1].startswith(roomId)))
        }
        assert self.table.members(namespace, roomId, exact=exact) == {entry[2] for entry in matching}
        assert self.table.count(namespace, roomId, exact=exact) == len(matching)

    @rule(namespace=namespaces, exact=st.booleans())
    def ids(self, namespace: str, exact: bool) -> None:
        rooms = {
            entry[:2] for entry in self.model if (entry[0] == namespace if exact else entry[0].startswith(namespace))
        }
        assert self.table.ids(namespace, exact=exact) == {roomId for _, roomId in rooms}
        assert self.table.roomCount(namespace, exact=exact) == len(rooms)

    @rule(socketId=socketIds, prefix=st.none() | namespaces)
    def joined(self, socketId: str, prefix: str | None) -> None:
        expected: dict[str, set[str]] = {}
        for namespace, roomId, member in self.model:
            if member == socketId and namespace.startswith(prefix or ""):
                expected.setdefault(namespace, set()).add(roomId)
        assert self.table.joined(socketId, prefix) == expected

    @rule(namespace=namespaces, roomId=st.none() | roomIds, socketId=socketIds)
    def isMember(self, namespace: str, roomId: str | None, socketId: str) -> None:
        expected = any(
            entry[0] == namespace and entry[2] == socketId and roomId in (None, entry[1]) for entry in self.model
        )
        assert self.table.isMember(socketId, namespace, roomId) is expected

    @invariant()
    def sameMemberships(self) -> None:
        """From either side, the table holds just what the model does."""
        for namespace in ("a", "ab", "b", ""):
            assert self.table.isUsed(namespace) is any(entry[0] == namespace for entry in self.model)
            for roomId in ("r", "rs", "s", ""):
                assert self.table.here(namespace, roomId) == {e[2] for e in self.model if e[:2] == (namespace, roomId)}


Rooms.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
TestRooms = Rooms.TestCase
