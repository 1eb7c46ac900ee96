"""Keeps answers to calls with an Idempotency-Key: in the store, encrypted, for a day.

State owned: none; the rows are the store's. An answer may hold what a command printed, so it is sealed as
secrets are. One that can't be kept (a full disk) is lost: the call it answers has been done all the same.
"""

from __future__ import annotations

from dataclasses import replace

from roost.control.core import Core, log
from roost.model.errors import HostFailure, RoostError
from roost.model.replay import LARGEST_REPLAY, REPLAY_LIFETIME, Kept


class Replays:
    """Answers that are given again."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(self, key: bytes) -> Kept | None:
        """Return what was kept under a key in the last day; one that can't be read any more counts as none."""
        kept = self._core.store.replays.find(key, self._core.now() - REPLAY_LIFETIME)
        if kept is None:
            return None
        try:
            return replace(kept, body=self._core.vault.open(kept.body, _place(key)))
        except HostFailure:
            return None

    def keep(self, key: bytes, kept: Kept) -> None:
        """Keep an answer, unless it is too large."""
        if len(kept.body) > LARGEST_REPLAY:
            return
        try:
            self._core.store.replays.keep(key, replace(kept, body=self._core.vault.seal(kept.body, _place(key))))
        except RoostError as error:
            log.warning("an answer could not be kept", error=error.message)


def _place(key: bytes) -> str:
    return f"replay/{key.hex()}"
