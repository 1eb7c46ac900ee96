"""Network policies on this host: which of its machines are limited to some ports, as elements of nftables sets.

It owns the file `filters.json` in the cloud's run directory, which lives as long as the machines' links do, and the
elements of the four sets below in the cloud's table. Invariant: a limited machine's elements are loaded before its
address is reachable, and gone with its link, so that the next holder of the address isn't limited. A machine that
isn't limited is in no set and no file: its start reads at most the file. Order: the file, then the sets in one
transaction. A kill in between is put right by the next loading of the rules, which the agent does when it begins;
where the sets are not as the file said, they are made anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from roost.host import file_lock, nft
from roost.model.errors import HostFailure
from roost.model.network_policy import NO_FILTER, Filter, Port

_FILE = "filters.json"
_LOCK = "filters.lock"
_DIRECTIONS = ("ingress", "egress")


@dataclass(frozen=True, slots=True)
class Limited:
    """A machine with its addresses and what it may do."""

    ipv4: IPv4Address
    ipv6: IPv6Address
    filter: Filter


def elements(limited: Iterable[Limited]) -> dict[str, list[str]]:
    """Return the elements of each set for these machines: who is limited in a direction, and what is allowed there."""
    found: dict[str, list[str]] = {name: [] for name in set_names()}
    for machine in limited:
        for direction in _DIRECTIONS:
            allowed: frozenset[Port] | None = getattr(machine.filter, direction)
            if allowed is None:
                continue
            for family, address in (("4", machine.ipv4), ("6", machine.ipv6)):
                found[f"{direction}_limited{family}"].append(str(address))
                found[f"{direction}_allowed{family}"] += [
                    f"{address} . {port.protocol} . {port.port}" for port in sorted(allowed)
                ]
    return found


def set_names() -> tuple[str, ...]:
    """Return the names of the sets."""
    return tuple(f"{d}_{kind}{family}" for d in _DIRECTIONS for kind in ("limited", "allowed") for family in "46")


def render_sets(limited: Iterable[Limited]) -> str:
    """Return the sets' part of the cloud's table."""
    text = ""
    for name, found in elements(limited).items():
        address = "ipv4_addr" if name.endswith("4") else "ipv6_addr"
        kind = address if "limited" in name else f"{address} . inet_proto . inet_service"
        filled = f"    elements = {{ {', '.join(found)} }}\n" if found else ""
        text += f"  set {name} {{\n    type {kind}\n{filled}  }}\n"
    return text


def render_chain() -> str:
    """Return the chain that new connections of machines pass: both ends' limits, by the address of each."""
    text = "  chain policies {\n"
    for direction, end in (("ingress", "daddr"), ("egress", "saddr")):
        for family, ip in (("4", "ip"), ("6", "ip6")):
            text += (
                f"    {ip} {end} @{direction}_limited{family} "
                f"{ip} {end} . meta l4proto . th dport != @{direction}_allowed{family} "
                "reject with icmpx type admin-prohibited\n"
            )
            text += (
                f"    {ip} {end} @{direction}_limited{family} meta l4proto != {{ tcp, udp }} "
                "reject with icmpx type admin-prohibited\n"
            )
    return text + "  }\n"


def render_change(table: str, before: Limited | None, after: Limited | None) -> str:
    """Return the nft script that takes one machine's elements out and puts others in."""
    text = ""
    for verb, machine in (("delete", before), ("add", after)):
        for name, found in elements([machine] if machine else []).items():
            if found:
                text += f"{verb} element inet {table} {name} {{ {', '.join(found)} }}\n"
    return text


class NetworkFilters:
    """The limited machines of one cloud. `reload` loads the cloud's whole table anew."""

    def __init__(self, directory: Path, table: str, reload: Callable[[], None]) -> None:
        self._directory = directory
        self._table = table
        self._reload = reload

    def all(self) -> dict[str, Limited]:
        """Return the limited machines by id."""
        try:
            data = json.loads((self._directory / _FILE).read_text())
            return {str(machine_id): _read(entry) for machine_id, entry in data.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise HostFailure(
                f"{self._directory / _FILE} can't be read, so network policies can't be kept",
                hint="restart the cloud: roost down, roost up",
            ) from error

    def set(self, machine_id: str, limited: Limited) -> None:
        """Limit a machine to this and nothing less; `NO_FILTER` takes every limit away. Repeating it does nothing."""
        if limited.filter == NO_FILTER and not (self._directory / _FILE).exists():
            return
        with self.held():
            known = self.all()
            before, after = known.get(machine_id), None if limited.filter == NO_FILTER else limited
            if before != after:
                self._write({k: v for k, v in {**known, machine_id: after}.items() if v is not None})
                try:
                    self._change(before, after)
                except HostFailure:  # what the kernel does not take would spoil every later load of the table
                    self._write(known)
                    raise

    def drop(self, machine_id: str) -> None:
        """Forget a machine whose link is gone."""
        if not (self._directory / _FILE).exists():
            return
        with self.held():
            known = self.all()
            if before := known.pop(machine_id, None):
                self._write(known)
                self._change(before, None)

    def remove(self) -> None:
        """Forget everything; for the end of the cloud."""
        for name in (_FILE, f"{_FILE}.new", _LOCK):
            (self._directory / name).unlink(missing_ok=True)

    def _change(self, before: Limited | None, after: Limited | None) -> None:
        if not nft.applied(render_change(self._table, before, after)):
            self._reload()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let nobody else change anything meanwhile."""
        with file_lock.held(self._directory / _LOCK):
            yield

    def _write(self, known: Mapping[str, Limited]) -> None:
        if not known:
            (self._directory / _FILE).unlink(missing_ok=True)
            return
        fresh = self._directory / f"{_FILE}.new"
        fresh.write_text(json.dumps({machine_id: _to_json(limited) for machine_id, limited in known.items()}))
        fresh.replace(self._directory / _FILE)


def _to_json(limited: Limited) -> dict[str, Any]:
    def ports(allowed: frozenset[Port] | None) -> list[list[str | int]] | None:
        return None if allowed is None else [[port.protocol, port.port] for port in sorted(allowed)]

    return {
        "addresses": [str(limited.ipv4), str(limited.ipv6)],
        "ingress": ports(limited.filter.ingress),
        "egress": ports(limited.filter.egress),
    }


def _read(entry: Mapping[str, Any]) -> Limited:
    def ports(found: Any) -> frozenset[Port] | None:
        return None if found is None else frozenset(Port(str(protocol), int(port)) for protocol, port in found)

    ipv4, ipv6 = entry["addresses"]
    return Limited(IPv4Address(ipv4), IPv6Address(ipv6), Filter(ports(entry["ingress"]), ports(entry["egress"])))
