"""What a machine's metadata become when somebody edits them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from roost.model.errors import BadInput

MAX_KEY = 255  # characters
MAX_ENTRIES = 1000
MAX_BYTES = 256 * 2**10  # of all keys and values


def edited(metadata: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return the metadata with values set, and those removed that are None or empty; raises BadInput."""
    after = dict(metadata)
    for key, value in changes.items():
        if not 1 <= len(key) <= MAX_KEY:
            raise BadInput(f"metadata: a key must have 1 to {MAX_KEY} characters")
        after.pop(key, None)
        if value:
            after[key] = value
    if len(after) > MAX_ENTRIES or sum(len(k.encode()) + len(v.encode()) for k, v in after.items()) > MAX_BYTES:
        raise BadInput(f"metadata: at most {MAX_ENTRIES} entries and {MAX_BYTES // 2**10} KiB", hint="keep less in it")
    return after
