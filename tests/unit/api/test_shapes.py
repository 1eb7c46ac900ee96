"""The wire forms of the nouns."""

from __future__ import annotations

import json

import pytest

from roost.api.errors import Json
from roost.api.shapes import (
    event_to_json,
    exec_to_json,
    exit_to_json,
    image_ref_to_json,
    machine_to_json,
    operation_to_json,
    time_to_json,
)
from roost.api.streams import event, line
from roost.host.contract import ExecResult
from roost.model.app import Event
from roost.model.machine import ExitInfo, Machine, MachineState
from roost.model.machine_config import MachineConfig, read_machine_config
from roost.model.operation import Operation, OperationState

NOW = 1_700_000_000.5
DIGEST = "sha256:" + "0" * 64


def machine(config: MachineConfig, last_exit: ExitInfo | None = None) -> Machine:
    return Machine(
        "0" * 14, "a", "quiet", MachineState.STOPPED, MachineState.STOPPED, config, "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "local", DIGEST, 3, "app", 1, "fdaa::2", "10.0.0.2", False, 2, last_exit, NOW, NOW,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("at", "text"), [(0.0, ""), (-1.0, ""), (NOW, "2023-11-14T22:13:20.500Z"), (1.0, "1970-01-01T00:00:01.000Z")]
)
def test_times(at: float, text: str) -> None:
    assert time_to_json(at) == text


def test_machine_config_survives_the_wire() -> None:
    config = read_machine_config(
        {
            "image": "registry.test:5000/team/app:v1",
            "env": {"A": "ä"},
            "services": [{"internal_port": 8080, "autostop": "suspend", "ports": [{"port": 80, "handlers": ["http"]}]}],
            "checks": {"up": {"type": "http", "port": 8080, "headers": {"X": ["1"]}}},
        }
    )
    sent = json.loads(Json(machine_to_json(machine(config))).body)
    assert read_machine_config(sent["config"]) == config
    assert sent["image_ref"] == {
        "registry": "registry.test:5000",
        "repository": "team/app",
        "tag": "v1",
        "digest": DIGEST,
    }
    assert sent["last_exit"] is None
    assert sent["restart_count"] == 2


def test_image_reference_that_is_none() -> None:
    assert image_ref_to_json("Not A Reference", DIGEST)["repository"] == "Not A Reference"


def test_last_exit_is_told_in_words() -> None:
    info = ExitInfo(137, 9, True, False, NOW)
    assert exit_to_json(info)["oom_killed"] is True
    assert "memory" in exit_to_json(info)["message"]


def test_output_that_is_no_text() -> None:
    assert exec_to_json(ExecResult(1, 0, b"\xff\xfe", b"")) == {
        "exit_code": 1,
        "exit_signal": 0,
        "stdout": "\ufffd\ufffd",
        "stderr": "",
    }


def test_operation() -> None:
    operation = Operation("id", "deploy", "a", OperationState.FAILED, "s", ("s", "t"), {}, {}, "why", "how", NOW, NOW)
    sent = json.loads(Json(operation_to_json(operation)).body)
    assert sent["state"] == "failed"
    assert sent["steps"] == ["s", "t"]
    assert (sent["error"], sent["hint"]) == ("why", "how")


def test_how_a_program_ended_is_told_in_the_keys_of_the_api() -> None:
    ended = {"exit_code": 0, "guest_signal": 9, "oom_killed": False, "requested_stop": False, "restarting": True}
    detail = {"exit_event": ended | {"exited_at": NOW}, "restart_count": 2, "reason": "it failed"}
    sent = event_to_json(Event("01J", "0123456789abcd", "exit", "stopped", "flyd", detail, NOW + 1))["request"]
    assert sent["exit_event"] == ended | {
        "guest_exit_code": 0, "signal": 9, "exited_at": time_to_json(NOW, "microseconds"), "error": "",
    }  # fmt: skip
    assert (sent["restart_count"], sent["reason"]) == (2, "it failed")
    assert detail["exit_event"]["exited_at"] == NOW  # type: ignore[index]
    untimed = Event("01J", "0123456789abcd", "exit", "stopped", "flyd", {"exit_event": ended}, NOW)
    assert event_to_json(untimed)["request"]["exit_event"]["exited_at"].endswith("Z")
    started = Event("01J", "0123456789abcd", "start", "started", "user", {}, NOW)
    assert event_to_json(started)["request"] == {}


def test_stream_forms_hold_no_stray_line_ends() -> None:
    data = {"text": "a\nb\r\ndata: c\u2028"}
    sent = event("log", data, 5)
    assert sent.startswith(b"id: 5\nevent: log\ndata: {")
    assert sent.count(b"\n") == 4
    assert b"\r" not in sent
    assert line(data).count(b"\n") == 1
