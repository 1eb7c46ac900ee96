"""The table [acme] of `HOME/config.toml`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from roost.model.acme import LETS_ENCRYPT, STAGING, AcmeSettings, split_resolver
from roost.model.errors import BadInput

CHALLENGES = ("http-01", "tls-alpn-01", "dns-01")


def read_acme(data: Mapping[str, Any]) -> AcmeSettings:
    """Return how certificates are issued; raises BadInput that names the key."""
    usual = AcmeSettings()
    return AcmeSettings(
        directory=_directory(data.get("directory", LETS_ENCRYPT)),
        email=check_email(data.get("email", ""), "acme.email"),
        agrees=_flag(data.get("agree_terms"), "agree_terms"),
        ca_bundle=_file(data.get("ca_bundle", "")),
        challenges=_challenges(data.get("challenges", list(usual.challenges))),
        dns_hook=_hook(data.get("dns_hook", [])),
        dns_hook_timeout=_seconds(data.get("dns_hook_timeout", usual.dns_hook_timeout)),
        resolvers=_resolvers(data.get("resolvers", [])),
        own_domain=_flag(data.get("own_domain"), "own_domain"),
        names_per_week=_names_per_week(data.get("names_per_week", usual.names_per_week)),
    )


def _directory(value: object) -> str:
    if value == "staging":
        return STAGING
    text = str(value)
    try:
        parts = urlsplit(text)
        known = parts.scheme == "https" and bool(parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        known = False
    if not known or not text.isascii() or not text.isprintable() or " " in text:
        raise BadInput(
            f"acme.directory must be an https address without a user, not {text[:80]!r}",
            hint='leave it out for Let\'s Encrypt, or write "staging" to try with its staging server',
        )
    return text


def check_email(value: object, where: str) -> str:
    """Return an address that mail can be sent to, or ""; raises BadInput that names where it was said."""
    text = str(value)
    if text and not (text.isascii() and text.isprintable() and text.count("@") == 1 and not set(text) & set(" ,<>:")):
        raise BadInput(f"{where} must be an address, not {text[:80]!r}", hint="for example ops@example.com")
    return text


def _flag(value: object, key: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise BadInput(f"acme.{key} must be true or false")
    return value


def _names_per_week(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1_000_000:
        raise BadInput("acme.names_per_week must be a whole number from 1 to 1000000")
    return value


def _resolvers(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) and _is_resolver(each) for each in value):
        raise BadInput(
            "acme.resolvers must be a list of addresses of DNS servers",
            hint='for example ["1.1.1.1", "127.0.0.1:5353"]',
        )
    return tuple(value)


def _is_resolver(text: str) -> bool:
    try:
        address, port = split_resolver(text)
        return bool(ip_address(address)) and 1 <= port <= 65535
    except ValueError:
        return False


def _file(value: object) -> str:
    text = str(value)
    if text and not Path(text).is_absolute():
        raise BadInput("acme.ca_bundle must be an absolute path")
    return text


def _challenges(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not set(value) <= set(CHALLENGES) or len(set(value)) != len(value):
        raise BadInput(f"acme.challenges must be a list of some of {', '.join(CHALLENGES)}")
    return tuple(value)


def _hook(value: object) -> tuple[str, ...]:
    strings = isinstance(value, list) and all(isinstance(each, str) and "\0" not in each for each in value)
    if not isinstance(value, list) or not strings or (value and not Path(value[0]).is_absolute()):
        raise BadInput(
            "acme.dns_hook must be a list: a program by its absolute path, and its arguments",
            hint='for example ["/usr/local/bin/set-txt", "--zone", "example.com"]',
        )
    return tuple(value)


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 3600:
        raise BadInput("acme.dns_hook_timeout must be seconds, from 1 to 3600")
    return float(value)
