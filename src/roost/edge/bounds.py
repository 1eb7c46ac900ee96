"""What the edge takes of one connection and how long it waits for a client, so that none can hold it up. Pure.

A client may be silent on a stream for as long as its app likes, but it must send headers at once, send its request in
some hours, take what it is sent (else the kernel gives it up, and the streams that hold the most memory go first when
memory gets short), and not have Envoy do work for nothing: frames without content, settings and pings whose answers it
does not read, streams that it resets as soon as they are open.
"""

from __future__ import annotations

from typing import Any

HEADERS = 10.0  # seconds for a request's headers, from its first byte
REQUEST = 6 * 3600.0  # seconds until a request has come in full or its answer has begun: 5 GB at 2 Mbit/s; bodies.py
FLUSH = 60.0  # seconds without progress in which a complete answer is given up
UNREAD = 120_000  # milliseconds after which the kernel gives up a client that takes nothing of what was sent
IDLE = "300s"
SILENT = 30 * 86400  # seconds that a stream may be silent, if its app says nothing else: for ever, almost
SILENT_WHEN_SHORT = 10.0  # and where memory is short: who takes nothing, by whatever means, gives back what is held
# Bytes of one connection that Envoy holds before it reads no more for it, so what one that takes nothing can have it
# hold: it resets streams when memory gets short, but of HTTP/2 only. Half of the one would cost answers of 100 KB a
# tenth of an Envoy's processor time, since what does not fit is waited for; machines' half 3 % of the instructions.
CLIENT_BUFFER = 128 * 1024
MACHINE_BUFFER = 128 * 1024
# And of one on a port of an app's own, which nothing ends for taking nothing: half of an Envoy's connections, the most
# that a port has, hold 0.6 of its memory then.
PORT_CLIENT_BUFFER = 32 * 1024
PORT_MACHINE_BUFFER = 16 * 1024
MAX_HEADERS_KIB = 64
MAX_HEADERS = 100
STREAMS = 100  # at once on a connection
RESETS = 200  # streams of a connection that the client reset soon after it opened them, and half of all: it is closed
REQUESTS_PER_READ = 32  # that are begun before others have their turn
# SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT: a client that vanished is noticed after two
# minutes, also on a stream that may be silent for ever, and so is one whose window stays shut.
_KEEPALIVE = ((1, 9, 1), (6, 4, 60), (6, 5, 15), (6, 6, 4))

RUNTIME = {  # what Envoy decides by runtime keys alone
    "envoy.reloadable_features.strict_chunk_parsing": True,
    "overload.premature_reset_total_stream_count": RESETS,
    "http.max_requests_per_io_cycle": REQUESTS_PER_READ,
}


def of_connection() -> dict[str, Any]:
    """Return this part of an HTTP connection manager."""
    return {
        "max_request_headers_kb": MAX_HEADERS_KIB,
        "request_headers_timeout": f"{HEADERS:g}s",
        "stream_idle_timeout": "0s",  # before headers have come the above holds, then the route's own: each has one
        "stream_flush_timeout": f"{FLUSH:g}s",
        "common_http_protocol_options": {
            "idle_timeout": IDLE,
            "max_headers_count": MAX_HEADERS,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {
            "allow_connect": True,  # WebSockets (RFC 8441); no route takes what else asks to CONNECT
            "max_concurrent_streams": STREAMS,
            "initial_stream_window_size": 256 * 1024,
            "initial_connection_window_size": 1024 * 1024,
            "max_outbound_frames": 2000,  # that the client has not read yet
            "max_outbound_control_frames": 200,
        },
    }


def of_socket() -> list[dict[str, Any]]:
    """Return the options of a listener's sockets, which connections inherit."""
    return _options(*_KEEPALIVE, (6, 18, UNREAD))


def of_patient_socket() -> list[dict[str, Any]]:
    """Return those of a listener whose clients may leave unread what they are sent, for as long as they are there."""
    return _options(*_KEEPALIVE)


def _options(*options: tuple[int, int, int]) -> list[dict[str, Any]]:
    return [
        {"level": level, "name": name, "int_value": value, "state": "STATE_PREBIND"} for level, name, value in options
    ]
