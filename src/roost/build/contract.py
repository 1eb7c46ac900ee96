"""What control asks of builds and of the image store. Calls block; control runs them in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Protocol

from roost.model.build_plan import BuildPlan
from roost.model.image import Image, ImageConfig, ImageRef

Report = Callable[[str], None]  # takes one line of output for the user


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """How registries are reached. `mirrors` maps a registry to the one asked in its place."""

    default_registry: str = "docker.io"
    auth_file: Path | None = None  # containers-auth.json(5)
    mirrors: dict[str, str] = field(default_factory=dict)
    insecure: frozenset[str] = frozenset()  # registries spoken to without TLS


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """One build. `secrets` are seen by the build only, never stored in the image or the log."""

    id: str  # names the build machine; 14 hex digits
    app: str
    source: Path  # unpacked source tree, already safe to read
    plan: BuildPlan
    build_args: dict[str, str] = field(default_factory=dict)
    target: str = ""
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    no_cache: bool = False
    apps: Mapping[str, float] = field(default_factory=dict)  # whose images it may start from: names, and when made


class ImageStore(Protocol):
    """Images unpacked on this host, and the layers they are made of."""

    def get(self, digest: str) -> Image:
        """Return an image by digest; raises NotFound."""

    def resolve(self, ref: ImageRef) -> Image | None:
        """Return the local image a reference names now, or None when it must be pulled or made first."""

    def ensure(self, ref: ImageRef, report: Report, cancelled: Event) -> Image:
        """Return the image, pulling it or making the base image if it is not here. Resumable, deduplicated."""

    def refresh(self, ref: ImageRef, report: Report, cancelled: Event) -> Image:
        """Make or pull it again even if it is here."""

    def seal(self, layers: tuple[str, ...], config: ImageConfig, reference: str) -> Image:
        """Record an image made of layers that are in the store."""

    def add_layer(self, tree: Path, *, layer_id: str) -> str:
        """Move or copy a finished tree (overlay form, ids 0..65535) into the store under `layer_id`; returns it."""

    def layer_paths(self, image: Image) -> tuple[Path, ...]:
        """Return the directories to mount, lowest first."""

    def list(self) -> list[Image]:
        """Return all the images, newest first."""

    def collect(self, in_use: Iterable[str]) -> int:
        """Remove images and layers not reachable from the digests `in_use`; returns the bytes freed."""


class Builder(Protocol):
    """Turns a source tree into an image, in a limited machine of its own."""

    def build(self, request: BuildRequest, report: Report, cancelled: Event) -> Image:
        """Build; raises Unprocessable with the last lines of output when a step of the user's code fails."""

    def forget(self, app: str) -> None:
        """Remove what builds of an app that is no more kept for its next one. Twice is once."""
