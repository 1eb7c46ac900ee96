"""Copying big files from and to a real machine, and a tunnel to a machine that sleeps."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from pathlib import Path

from tests.e2e.cloud.conftest import ROOST, RunningCloud, wait_until
from tests.e2e.cloud.programs import fresh

BASE = "roost/base:bookworm"
SIZE = 64 << 20
# Answers with the number of bytes it got, after the half-close.
COUNTER = (
    "use IO::Socket::INET;my $s=IO::Socket::INET->new(LocalPort=>5432,Listen=>5,ReuseAddr=>1)||die;"
    "while(my $c=$s->accept){my $n=0;while(my $k=sysread($c,my $b,65536)){$n+=$k}print $c $n;close $c}"
)


def test_files_and_a_tunnel_to_a_sleeping_machine(cloud: RunningCloud, tmp_path: Path) -> None:
    app = fresh("files")
    cloud.roost("apps", "create", app)
    try:
        config = {"image": BASE, "init": {"exec": ["/usr/bin/perl", "-e", COUNTER]}}
        made = cloud.api("POST", f"/apps/{app}/machines", json={"config": config})
        assert made.status_code == 200, made.text
        machine = made.json()["id"]
        sent = tmp_path / "big file"
        sent.write_bytes(os.urandom(1 << 20) * (SIZE >> 20))
        cloud.roost("ssh", "sftp", "put", sent, "/root/big file", "-a", app)
        cloud.roost("ssh", "sftp", "get", "/root/big file", tmp_path / "back", "-a", app)
        assert (tmp_path / "back").read_bytes() == sent.read_bytes()
        _through_a_proxy(cloud, app, machine)
    finally:
        cloud.roost("apps", "destroy", app, "--yes")


def _through_a_proxy(cloud: RunningCloud, app: str, machine: str) -> None:
    environment = {**os.environ, "ROOST_HOME": str(cloud.home)}
    child = subprocess.Popen(
        [ROOST, "proxy", "0:5432", "-a", app],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert child.stdout
        found = re.match(r"127\.0\.0\.1:(\d+) leads", child.stdout.readline())
        assert found
        for state in ("started", "suspended", "stopped"):
            if state != "started":
                cloud.roost("machine", state[:-2] if state == "suspended" else "stop", machine, "-a", app)
            with socket.create_connection(("127.0.0.1", int(found[1])), 30) as link:
                link.sendall(b"x" * 3_000_000)
                link.shutdown(socket.SHUT_WR)
                assert link.recv(100) == b"3000000", state
            wait_until(lambda: cloud.machines(app)[0]["state"] == "started", "it was woken")
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 130
    finally:
        child.kill()
        child.wait(10)
