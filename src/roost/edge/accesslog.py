"""What Envoy writes of each request, at its end: a line of JSON in a file of its cell. Pure.

Nobody can forge or break a line: Envoy spells every value as JSON does, whatever bytes a client sent, and cuts those
that clients choose. Durations are microseconds after the request's first byte, absent where there was no such moment.
The values in a query string are in the line, so the file is for Envoy and roostd only and is removed soon (tail.py);
what is kept is without them (entries.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

FLUSH_MS = 100  # how long Envoy may hold back what it has to write
_EXTENSIONS = "type.googleapis.com/envoy.extensions."


def _after_first_byte(moment: str) -> str:
    return f"%COMMON_DURATION(DS_RX_BEG:{moment}:us)%"


FORMAT = {
    "route": "%ROUTE_NAME%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "cluster": "%UPSTREAM_CLUSTER_RAW%",
    "duration": "%DURATION%",  # milliseconds
    "at": "%START_TIME(%s.%6f)%",
    "total": _after_first_byte("DS_TX_END"),
    "sent": _after_first_byte("US_TX_BEG"),
    "sent_whole": _after_first_byte("US_TX_END"),
    "answered": _after_first_byte("US_RX_BEG"),
    "connecting": _after_first_byte("US_CX_BEG"),
    "connected": _after_first_byte("US_CX_END"),
    "method": "%REQ(:METHOD):16%",
    "protocol": "%PROTOCOL%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "machine": "%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "id": "%REQ(X-REQUEST-ID):64%",
    "tries": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "host": "%REQ(:AUTHORITY):253%",
    "path": "%REQ(:PATH):4096%",
}
(
    ROUTE, STATUS, FLAGS, DETAILS, CLUSTER, DURATION, AT, TOTAL, SENT, SENT_WHOLE, ANSWERED, CONNECTING, CONNECTED,
    METHOD, PROTOCOL, CLIENT, MACHINE, BYTES_IN, BYTES_OUT, ID, TRIES, HOST, PATH,
) = range(len(FORMAT))  # fmt: skip
_KEY = "r"  # a line is an object with one list, since Envoy writes no bare list

_ACTIVATOR = b'"activator"'
_REPLAY = b'"replay"'

Entry = list[Any]  # by the places above; None for what there is not


def access_log(path: Path) -> dict[str, Any]:
    """Return the access log of a connection manager."""
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_EXTENSIONS}access_loggers.file.v3.FileAccessLog",
            "path": str(path),
            "log_format": {"json_format": {_KEY: list(FORMAT.values())}},
        },
    }


def entry_of(line: bytes) -> Entry | None:
    """Return the entry of a line, None if it is none: an Envoy that was killed leaves a torn one."""
    try:
        entry = orjson.loads(line)[_KEY]
    except (ValueError, TypeError, KeyError):
        return None
    return entry if type(entry) is list and len(entry) == len(FORMAT) else None


def kind_of(line: bytes) -> tuple[bytes, ...] | None:
    """Return what a line has in common with others that went the same way; None for one that is to be read by itself.

    By themselves are read the lines of requests that took a second or more, and of those that went by way of the
    activator or the replay server.
    Nothing of it is a client's choice: route, status, flags, details, cluster. The line is not parsed for that.
    """
    head = line.split(b",", 6)
    if len(head) < 7 or len(head[5]) > 3 or _ACTIVATOR in head[0] or _ACTIVATOR in head[4] or _REPLAY in head[4]:
        return None
    return tuple(head[:5])
