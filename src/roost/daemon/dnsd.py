"""The DNS server of a cloud's private networks, two processes of their own: they answer also while roostd is away.

One talks to machines and to resolvers, as a user of its own without any right; the other, root, reads the database and
nothing else, and answers the first: what is written there now. State: the file that says they are ready, which goes
with them. Invariant: either ends with the other. `companions` keeps them running, `halves` makes them two.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from roost.daemon import halves
from roost.daemon.cloud_file import load_cloud
from roost.daemon.companions import Companion, dns
from roost.daemon.dns_link import LONGEST_ANSWER, READY, Questions, answer_all
from roost.host.dns_server import DnsServer, Records, bound
from roost.host.network_resolvers import resolvers
from roost.host.privileges import import_whole
from roost.model.app import App, private_network
from roost.model.cloud import Cloud
from roost.model.machine import Machine
from roost.plan.addresses import flycast_ipv4, flycast_ipv6, slot_of
from roost.plan.internal_names import TEXTS, Asked, Question, listed, text, understand
from roost.store.store import Store

# The user is in the range that Linux systems leave to services without an account; see edge/confinement.py for others.
CONFINES = halves.Confines(user=61987, address_space=512 << 20, open_files=4096)
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
        if question.about is Asked.PRIVATE:
            return self._private(apps[0])
        machines = listed(question, self._machines(question, apps))
        if question.about in TEXTS:
            return Records(text=text(question, machines, [app.name for app in apps]))
        if question.about is Asked.MACHINE and not machines:
            return None
        return Records(tuple(m.private_ipv4 for m in machines), tuple(m.private_ip for m in machines))

    def _private(self, app: App) -> Records | None:
        """Return the addresses at which the edge answers for an app, None when it was assigned none."""
        ipv4, ipv6 = flycast_ipv4(self._cloud, app.number), str(flycast_ipv6(self._cloud, app.number))
        if not any(found.ip == ipv6 for found in self._store.ip_assignments.list(app.name)):
            return None
        return Records((str(ipv4),) if ipv4 else (), (ipv6,))

    def _apps(self, network: str, question: Question) -> list[App]:
        if question.app:
            app = self._store.apps.find(question.app)
            return [app] if app and private_network(app) == network else []
        return [app for app in self._store.apps.list() if private_network(app) == network]

    def _machines(self, question: Question, apps: Sequence[App]) -> list[Machine]:
        if question.about in (Asked.APPS, Asked.PEERS):
            return []
        return [machine for app in apps for machine in self._store.machines.list(app.name)]


def serve(cloud: Cloud) -> None:
    """Answer until SIGTERM, or until the half that strangers talk to ends. Raises OSError: no addresses to be had."""
    addresses = [str(cloud.dns_ipv4), *([str(cloud.dns_ipv6)] if _HAS_IPV6 else [])]
    sockets = bound(addresses)
    ours, theirs = socket.socketpair()
    import_whole("dns")  # now: later no files can be read
    halves.run(
        dns(cloud),
        trusted=halves.Half(lambda: _read_for(cloud, dns(cloud), ours), [ours]),
        exposed=halves.Half(lambda: asyncio.run(_converse(sockets, theirs)), [theirs, *sockets]),
        confines=CONFINES,
    )


def _read_for(cloud: Cloud, companion: Companion, connection: socket.socket) -> None:
    """Read the database for the other half."""
    store = Store(cloud.database_url)
    try:
        with connection.makefile("rwb") as stream:
            if stream.readline(len(READY)) != READY:
                raise OSError("the half that listens did not come up")
            companion.ready.write_text(companion.form)
            answer_all(stream, Names(cloud, store).look_up)
    finally:
        store.close()


async def _converse(sockets: Sequence[socket.socket], connection: socket.socket) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=connection, limit=LONGEST_ANSWER)
    questions = Questions(reader, writer)
    server = DnsServer(questions.look_up, resolvers, lambda problem: print(problem, file=sys.stderr, flush=True))
    await server.listen(sockets)
    await questions.run()


def main() -> int:
    """Run for `--home`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="roost-dns", description="The DNS of Roost's private networks.")
    parser.add_argument("--home", type=Path, required=True)
    cloud = load_cloud(parser.parse_args().home)
    try:
        serve(cloud)
    except OSError as error:
        print(f"the DNS server can't go on: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
