"""What Envoy writes of each request, at its end: a line of JSON in a file of its cell (native/request_log.c). Pure.

Nobody can forge or break a line: every value is spelled as JSON does, whatever bytes a client sent, and those that
clients choose are cut. Durations are microseconds after the request's first byte, absent where there was no such
moment. The values in a query string are in the line, so the file is for Envoy and roostd only and is removed soon
(tail.py); what is kept is without them (entries.py). What could not be written is counted by a line of its own.
"""

from __future__ import annotations

from typing import Any

import orjson

(
    ROUTE,
    STATUS,
    FLAGS,  # Envoy's short names of what went wrong, with commas between them
    DETAILS,
    CLUSTER,
    DURATION,  # milliseconds
    AT,  # Unix time, of the first byte
    TOTAL,
    SENT,
    SENT_WHOLE,
    ANSWERED,
    CONNECTING,
    CONNECTED,
    METHOD,
    PROTOCOL,
    CLIENT,
    MACHINE,  # the address
    BYTES_IN,
    BYTES_OUT,
    ID,
    TRIES,
    HOST,
    PATH,
    INVALID,  # bytes that the app had sent, in all tries, when its answer turned out to be none of HTTP
    VALUES,  # how many there are
) = range(25)
_LEAST = INVALID  # values of a line from an Envoy that was begun by an older Roost, and has its module still

# by the bits that Envoy sets in their number
FLAG_NAMES = (
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX", "SI", "IH",
    "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR", "UDO",
)  # fmt: skip

_ACTIVATOR = b'"activator"'
_REPLAY = b'"replay"'

Entry = list[Any]  # by the places above; None for what there is not


def entry_of(line: bytes) -> Entry | None:
    """Return the entry of a line, None if it is none: an Envoy that was killed leaves a torn one."""
    entry = _parsed(line)
    if type(entry) is not list or not _LEAST <= len(entry) <= VALUES:
        return None
    entry += [None] * (VALUES - len(entry))
    flags = entry[FLAGS]
    entry[FLAGS] = _names(flags) if type(flags) is int and flags else None
    return entry


def lost_before(line: bytes) -> int:
    """Return how many lines Envoy could not write, if this one tells it, else 0."""
    told = _parsed(line)
    return int(told[0]) if type(told) is list and len(told) == 1 and type(told[0]) is int else 0


def _parsed(line: bytes) -> object:
    try:
        return orjson.loads(line)
    except ValueError:
        pass
    try:  # a client may send any byte, and only what ASCII has is spelled
        return orjson.loads(line.decode(errors="replace"))
    except ValueError:
        return None


def _names(flags: int) -> str:
    return ",".join(name for bit, name in enumerate(FLAG_NAMES) if flags >> bit & 1)


def kind_of(line: bytes) -> bytes | None:
    """Return what a line has in common with others that went the same way; None for one that is to be read by itself.

    By themselves are read the lines of requests that took a second or more, unless no app was found for them (a client
    that holds thousands and cuts them), and those of a kind that `is_single`.
    Nothing of it is a client's choice: route, status, flags, details, cluster, and the tab behind them. The line is not
    parsed for that: this is done for each one.
    """
    kind, tab, rest = line.partition(b",\t")
    return kind if tab and (rest.find(b",", 0, 4) > -1 or _led_nowhere(kind)) else None


def _led_nowhere(kind: bytes) -> bool:
    return kind.startswith(b"[null,") and kind.endswith(b",null")


def is_single(kind: bytes) -> bool:
    """Tell whether lines of a kind are all read by themselves: those by way of the activator or the replay server."""
    values = kind.split(b",")
    return len(values) != 5 or _ACTIVATOR in values[0] or values[4] in (_ACTIVATOR, _REPLAY)
