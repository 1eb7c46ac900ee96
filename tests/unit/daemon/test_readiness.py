"""What systemd hears, at both kinds of address."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from roost.daemon import readiness


@pytest.mark.parametrize("abstract", [False, True])
def test_it_is_told_once_and_nobody_need_listen(tmp_path: Path, abstract: bool) -> None:
    name = str(tmp_path / "notify")
    readiness.tell("")
    readiness.tell(name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.settimeout(5)
        systemd.bind(f"\0{name}" if abstract else name)
        readiness.tell(f"@{name}" if abstract else name)
        assert systemd.recv(100) == b"READY=1"
