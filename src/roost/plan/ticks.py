"""Moments that all periodic work of a process has in common. Pure.

A wake-up costs a processor more than most of what is done in it, so what is done each second begins at the same
moments, and what is done oftener or seldomer at some or all of them.
"""

from __future__ import annotations


def until_next(period: float, now: float) -> float:
    """Return the seconds from `now`, of the monotonic clock, until the next of the moments that are `period` apart."""
    return period - now % period
