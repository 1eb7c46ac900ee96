"""What the tests of the whole share."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

_UV = Path(sys.executable).with_name("uv")
_PATIENCE = 240.0  # seconds


@pytest.fixture
def package_index() -> None:
    """Wait until the index of Python packages answers: a test that installs some shows nothing while it doesn't.

    Fails the test after 4 minutes.
    """
    argv = [_UV, "pip", "compile", "--quiet", "--no-cache", "--system-certs", "--no-header", "-"]
    deadline = time.monotonic() + _PATIENCE
    while (done := subprocess.run(argv, input="idna\n", capture_output=True, text=True, timeout=120)).returncode:
        assert time.monotonic() < deadline, f"this host reaches no package index: {done.stderr}"
        time.sleep(2)
