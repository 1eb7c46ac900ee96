"""Settings of one cloud's processes: the only reader of the environment outside the command line.

A value comes from the environment, else from `HOME/config.toml`, else it is the default; what names the
cloud (its id, ports, domain, addresses) is in `HOME/cloud.json` instead (`cloud_file`). Owns no state.
An unknown key in the file is an error, so that a misspelt one can't be silently without effect.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from roost.api.rates import Rate, RateSettings
from roost.build.contract import RegistrySettings
from roost.daemon.acme_settings import read_acme
from roost.daemon.edge_settings import KEYS as EDGE_KEYS
from roost.daemon.edge_settings import EdgeSettings, read_edge
from roost.model.acme import AcmeSettings
from roost.model.errors import BadInput

DEFAULT_HOME = Path("/var/lib/roost")
LOG_LEVELS = ("debug", "info", "warning", "error")
_KEYS = {
    "": {"log_level", "cache", "pool", "memory", "registry", "limits", "oidc", "edge", "metrics", "acme"},
    "pool": {"size_gb"},
    "memory": {"reserve_mb"},
    "limits": {"enabled", "per_second", "burst", "get_per_second", "get_burst", "app_deletions_per_minute"},
    "oidc": {"issuer"},
    "edge": EDGE_KEYS,
    "metrics": {"interval"},
    "acme": {
        "directory",
        "email",
        "agree_terms",
        "ca_bundle",
        "challenges",
        "dns_hook",
        "dns_hook_timeout",
        "resolvers",
        "own_domain",
        "names_per_week",
    },
    "registry": {"default", "auth_file", "mirrors", "insecure"},
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What roostd is told besides the cloud's identity."""

    home: Path
    cache: Path  # per host, shared between clouds
    log_level: str
    pool_gb: int  # size limit of the pool; 0: a share of the free space, which the host decides
    memory_reserve_mb: int  # of the host's memory, left free by suspended machines; 0: a share of it
    registry: RegistrySettings
    rates: RateSettings  # how often the API may be called
    issuer: str  # of machines' identity tokens: where relying parties find the keys; "": the API's own address
    edge: EdgeSettings
    metrics_period: float  # seconds between two looks at the metrics of machines
    acme: AcmeSettings  # how certificates are issued
    notify_socket: str  # where systemd wants to hear that roostd answers; "": nowhere
    fault_file: Path | None  # tests only: holds the name of the step before which roostd kills itself, once

    @property
    def config_file(self) -> Path:
        """Where the operator's settings are. The file need not exist."""
        return self.home / "config.toml"


def read_settings(
    home: Path | None = None, environ: Mapping[str, str] | None = None, *, file: Path | None = None
) -> Settings:
    """Return the settings for `home` (default: ROOST_HOME, else /var/lib/roost); raises BadInput.

    `file` is read in place of the home's config.toml.
    """
    env = os.environ if environ is None else environ
    place = home_of(home, env)
    data = _read_file(file or place / "config.toml")
    pool = data.get("pool", {})
    level = env.get("ROOST_LOG_LEVEL") or data.get("log_level", "info")
    if level not in LOG_LEVELS:
        raise BadInput(f"log_level must be one of {', '.join(LOG_LEVELS)}, not {str(level)[:40]!r}")
    return Settings(
        home=place,
        cache=Path(env.get("ROOST_CACHE") or data.get("cache", "/var/cache/roost")),
        log_level=level,
        pool_gb=_whole_number(env.get("ROOST_POOL_GB") or pool.get("size_gb", 0), "pool.size_gb"),
        memory_reserve_mb=_whole_number(data.get("memory", {}).get("reserve_mb", 0), "memory.reserve_mb"),
        registry=_read_registry(data.get("registry", {}), env),
        rates=_read_rates(data.get("limits", {})),
        issuer=_read_issuer(data.get("oidc", {}).get("issuer", "")),
        edge=read_edge(data.get("edge", {})),
        metrics_period=_read_period(data.get("metrics", {}).get("interval", 15)),
        acme=read_acme(data.get("acme", {})),
        notify_socket=env.get("NOTIFY_SOCKET", ""),
        fault_file=Path(env["ROOST_FAULT_FILE"]) if env.get("ROOST_FAULT_FILE") else None,
    )


