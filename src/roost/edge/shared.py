"""What the cells of one edge share. Owns no state of its own: each part says what it keeps.

A part is here because a request may come to any cell: a challenge is answered by all, a machine's places are counted
over all, a replay is remembered for all, and all logs end in one feed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from roost.edge.activator import StaticDoor
from roost.edge.challenges import Challenges
from roost.edge.contract import CertificateSource, Waker
from roost.edge.feed import RequestFeed
from roost.edge.options import EdgeOptions
from roost.edge.process import Limit, Spawn
from roost.edge.replay_server import Remembered
from roost.edge.slots import Slots
from roost.model.cloud import Cloud


@dataclass(frozen=True, slots=True)
class Shared:
    """The edge's surroundings, and its parts that are there once."""

    cloud: Cloud
    options: EdgeOptions
    spawn: Spawn
    limit: Limit
    clock: Callable[[], float]
    waker: Waker
    certificates: CertificateSource
    statics: StaticDoor | None
    challenges: Challenges
    remembered: Remembered
    slots: Slots
    feed: RequestFeed
