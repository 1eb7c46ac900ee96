"""Wheels that base images take from PyPI."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from roost.build.base_maker import _installer


def test_whom_this_host_believes_is_enough_to_fetch_one(tmp_path: Path) -> None:
    """A service of systemd has no variable that names certificates; red where a proxy of the network ends TLS."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("SSL_", "UV_", "PIP_"))}
    argv = [*_installer(), "--dry-run", "--no-deps", "--target", str(tmp_path), "six"]
    done = subprocess.run(argv, env=bare, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
