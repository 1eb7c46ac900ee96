"""The app's configuration file as the command line handles it: read and checked here, sent as JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from roost.cli.context import find_config
from roost.cli.output import note
from roost.model.errors import BadInput


def load(directory: Path, *, app: str = "") -> tuple[Path, dict[str, Any]] | None:
    """Return the configuration file of `directory` and its JSON form, for `app` if given; None if there is none.

    Warnings (keys that have no effect) go to standard error. Raises BadInput with the file, the line and the key.
    """
    from roost.model.app_config_read import read_app_config
    from roost.model.app_config_write import app_config_to_json

    path = find_config(directory)
    if path is None:
        return None
    try:
        config, warnings = read_app_config(path.read_text("utf-8"), name=str(path), load=partial(_load, path.parent))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} can't be read: {error}") from None
    for warning in warnings:
        note(f"warning: {warning}")
    return path, app_config_to_json(replace(config, app=app) if app else config)


def _load(directory: Path, name: str) -> str:
    """Return the text of a file that the configuration names; raises BadInput."""
    try:
        return (directory / name).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise BadInput(f"{directory / name}, which the configuration names, can't be read: {error}") from None


def write(directory: Path, answer: Mapping[str, Any]) -> Path:
    """Write `roost.toml` from a plan's answer and return its path; raises BadInput if there is one already."""
    path = directory / "roost.toml"
    text = answer.get("toml")
    if not isinstance(text, str) or not text:
        import tomlkit

        text = tomlkit.dumps(answer.get("config") or {})
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise BadInput(f"{path} can't be written: {error.strerror}", hint="is the directory yours?") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return path
