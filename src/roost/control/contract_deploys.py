"""The verbs that bring source and images to an app's machines, and the durable jobs that do it. See `contract`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Protocol

from roost.control.contract_values import DeployRequest, SourceInfo
from roost.model.app import Release
from roost.model.app_config import AppConfig
from roost.model.build_plan import BuildPlan
from roost.model.image import Image
from roost.model.operation import Operation, Progress


class Sources(Protocol):
    """Source directories on their way to a build."""

    async def receive(self, stream: AsyncIterator[bytes]) -> SourceInfo:
        """Unpack a gzipped tar; leaves nothing behind when `stream` raises. Raises BadInput for an unsafe archive."""

    def plan(self, source_id: str, config: AppConfig | None, name: str) -> tuple[BuildPlan, AppConfig, str]:
        """Detect what the source is: the plan, the configuration with its gaps filled, and that as TOML."""


class Deploys(Protocol):
    """Bringing a release to an app's machines."""

    def start(self, app: str, request: DeployRequest) -> Operation:
        """Begin a deploy; raises Conflict while another one of the app runs."""

    def rollback(self, app: str, version: int) -> Operation:
        """Begin deploying an earlier release again; 0 means the complete one before the current."""


class Scaling(Protocol):
    """How many machines the process groups of an app have."""

    def counts(self, app: str) -> Mapping[str, int]:
        """Return how many machines each process group has, 0 too; nothing for an app that was never deployed."""

    def start(self, app: str, counts: Mapping[str, int]) -> Operation:
        """Begin to bring groups to so many machines; raises Conflict while the app deploys."""


class Releases(Protocol):
    """Releases of an app."""

    def list(self, app: str) -> list[Release]:
        """Return the releases, newest first."""


class Operations(Protocol):
    """Durable long-running jobs."""

    def list(self, app: str | None = None) -> list[Operation]:
        """Return the operations of an app, or all, newest first."""

    def get(self, operation_id: str) -> Operation:
        """Return an operation; raises NotFound."""

    def cancel(self, operation_id: str) -> Operation:
        """Ask it to end and undo; returns it as it is now. One that has ended stays as it is."""

    def follow(self, operation_id: str, after: int = 0) -> AsyncIterator[Progress]:
        """Async generator of progress numbered above `after`; it ends after the one of kind `done`."""


class Images(Protocol):
    """Images in this cloud's store."""

    def list(self) -> list[Image]:
        """Return the images, newest first."""

    def labels(self, digests: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the labels of images by digest; one that is not here is left out."""

    def pull(self, reference: str) -> Operation:
        """Begin bringing an image here, unless it is here."""

    def refresh(self, reference: str) -> Operation:
        """Begin pulling or making it again, even if it is here."""

    def collect(self) -> int:
        """Remove what nothing uses; returns the bytes freed."""
