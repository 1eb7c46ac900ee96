"""What Envoy answers by itself when a request can't reach the app or the activator, and what its flags mean. Pure.

Whose fault it is shows in `Roost-Fault` and why in `Roost-Error`, both by the table `model.edge_errors`; `Fly-Error`
has Fly's word for the same, where there is one. A request on its way to the activator carries the header
`roost-activator`, one to the replay server `roost-route`: when that fails, `roostd` is down. The access log is read
with the same rules (`code_of`), so what the client was told and what the developer reads is one thing. Invariant:
each flag of Envoy's has a class.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from roost.edge.admission import FULL, LATE
from roost.edge.bodies import NOT_REPLAYED, SOCKET_NOT_REPLAYED, STALLED, TOO_MANY, TOO_MANY_OF_APP
from roost.edge.pages import Page, html_page, json_page, text_page
from roost.edge.refused_first import MARK as REFUSE
from roost.edge.refused_first import ODD_NAME, STATUS
from roost.edge.static_paths import HEADER
from roost.edge.steering_config import ODD_STATUS, ROUTE
from roost.model.edge_errors import EDGE_ERRORS, EdgeError
from roost.model.replay_order import JSON_TYPE

MARK = "roost-activator"  # request header that the default virtual host sets


@dataclass(frozen=True, slots=True)
class Rule:
    """Gives the class `code` to answers with one of `flags`, and, if there is one, a status among `statuses`.

    `detail` must be in Envoy's words on the failed connection. `direct`: also to what a route answers by itself.
    `odd_name`: the request is marked for that; in the log its status tells. `order`: the answer has the headers of one
    of the app's that asks for a replay; in the log, again, the status tells.
    """

    code: str
    flags: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    detail: str = ""
    direct: bool = False
    odd_name: bool = False
    order: bool = False
    to_activator: bool = False
    to_statics: bool = False


_LOST = ("UF", "UH", "UC", "UO", "URX", "LR", "NC", "UPE", "UR")  # whatever keeps a request from a server of ours
NO_HANDSHAKE = "websocket_handshake"  # Envoy passes only the headers of such an answer on, if its status is below 400
_IS_ORDER = (
    "'fly-replay' in response.headers || 'roost-replay' in response.headers || "
    f"('content-type' in response.headers && response.headers['content-type'].startsWith('{JSON_TYPE}'))"
)
DOOR = "TLS_error"  # only doors of sleeping apps are asked for TLS, and answer by hanging up
RULES = (  # the first that fits holds
    Rule("statics_unavailable", _LOST, to_statics=True),
    Rule("app_invalid_answer", statuses=(502,), detail=ODD_STATUS),
    Rule("app_invalid_answer", ("UPE",)),  # also by way of servers of ours, which pass on what the app says
    Rule("control_plane_restarting", _LOST, to_activator=True),
    Rule("app_at_hard_limit", ("UO",)),
    Rule("app_at_hard_limit", statuses=(503,), detail=FULL),
    Rule("app_queue_timeout", statuses=(503,), detail=LATE),
    Rule("not_woken", ("UF",), detail=DOOR),  # why is known to roostd only: feed.py
    Rule("app_not_accepting", ("UF",), detail="timeout"),
    Rule("app_not_listening", ("UF",)),
    Rule("app_closed_connection", ("UC", "LR", "UR", "URX")),
    Rule("no_machine", ("UH", "NC", "LH")),
    Rule("app_silent", ("SI", "UT", "DT", "UMSDR")),
    Rule("edge_overloaded", ("OM", "DO", "UDO")),
    Rule("edge_overloaded", statuses=(503,), detail=TOO_MANY_OF_APP, to_activator=True),
    Rule("app_uploads_full", statuses=(503,), detail=TOO_MANY_OF_APP),
    Rule("edge_overloaded", statuses=(503,), detail=TOO_MANY),
    Rule("rate_limited", ("RL",)),
    Rule("no_route", ("NR",)),
    Rule("https_without_tls", detail="https_url_on_plaintext_connection"),
    Rule("query_without_type", detail="query_missing_content_type"),
    Rule("headers_too_large", ("DPE",), (431,)),
    Rule("bad_request", ("DPE", "IH")),
    Rule("edge_failed", ("NFCF", "RFCF", "DF", "DI", "FI", "UAEX", "RLSE")),
    Rule("bad_request", statuses=(STATUS,), direct=True, odd_name=True),
    Rule("bad_request", statuses=(400,), direct=True),
    Rule("upgrade_refused", statuses=(403,)),
    Rule("no_route", statuses=(404,)),
    Rule("body_stalled", statuses=(408,), detail=STALLED),
    Rule("client_too_slow", statuses=(408,)),
    Rule("body_too_large", statuses=(413,)),
    Rule("rate_limited", statuses=(429,), direct=True),  # Envoy sets the flag too late for the page
    Rule("headers_too_large", statuses=(431,)),
    Rule("edge_failed", statuses=(500,)),
    Rule("replay_of_websocket", detail=NO_HANDSHAKE, order=True),
    Rule("replay_of_websocket", detail=SOCKET_NOT_REPLAYED),
    Rule("replay_too_large", statuses=(507, 502), detail="retry_buffer"),  # it grew while it was to be sent again
    Rule("replay_too_large", detail=NOT_REPLAYED),
)
_OF_STATICS = {error.status: code for code, error in EDGE_ERRORS.items() if code.startswith("statics_")}
SWITCHED = 101
DIRECT = "direct_response"  # Envoy's word for the answer that a route gives by itself
_SENT = "so much"  # of an invalid answer, when it turned out to be one
_SENT_BYTES = "%UPSTREAM_WIRE_BYTES_RECEIVED% bytes (tried %UPSTREAM_REQUEST_ATTEMPT_COUNT% times)"
GONE = ("DC", "DR")  # the client ended it: nobody is left to be answered
BROKE_OFF = ("UC", "UR", "URX", "LR", "UF", "UPE")  # these, after an answer had begun


def code_of(
    flags: Collection[str], status: int, detail: str, *, own: bool, to_activator: bool = False, to_statics: bool = False
) -> str:
    """Return the class of a request that ended so, "" for one that went well.

    `own`: Envoy gave the answer itself; else the app did, or who serves its statics, in full or in part. A WebSocket
    that was accepted ends when either side hangs up: that is nobody's error.
    """
    accepted = status == SWITCHED and not own
    if any(flag in GONE for flag in flags):
        return "" if accepted else "client_gone"
    if not own:
        if any(flag in BROKE_OFF for flag in flags) and not accepted:
            return "statics_unavailable" if to_statics else "app_broke_off"
        if any(flag in ("SI", "UT", "DT", "UMSDR") for flag in flags):
            return "client_too_slow" if to_statics else "app_silent"
        if to_statics:
            return _OF_STATICS.get(status, "")
        return "app_answered_5xx" if status >= 500 else ""
    direct = detail == DIRECT and not flags
    for rule in RULES:
        if rule.odd_name or (direct and not rule.direct):
            continue
        if (rule.to_activator and not to_activator) or (rule.to_statics and not to_statics):
            continue
        if rule.flags and not any(flag in rule.flags for flag in flags):
            continue
        if rule.statuses and status not in rule.statuses:
            continue
        if rule.order and status != EDGE_ERRORS[rule.code].status:
            continue
        if rule.detail in detail:
            return rule.code
    return "edge_failed" if status >= 500 and not direct else ""


def local_reply_config() -> dict[str, Any]:
    """Return the HTTP connection manager's `local_reply_config`; the first mapper that fits wins."""
    mappers = [mapper for rule in RULES for mapper in _mappers(rule)]
    bare = {"text_format_source": {"inline_string": "%RESPONSE_CODE% %LOCAL_REPLY_BODY%\n"}}
    return {"mappers": mappers, "body_format": bare}


