"""JSON text: any text can be sent, and what is encoded already is put in as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.factory import WEB

from roost.api.json_text import ConfigTexts, Encoded, to_bytes
from roost.model.machine_config import MachineConfig, machine_config_to_json

SIMPLE = st.none() | st.booleans() | st.integers() | st.text() | st.characters()
VALUES = st.recursive(SIMPLE, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES)
def test_it_is_read_back_as_it_was(value: Any) -> None:
    assert json.loads(to_bytes(value)) == value
    assert json.loads(to_bytes({"a": [Encoded(to_bytes(value))]})) == {"a": [value]}


def test_a_lone_surrogate_beside_what_is_encoded_already() -> None:
    sent = to_bytes({"error": "\ud800", "config": Encoded(b'{"image":"x"}')})
    assert json.loads(sent) == {"error": "\ud800", "config": {"image": "x"}}


def test_very_deep_and_very_large_values() -> None:
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    assert json.loads(to_bytes({"deep": deep, "large": 10**400})) == {"deep": deep, "large": 10**400}
    with pytest.raises(TypeError, match="object has no JSON form"):
        to_bytes({"a": object()})


def test_a_configuration_is_encoded_once_and_never_taken_for_another() -> None:
    texts = ConfigTexts(remembered=2)
    kept = texts.of(WEB)
    assert texts.of(WEB) is kept
    assert json.loads(kept.text) == machine_config_to_json(WEB)
    for number in range(50):  # most are garbage at once: their identities are used again
        one = MachineConfig(image=f"x:{number}")
        assert json.loads(texts.of(one).text)["image"] == f"x:{number}"
    assert len(texts._known) == 2
