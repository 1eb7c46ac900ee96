"""What the doctor says about one thing of the host. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PATIENCE = 60.0  # seconds that a look may take: a slow server loads kernel modules at the first


class FindingStatus(StrEnum):
    """How bad it is: `warn` means that the cloud runs, with less comfort or only for now."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `fix` is what to do about it, and empty when all is well."""

    name: str
    status: FindingStatus
    detail: str
    fix: str = ""


def ok(name: str, detail: str) -> Finding:
    """All is well."""
    return Finding(name, FindingStatus.OK, detail)


def warn(name: str, detail: str, fix: str) -> Finding:
    """It works, but."""
    return Finding(name, FindingStatus.WARN, detail, fix)


def fail(name: str, detail: str, fix: str) -> Finding:
    """A cloud can't run here like this."""
    return Finding(name, FindingStatus.FAIL, detail, fix)
