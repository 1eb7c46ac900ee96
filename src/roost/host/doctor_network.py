"""The doctor's look at the network: ports, forwarding, firewalls of others, resolvers.

It reads and tries; ports are tried by binding them for a moment.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, ip_address
from pathlib import Path
from typing import Any

from roost.host.finding import PATIENCE, Finding, fail, ok, warn
from roost.host.network_forwarding import forwarding
from roost.host.network_resolvers import FALLBACK, host_resolvers
from roost.host.process import run
from roost.model.errors import HostFailure

_OURS = re.compile(r"roost_[0-9a-f]{8}")
_OURS_LISTENING = ("envoy", "roost", "roostd")  # names of our own processes


def findings(http_port: int, api_port: int) -> list[Finding]:
    """Return what is found about the ports and the host's network."""
    return [
        _port("public port", http_port, "0.0.0.0", "`roost up --http-port`"),  # noqa: S104
        _port("API port", api_port, "127.0.0.1", "`roost up --api-port`"),
        _forwarding(),
        _firewall(),
        _resolvers(),
    ]


def _port(name: str, port: int, address: str, option: str) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except PermissionError:
            return fail(name, f"port {port} may not be used by this user", "run it with sudo")
        except OSError:
            holder = _holder(port)
            if holder.startswith(_OURS_LISTENING):
                return ok(name, f"port {port} is used by {holder}, which looks like Roost itself")
            used = f"port {port} is used by {holder or 'another program'}"
            return fail(name, used, f"end that program, or choose another port with {option}")
    return ok(name, f"port {port} is free")


def _holder(port: int) -> str:
    """Return the name of the process that listens on a TCP port, "" when it can't be found."""
    sockets = {
        f"socket:[{fields[9]}]"
        for table in ("tcp", "tcp6")
        for fields in map(str.split, Path(f"/proc/net/{table}").read_text().splitlines()[1:])
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port
    }
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(fd.readlink()) in sockets for fd in (process / "fd").iterdir()):
                words = (process / "cmdline").read_bytes().split(b"\0")
                programs = [Path(word.decode(errors="replace")).name for word in words[:2]]
                ours = [name for name in programs if name.startswith(_OURS_LISTENING)]
                return (ours or programs)[0]
        except OSError:  # it ended meanwhile
            continue
    return ""


def _forwarding() -> Finding:
    if forwarding():
        return ok("IP forwarding", "on")
    return warn("IP forwarding", "off", "nothing to do: `roost up` turns it on")


def _firewall() -> Finding:
    blockers = list(_nft_blockers()) + list(_legacy_blockers())
    if not blockers:
        return ok("foreign firewall", "nothing here drops forwarded traffic")
    return warn(
        "foreign firewall",
        f"drops forwarded traffic, so machines reach neither each other nor the outside: {', '.join(blockers)}",
        "let machines' links pass, they begin with the cloud's prefix (`roost status` shows it): "
        "iptables -I FORWARD -i PREFIX+ -j ACCEPT && iptables -I FORWARD -o PREFIX+ -j ACCEPT "
        "(with Docker: into chain DOCKER-USER; the same with ip6tables). Roost's own rules still apply",
    )


def _nft_blockers() -> Iterable[str]:
    try:
        listing = run(["nft", "-j", "list", "ruleset"], timeout=PATIENCE, check=False)
    except HostFailure:  # nft is missing, which has a finding of its own
        return []
    return parse_blockers(json.loads(listing.stdout)) if listing.returncode == 0 and listing.stdout else []


def parse_blockers(ruleset: dict[str, Any]) -> list[str]:
    """Name the chains of others that drop what isn't ours: by policy, or by a last rule without a condition."""
    chains: dict[tuple[str, str, str], dict[str, Any]] = {}
    last: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for entry in ruleset.get("nftables", []):
        if "chain" in entry:
            chain = entry["chain"]
            if chain.get("hook") == "forward" and not _OURS.fullmatch(chain["table"]):
                chains[chain["family"], chain["table"], chain["name"]] = chain
        elif "rule" in entry:
            rule = entry["rule"]
            last[rule["family"], rule["table"], rule["chain"]] = rule.get("expr", [])
    blockers = []
    for key, chain in chains.items():
        verdicts = [word for part in last.get(key, []) if (word := next(iter(part))) not in ("counter", "log")]
        if chain.get("policy") == "drop" or verdicts in (["drop"], ["reject"]):
            blockers.append("nft " + " ".join(key))
    return blockers


def _legacy_blockers() -> list[str]:
    """Look at the old iptables, whose rules nft doesn't show."""
    found = []
    for table, tool in (("ip_tables_names", "iptables-legacy"), ("ip6_tables_names", "ip6tables-legacy")):
        names = Path("/proc/net", table)
        if not names.exists() or "filter" not in names.read_text().split():
            continue
        try:
            rules = run([tool, "-S", "FORWARD"], timeout=PATIENCE, check=False).stdout.decode(errors="replace")
        except HostFailure:
            continue
        if "-P FORWARD DROP" in rules:
            found.append(f"{tool} FORWARD")
    return found


def judge_network(network: IPv4Network, resolvers: Sequence[str]) -> Finding:
    """Say whether a cloud's network has taken the place of the host's name servers, given their addresses."""
    name = "private network"
    lost = [address for address in resolvers if ip_address(address) in network]
    if not lost:
        return ok(name, str(network))
    told = f"{network} is the cloud's, so that {' and '.join(lost)}, a name server of this host, can't be reached"
    return warn(name, told, "use a name server with another address, or make a new cloud: it gets another network")


def _resolvers() -> Finding:
    found = host_resolvers()
    if found:
        return ok("DNS resolvers", f"machines use {', '.join(found)}")
    return warn(
        "DNS resolvers",
        f"the host has only a resolver of its own, which machines don't reach; they use {' and '.join(FALLBACK)}",
        "put an upstream resolver into /etc/resolv.conf",
    )
