"""Images: references, and what an image says about how to run it.

An image is an ordered list of read-only layers plus a run configuration. A layer is a directory in
overlayfs form (whiteouts are 0:0 character devices) whose files carry the ids 0..65535 that the
machine will see; a machine's root is the layers mounted with its own id mapping, below a writable disk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from roost.model.errors import BadInput

# Grammar of image references: the OCI distribution specification and the Docker reference grammar.
_HOST = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]{1,5})?")
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

LOCAL_REGISTRY = "roost"  # base images and builds: they come from no registry


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A parsed image reference. `registry` is "roost" for images made on this cloud."""

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    @property
    def is_local(self) -> bool:
        """True when no registry is involved."""
        return self.registry == LOCAL_REGISTRY

    def __str__(self) -> str:
        text = f"{self.registry}/{self.repository}"
        if self.tag:
            text += f":{self.tag}"
        if self.digest:
            text += f"@{self.digest}"
        return text


def parse_image_ref(text: str, *, default_registry: str = "docker.io") -> ImageRef:
    """Parse `[registry/]repository[:tag][@digest]`; raises BadInput.

    As everywhere in the field, a first component with a dot, a colon or the name `localhost` is a
    registry, a bare name on the default registry is under `library/`, and the tag is `latest`.
    """
    shown = text if len(text) <= 120 else f"{text[:117]}..."

    def refuse(why: str) -> BadInput:
        return BadInput(
            f"{shown!r} is not an image reference: {why}", hint="write REGISTRY/REPOSITORY:TAG or roost/base:bookworm"
        )

    if not text or len(text) > 512:
        raise refuse("it must have 1 to 512 characters")
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise refuse("the digest must be sha256: and 64 hex digits")
    first, slash, remainder = rest.partition("/")
    if slash and ("." in first or ":" in first or first in ("localhost", LOCAL_REGISTRY)):
        registry, path = first, remainder
        if not _HOST.fullmatch(registry):
            raise refuse("the registry is not a host name")
    else:
        registry, path = default_registry, rest if slash else f"library/{rest}"
    path, colon, tag = path.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise refuse("the tag must be letters, digits, '_', '.', '-'")
    if not _PATH.fullmatch(path):
        raise refuse("the repository must be lower-case words joined by '/', '.', '_' or '-'")
    return ImageRef(registry, path, tag or (None if at else "latest"), digest or None)


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The `config` object of an OCI image configuration: how to run the image."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()  # "KEY=value"
    workdir: str = "/"
    user: str = ""
    exposed_ports: tuple[int, ...] = ()
    stop_signal: str = ""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the store, unpacked and ready to run."""

    digest: str  # sha256:...; of the manifest for a pulled image, of layers + config for one built here
    reference: str  # the reference it was made or pulled under, or "" when no name points at it
    layers: tuple[str, ...]  # layer ids, lowest first
    config: ImageConfig
    size_bytes: int
    created_at: float  # Unix time
