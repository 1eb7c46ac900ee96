"""Files of images that the edge has served without the app: which requests, and how they are told to who serves them.

Pure. A process of its own (`daemon.staticsd`) serves them; it is told what by one header, which no client can set,
since the edge drops such names first. Other methods than GET and HEAD are the app's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from roost.model.serving_config import Static

HEADER = "roost-static"
METHODS = ("GET", "HEAD")


def statics_socket(run: Path) -> Path:
    """Return where all cells of a cloud's edge find who serves them, below the cloud's run directory."""
    return run / "edge" / "statics.sock"


@dataclass(frozen=True, slots=True)
class AppStatics:
    """What is served of one app: directories of an image."""

    app: str
    image: str  # digest
    statics: tuple[Static, ...]
    force_https: bool = False  # a request without TLS is led to the same place with it

    def header(self, static: Static) -> str:
        """Return the header's value that says where a file is."""
        named = {
            "image": self.image,
            "from": static.guest_path,
            "at": static.url_prefix,
            "index": static.index_document,
        }
        return urlencode({key: value for key, value in named.items() if value})

    def asked_for(self, method: str, target: str) -> str:
        """Return the header's value for a request, "" when it is for the app."""
        if method not in METHODS:
            return ""
        path = target.partition("?")[0]
        for static in longest_first(self.statics):
            if static.url_prefix == "/" or path == static.url_prefix or path.startswith(f"{static.url_prefix}/"):
                return self.header(static)
        return ""


def read_header(value: str) -> tuple[str, Static] | None:
    """Return the image's digest and the directory that a header names, None when it is none of ours."""
    named = dict(parse_qsl(value))
    if not {"image", "from", "at"} <= set(named):
        return None
    return named["image"], Static(named["from"], named["at"], named.get("index", ""))


def longest_first(statics: Iterable[Static]) -> list[Static]:
    """Return them in the order in which prefixes are tried."""
    return sorted(statics, key=lambda static: (-len(static.url_prefix), static.url_prefix))


FindStatics = Callable[[str], Awaitable[AppStatics | None]]  # by host name
