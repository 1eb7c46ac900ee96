"""The `dns` object of a machine's configuration: how it looks names up, and how it is called itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from roost.model.config_reading import Reader
from roost.model.errors import BadInput

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")  # RFC 1123
_OPTION = re.compile(r"[a-z0-9-]{1,40}")
_MAX_NAMESERVERS = 3  # the C library reads no more (resolv.conf(5))
_MAX_SEARCHES = 6


@dataclass(frozen=True, slots=True)
class Dns:
    """What differs from the usual. Empty: the cloud's own resolver, the machine's id as its name."""

    skip_registration: bool = False  # no `.internal` name lists the machine
    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()  # resolv.conf(5): name and value, which may be ""
    hostname: str = ""
    hostname_fqdn: str = ""


def read_dns(data: object, where: str) -> Dns:
    """Read the `dns` object; raises BadInput that names the key."""
    reader = Reader(data, where)
    dns = Dns(
        skip_registration=reader.flag("skip_registration", False),
        nameservers=reader.words("nameservers"),
        searches=reader.words("searches"),
        options=reader.items("options", _read_option),
        hostname=reader.text("hostname"),
        hostname_fqdn=reader.text("hostname_fqdn"),
    )
    reader.done()
    if len(dns.nameservers) > _MAX_NAMESERVERS or len(dns.searches) > _MAX_SEARCHES:
        raise BadInput(f"{where} takes {_MAX_NAMESERVERS} nameservers and {_MAX_SEARCHES} searches at most")
    for address in dns.nameservers:
        try:
            ip_address(address)
        except ValueError:
            raise BadInput(f"{where}.nameservers: {address[:40]!r} is not an IP address") from None
    for key, names in (
        ("searches", dns.searches),
        ("hostname_fqdn", (dns.hostname_fqdn,) if dns.hostname_fqdn else ()),
    ):
        for name in names:
            if not _HOST_NAME.fullmatch(name.removesuffix(".")):
                raise BadInput(f"{where}.{key}: {name[:40]!r} is not a domain name")
    if dns.hostname and not _LABEL.fullmatch(dns.hostname):
        raise BadInput(f"{where}.hostname must be one word of letters, digits and '-', not {dns.hostname[:40]!r}")
    return dns


def _read_option(data: object, where: str) -> tuple[str, str]:
    reader = Reader(data, where)
    name, value = reader.text("name"), reader.text("value")
    reader.done()
    if not _OPTION.fullmatch(name) or (value and not _OPTION.fullmatch(value)):
        raise BadInput(f"{where} must be an option of resolv.conf, like {{name: 'ndots', value: '2'}}")
    return name, value


def dns_to_json(dns: Dns) -> dict[str, Any]:
    """Return the API's form, without what is not set."""
    values: dict[str, Any] = {
        "skip_registration": dns.skip_registration,
        "nameservers": list(dns.nameservers),
        "searches": list(dns.searches),
        "options": [{"name": name, "value": value} for name, value in dns.options],
        "hostname": dns.hostname,
        "hostname_fqdn": dns.hostname_fqdn,
    }
    return {key: value for key, value in values.items() if value}
