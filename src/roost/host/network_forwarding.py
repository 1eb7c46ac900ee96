"""Turning the host into a router, without it losing its own way out.

It owns no state: IP forwarding belongs to the whole host, other software may need it too, so it is
turned on and never off. Running twice changes nothing.
"""

from __future__ import annotations

from pathlib import Path

from roost.model.errors import HostFailure

_PROC = Path("/proc/sys/net")


def allow_forwarding(root: Path = _PROC) -> None:
    """Turn on IPv4 and IPv6 forwarding; raises HostFailure when the kernel refuses.

    A host that learns its IPv6 default route from router advertisements stops to do so once it
    forwards, unless `accept_ra` is 2 (kernel documentation, ip-sysctl): those links are set to 2 first.
    """
    _write(root / "ipv4/ip_forward", "1")
    ipv6 = root / "ipv6/conf"
    if not ipv6.exists() or _read(ipv6 / "all/forwarding") == "1":
        return
    for link in ipv6.iterdir():
        if link.name not in ("all", "default") and _read(link / "accept_ra") == "1":
            _write(link / "accept_ra", "2")
    _write(ipv6 / "all/forwarding", "1")


def forwarding(root: Path = _PROC) -> bool:
    """Whether the host forwards IPv4."""
    return _read(root / "ipv4/ip_forward") == "1"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _write(path: Path, value: str) -> None:
    if _read(path) == value:
        return
    try:
        path.write_text(value)
    except OSError as error:
        raise HostFailure(f"can't set {path}: {error.strerror}", hint="Roost needs to run as root") from None
