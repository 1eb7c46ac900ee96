"""What conditions leave of a token."""

from __future__ import annotations

import pytest

from roost.model.conditions import read_conditions
from roost.model.errors import BadInput


def test_all_conditions_count_together() -> None:
    left = read_conditions(["app = a,b", "time < 2000", "app = b, c", "time < 1000", "action = read", "ip = 192.0.2.1"])
    assert left.apps == {"b"}
    assert left.expires_at == 1000.0
    assert left.actions == {"read"}
    assert left.networks == ("192.0.2.1/32",)
    assert left.orgs is None
    assert left.machine == ""
    assert read_conditions(["machine = a", "machine = a"]).machine == "a"
    assert read_conditions(["machine = a", "machine = b"]).actions == frozenset()
    assert read_conditions(["org = a", "org = b"]).orgs == frozenset()  # nothing is left


@pytest.mark.parametrize(
    "condition",
    ["", "app", "app=a", "app = ", "colour = red", "time < soon", "time < -1", "time = 5", "ip = here", "app < a",
     "action = fly", "machine = a, b", "app = " + "a" * 1000, "time < 99999999999999999999"],
)  # fmt: skip
def test_what_is_not_known_is_refused(condition: str) -> None:
    with pytest.raises(BadInput):
        read_conditions([condition])
