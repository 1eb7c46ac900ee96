"""What Envoy answers by itself when a request can't reach the app or the activator. Pure.

Whose fault it is shows in `Roost-Fault` (app, cloud, client) and why in `Roost-Error`. A request on
its way to the activator carries the header `roost-activator`: when that fails, `roostd` is down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from roost.edge.pages import Page, html_page, json_page, text_page

MARK = "roost-activator"  # request header that the default virtual host sets


@dataclass(frozen=True, slots=True)
class Reply:
    """One class of failure: when Envoy's response flags are among `flags`."""

    flags: tuple[str, ...]
    status: int
    fault: str
    code: str
    message: str
    hint: str
    to_activator: bool = False
    retry_after: int = 0


REPLIES = (
    Reply(
        ("UF", "UH", "UC", "UO", "URX", "LR", "NC"), 503, "cloud", "control_plane_restarting",
        "The control plane of this cloud is restarting.",
        "Apps that are awake keep serving; this one is asleep or unknown and can be looked up in a moment. Try again.",
        to_activator=True, retry_after=2,
    ),
    Reply(
        ("UF",), 502, "app", "app_not_listening",
        "The app does not accept connections on its port.",
        "It may have crashed, or listen on another port or on 127.0.0.1 only: it must listen on 0.0.0.0 and the "
        "internal_port of its service. `roost logs` shows what it said.",
    ),
    Reply(
        ("UO",), 503, "app", "app_at_hard_limit",
        "The app is handling as many requests as its hard_limit allows.",
        "Try again, or raise the limit or the number of machines.", retry_after=1,
    ),
    Reply(
        ("UC", "UPE", "LR", "UR"), 502, "app", "app_closed_connection",
        "The app closed the connection before it had answered.",
        "It may have crashed or restarted in the middle of the request. `roost logs` shows what it said.",
    ),
    Reply(
        ("UH", "NC"), 503, "cloud", "no_machine",
        "The app has no machine that can answer right now.",
        "Its machines are being changed. Try again.", retry_after=1,
    ),
    Reply(
        ("SI", "UT", "DT"), 504, "app", "app_silent",
        "The app was silent for longer than the idle_timeout of its service.",
        "`roost logs` shows what it said.",
    ),
    Reply(
        ("OM",), 503, "cloud", "edge_overloaded", "The edge has no room for more requests.", "Try again.", retry_after=2
    ),
)  # fmt: skip


def local_reply_config() -> dict[str, Any]:
    """Return the HTTP connection manager's `local_reply_config`; the first mapper that fits wins."""
    mappers = [mapper for reply in REPLIES for mapper in _mappers(reply)]
    bare = {"text_format_source": {"inline_string": "%RESPONSE_CODE% %LOCAL_REPLY_BODY%\n"}}
    return {"mappers": mappers, "body_format": bare}


def _mappers(reply: Reply) -> list[dict[str, Any]]:
    flags: dict[str, Any] = {"response_flag_filter": {"flags": list(reply.flags)}}
    only = [flags, _header(MARK, {"present_match": True})] if reply.to_activator else [flags]
    page = Page(reply.status, reply.fault, reply.code, reply.message, reply.hint)
    return [
        _mapper(reply, [*only, _accepts("text/html")], html_page(page), "text/html; charset=utf-8"),
        _mapper(reply, [*only, _accepts("json")], json_page(page), "application/json"),
        _mapper(reply, only, text_page(page), "text/plain; charset=utf-8"),
    ]


def _mapper(reply: Reply, filters: list[dict[str, Any]], body: str, content_type: str) -> dict[str, Any]:
    headers = {"roost-error": reply.code, "roost-fault": reply.fault, "cache-control": "no-store"}
    if reply.retry_after:
        headers["retry-after"] = str(reply.retry_after)
    return {
        "filter": filters[0] if len(filters) == 1 else {"and_filter": {"filters": filters}},
        "status_code": reply.status,
        "headers_to_add": [
            {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for key, value in headers.items()
        ],
        "body_format_override": {
            "content_type": content_type,
            "text_format_source": {"inline_string": body.replace("%", "%%")},
        },
    }


def _accepts(word: str) -> dict[str, Any]:
    return _header("accept", {"string_match": {"contains": word, "ignore_case": True}})


def _header(name: str, match: dict[str, Any]) -> dict[str, Any]:
    return {"header_filter": {"header": {"name": name, **match}}}
