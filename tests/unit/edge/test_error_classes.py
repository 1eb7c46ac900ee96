"""One table of error classes: each flag of Envoy's and each refusal of control's is in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from envoy.data.accesslog.v3.accesslog_pb2 import ResponseFlags

import roost
from roost.edge.replies import GONE, RULES, code_of
from roost.model.edge_errors import EDGE_ERRORS

FLAGS = {  # Envoy's short names, as its log has them
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

SOURCE = Path(roost.__file__).parent


def test_every_flag_of_envoys_has_a_short_name_and_a_class() -> None:
    assert {field.name for field in ResponseFlags.DESCRIPTOR.fields} == set(FLAGS)
    ruled = {flag for rule in RULES if not rule.to_activator for flag in rule.flags}
    assert set(FLAGS.values()) - set(GONE) - ruled == set()
    for flag in FLAGS.values():
        assert code_of([flag], 500, "", own=True) in EDGE_ERRORS


def test_every_refusal_in_the_source_is_in_the_table() -> None:
    words = r'(?:\b[45]0\d,\s*"(?:app|cloud|none|client)",\s*|\brefusal_of\()"([a-z_]+)"'
    found = {code for path in SOURCE.rglob("*.py") for code in re.findall(words, path.read_text())}
    assert {"no_such_app", "wake_failed", "too_many_waiting", "app_not_listening"} <= found
    assert found - set(EDGE_ERRORS) == set()


def test_the_table_is_whole() -> None:
    for code, error in EDGE_ERRORS.items():
        assert re.fullmatch("[a-z0-9_]+", code)
        assert error.fault in ("app", "cloud", "client", "none")
        assert re.fullmatch("(P[PUCTMAERL][0-9]{2})?", error.fly)
        assert error.message.endswith(".")
        assert (error.status == 503) <= (error.retry_after > 0 or error.fault == "app")


@pytest.mark.parametrize(
    ("flags", "status", "detail", "own", "to_activator", "code"),
    [
        (["URX", "UF"], 503, "remote_connection_failure|delayed_connect_error", True, False, "app_not_listening"),
        (["UF"], 503, "connection_timeout", True, False, "app_not_accepting"),
        (["UF"], 503, "", True, True, "control_plane_restarting"),
        (["UC"], 200, "", False, False, "app_broke_off"),
        (["UPE"], 200, "", False, False, "app_broke_off"),
        (["SI"], 200, "", False, False, "app_silent"),
        (["UC"], 101, "upstream_reset_after_response_started{connection_termination}", False, False, ""),
        (["DC"], 101, "", False, False, ""),
        (["SI"], 101, "", False, False, "app_silent"),
        (["DC"], 0, "", True, False, "client_gone"),
        ([], 500, "via_upstream", False, False, "app_answered_5xx"),
        ([], 404, "via_upstream", False, False, ""),
        ([], 503, "direct_response", True, False, ""),
        ([], 301, "direct_response", True, False, ""),
        ([], 429, "direct_response", True, False, "rate_limited"),
        ([], 400, "direct_response", True, False, "bad_request"),
        ([], 431, "", True, False, "headers_too_large"),
        ([], 200, "", True, False, ""),
    ],
)
def test_classes(flags: list[str], status: int, detail: str, own: bool, to_activator: bool, code: str) -> None:
    assert code_of(flags, status, detail, own=own, to_activator=to_activator) == code


@pytest.mark.parametrize(
    ("flags", "status", "code"),
    [
        ([], 200, ""),
        ([], 404, "statics_not_found"),
        ([], 403, "statics_forbidden"),
        ([], 400, "statics_bad_path"),
        ([], 429, "statics_busy"),
        ([], 503, "statics_unavailable"),
        ([], 416, ""),
        (["UC"], 200, "statics_unavailable"),
        (["SI"], 200, "client_too_slow"),
        (["DC"], 200, "client_gone"),
    ],
)
def test_classes_of_what_is_served_without_the_app(flags: list[str], status: int, code: str) -> None:
    assert code_of(flags, status, "via_upstream", own=False, to_statics=True) == code


def test_each_error_of_statics_has_a_status_of_its_own() -> None:
    statuses = [error.status for code, error in EDGE_ERRORS.items() if code.startswith("statics_")]
    assert len(set(statuses)) == len(statuses)
