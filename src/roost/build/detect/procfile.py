"""Reads a Procfile: process types and their commands, and the release command. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_LINE = re.compile(r"^\s*([A-Za-z0-9_-]+)\s*:\s*(\S.*?)\s*$")
_MAX_ENTRIES = 50


@dataclass(frozen=True, slots=True)
class Procfile:
    """Process groups by name; the group that serves the web is "app"."""

    processes: dict[str, str] = field(default_factory=dict)
    release: str = ""
    web: str = ""  # the entry that became "app"


def read_procfile(text: str) -> Procfile:
    """Read a Procfile. `web` becomes the group "app"; without one, the first entry does."""
    entries: dict[str, str] = {}
    for line in text.splitlines():
        found = _LINE.match(line)
        if found and not line.lstrip().startswith("#") and len(entries) < _MAX_ENTRIES:
            entries.setdefault(found[1], found[2])
    release = entries.pop("release", "")
    if not entries:
        return Procfile(release=release)
    web = "web" if "web" in entries else "app" if "app" in entries else next(iter(entries))
    processes = {"app": entries[web]} | {name: command for name, command in entries.items() if name != web}
    return Procfile(processes, release, web)
