"""Durations are written so that we, and Go, read them back as the same: a row that nobody can read blocks all."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.model.config_reading import duration_text, parse_duration
from roost.model.errors import BadInput
from roost.model.machine_config import machine_config_to_json, read_machine_config

GO = re.compile(r"(\d+(\.\d+)?(ns|us|ms|s|m|h))+")  # what time.ParseDuration takes, but for signs


@given(st.one_of(st.integers(0, 86_400 * 366), st.floats(0, 86_400 * 366)))
def test_what_is_written_is_read_back(seconds: float) -> None:
    text = duration_text(seconds)
    assert GO.fullmatch(text)
    assert parse_duration(text, "it") == pytest.approx(seconds, abs=1e-9)


@given(st.integers(0, 86_400 * 366), st.sampled_from(["interval", "timeout", "grace_period"]))
def test_configurations_with_any_time_are_read_back(seconds: int, key: str) -> None:
    check = {"type": "tcp", "port": 80, key: seconds}
    config = read_machine_config(
        {
            "image": "x",
            "services": [{"internal_port": 80, "idle_timeout": seconds, "checks": [check]}],
            "checks": {"own": check},
        }
    )
    assert read_machine_config(machine_config_to_json(config)) == config


@pytest.mark.parametrize(("text", "seconds"), [("1h0m0s", 3600), ("500µs", 0.0005), ("0s", 0), ("2.592e+06s", 2592000)])
def test_forms(text: str, seconds: float) -> None:
    assert parse_duration(text, "it") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["9" * 400 + "h", "9000h9000h", "1e400s", "1d", "-1s", "s", "1", ""])
def test_what_is_no_time_or_too_long_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="it must be"):
        parse_duration(text, "it")