def home_of(home: Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """Return the home that is meant: `home`, else ROOST_HOME, else /var/lib/roost."""
    env = os.environ if environ is None else environ
    return (home or Path(env.get("ROOST_HOME") or DEFAULT_HOME)).resolve()


def child_environment(settings: Settings) -> dict[str, str]:
    """Return the environment for roostd and its supervisor: the caller's, with the home made explicit.

    Tokens of the command line's user have no business in a server process.
    """
    kept = {key: value for key, value in os.environ.items() if key not in ("ROOST_TOKEN", "ROOST_API_URL", "ROOST_APP")}
    return kept | {"ROOST_HOME": str(settings.home)}


def _read_file(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not valid TOML: {error}") from None
    for table, known in _KEYS.items():
        value = data.get(table, {}) if table else data
        if not isinstance(value, dict):
            raise BadInput(f"{path}: {table} must be a table, written [{table}]")
        unknown = sorted(set(value) - known)
        if unknown:
            where = f"{table}.{unknown[0]}" if table else unknown[0]
            raise BadInput(f"{path}: {where} is not a setting", hint=f"settings are {', '.join(sorted(known))}")
    return data


def _read_registry(data: Mapping[str, Any], env: Mapping[str, str]) -> RegistrySettings:
    mirrors = data.get("mirrors", {})
    insecure = data.get("insecure", [])
    if not isinstance(mirrors, dict) or not all(isinstance(value, str) for value in mirrors.values()):
        raise BadInput("registry.mirrors must map a registry to the one asked in its place")
    if not isinstance(insecure, list) or not all(isinstance(value, str) for value in insecure):
        raise BadInput("registry.insecure must be a list of registries")
    auth_file = data.get("auth_file")
    if auth_file is not None and not Path(str(auth_file)).is_absolute():
        raise BadInput("registry.auth_file must be an absolute path")
    return RegistrySettings(
        default_registry=env.get("ROOST_DEFAULT_REGISTRY") or data.get("default", "docker.io"),
        auth_file=Path(auth_file) if auth_file else None,
        mirrors=dict(mirrors),
        insecure=frozenset(insecure),
    )


def _read_issuer(value: object) -> str:
    """Return the issuer without a final slash; "" for the default."""
    if value == "":
        return ""
    text = str(value)
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or not text.isascii() or not text.isprintable() or any(sign in text for sign in ' "<>?#@'):
        raise BadInput(
            f"oidc.issuer must be a URL without user, query and fragment, not {text[:80]!r}",
            hint="for example https://id.example.com",
        )
    return text.rstrip("/")


def _read_period(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 3600:
        raise BadInput("metrics.interval must be a number of seconds from 1 to 3600")
    return float(value)


def _read_rates(data: Mapping[str, Any]) -> RateSettings:
    enabled = data.get("enabled", False)
    if not isinstance(enabled, bool):
        raise BadInput("limits.enabled must be true or false")
    usual = RateSettings()

    def rate(prefix: str, default: Rate) -> Rate:
        numbers = []
        for key, number in ((f"{prefix}per_second", default.per_second), (f"{prefix}burst", default.burst)):
            value = data.get(key, number)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.001 <= value <= 1e6:
                raise BadInput(f"limits.{key} must be a number from 0.001 to 1000000")
            numbers.append(float(value))
        if numbers[1] < 1:
            raise BadInput(f"limits.{prefix}burst must be at least 1, or no call would ever be allowed")
        return Rate(*numbers)

    deletions = data.get("app_deletions_per_minute", usual.delete_app.burst)
    if isinstance(deletions, bool) or not isinstance(deletions, int | float) or not 1 <= deletions <= 1e6:
        raise BadInput("limits.app_deletions_per_minute must be a number from 1 to 1000000")
    delete_app = Rate(deletions / 60, float(deletions))
    return RateSettings(enabled, action=rate("", usual.action), get=rate("get_", usual.get), delete_app=delete_app)


def _whole_number(value: object, where: str) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if number < 0:
        raise BadInput(f"{where} must be a whole number, not {str(value)[:40]!r}")
    return number
