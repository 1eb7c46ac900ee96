"""The table [acme] of `HOME/config.toml`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from roost.model.acme import LETS_ENCRYPT, STAGING, AcmeSettings
from roost.model.errors import BadInput

CHALLENGES = ("http-01", "tls-alpn-01", "dns-01")


def read_acme(data: Mapping[str, Any]) -> AcmeSettings:
    """Return how certificates are issued; raises BadInput that names the key."""
    usual = AcmeSettings()
    return AcmeSettings(
        directory=_directory(data.get("directory", LETS_ENCRYPT)),
        email=_email(data.get("email", "")),
        agrees=_agrees(data.get("agree_terms", False)),
        ca_bundle=_file(data.get("ca_bundle", "")),
        challenges=_challenges(data.get("challenges", list(usual.challenges))),
        dns_hook=_hook(data.get("dns_hook", [])),
        dns_hook_timeout=_seconds(data.get("dns_hook_timeout", usual.dns_hook_timeout)),
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


def _email(value: object) -> str:
    text = str(value)
    if text and not (text.isascii() and text.isprintable() and text.count("@") == 1 and not set(text) & set(" ,<>:")):
        raise BadInput(f"acme.email must be an address, not {text[:80]!r}", hint='for example "ops@example.com"')
    return text


def _agrees(value: object) -> bool:
    if not isinstance(value, bool):
        raise BadInput("acme.agree_terms must be true or false")
    return value


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
