"""Pulling images from registries with skopeo into OCI layouts.

Owns the layout directories it is given. A pull that is cancelled or killed leaves its finished blobs
there, and the next pull into the same directory goes on from them. Credentials are read by skopeo from
the auth file; they are never in its arguments, its output or an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Event

from roost.build.contract import RegistrySettings, Report
from roost.build.runner import Runner, follow
from roost.model.errors import FREE_SPACE, HostFailure, InsufficientCapacity, NotFound, RoostError
from roost.model.image import ImageRef

PULL_TIMEOUT = 1800.0  # seconds for one image
_MISSING = ("manifest unknown", "name unknown", "repository name not known", "not found", "name_unknown", "404")
_DENIED = ("unauthorized", "authentication required", "denied", "403", "401")
_UNREACHABLE = (
    "no such host", "connection refused", "i/o timeout", "network is unreachable", "tls handshake", "no route to host",
    "server gave http response to https client", "certificate", "deadline exceeded", "eof", "connection reset",
)  # fmt: skip


def pull_command(ref: ImageRef, layout: Path, settings: RegistrySettings) -> list[str]:
    """Return the skopeo command that copies `ref` for linux/amd64 into `layout`, by its mirror if it has one."""
    registry = settings.mirrors.get(ref.registry, ref.registry)
    name = f"{registry}/{ref.repository}"
    name += f"@{ref.digest}" if ref.digest else f":{ref.tag or 'latest'}"
    command = ["skopeo", "--override-os=linux", "--override-arch=amd64", "copy", "--retry-times=2"]
    if settings.auth_file is not None:
        command.append(f"--src-authfile={settings.auth_file}")
    if registry.split("/", 1)[0] in settings.insecure:
        command.append("--src-tls-verify=false")
    return [*command, f"docker://{name}", f"oci:{layout}:image"]


def pull(
    run: Runner, ref: ImageRef, layout: Path, settings: RegistrySettings, report: Report, cancelled: Event
) -> None:
    """Pull `ref` into the layout directory; raises NotFound or HostFailure with what to do, Conflict when cancelled."""
    layout.mkdir(parents=True, exist_ok=True)
    log = layout.with_name(f"{layout.name}.log")
    log.unlink(missing_ok=True)
    report(f"pulling {ref}")
    try:
        command = pull_command(ref, layout, settings)
        code, lines = follow(run, command, log=log, report=report, cancelled=cancelled, timeout=PULL_TIMEOUT)
    finally:
        log.unlink(missing_ok=True)
    if code:
        raise explain_failure(ref, lines, settings)


def explain_failure(ref: ImageRef, lines: Sequence[str], settings: RegistrySettings) -> RoostError:
    """Turn skopeo's last lines into an error that says what to do next."""
    text = " ".join(lines[-3:])
    lowered = text.lower()
    asked = settings.mirrors.get(ref.registry, ref.registry)
    where = ref.registry if asked == ref.registry else f"{ref.registry} (asked at {asked})"
    if "no image found in manifest list" in lowered or "no image found in image index" in lowered:
        return NotFound(f"{ref} has no image for linux/amd64", hint="use an image that is built for it")
    if "no space left on device" in lowered:
        return InsufficientCapacity(f"there is no space left for {ref}", hint=FREE_SPACE)
    if any(word in lowered for word in _UNREACHABLE):
        hint = "check the network and the registry's address; behind a firewall set a mirror in config.toml"
        return HostFailure(f"the registry {where} could not be reached for {ref}: {_last_clause(text)}", hint=hint)
    if any(word in lowered for word in _DENIED):
        hint = "check its name; if it is private, put the registry's credentials in the auth file"
        return HostFailure(f"the registry {where} refuses {ref}: no such image, or it is private", hint=hint)
    if any(word in lowered for word in _MISSING):
        return NotFound(f"there is no image {ref} in the registry {where}", hint="check the name and the tag")
    return HostFailure(f"{ref} could not be pulled: {_last_clause(text) or 'skopeo said nothing'}")


def _last_clause(text: str) -> str:
    """Return the end of a Go error chain, which names the cause."""
    return (
        text.rstrip('"').rsplit(": ", 2)[-1][-300:]
        if text.count(": ") < 2
        else ": ".join(text.rstrip('"').rsplit(": ", 2)[-2:])[-300:]
    )