def _mappers(rule: Rule) -> Iterator[dict[str, Any]]:
    error = EDGE_ERRORS[rule.code]
    only: list[dict[str, Any]] = []
    if rule.flags:
        only.append({"response_flag_filter": {"flags": list(rule.flags)}})
    if rule.statuses:
        only.append(_any_of([_status(status) for status in rule.statuses]))
    if rule.detail:
        only.append(_expression(f"response.code_details.contains('{rule.detail}')"))
    if not rule.flags and not rule.direct:  # what a route answers by itself is meant so
        only.append(_expression(f"response.code_details != '{DIRECT}'"))
    if rule.order:
        only.append(_expression(_IS_ORDER))
    if rule.odd_name:
        only.append(_header(REFUSE, {"string_match": {"exact": ODD_NAME}}))
    if rule.to_activator:
        only.append(_any_of([_header(name, {"present_match": True}) for name in (MARK, ROUTE)]))
    if rule.to_statics:
        only.append(_header(HEADER, {"present_match": True}))
    known = f" It had sent {_SENT}." if rule.code == "app_invalid_answer" else ""
    page = Page(error.status, error.fault, error.code, error.message, error.hint + known)
    yield _mapper(error, [*only, _accepts("text/html")], html_page(page), "text/html; charset=utf-8")
    yield _mapper(error, [*only, _accepts("json")], json_page(page), "application/json")
    yield _mapper(error, only, text_page(page), "text/plain; charset=utf-8")


def _mapper(error: EdgeError, filters: list[dict[str, Any]], body: str, content_type: str) -> dict[str, Any]:
    return {
        "filter": filters[0] if len(filters) == 1 else {"and_filter": {"filters": filters}},
        "status_code": error.status,
        "headers_to_add": [
            {
                "header": {"key": key, "value": value},  # a limit knows better when to try again
                "append_action": "ADD_IF_ABSENT" if key == "retry-after" else "OVERWRITE_IF_EXISTS_OR_ADD",
            }
            for key, value in error_headers(error).items()
        ],
        "body_format_override": {
            "content_type": content_type,
            "text_format_source": {"inline_string": body.replace("%", "%%").replace(_SENT, _SENT_BYTES)},
        },
    }


def error_headers(error: EdgeError) -> dict[str, str]:
    """Return the headers that say what an error is, for programs."""
    headers = {"roost-error": error.code, "roost-fault": error.fault, "cache-control": "no-store"}
    if error.fly:
        headers["fly-error"] = error.fly
    if error.retry_after:
        headers["retry-after"] = str(error.retry_after)
    return headers


def _status(status: int) -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": f"roost.status.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _any_of(filters: list[dict[str, Any]]) -> dict[str, Any]:
    return filters[0] if len(filters) == 1 else {"or_filter": {"filters": filters}}


def _expression(text: str) -> dict[str, Any]:
    return {
        "extension_filter": {
            "name": "envoy.access_loggers.extension_filters.cel",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                "expression": text,
            },
        }
    }


def _accepts(word: str) -> dict[str, Any]:
    return _header("accept", {"string_match": {"contains": word, "ignore_case": True}})


def _header(name: str, match: dict[str, Any]) -> dict[str, Any]:
    return {"header_filter": {"header": {"name": name, **match}}}
