"""Writing an image of ours as an OCI layout, so that buildah can start from it.

Owns the layout directory it is given, made under another name and renamed when it is whole. Layers are
plain tars: they go to the same disk, where compressing would only cost time. Overlayfs's whiteouts and
opaque marks become the specification's `.wh.` files.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
import stat
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roost.model.image import Image

LAYERS_FILE = "roost-layers.json"  # diff_id -> our layer id: what is built on it need not be unpacked again


class _HashingFile(io.RawIOBase):
    """Hashes what is written through it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._hash = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    def close(self) -> None:
        self._file.close()
        super().close()

    @property
    def hex(self) -> str:
        return self._hash.hexdigest()


def export_layout(image: Image, layers: Sequence[Path], layout: Path) -> Path:
    """Write `image` to `layout` unless it is there; returns it. `layers` are its directories, lowest first."""
    if (layout / LAYERS_FILE).exists():
        return layout
    making = layout.with_name(f".{layout.name}.{secrets.token_hex(4)}")
    blobs = making / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    try:
        descriptors = [_write_layer(tree, blobs) for tree in layers]
        config = _blob(blobs, _config(image, [item["digest"] for item in descriptors]))
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
            "layers": descriptors,
        }
        entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", **_blob(blobs, manifest)}
        entry["annotations"] = {"org.opencontainers.image.ref.name": "image"}
        (making / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (making / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        known = {item["digest"]: layer for item, layer in zip(descriptors, image.layers, strict=True)}
        (making / LAYERS_FILE).write_text(json.dumps(known))
        shutil.rmtree(layout, ignore_errors=True)
        making.rename(layout)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return layout


def _config(image: Image, diff_ids: list[str]) -> dict[str, Any]:
    config = image.config
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Env": list(config.env), "Entrypoint": list(config.entrypoint), "Cmd": list(config.cmd),
            "User": config.user, "WorkingDir": config.workdir,
            "ExposedPorts": {f"{port}/tcp": {} for port in config.exposed_ports},
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": "roost"} for _ in diff_ids],
    }  # fmt: skip


def _blob(blobs: Path, value: dict[str, Any]) -> dict[str, Any]:
    data = json.dumps(value, sort_keys=True).encode()
    name = hashlib.sha256(data).hexdigest()
    (blobs / name).write_bytes(data)
    return {"digest": f"sha256:{name}", "size": len(data)}


def _write_layer(tree: Path, blobs: Path) -> dict[str, Any]:
    temporary = blobs / f".{secrets.token_hex(8)}"
    out = _HashingFile(temporary)
    with out, tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        _add_directory(archive, tree, "")
    temporary.rename(blobs / out.hex)
    return {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": f"sha256:{out.hex}", "size": out.size}


def _add_directory(archive: tarfile.TarFile, directory: Path, name: str) -> None:
    if name:
        archive.addfile(archive.gettarinfo(directory, name))
        if "trusted.overlay.opaque" in os.listxattr(directory):
            archive.addfile(tarfile.TarInfo(f"{name}/.wh..wh..opq"))
    for child in sorted(directory.iterdir()):
        inner = f"{name}/{child.name}" if name else child.name
        status = child.lstat()
        if stat.S_ISDIR(status.st_mode):
            _add_directory(archive, child, inner)
        elif stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            archive.addfile(tarfile.TarInfo(f"{name}/.wh.{child.name}" if name else f".wh.{child.name}"))
        elif stat.S_ISREG(status.st_mode):
            with child.open("rb") as file:
                member = archive.gettarinfo(child, inner)  # a link when the inode was added under another name
                archive.addfile(member, file if member.isreg() else None)
        elif stat.S_ISLNK(status.st_mode):
            archive.addfile(archive.gettarinfo(child, inner))
