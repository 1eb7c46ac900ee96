"""Pebble, a real ACME server, with a DNS server of its own to be told what names have: run for tests on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from tests.e2e.cloud.conftest import free_port
from tests.e2e.tls.made import self_made

HOOK = """#!/usr/bin/env python3
import json, sys, urllib.request
record = json.load(sys.stdin)
name = record["name"] + "."
body = {"host": name, "value": record["value"]} if sys.argv[2] == "present" else {"host": name}
path = "set-txt" if sys.argv[2] == "present" else "clear-txt"
urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/{path}", json.dumps(body).encode(), timeout=5)
with open(__file__ + ".log", "a") as log:
    log.write(f"{sys.argv[2]} {record['name']}\\n")
"""


@dataclass
class Authority:
    """A running ACME server."""

    directory: str
    ca_bundle: Path
    hook: Path
    dns_management: int
    dns: int
    root: str

    def settings(self, *, hook: bool = True, own_domain: bool = False) -> str:
        """The table for the cloud's config.toml. Its terms are agreed to by `roost up --email`."""
        command = f'dns_hook = ["{self.hook}", "{self.dns_management}"]\n' if hook else ""
        return (
            f'[acme]\ndirectory = "{self.directory}"\nca_bundle = "{self.ca_bundle}"\n'
            f'resolvers = ["127.0.0.1:{self.dns}"]\n{command}' + ("" if own_domain else "own_domain = false\n")
        )

    def tell_dns(self, path: str, **body: str) -> None:
        """Change what DNS has."""
        address = f"http://127.0.0.1:{self.dns_management}/{path}"
        httpx2.post(address, json=body, trust_env=False).raise_for_status()

    def hook_log(self) -> list[str]:
        path = self.hook.with_name(self.hook.name + ".log")
        return path.read_text().splitlines() if path.exists() else []


@contextmanager
def running(directory: Path, http_port: int, https_port: int) -> Iterator[Authority]:
    """Run one that checks names on these ports of loopback."""
    acme, management, dns, dns_management = (free_port() for _ in range(4))
    chain, key = self_made("localhost")
    (directory / "acme.pem").write_text(chain)
    (directory / "acme.key").write_text(key)
    configuration = {
        "listenAddress": f"127.0.0.1:{acme}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(directory / "acme.pem"),
        "privateKey": str(directory / "acme.key"),
        "httpPort": http_port,
        "tlsPort": https_port,
    }
    (directory / "pebble.json").write_text(json.dumps({"pebble": configuration}))
    hook = directory / "hook"
    hook.write_text(HOOK)
    hook.chmod(0o755)
    quick = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
    with (directory / "pebble.log").open("wb") as log:
        processes = [
            subprocess.Popen(argv, stdout=log, stderr=log, env={**os.environ, **quick})
            for argv in (
                ["pebble-challtestsrv", "-dns01", f"127.0.0.1:{dns}", "-management", f"127.0.0.1:{dns_management}",
                 "-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""],
                ["pebble", "-config", str(directory / "pebble.json"), "-dnsserver", f"127.0.0.1:{dns}"],
            )
        ]  # fmt: skip
        try:
            root = _root(management, directory / "acme.pem")
            yield Authority(f"https://localhost:{acme}/dir", directory / "acme.pem", hook, dns_management, dns, root)
        finally:
            for process in processes:
                process.kill()
                process.wait(10)


def _root(management: int, trusted: Path) -> str:
    import ssl

    context = ssl.create_default_context(cafile=str(trusted))
    deadline = time.monotonic() + 20
    while True:
        try:
            return httpx2.get(f"https://localhost:{management}/roots/0", verify=context, trust_env=False).text
        except httpx2.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
