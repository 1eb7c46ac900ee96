"""Runs nft, in one place and with one deadline."""

from __future__ import annotations

from roost.host.process import run

_DEADLINE = 60.0  # seconds; usually milliseconds, but the first time on a slow server loads kernel modules


def apply(script: str) -> None:
    """Carry out a script in one transaction; raises HostFailure and changes nothing if the kernel refuses it."""
    run(["nft", "-f", "-"], input=script.encode(), timeout=_DEADLINE)


def applied(script: str) -> bool:
    """Carry out a script as `apply` does; False if the kernel refuses it."""
    return run(["nft", "-f", "-"], input=script.encode(), timeout=_DEADLINE, check=False).returncode == 0


def has_chain(table: str, chain: str) -> bool:
    """Whether a table is there, with this chain."""
    return run(["nft", "list", "chain", "inet", table, chain], timeout=_DEADLINE, check=False).returncode == 0
