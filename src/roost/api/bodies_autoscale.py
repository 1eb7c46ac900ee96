"""The body of `PUT /apps/{app}/autoscale/{group}`: the keys of `[[autoscale]]` in roost.toml, but `processes`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from roost.api.bodies import Body, Duration
from roost.model.autoscale import AutoscalePolicy, policy_of_json

_Count = Annotated[int, Field(ge=0, le=1000)]


class NewAutoscale(Body):
    """A policy."""

    max: Annotated[int, Field(ge=1, le=1000)]
    min: _Count = 1
    concurrency: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    metrics: list[dict[str, Any]] = Field(default=[], max_length=8)
    up_after: Duration = 0
    down_after: Duration = 300
    up_step: _Count = 0
    down_step: _Count = 0
    drain_timeout: Duration = 900
    remove: str = "made"

    def policy(self) -> AutoscalePolicy:
        """Return the policy; raises BadInput that names the key."""
        return policy_of_json(self.model_dump())
