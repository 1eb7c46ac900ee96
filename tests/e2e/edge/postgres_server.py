"""A real Postgres for tests, on loopback, without TLS of its own: what an app behind the edge runs."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port

PASSWORD = "of a test"


def binaries() -> Path:
    """Return where Debian has Postgres' programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    assert found, "the package postgresql is missing (packaging/test-packages.txt)"
    return found[-1].parent


@contextmanager
def postgres() -> Iterator[int]:
    """Run one, where its own user may be; yields its port. The role is `roost`, by password (SCRAM), without TLS."""
    account = pwd.getpwnam("postgres")
    home = Path(tempfile.mkdtemp(prefix="roost-pg-"))
    data, secret = home / "data", home / "secret"
    secret.write_text(PASSWORD)
    for path in (home, secret):
        os.chown(path, account.pw_uid, account.pw_gid)
    port = free_port()
    as_it = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    made = [binaries() / "initdb", "-D", data, "-U", "roost", "--pwfile", secret, "-A", "scram-sha-256", "--no-sync"]
    subprocess.run([*as_it, *map(str, made), "--no-instructions"], check=True, capture_output=True, cwd="/")
    options = ["fsync=off", "listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=16MB"]
    words = [str(binaries() / "postgres"), "-D", str(data), "-p", str(port)]
    words += [word for option in options for word in ("-c", option)]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen([*as_it, *words], stdout=log, stderr=log, cwd="/")
    try:
        deadline = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert server.poll() is None and time.monotonic() < deadline, (home / "log").read_text()
            time.sleep(0.02)
        yield port
    finally:
        server.send_signal(2)  # fast
        server.wait(20)
        shutil.rmtree(home)
