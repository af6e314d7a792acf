"""The names of channels on the bus (wire section 2)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_crossws.wire.topics import Topics

examples = settings(deadline=None, max_examples=150)

#: Prefixes that may begin alike, so that one is part of the other.
prefixes = st.text("ab:", min_size=1, max_size=3)
namespaces = st.text(max_size=6) | st.builds(
    str.__add__,
    st.text("ab:", max_size=3),
    st.sampled_from(["", "server_bridge", "private_socket", "broadcast", "room"]),
)


class TestNames:
    def test_fixed(self) -> None:
        """The three channels that every cluster has."""
        topics = Topics()
        assert (topics.bridge, topics.privateSocket, topics.broadcast) == (
            "csbp:server_bridge",
            "ws:private_socket",
            "ws:broadcast",
        )

    def test_prefixes(self) -> None:
        """Both prefixes can be chosen."""
        topics = Topics("b.", "r.")
        assert (topics.bridge, topics.privateSocket, topics.broadcast, topics.room("chat")) == (
            "b.server_bridge",
            "r.private_socket",
            "r.broadcast",
            "r.chat",
        )

    @pytest.mark.parametrize(("bridge", "room"), [("ws:", "ws:"), ("", "ws:"), ("csbp:", ""), ("", "")])
    def test_malformedPrefixes(self, bridge: str, room: str) -> None:
        """Prefixes that are equal or empty are refused, with both of them named."""
        with pytest.raises(ValueError, match=f"{bridge!r} and {room!r}"):
            Topics(bridge, room)


class TestRoom:
    @pytest.mark.parametrize(
        ("namespace", "channel"),
        [
            ("chat", "ws:chat"),
            ("ws:chat", "ws:chat"),
            ("ws:", "ws:"),
            ("WS:chat", "ws:WS:chat"),
            ("csbp:chat", "ws:csbp:chat"),
            ("*", "ws:*"),
            ("a b\r\n\0{tag}?[x]", "ws:a b\r\n\0{tag}?[x]"),
        ],
    )
    def test_channel(self, namespace: str, channel: str) -> None:
        """A namespace is a channel under the prefix, and one that has it already is its own channel."""
        topics = Topics()
        assert topics.room(namespace) == channel
        assert topics.isRoom(channel)

    @pytest.mark.parametrize("namespace", ["", "private_socket", "ws:private_socket", "broadcast", "ws:broadcast"])
    def test_taken(self, namespace: str) -> None:
        """The channels that carry no rooms cannot be had as a namespace."""
        with pytest.raises(ValueError, match="cannot be a room namespace"):
            Topics().room(namespace)

    def test_takenByTheBridge(self) -> None:
        """Nor can the bridge, where its prefix begins with that of the rooms."""
        topics = Topics("ws:servers:", "ws:")
        with pytest.raises(ValueError, match="cannot be a room namespace"):
            topics.room("servers:server_bridge")
        assert not topics.isRoom(topics.bridge)

    def test_preset(self) -> None:
        """A preset namespace is a room's, but one of the bridge is left as it is."""
        topics = Topics()
        assert topics.preset("chat") == "ws:chat"
        assert topics.preset("ws:chat") == "ws:chat"
        assert topics.preset("csbp:extra") == "csbp:extra"
        with pytest.raises(ValueError):
            topics.preset("broadcast")

    @pytest.mark.parametrize("channel", ["csbp:server_bridge", "ws:private_socket", "ws:broadcast", "news", "", "ws"])
    def test_noRoom(self, channel: str) -> None:
        """Other channels carry no frames for rooms."""
        assert not Topics().isRoom(channel)

    @pytest.mark.parametrize(
        ("channel", "reserved"),
        [
            ("csbp:anything", True),
            ("ws:chat", True),
            ("ws:broadcast", True),
            ("ws", False),
            ("news", False),
            ("", False),
        ],
    )
    def test_reserved(self, channel: str, reserved: bool) -> None:
        """A channel under one of the two prefixes is the cluster's own."""
        assert Topics().isReserved(channel) is reserved

    @examples
    @given(prefixes, prefixes, namespaces)
    def test_anyNamespace(self, bridge: str, room: str, namespace: str) -> None:
        """Whatever the prefixes, a namespace is a channel for rooms alone, or a ValueError."""
        if bridge == room:
            return
        topics = Topics(bridge, room)
        try:
            channel = topics.room(namespace)
        except ValueError:
            return
        assert channel in (namespace, room + namespace)
        assert topics.isRoom(channel)
        assert topics.room(channel) == channel
        assert channel not in (topics.bridge, topics.privateSocket, topics.broadcast)
