"""`HOME/cloud.json`: the identity of a cloud, made at the first `roost up`.

It is written before anything else in HOME, so that a half-made cloud can be removed, and only a
directory that holds it counts as a Roost home. The file is replaced in one rename. `up` thinks a new
identity up, checks that it can be had on this host, and only then saves it (it holds the home's lock).

`CACHE/clouds/ID` notes each cloud of this host, so that a new one takes addresses that no other uses, even
when the other is down.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from roost.daemon.private_network import check_network, choose_network, networks_in_use
from roost.model.cloud import Cloud
from roost.model.errors import BadInput, Conflict, NotFound

DEFAULT_HTTP_PORT = 8080
DEFAULT_API_PORT = 4280
DEFAULT_DOMAIN = "localhost"  # RFC 6761: every name below it is this machine
FILE_NAME = "cloud.json"
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_OURS_BEFORE = {FILE_NAME, "cloud.new", "config.toml", "lost+found"}  # what HOME may hold before it is a home


def check_domain(name: str) -> str:
    """Return `name` in lower case if apps can have host names below it; raises BadInput."""
    domain = name.lower().rstrip(".")
    if len(domain) <= 180 and re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", domain):
        return domain
    raise BadInput(f"{name[:80]!r} can't be the cloud's domain", hint="use a name like apps.example.org")


def to_json(cloud: Cloud) -> dict[str, Any]:
    """Return the file's content."""
    return {
        "id": cloud.id,
        "http_port": cloud.http_port,
        "https_port": cloud.https_port,
        "api_port": cloud.api_port,
        "domain": cloud.domain,
        **({"email": cloud.email} if cloud.email else {}),
        "ipv4_network": str(cloud.ipv4_network),
    }


def load_cloud(home: Path, *, cache: Path | None = None) -> Cloud:
    """Return the cloud of `home`; raises NotFound when there is none, BadInput when its file is damaged."""
    path = home / FILE_NAME
    try:
        return from_json(json.loads(path.read_text()), home, cache)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(
            f"there is no cloud in {home}", hint="`roost up` makes one; --home names another place"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path} is damaged ({type(error).__name__}: {error})", hint="put the file back from a backup"
        ) from None


def from_json(data: Mapping[str, Any], home: Path, cache: Path | None = None) -> Cloud:
    """Return the cloud that `to_json` wrote down; raises KeyError, TypeError or ValueError."""
    cloud_id = str(data["id"])
    if len(cloud_id) != 8 or set(cloud_id) - set("0123456789abcdef"):
        raise ValueError("id")
    cloud = Cloud(
        id=cloud_id,
        home=home,
        http_port=int(data["http_port"]),
        api_port=int(data["api_port"]),
        domain=str(data["domain"]),
        ipv4_network=IPv4Network(data["ipv4_network"]),
        https_port=int(data.get("https_port", usual_https_port(int(data["http_port"])))),
        email=str(data.get("email", "")),
    )
    return replace(cloud, cache=cache) if cache is not None else cloud


def save_cloud(cloud: Cloud) -> None:
    """Write `HOME/cloud.json` and the host's note of the cloud."""
    path = cloud.home / FILE_NAME
    temporary = path.with_suffix(".new")
    with temporary.open("w") as file:
        file.write(json.dumps(to_json(cloud), indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    _note(cloud).parent.mkdir(parents=True, exist_ok=True)
    _note(cloud).write_text(f"{cloud.ipv4_network} {cloud.home}\n")


def usual_https_port(http_port: int) -> int:
    """Return the port for TLS that goes with a port for HTTP; 0, which is none, for a port that is nobody's custom."""
    return {80: 443, 8080: 8443}.get(http_port, 0)


def new_cloud(
    home: Path, *, cache: Path, http_port: int, api_port: int, domain: str, https_port: int | None = None,
    email: str = "", network: str = "",
) -> Cloud:  # fmt: skip
    """Return a new cloud for `home`, an empty directory; nothing is written yet. `network`: "" lets Roost choose.

    Raises Conflict when `home` holds other things (a home is removed as a whole by destroy-cloud) or the network is
    used, BadInput when the network can't be one.
    """
    strangers = sorted({path.name for path in home.iterdir()} - _OURS_BEFORE)
    if strangers:
        raise Conflict(
            f"{home} is not empty (it holds {strangers[0]!r}) and is no Roost home",
            hint="choose an empty or new directory with --home",
        )
    cloud_id = secrets.token_hex(4)
    used = [*networks_in_use(), *_networks_of_others(cache)]
    ipv4 = check_network(network, used) if network else choose_network(cloud_id, used)
    secure = usual_https_port(http_port) if https_port is None else https_port
    return Cloud(cloud_id, home, http_port, api_port, domain, ipv4, cache, secure, email)


def forget_cloud(cloud: Cloud) -> None:
    """Take the cloud out of the host's notes, after everything else of it has gone."""
    _note(cloud).unlink(missing_ok=True)
    (cloud.cache / "uses" / f"{cloud.id}.json").unlink(missing_ok=True)  # of the image store: base layers in use


def _note(cloud: Cloud) -> Path:
    return cloud.cache / "clouds" / cloud.id


def _networks_of_others(cache: Path) -> Iterator[IPv4Network]:
    for path in sorted((cache / "clouds").glob("*")):
        network, _, home = path.read_text().strip().partition(" ")
        if not (Path(home) / FILE_NAME).exists():
            path.unlink(missing_ok=True)  # its home was removed by hand
        elif network:
            yield IPv4Network(network)
