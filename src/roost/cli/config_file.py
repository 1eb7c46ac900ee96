"""The app's configuration file as the command line handles it: read and checked here, sent as JSON."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from roost.cli.context import find_config
from roost.cli.output import note
from roost.model.errors import BadInput


class ConfigFile(NamedTuple):
    """A configuration file that could be deployed."""

    path: Path
    config: dict[str, Any]  # as JSON
    warnings: int  # how many were said


def load(directory: Path, *, app: str = "") -> ConfigFile | None:
    """Return the configuration file of `directory`, for `app` if given; None if there is none.

    Warnings (keys that have no effect) go to standard error. Raises BadInput with the file, the line and the key, also
    for what would be refused where it is deployed.
    """
    from roost.model.app_config_check import check_app_config
    from roost.model.app_config_read import read_app_config
    from roost.model.app_config_write import app_config_to_json

    path = find_config(directory)
    if path is None:
        return None
    beneath = partial(_read_beneath, path.parent)
    try:
        config, warnings = read_app_config(
            path.read_text("utf-8"), name=str(path), load=lambda name: _text(beneath(name), name), content=beneath
        )
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} can't be read: {error}") from None
    for warning in warnings:
        note(f"warning: {warning}")
    try:
        check_app_config(config)
    except BadInput as error:
        raise BadInput(f"{path}: {error.message}", hint=error.hint) from None
    return ConfigFile(path, app_config_to_json(replace(config, app=app) if app else config), len(warnings))


def _read_beneath(directory: Path, name: str) -> bytes:
    """Return what a file of the source directory holds that the configuration names; raises BadInput.

    Links are followed as long as they lead to something in the directory: the configuration may be somebody else's.
    """
    from roost.model.file_config import MAX_FILE_BYTES

    shown = f"the file {name[:200]!r}"
    try:
        root = directory.resolve(strict=True)
        path = (root / name).resolve(strict=True)
        if not path.is_relative_to(root):
            raise BadInput(f"{shown} is not in {directory}", hint="copy it into the source directory")
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise BadInput(f"{shown} is not a regular file", hint="name a file")
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", "") or "its name is none"
        raise BadInput(f"{shown} can't be read: {why}", hint=f"paths are below {directory}") from None
    if len(content) > MAX_FILE_BYTES:
        raise BadInput(f"{shown} is larger than {MAX_FILE_BYTES >> 20} MiB", hint="put it into the image")
    return content


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise BadInput(f"the file {name[:200]!r} is not UTF-8 text", hint="it holds JSON") from None


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
