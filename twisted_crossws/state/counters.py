"""
What happened how often. Whatever is dropped is counted here, by its cause.
"""

from __future__ import annotations

#: Every counter there is, and what it counts.
MEANINGS = {
    "connections_opened": "WebSocket connections that were accepted",
    "connections_closed": "of these, those that have ended",
    "handshakes_malformed": "requests that are no proper handshake, or no HTTP",
    "handshakes_timed_out": "connections cut because their handshake took too long",
    "handshakes_wrong_path": "handshakes refused: not the configured path",
    "handshakes_foreign_origin": "handshakes refused: an origin that is not allowed",
    "handshakes_refused": "handshakes refused by the authenticator",
    "handshakes_failed": "handshakes refused because the authenticator failed",
    "handshakes_over_limit": "handshakes refused: max_connections, or too many each second",
    "handshakes_stopping": "handshakes refused: the node is draining, or stops",
    "health_checks": "requests for /healthz and /readyz that were answered",
    "http_bodies": "plain HTTP requests refused: they have a body",
    "http_over_limit": "plain HTTP connections refused: max_plain_connections of them were being answered",
    "http_timed_out": "plain HTTP connections cut: a request did not arrive in time, or its answer was not taken",
    "events_received": "events from clients",
    "events_without_listener": "of these, those that nobody listens to",
    "events_declined": "events with a reply wanted whose listeners all declined to give one",
    "events_overloaded": "events dropped: the client has too many unanswered ones",
    "frames_malformed": "texts from clients that are no frame, dropped",
    "messages_raw": "messages from clients that are no frame, for lifecycle listeners of message",
    "listener_failures": "listeners that raised, or whose Deferred failed",
    "replies_sent": "replies to clients",
    "replies_undeliverable": "replies dropped: the client was gone",
    "messages_sent": "events written to clients of this node",
    "messages_skipped": "events not written: the client was closing",
    "messages_volatile_skipped": "volatile events not written: the client had not taken what was sent before",
    "requests_sent": "requests to clients of this node, with an answer wanted",
    "requests_timed_out": "of these, those that were not answered in time",
    "answers_late": "answers of clients that nobody waits for any more, or never did, dropped",
    "clients_silent": "clients cut: no answer to a ping",
    "clients_slow": "clients closed with 4008: too much waited for them, or they took nothing of it for too long",
    "clients_flooding": "clients closed with 1008: too many frames each second, or fragments",
    "clients_oversized": "clients closed with 1009: a frame or message was too big",
    "clients_faulty": "clients closed with 1002 or 1007: they broke the protocol",
    "clients_background": "clients cut: too long in the background",
    "clients_drained": "clients closed with 1012, as the node is to stop",
    "clients_drained_unanswered": "of these, those that still waited for answers when the deadline came",
    "bus_packets_unreadable": "packets from the bus that are not in the encoding of the cluster, dropped",
    "bus_packets_malformed": "packets from the bus that lack what their channel needs, dropped",
    "bus_packets_oversized": "packets from the bus that are too large, dropped",
    "bus_packets_received": "packets from the bus",
    "bus_packets_published": "packets given to the bus",
    "bus_confirmed": "of these, those that a Redis or the hub confirmed",
    "bus_queued": "of these, those that had to wait because there was no healthy Redis, or no hub",
    "bus_dropped_full": "of these, those dropped: too many were waiting",
    "bus_dropped_old": "of these, those dropped: no Redis became healthy in time, or no hub came",
    "bus_dropped_stopped": "of these, those dropped: the node stopped before they could be sent",
    "bus_rejected": "of these, those that a Redis answered with an error, or that are too large for a hub",
    "bus_unconfirmed": "of these, those that were sent on a connection that broke: perhaps delivered, perhaps not",
    "bus_unheard": "deliveries that did not happen, as confirmations say: another node was not subscribed just then",
    "bus_gaps": "times in which this node may have missed packets, because a subscription was interrupted",
    "bus_missed": "packets of other servers that did not come, as their numbers show",
    "bus_reconnects": "connections to a Redis or to the hub that were made again",
    "bus_deaf": "subscribers cut because they heard nothing any more",
    "bus_hub_taken": "times in which this process became the hub",
    "bus_hub_slow": "processes cut by the hub in this process: they did not read what was for them",
    "bus_hub_faulty": "connections cut by the hub in this process: they broke its protocol",
    "calls_sent": "calls to servers, with a reply wanted",
    "calls_timed_out": "of these, those that ended by their time-out",
    "calls_expired": "calls from servers that came after their deadline, dropped",
    "events_early": "events from servers that came before this node had its name, and were not served then",
    "calls_undeliverable": "calls to servers that the bus did not carry",
    "servers_lost": "servers that were gone without a goodbye",
    "names_contested": "signs of life, or packets, of another server with this node's own name",
    "replies_late": "replies of servers that nobody waits for any more, dropped",
}


class Counters(dict[str, int]):
    """A number for each of L{MEANINGS}, from 0 up. An unknown name is a C{KeyError}."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(MEANINGS, 0))
