"""The DNS server of a cloud's private networks, a process of its own: it answers also while roostd is away.

It reads the database and nothing else; what it answers is what is written there now. State: the file that says it
is ready, which names the schema it understands, and goes with it. `dns_process` keeps one running.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from roost.daemon.cloud_file import load_cloud
from roost.host.dns_server import DnsServer, Records
from roost.host.network_resolvers import resolvers
from roost.model.app import App, private_network
from roost.model.cloud import Cloud
from roost.model.machine import Machine
from roost.plan.addresses import slot_of
from roost.plan.internal_names import TEXTS, Asked, Question, listed, text, understand
from roost.store.database import newest_revision
from roost.store.store import Store

_HAS_IPV6 = Path("/proc/sys/net/ipv6").exists()


class Names:
    """The names of all networks of a cloud, each for its own machines only."""

    def __init__(self, cloud: Cloud, store: Store) -> None:
        self._cloud = cloud
        self._store = store

    def look_up(self, asker: str, name: str) -> Records | None:
        """Return what `name` has for the machine at the address `asker`; None when there is no such name for it."""
        asking = self._store.machines.on_slot(slot_of(self._cloud, asker))
        home = self._store.apps.find(asking.app) if asking else None
        question = understand(name)
        if home is None or question is None:
            return None
        apps = self._apps(private_network(home), question)
        if question.app and not apps:
            return None
        machines = listed(question, self._machines(question, apps))
        if question.about in TEXTS:
            return Records(text=text(question, machines, [app.name for app in apps]))
        if question.about is Asked.MACHINE and not machines:
            return None
        return Records(tuple(m.private_ipv4 for m in machines), tuple(m.private_ip for m in machines))

    def _apps(self, network: str, question: Question) -> list[App]:
        if question.app:
            app = self._store.apps.find(question.app)
            return [app] if app and private_network(app) == network else []
        return [app for app in self._store.apps.list() if private_network(app) == network]

    def _machines(self, question: Question, apps: Sequence[App]) -> list[Machine]:
        if question.about in (Asked.APPS, Asked.PEERS):
            return []
        return [machine for app in apps for machine in self._store.machines.list(app.name)]


async def serve(cloud: Cloud, store: Store) -> None:
    """Answer until SIGTERM. Raises OSError when the addresses can't be had."""
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    server = DnsServer(
        Names(cloud, store).look_up, resolvers, lambda problem: print(problem, file=sys.stderr, flush=True)
    )
    addresses = [str(cloud.dns_ipv4), *([str(cloud.dns_ipv6)] if _HAS_IPV6 else [])]
    await server.listen(addresses)
    cloud.dns_ready.write_text(newest_revision())
    try:
        await asked.wait()
    finally:
        with contextlib.suppress(FileNotFoundError):
            cloud.dns_ready.unlink()


def main() -> int:
    """Run for `--home`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="roost-dns", description="The DNS of Roost's private networks.")
    parser.add_argument("--home", type=Path, required=True)
    cloud = load_cloud(parser.parse_args().home)
    store = Store(cloud.database_url)
    try:
        asyncio.run(serve(cloud, store))
    except OSError as error:
        print(f"the DNS server can't listen: {error}", file=sys.stderr)
        return 1
    finally:
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
