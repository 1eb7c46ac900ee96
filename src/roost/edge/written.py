"""Small files about processes, or with which they begin: they are there whole, and written only when they change.

So a full disk stops nothing that needs no other files than it had.
"""

from __future__ import annotations

from pathlib import Path


def is_written(path: Path, text: str) -> bool:
    """Say whether a file says just that."""
    try:
        return path.read_text() == text
    except (OSError, ValueError):
        return False


def write(path: Path, text: str) -> None:
    """Have a file say just that; raises OSError, and then it says what it said."""
    if is_written(path, text):
        return
    fresh = path.with_suffix(f"{path.suffix}.new")
    try:
        fresh.write_text(text)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
