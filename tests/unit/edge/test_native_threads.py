"""What the module's parts share between Envoy's threads, under sanitizers, with all parts at once.

One sees races, the others what is used when it is freed, is never freed, or is no number.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.unit.edge.native import sanitized

from roost.edge.native_module import SOURCES

MILLISECONDS = 1500


@pytest.mark.parametrize("sanitizers", ["thread", "address,undefined"])
def test_no_part_races_or_forgets_and_no_more_pass_than_may(sanitizers: str, tmp_path: Path) -> None:
    program = sanitized.program(tmp_path, "threads.c", *(path.name for path in SOURCES), sanitizers=sanitizers)
    log = tmp_path / "requests.log"
    done = subprocess.run(
        [program, log, str(MILLISECONDS)],
        capture_output=True, text=True, timeout=60, check=False, env={"TSAN_OPTIONS": "halt_on_error=1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[:4000]
    passed, refused, stalled, gone = (int(word) for word in done.stdout.split())
    assert min(passed, refused, stalled, gone) > 0, "each came about"
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    lost = sum(line[0] for line in lines if len(line) == 1)
    assert sum(len(line) > 1 for line in lines) + lost == passed + refused + gone, "each has its line"
