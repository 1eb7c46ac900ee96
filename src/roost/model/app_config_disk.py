"""`[[mounts]]` and `[[files]]` of `roost.toml`: what machines find on their disks. Read, and written again. Pure.

A file's `local_path` is read when the configuration is, by who has the source directory; from then on its content
is part of the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from roost.model.app_config import Backups, Groups
from roost.model.app_config_table import Table
from roost.model.errors import BadInput
from roost.model.file_config import (
    MAX_FILE_BYTES,
    File,
    check_file_path,
    check_files,
    check_growth,
    decode_content,
    file_to_json,
)
from roost.model.machine_config import Mount, check_mount_path
from roost.model.names import check_secret_name
from roost.model.volume import DEFAULT_GB, DEFAULT_RETENTION, MAX_GB, MAX_RETENTION, MIN_RETENTION, check_volume_name

Content = Callable[[str], bytes]  # path below the source directory, as written -> content; raises BadInput
MAX_FILES_BYTES = 2 << 20  # of all files of a configuration
_VOLUME_SIZE = re.compile(r"(\d{1,5})\s*(?:g|gb|gib)?", re.IGNORECASE)
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def read_mounts(top: Table) -> tuple[tuple[tuple[Groups, Mount], ...], dict[str, Backups]]:
    """Read `[[mounts]]`: with the groups they are for, and how snapshots of the volumes are kept; raises BadInput."""
    mounts, backups = [], {}
    for table in top.tables("mounts", "mounts"):
        source, destination = table.text("source"), table.text("destination")
        try:
            check_volume_name(source)
        except BadInput as error:
            raise table.refuse("source", f"can't be the name of a volume: {error.message}", error.hint) from None
        mount = Mount(
            check_mount_path(destination, table.origin.at(table.path("destination"))),
            name=source,
            size_gb=_read_size(table, "initial_size", DEFAULT_GB, 1, MAX_GB),
            extend_threshold_percent=table.number("auto_extend_size_threshold", 0, 0, 99),
            add_size_gb=_read_size(table, "auto_extend_size_increment", 0, 1, 100),
            size_gb_limit=_read_size(table, "auto_extend_size_limit", 0, 1, MAX_GB),
        )
        _check_growth(table, mount)
        kept = Backups(
            table.number("snapshot_retention", DEFAULT_RETENTION, MIN_RETENTION, MAX_RETENTION),
            table.flag("scheduled_snapshots", True),
        )
        if kept != Backups():
            backups[source] = kept
        mounts.append((table.words("processes"), mount))
        table.done()
    return tuple(mounts), backups


def _check_growth(table: Table, mount: Mount) -> None:
    if 0 < mount.extend_threshold_percent < 50:
        raise table.refuse("auto_extend_size_threshold", "must be from 50 to 99")
    try:
        check_growth(mount, "")
    except BadInput as error:
        key = "auto_extend_size_increment" if "add_size_gb is" in error.message else "auto_extend_size_threshold"
        raise table.refuse(key, "is missing", "a volume grows by itself when both are given") from None


def _read_size(table: Table, key: str, default: int, low: int, high: int) -> int:
    size = table.take(key)
    match = _VOLUME_SIZE.fullmatch(str(size)) if isinstance(size, int | str) and size is not True else None
    if size is not None and (not match or not low <= int(match[1]) <= high):
        raise table.refuse(key, f"must be a size from {low}gb to {high}gb")
    return int(match[1]) if match else default


def mount_to_json(groups: Groups, mount: Mount, backups: Backups) -> dict[str, Any]:
    """Return what `read_mounts` reads of one."""
    out: dict[str, Any] = {"source": mount.name, "destination": mount.path, "initial_size": f"{mount.size_gb}gb"}
    if mount.extend_threshold_percent:
        out["auto_extend_size_threshold"] = mount.extend_threshold_percent
        out["auto_extend_size_increment"] = f"{mount.add_size_gb}gb"
    if mount.size_gb_limit:
        out["auto_extend_size_limit"] = f"{mount.size_gb_limit}gb"
    if backups.retention != DEFAULT_RETENTION:
        out["snapshot_retention"] = backups.retention
    if not backups.scheduled:
        out["scheduled_snapshots"] = False
    return out | ({"processes": list(groups)} if groups else {})


def read_files(top: Table, content: Content | None) -> tuple[tuple[Groups, File], ...]:
    """Read `[[files]]`, with the groups they are for; raises BadInput that names the key."""
    files = []
    for table in top.tables("files", "files"):
        path = check_file_path(table.text("guest_path"), table.origin.at(table.path("guest_path")))
        given = [key for key in ("local_path", "raw_value", "secret_name") if table.has(key)] or (
            ["raw_value"] if table.holds("raw_value") else []
        )
        if len(given) != 1:
            raise table.refuse("local_path", "or raw_value or secret_name must say what the file holds, one of them")
        local, raw, secret = table.text("local_path"), table.text("raw_value"), table.text("secret_name")
        mode = _read_mode(table)
        if secret:
            try:
                check_secret_name(secret)
            except BadInput as error:
                raise table.refuse("secret_name", f"can't be a secret's name: {error.message}", error.hint) from None
        held = _read_local(table, local, content) if local else _read_raw(table, raw, told=content is not None)
        files.append((table.words("processes"), File(path, held, secret, mode)))
        table.done()
    if sum(len(file.content) for _, file in files) > MAX_FILES_BYTES:
        raise top.refuse("files", f"hold more than {MAX_FILES_BYTES >> 20} MiB in all", "put them into the image")
    for group in {"", *(group for groups, _ in files for group in groups)}:
        check_files(tuple(file for groups, file in files if not groups or group in groups), (), top.origin.name)
    return tuple(files)


def _read_mode(table: Table) -> int:
    value = table.take("mode")
    if value is None:
        return 0o644
    if isinstance(value, str) and re.fullmatch(r"[0-7]{1,5}", value):
        value = int(value, 8)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 0o777:
        raise table.refuse("mode", "must be octal, like 0o600 or '0600'")
    return value


def _read_local(table: Table, path: str, content: Content | None) -> bytes:
    if content is None:
        raise table.refuse("local_path", "names a file, which can't be read here", "send raw_value in its place")
    try:
        return content(path)
    except BadInput as error:
        raise table.refuse("local_path", error.message, error.hint) from None


def _read_raw(table: Table, text: str, *, told: bool) -> bytes:
    """Return the content: what base64 says, or the text itself where it is none (sources differ on which it is)."""
    packed = "".join(text.split("\n")).replace("\r", "")
    if not _BASE64.fullmatch(packed):
        try:
            content = text.encode()
        except UnicodeEncodeError:
            raise table.refuse("raw_value", "is not text", "encode the content: base64 -w0 FILE") from None
        if len(content) > MAX_FILE_BYTES:
            raise table.refuse("raw_value", f"is larger than {MAX_FILE_BYTES >> 20} MiB", "put it into the image")
        return content
    content = decode_content(packed, table.origin.at(table.path("raw_value")))
    if told:
        try:
            content.decode()
        except UnicodeDecodeError:
            table.origin.warn(table.path("raw_value"), "was read as base64; local_path takes a file as it is")
    return content


def files_to_json(files: tuple[tuple[Groups, File], ...]) -> list[dict[str, Any]]:
    """Return what `read_files` reads: with the content, without local paths."""

    def one(groups: Groups, file: File) -> dict[str, Any]:
        out = file_to_json(file)
        if file.mode == 0o644:
            del out["mode"]
        else:
            out["mode"] = f"{file.mode:04o}"
        return out | ({"processes": list(groups)} if groups else {})

    return [one(groups, file) for groups, file in files]
