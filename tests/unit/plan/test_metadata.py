from __future__ import annotations

import pytest

from roost.model.errors import BadInput
from roost.plan.metadata import MAX_ENTRIES, edited


def test_values_are_set_and_none_or_empty_removes() -> None:
    before = {"a": "1", "b": "2", "c": "3"}
    assert edited(before, {"a": "9", "b": None, "c": "", "d": "4", "e": None}) == {"a": "9", "d": "4"}
    assert before == {"a": "1", "b": "2", "c": "3"}


@pytest.mark.parametrize(
    "changes", [{"": "x"}, {"k" * 256: "x"}, {str(n): "x" for n in range(MAX_ENTRIES + 1)}, {"a": "x" * 300_000}]
)
def test_bounds(changes: dict[str, str | None]) -> None:
    with pytest.raises(BadInput, match="metadata"):
        edited({}, changes)
