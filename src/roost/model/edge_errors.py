"""Every class of error that the edge answers by itself: whose fault, the status, Fly's word for it, the next step.

Pure, and the one table of these classes: Envoy's own answers, the activator's, control's refusals and what the
request log says all take their words from here. `fault` is `app` (the developer's program or its configuration),
`cloud` (Roost), `client` (who asked) or `none` (nobody: there is no such app). `fly` is the code that Fly's proxy
has for the same thing (reference, section 3), "" where it has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line loads this table at each start, and not what a machine is
    from roost.model.machine import ExitInfo


@dataclass(frozen=True, slots=True)
class EdgeError:
    """One class. `message` is what happened, in one sentence; `hint` the next step."""

    code: str
    status: int
    fault: str
    fly: str
    message: str
    hint: str
    retry_after: int = 0  # seconds, for the header


_SAID = "`roost logs` shows what it said."
_TABLE = (
    # The app's: it is there and does not do what it should.
    EdgeError(
        "app_not_listening", 502, "app", "PC01", "The app does not accept connections on its port.",
        "It may have crashed, or listen on another port or on 127.0.0.1 only: it must listen on 0.0.0.0 and the "
        "internal_port of its service. " + _SAID,
    ),
    EdgeError(
        "app_not_accepting", 502, "app", "PC05", "The app took no new connection in time.",
        "It is too busy to accept, or stuck: its queue of connections is full. " + _SAID,
    ),
    EdgeError(
        "app_listens_on_loopback", 502, "app", "PC01", "The app listens on 127.0.0.1 only.",
        "Let it listen on 0.0.0.0 and the port in $PORT.",
    ),
    EdgeError(
        "app_at_hard_limit", 503, "app", "PR04",
        "The app is handling as many requests as its hard_limit allows.",
        "Try again, or raise the limit or the number of machines.", 1,
    ),
    EdgeError(
        "app_queue_timeout", 503, "app", "PR03",
        "The request waited for 30 s, and no machine of the app came below its hard_limit.",
        "Try again, or raise the limit or the number of machines.", 1,
    ),
    EdgeError(
        "app_uploads_full", 503, "app", "PR04",
        "More is being sent to the app than there is room for, in requests that it has not begun to answer.",
        "Try again. The edge keeps up to 1 MB of each until then: the app should answer sooner. " + _SAID, 2,
    ),
    EdgeError(
        "app_closed_connection", 502, "app", "PU02", "The app closed the connection before it had answered.",
        "It may have crashed or restarted in the middle of the request. " + _SAID,
    ),
    EdgeError(
        "app_broke_off", 502, "app", "PU02", "The app broke off its answer in the middle.",
        "It crashed, was stopped, or sent less than its Content-Length says. " + _SAID,
    ),
    EdgeError(
        "app_invalid_answer", 502, "app", "PU02", "The app's answer is not valid HTTP.",
        "Its port may speak another protocol (h2_backend: it must be HTTP/2), or its headers are too large (60 KiB, "
        "100 headers), not by the letter, or contradict each other. `roost logs --http` tells more.",
    ),
    EdgeError(
        "app_silent", 504, "app", "PU02",
        "The app was silent for longer than the idle_timeout of its service.", _SAID,
    ),
    EdgeError("app_exited", 502, "app", "PR01", "The app exited.", _SAID),
    EdgeError(
        "app_out_of_memory", 502, "app", "PR01", "The app used more memory than its machine has, and was killed.",
        "Give it more: roost scale memory, or [[vm]] memory in roost.toml.",
    ),
    EdgeError("app_cannot_start", 502, "app", "PM08", "The app can't be started as it is configured.", _SAID),
    EdgeError(
        "app_check_failing", 503, "app", "PR01", "The app fails its health check.",
        "Fix the check or the app: `roost checks list` shows what it finds.",
    ),
    EdgeError("release_failed", 503, "app", "PR01", "The app's latest release failed.", _SAID),
    EdgeError("no_release", 503, "app", "PR01", "The app has no release yet.", "Deploy one: roost deploy"),
    EdgeError(
        "without_machines", 503, "app", "PR01", "The app has no machines: they were destroyed, or scaled to 0.",
        "Make one: roost scale count 1",
    ),
    EdgeError("not_healthy_yet", 503, "app", "PR01", "No machine of the app takes requests yet.", "Try again.", 2),
    EdgeError("no_service", 503, "app", "PR02", "No machine of the app serves HTTP.", "Add [http_service]."),
    EdgeError("stopped", 503, "app", "PM08", "The app is stopped, and no request starts it.", "roost machine start"),
    EdgeError(
        "statics_not_found", 404, "app", "PR05", "There is no such file.",
        "Its path below url_prefix must be that of a file below guest_path of the image: see `statics`.",
    ),
    EdgeError(
        "statics_forbidden", 403, "app", "PR05", "The file can't be served.",
        "It must be readable by everybody or root's, and no link may lead out of guest_path.",
    ),
    EdgeError(
        "statics_busy", 429, "app", "PR05", "Too many of this app's files are being sent at once.", "Try again.", 2,
    ),
    EdgeError(
        "replay_too_large", 502, "app", "PA01",
        "The app asked for a replay of a request of which too much had come, or to which it had said `100 Continue`.",
        "Up to 1 MB of a body can be replayed, before the app has asked for it: answer larger requests where they "
        "arrive, or upload elsewhere.",
    ),
    EdgeError(
        "too_many_replays", 508, "app", "PA02", "The app replayed this request more than 10 times.",
        "Two apps or machines may send it to each other: fly-replay-src tells where a request comes from.",
    ),
    EdgeError("replay_invalid", 502, "app", "PA03", "The app asked for a replay that can't be done.", _SAID),
    EdgeError(
        "replay_of_websocket", 501, "app", "PA03",
        "The app answered the request for a WebSocket with an order to replay it, and a status below 400.",
        "Let it answer such requests with 409, or any status of 400 or more: only then the edge takes the order.",
    ),
    EdgeError("replay_app_not_found", 404, "app", "PA04", "There is no app to replay to.", "`roost apps list`"),
    EdgeError(
        "replay_unauthorized", 403, "app", "PA05", "The app may not replay requests to an app of another org.",
        "The other org must accept them.",
    ),
    EdgeError("replay_timeout", 503, "app", "PR03", "No machine took the request in the time the app gave.", _SAID),
    EdgeError("machine_not_found", 404, "app", "PR02", "The app has no such machine.", "roost machine list"),
    EdgeError("no_candidate", 503, "app", "PR01", "The app has no machine where it is wanted.", "roost machine list"),
    EdgeError("app_answered_5xx", 500, "app", "", "The app itself answered with an error.", _SAID),
    # The cloud's.
    EdgeError(
        "control_plane_restarting", 503, "cloud", "PU03", "The control plane of this cloud is restarting.",
        "Apps that are awake keep serving; this one is asleep or unknown and can be looked up in a moment. Try again.",
        2,
    ),
    EdgeError(
        "no_machine", 503, "cloud", "PR01", "The app has no machine that can answer right now.",
        "Its machines are being changed. Try again.", 1,
    ),
    EdgeError(
        "statics_unavailable", 503, "cloud", "PR05", "Files can't be served just now.",
        "The server of files is being restarted, or busy. Try again.", 2,
    ),
    EdgeError("edge_overloaded", 503, "cloud", "", "The edge has no room for more requests.", "Try again.", 2),
    EdgeError(
        "edge_failed", 500, "cloud", "PP01", "The edge could not handle this request.",
        "Try again; the operator finds more in the edge's log.",
    ),
    EdgeError("wake_timeout", 503, "cloud", "PM03", "The app could not be woken in time.", _SAID, 2),
    EdgeError("wake_failed", 503, "cloud", "PM01", "The cloud could not wake the app.", "Try again.", 2),
    EdgeError("too_many_waiting", 503, "cloud", "PR04", "Too many requests wait for the app to wake.", "Try again.", 2),
    EdgeError(
        "too_many_replays_at_once", 503, "cloud", "PR04", "Too many requests are being replayed.", "Try again.", 2
    ),
    EdgeError(
        "not_woken", 503, "app", "PM01", "The app sleeps and could not be woken.",
        "`roost logs --http` and `roost status` say why, and if it was the app or the cloud.", 2,
    ),
    EdgeError("cancelled", 503, "none", "PM10", "The wait was cancelled.", "Try again.", 2),
    # The client's, and nobody's.
    EdgeError("no_such_app", 404, "none", "PR02", "There is no app of this name.", "`roost apps list` shows the apps."),
    EdgeError("no_route", 404, "client", "", "The edge does not serve this kind of request.", "CONNECT is not served."),
    EdgeError(
        "statics_bad_path", 400, "client", "", "The path is not one of a file.",
        "It may hold no '.', '..' or empty parts, and no encoded slashes.",
    ),
    EdgeError(
        "statics_bad_method", 405, "client", "", "A file can only be read.", "Use GET or HEAD.",
    ),
    EdgeError("client_gone", 499, "client", "", "The client went away before the answer was complete.", ""),
    EdgeError(
        "bad_request", 400, "client", "PU04", "The request is not valid HTTP.",
        "Send a method that HTTP knows, in capitals, one Host header, no underscores in header names, and either a "
        "length or chunks.",
    ),
    EdgeError(
        "query_without_type", 400, "client", "PU04", "The request has the method QUERY and no Content-Type.",
        "Send a Content-Type with it: the query is its body.",
    ),
    EdgeError(
        "https_without_tls", 421, "client", "PU04", "The request is for an https:// address and came without TLS.",
        "Ask the port for https by TLS; on this one, send the path alone or an http:// address.",
    ),
    EdgeError(
        "headers_too_large", 431, "client", "", "The request's headers are too large.",
        "Up to 64 KiB and 100 headers are taken.",
    ),
    EdgeError(
        "client_too_slow", 408, "client", "", "The request's headers did not arrive in time.",
        "They must be complete within 10 s.",
    ),
    EdgeError(
        "body_stalled", 408, "client", "", "The request's body stopped coming.",
        "Something of it must come every 5 minutes.",
    ),
    EdgeError(
        "body_too_large", 413, "client", "", "The request's body is larger than it may be.", "Send it in parts.",
    ),
    EdgeError(
        "upgrade_refused", 403, "client", "", "The edge does not pass on this protocol.",
        "Of upgrades only `websocket` is passed on.",
    ),
    EdgeError("rate_limited", 429, "client", "PL02", "Too many requests.", "Slow down and try again.", 1),
)  # fmt: skip

EDGE_ERRORS: Mapping[str, EdgeError] = {error.code: error for error in _TABLE}
MAX_ANSWER_HEADERS = 60 << 10  # bytes
_BLAME = {
    "app": "The app, not the cloud, caused this.",
    "cloud": "The cloud, not the app, caused this.",
    "client": "The request caused this, neither the app nor the cloud.",
}


def blame(fault: str) -> str:
    """Return the sentence that says whose fault it is, "" if nobody's."""
    return _BLAME.get(fault, "")


def invalid_answer(code: str, sent: int) -> str:
    """Say what is known of an answer that was no HTTP after `sent` bytes, "" if that is not what went wrong."""
    if code == "app_broke_off":
        return f"after {sent} bytes of the answer its body was not HTTP: a chunk's length or end is wrong"
    if code != "app_invalid_answer":
        return ""
    if sent > MAX_ANSWER_HEADERS:
        return f"the app had sent {sent} bytes: its headers are larger than 60 KiB, or are not HTTP"
    return (
        f"the app had sent {sent} bytes: not too large, but its first line or a header is not HTTP, "
        "or headers contradict each other"
    )


def edge_error(code: str) -> EdgeError:
    """Return a class by its code; one that the table lacks is the cloud's."""
    return EDGE_ERRORS.get(code) or EdgeError(code, 503, "cloud", "", code.replace("_", " "), "")


def exit_code(exit_info: ExitInfo | None) -> str:
    """Return the class of an app that ended so."""
    return "app_out_of_memory" if exit_info is not None and exit_info.oom_killed else "app_exited"
