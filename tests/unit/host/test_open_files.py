"""Room for open files."""

from __future__ import annotations

import subprocess
import sys

_ASKS = """
import resource
from roost.host.open_files import ROOM, allow_all

allow_all()
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
size = next(line for line in open("/proc/self/status") if line.startswith("FDSize:"))
print(soft == hard, int(size.split()[1]) >= min(hard, ROOM))
"""


def test_a_program_has_room_for_many_files_before_it_opens_them() -> None:
    asked = subprocess.run([sys.executable, "-c", _ASKS], capture_output=True, text=True, check=True, timeout=20)
    assert asked.stdout.split() == ["True", "True"]
