"""Fakes of what brings source and images to machines, and of the jobs that do it."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator, Iterable

from tests.contract.api.fake_world import (
    DIGEST,
    NOW,
    World,
    new_ulid,
)

from roost.control.contract import (
    DeployRequest,
    SourceInfo,
)
from roost.model.app import Release, ReleaseState
from roost.model.app_config import AppConfig
from roost.model.app_config_read import propose_app_config
from roost.model.build_plan import BuildPlan
from roost.model.errors import BadInput, NotFound
from roost.model.image import Image, ImageConfig
from roost.model.operation import Operation, OperationState, Progress


class Sources:
    def __init__(self, world: World) -> None:
        self.world = world

    async def receive(self, stream: AsyncIterator[bytes]) -> SourceInfo:
        data = b"".join([piece async for piece in stream])
        try:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
                files = len(tar.getnames())
        except (tarfile.TarError, OSError):
            raise BadInput("the source is not a gzipped tar") from None
        made = SourceInfo(new_ulid(), len(data), files)
        self.world.sources[made.id] = made
        return made

    def plan(self, source_id: str, config: AppConfig | None, name: str) -> tuple[BuildPlan, AppConfig, str]:
        if source_id not in self.world.sources:
            raise NotFound("source not found")
        plan = BuildPlan("python", "flask", ("requirements.txt names flask",))
        return plan, config or propose_app_config(plan, name=name), f'app = "{name}"\n'


class Deploys:
    def __init__(self, world: World) -> None:
        self.world = world

    def start(self, app: str, request: DeployRequest) -> Operation:
        self.world.app(app)
        self.world.deploys.append(request)
        config = request.config or AppConfig()
        release = Release(app, 1, DIGEST, request.image, config, {"app": "serve"}, ReleaseState.COMPLETE, "", NOW)
        self.world.releases.setdefault(app, []).insert(0, release)
        return self.world.operation("deploy", app)

    def rollback(self, app: str, version: int) -> Operation:
        self.world.app(app)
        self.world.asked.append(("rollback", version))
        return self.world.operation("rollback", app)


class Releases:
    def __init__(self, world: World) -> None:
        self.world = world

    def list(self, app: str) -> list[Release]:
        self.world.app(app)
        return self.world.releases.get(app, [])


class Operations:
    def __init__(self, world: World) -> None:
        self.world = world

    def list(self, app: str | None = None) -> list[Operation]:
        return [found for found in self.world.operations.values() if app in (None, found.app)]

    def get(self, operation_id: str) -> Operation:
        if operation_id not in self.world.operations:
            raise NotFound("operation not found")
        return self.world.operations[operation_id]

    def cancel(self, operation_id: str) -> Operation:
        return self.get(operation_id)

    async def follow(self, operation_id: str, after: int = 0) -> AsyncIterator[Progress]:
        story = [
            Progress(1, "step", "build", "", NOW),
            Progress(2, "log", "build", "two\nlines", NOW),
            Progress(3, "done", "", "succeeded", NOW),
        ]
        self.world.open_streams += 1
        try:
            for progress in story:
                if progress.number <= after:
                    continue
                if progress.kind == "done" and self.get(operation_id).state is OperationState.RUNNING:
                    await asyncio.sleep(600)
                yield progress
        finally:
            self.world.open_streams -= 1


class Images:
    def __init__(self, world: World) -> None:
        self.world = world

    def list(self) -> list[Image]:
        return [Image(DIGEST, "roost/base:bookworm", ("layer-1",), ImageConfig(cmd=("bash",)), 1000, NOW)]

    def labels(self, digests: Iterable[str]) -> dict[str, dict[str, str]]:
        return {digest: {"fly.version": "1.2"} for digest in digests}

    def pull(self, reference: str) -> Operation:
        return self.world.operation("image.pull", "")

    def refresh(self, reference: str) -> Operation:
        return self.world.operation("image.refresh", "")

    def collect(self) -> int:
        return 4096
