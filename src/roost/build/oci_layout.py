"""Reading an OCI image layout (image spec, image-layout.md): manifest, configuration, layers, all verified.

Pure but for reading files. Every blob is checked against the digest that names it; sizes of the JSON
documents are bounded. A layout is material from outside: anything malformed is a HostFailure naming it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from roost.build.beneath import open_plain
from roost.model.errors import HostFailure
from roost.model.image import ImageConfig

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_JSON_LIMIT = 8 << 20
_PORT = re.compile(r"([0-9]{1,5})(/tcp)?")


@dataclass(frozen=True, slots=True)
class LayerBlob:
    """One layer: the compressed blob, and the digest of the tar inside."""

    layout: Path
    digest: str
    diff_id: str

    @property
    def path(self) -> Path:
        """Where the blob is; open it by `open` when a stranger could write there."""
        return self.layout / _blob(self.digest)

    def open(self) -> IO[bytes]:
        """Open the blob for reading; raises HostFailure when it is missing or not a plain file."""
        return _open(self.layout, _blob(self.digest))


@dataclass(frozen=True, slots=True)
class OciImage:
    """An image in a layout. `digest` is its manifest's; tools know it by `config_digest`."""

    digest: str
    config_digest: str
    config: ImageConfig
    layers: tuple[LayerBlob, ...]


def read_layout(layout: Path) -> OciImage:
    """Return the only image of a layout; raises HostFailure when it is damaged or not for linux/amd64."""
    try:
        with _open(layout, "index.json") as file:
            index = _load(file.read(_JSON_LIMIT + 1), "index.json")
        manifest_digest = _digest(index["manifests"][0]["digest"])
        manifest = _blob_json(layout, manifest_digest)
        config_digest = _digest(manifest["config"]["digest"])
        config = _blob_json(layout, config_digest)
        diff_ids = [_digest(item) for item in config["rootfs"]["diff_ids"]]
        blobs = [_digest(item["digest"]) for item in manifest["layers"]]
    except (OSError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise HostFailure(f"the image is damaged: {error!r}", hint="pull it again") from None
    platform = (config.get("os", "linux"), config.get("architecture", "amd64"))
    if platform != ("linux", "amd64"):
        raise HostFailure(f"the image is for {platform[0]}/{platform[1]}; this cloud runs linux/amd64")
    if len(diff_ids) != len(blobs):
        raise HostFailure(f"the image is damaged: it has {len(blobs)} layers and {len(diff_ids)} diff_ids")
    layers = tuple(LayerBlob(layout, d, i) for d, i in zip(blobs, diff_ids, strict=True))
    return OciImage(manifest_digest, config_digest, read_config(config.get("config") or {}), layers)


def read_config(config: dict[str, Any]) -> ImageConfig:
    """Read the `config` object of an image configuration; fields of a wrong type count as absent."""

    def words(key: str) -> tuple[str, ...]:
        value = config.get(key)
        return tuple(str(item) for item in value) if isinstance(value, list) else ()

    def text(key: str) -> str:
        value = config.get(key)
        return value if isinstance(value, str) else ""

    def keys(key: str) -> dict[str, Any]:
        value = config.get(key)
        return value if isinstance(value, dict) else {}

    ports = (match for port in keys("ExposedPorts") if (match := _PORT.fullmatch(port)))
    return ImageConfig(
        entrypoint=words("Entrypoint"),
        cmd=words("Cmd"),
        env=tuple(item for item in words("Env") if "=" in item),
        workdir=text("WorkingDir") or "/",
        user=text("User"),
        exposed_ports=tuple(sorted(int(match[1]) for match in ports)),
        stop_signal=text("StopSignal"),
        labels={str(name): str(value) for name, value in keys("Labels").items()},
    )


def _digest(value: object) -> str:
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return value
    raise HostFailure(f"the image is damaged: {str(value)[:80]!r} is not a sha256 digest")


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _open(layout: Path, path: str) -> IO[bytes]:
    """Open a plain file of the layout: a build machine may have put links, fifos or anything in its place."""
    directory = os.open(layout, os.O_PATH | os.O_DIRECTORY)
    try:
        fd = open_plain(directory, path)
    except OSError as error:
        raise HostFailure(
            f"the image is damaged: {path[:90]}: {error.strerror}", hint="pull or build it again"
        ) from None
    finally:
        os.close(directory)
    return os.fdopen(fd, "rb")


def _blob_json(layout: Path, digest: str) -> dict[str, Any]:
    with _open(layout, _blob(digest)) as file:
        data = file.read(_JSON_LIMIT + 1)
    if len(data) > _JSON_LIMIT:
        raise HostFailure(f"the image is damaged: {digest} is longer than {_JSON_LIMIT} bytes")
    if hashlib.sha256(data).hexdigest() != digest.removeprefix("sha256:"):
        raise HostFailure(f"the image is damaged: {digest} does not match its content", hint="pull it again")
    return _load(data, digest)


def _load(data: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise HostFailure(f"the image is damaged: {what} is not a JSON object")
    return value
