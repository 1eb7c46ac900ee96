"""The examples of docs/sdk.md, run as they stand, one after the other, against the real API."""

from __future__ import annotations

import re
from pathlib import Path

from tests.contract.api.fake_world import ADMIN

DOCS = Path(__file__).parents[3] / "docs" / "sdk.md"


def test_the_examples_run(address: str) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", DOCS.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    names: dict[str, object] = {"API_URL": address, "TOKEN": ADMIN["Authorization"].partition(" ")[2]}
    for number, block in enumerate(blocks):
        exec(compile(block, f"docs/sdk.md, example {number + 1}", "exec"), names)
    assert names["first"] == names["again"]
