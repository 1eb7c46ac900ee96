"""What a machine finds on its disk beyond its image: `mounts` and `files` of its configuration.

A file's content is the user's own; that of one with `secret_name` is looked up at each start and is only ever in
memory, so it is not part of the configuration.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

from roost.model.config_reading import Reader, check_mount_path
from roost.model.errors import BadInput
from roost.model.volume import MAX_GB, check_volume_name, is_volume_id

MAX_FILES = 64
MAX_FILE_BYTES = 1 << 20
_OURS = ("/etc/hosts", "/etc/resolv.conf", "/etc/hostname")
_NOT_BELOW = ("/proc", "/sys", "/dev", "/.fly", "/.roost")


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume of the app, by id or (a free one) by name, and where the machine sees it.

    It grows by `add_size_gb`, to at most `size_gb_limit`, whenever more than `extend_threshold_percent` of it is used.
    """

    path: str
    volume: str = ""  # id
    name: str = ""
    size_gb: int = 0  # the volume must have at least this; a deploy makes one of this size
    extend_threshold_percent: int = 0  # 0: it never grows by itself
    add_size_gb: int = 0
    size_gb_limit: int = 0


@dataclass(frozen=True, slots=True)
class File:
    """A file that the machine finds at each start: with this content, or that of a secret of the app."""

    guest_path: str
    content: bytes = field(default=b"", repr=False)
    secret_name: str = ""
    mode: int = 0o644


def read_mount(data: object, where: str) -> Mount:
    """Read one of `mounts`; raises BadInput that names the key."""
    reader = Reader(data, where)
    volume, name = reader.text("volume"), reader.text("name")
    if volume and not is_volume_id(volume):  # clients also send a name here
        if name not in ("", volume):
            raise BadInput(f"{where}.volume and {where}.name differ", hint="send one of them")
        volume, name = "", volume
    if not volume and not name:
        raise BadInput(f"{where}.volume is missing", hint="name a volume: `roost volumes list` shows them")
    if name:
        try:
            check_volume_name(name)
        except BadInput as error:
            raise BadInput(f"{where}: {error.message}", hint=error.hint) from None
    mount = Mount(
        check_mount_path(reader.text("path"), f"{where}.path"),
        volume,
        name,
        reader.number("size_gb", 0, 0, MAX_GB),
        reader.number("extend_threshold_percent", 0, 0, 99),
        reader.number("add_size_gb", 0, 0, 100),
        reader.number("size_gb_limit", 0, 0, MAX_GB),
    )
    if reader.flag("encrypted", False):
        raise BadInput(f"{where}.encrypted is not supported", hint="encrypt the server's disk")
    reader.done()
    check_growth(mount, where)
    return mount


def check_growth(mount: Mount, where: str) -> None:
    """Refuse a wish to grow that is not whole; raises BadInput that names the key."""
    asked = (mount.extend_threshold_percent, mount.add_size_gb)
    if any(asked) and not all(asked):
        key = "add_size_gb" if asked[0] else "extend_threshold_percent"
        raise BadInput(f"{where}.{key} is missing", hint="a volume grows by itself when both are given")
    if mount.size_gb_limit and not all(asked):
        raise BadInput(f"{where}.extend_threshold_percent is missing", hint="size_gb_limit has no effect without it")


def read_file(data: object, where: str) -> File:
    """Read one of `files`; raises BadInput that names the key."""
    reader = Reader(data, where)
    path = check_file_path(reader.text("guest_path"), f"{where}.guest_path")
    raw, secret = reader.take("raw_value"), reader.text("secret_name")
    raw = None if secret and raw == "" else raw
    if reader.take("image_config"):
        raise BadInput(f"{where}.image_config is not supported", hint="send raw_value or secret_name")
    mode = _read_mode(reader.take("mode"), f"{where}.mode")
    reader.done()
    if (raw is None) == (not secret):
        raise BadInput(f"{where} needs one of raw_value and secret_name", hint="raw_value is base64")
    content = b""
    if raw is not None:
        if not isinstance(raw, str):
            raise BadInput(f"{where}.raw_value must be a string")
        content = decode_content(raw, f"{where}.raw_value")
    return File(path, content, secret, mode)


def decode_content(text: str, where: str) -> bytes:
    """Return what the base64 of a file's content says; raises BadInput naming `where`, and never the content."""
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadInput(f"{where} must be base64", hint="encode the file's content: base64 -w0 FILE") from None
    if len(content) > MAX_FILE_BYTES:
        raise BadInput(f"{where} is larger than {MAX_FILE_BYTES >> 20} MiB", hint="put it into the image")
    return content


def check_file_path(path: str, where: str) -> str:
    """Return `path` if a file can be put there; raises BadInput naming `where`."""
    parts = path.split("/")[1:]
    plain = path.isprintable() and all(part not in ("", ".", "..") and len(part.encode()) < 256 for part in parts)
    if not path.startswith("/") or not plain or len(path) > 4000:
        raise BadInput(f"{where} must be an absolute path without '.', '..' or blank parts, not {path[:40]!r}")
    if path in _OURS or any(f"{path}/".startswith(f"{top}/") for top in _NOT_BELOW):
        raise BadInput(f"{where}: no file can be put at {path[:40]!r}", hint="choose another path")
    return path


def check_files(files: tuple[File, ...], mounts: tuple[Mount, ...], where: str) -> None:
    """Refuse files that are too many, in each other's way or hidden by a volume; raises BadInput."""
    if len(files) > MAX_FILES:
        raise BadInput(f"{where}.files: at most {MAX_FILES}", hint="put them into the image")
    seen: set[str] = set()
    for index, file in enumerate(files):
        at = f"{where}.files[{index}].guest_path"
        if file.guest_path in seen:
            raise BadInput(f"{at}: {file.guest_path[:80]!r} is there twice")
        seen.add(file.guest_path)
        for mount in mounts:
            if f"{file.guest_path}/".startswith(f"{mount.path}/"):
                raise BadInput(f"{at} is on the volume at {mount.path}", hint="put it elsewhere, or write it once")


def _read_mode(value: object, where: str) -> int:
    if value is None:
        return 0o644
    if isinstance(value, str) and value and len(value) <= 5 and set(value) <= set("01234567"):
        value = int(value, 8)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 0o777:
        raise BadInput(f"{where} must be a number from 0 to 511 (0777), or octal text like '0644'")
    return value or 0o644


def file_to_json(file: File) -> dict[str, Any]:
    """Return the API's form."""
    what = (
        {"secret_name": file.secret_name}
        if file.secret_name
        else {"raw_value": base64.b64encode(file.content).decode()}
    )
    return {"guest_path": file.guest_path, "mode": file.mode} | what
