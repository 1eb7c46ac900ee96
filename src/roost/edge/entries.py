"""Reads an entry of Envoy's access log: which app it was for, how long each part took, what went wrong. Pure.

What Envoy tells: when the request's first byte came, when the connection to the app was begun and made (only if it
was a new one), first and last byte in each direction, flags and words on how it ended. What the activator knows of
the same request comes as an `Activation`: Envoy sees of a wake nothing but a slow answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from roost.edge.contract import WakeResult
from roost.edge.replies import code_of
from roost.edge.snapshot import app_of
from roost.edge.statics import static_app_of
from roost.model.request import Request, redacted

CONNECT_BEGAN, CONNECT_ENDED = "cxb", "cxe"
TAGS = {  # of each entry; microseconds after the request's first byte, absent where a connection was used again
    CONNECT_BEGAN: "%COMMON_DURATION(DS_RX_BEG:US_CX_BEG:us)%",
    CONNECT_ENDED: "%COMMON_DURATION(DS_RX_BEG:US_CX_END:us)%",
}
FLAGS = {
    "failed_local_healthcheck": "LH",
    "no_healthy_upstream": "UH",
    "upstream_request_timeout": "UT",
    "local_reset": "LR",
    "upstream_remote_reset": "UR",
    "upstream_connection_failure": "UF",
    "upstream_connection_termination": "UC",
    "upstream_overflow": "UO",
    "no_route_found": "NR",
    "delay_injected": "DI",
    "fault_injected": "FI",
    "rate_limited": "RL",
    "unauthorized_details": "UAEX",
    "rate_limit_service_error": "RLSE",
    "downstream_connection_termination": "DC",
    "upstream_retry_limit_exceeded": "URX",
    "stream_idle_timeout": "SI",
    "invalid_envoy_request_headers": "IH",
    "downstream_protocol_error": "DPE",
    "upstream_max_stream_duration_reached": "UMSDR",
    "response_from_cache_filter": "RFCF",
    "no_filter_config_found": "NFCF",
    "duration_timeout": "DT",
    "upstream_protocol_error": "UPE",
    "no_cluster_found": "NC",
    "overload_manager": "OM",
    "dns_resolution_failure": "DF",
    "downstream_remote_reset": "DR",
}
_METHODS = (
    "", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
)  # by the number in the entry  # fmt: skip
_PROTOCOLS = ("", "HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/3")


@dataclass(frozen=True, slots=True)
class Activation:
    """What the activator knows of a request. Durations are milliseconds; `read_at` is Unix time."""

    app: str  # "" when there is no such app
    machine: str
    read_at: float
    wake: float
    connect: float
    error: str = ""


class Sighting:
    """One request as the activator sees it go by; tells `note` what it knows before the request can have ended."""

    def __init__(self, request_id: str, note: Callable[[str, Activation], None]) -> None:
        self._id, self._note = request_id, note
        self._read_at = time.time()
        self._since = time.monotonic()
        self._wake = 0.0
        self._app = self._machine = ""

    def woken(self, result: WakeResult) -> None:
        """The waker has answered."""
        self._wake = self._lap()
        self._app, self._machine = result.app, result.endpoint.machine_id if result.endpoint else ""

    def connected(self) -> None:
        """The app has accepted the connection."""
        self._note(self._id, Activation(self._app, self._machine, self._read_at, self._wake, self._lap()))

    def refused(self, app: str, code: str) -> None:
        """The request is answered with an error of this class."""
        self._note(self._id, Activation(app, self._machine, self._read_at, self._wake, 0.0, code))

    def _lap(self) -> float:
        since, self._since = self._since, time.monotonic()
        return (self._since - since) * 1000


def app_asked_for(entry: Any, activation: Activation | None) -> str:
    """Return the app that a request was for, "" when it can't be told or there is none."""
    route = entry.common_properties.route_name
    return app_of(route) or static_app_of(route) or (activation.app if activation else "")


def read_entry(entry: Any, machine: str, activation: Activation | None, *, to_activator: bool) -> Request:
    """Return the request of an entry that tells of its end. `machine` is where its last connection led."""
    common, asked, answer = entry.common_properties, entry.request, entry.response
    at = common.start_time.seconds + common.start_time.nanos / 1e9
    total = _ms(common.duration)
    status = answer.response_code.value
    flags = [FLAGS.get(field.name, "") for field, value in common.response_flags.ListFields() if value is True]
    details = answer.response_code_details
    own = not details.startswith(("via_upstream", "upstream_reset_after_response_started"))
    queue, wake, connect, app = _parts(common, total)
    to_statics = bool(static_app_of(common.route_name))
    error = ""
    if status >= 400 or flags:
        error = code_of(flags, status, details, own=own, to_activator=to_activator, to_statics=to_statics)
    if activation is not None:
        machine, wake, connect = activation.machine, activation.wake, activation.connect
        queue = max(0.0, (activation.read_at - at) * 1000)
        first = _ms(common.time_to_first_upstream_rx_byte) or total
        app = 0.0 if activation.error else max(0.0, first - queue - wake - connect)
        error = activation.error if error != "client_gone" and activation.error else error
    return Request(
        at=at,
        id=asked.request_id[:64],
        method=_METHODS[asked.request_method] if asked.request_method < len(_METHODS) else "",
        host=asked.authority[:253],
        path=redacted(asked.path),
        status=status,
        protocol=_PROTOCOLS[entry.protocol_version] if entry.protocol_version < len(_PROTOCOLS) else "",
        client=common.downstream_remote_address.socket_address.address,
        machine=machine,
        bytes_in=asked.request_body_bytes,
        bytes_out=answer.response_body_bytes,
        queue=round(queue, 3),
        wake=round(wake, 3),
        connect=round(connect, 3),
        app=round(app, 3),
        total=round(total, 3),
        tries=common.upstream_request_attempt_count,
        error=error,
    )


def _parts(common: Any, total: float) -> tuple[float, float, float, float]:
    """Return queue, wake, connect and app of a request that went straight to the app."""
    sent = _ms(common.time_to_first_upstream_tx_byte)
    if not sent:  # it never had a connection
        return (total if common.upstream_request_attempt_count else 0.0), 0.0, 0.0, 0.0
    began, ended = _tag(common, CONNECT_BEGAN), _tag(common, CONNECT_ENDED)
    connect = max(0.0, ended - began) if ended else 0.0
    first = _ms(common.time_to_first_upstream_rx_byte) or total
    whole = _ms(common.time_to_last_upstream_tx_byte)
    return max(0.0, sent - connect), 0.0, connect, max(0.0, first - (whole if sent < whole < first else sent))


def _tag(common: Any, name: str) -> float:
    text = common.custom_tags.get(name, "")
    return int(text) / 1000 if text.lstrip("-").isdigit() else 0.0


def _ms(duration: Any) -> float:
    return float(duration.seconds * 1000 + duration.nanos / 1e6)
