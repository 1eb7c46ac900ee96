"""Where a request wants to go within an app, and for how long an app's word on that is kept. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wish:
    """A wish that must be fulfilled, but for `prefer`: that machine if it can be had. Empty: any machine."""

    instance: str = ""
    prefer: str = ""
    regions: tuple[str, ...] = ()  # codes and aliases
    not_on: str = ""  # a machine that it must not be


@dataclass(frozen=True, slots=True)
class SessionRule:
    """`replay_cache` of a service: requests with the same cookie or header go where the app replayed the first."""

    type: str  # cookie | header
    name: str
    ttl: int  # seconds
    path_prefix: str = "/"
    allow_bypass: bool = False
