"""The server of files of images, two processes of their own: they serve also while roostd is away and while apps sleep.

One answers the edge, as a user of its own without any right; the other, root, hands it the roots of images and does
nothing else. State: the socket, and the file that says they are ready, which go with them. Invariant: either ends
with the other. `companions` keeps them running, `halves` makes them two.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import socket
import struct
import sys
from collections import OrderedDict
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from roost.build.image_records import ImageRecords
from roost.build.layers import LayerShelf
from roost.daemon import halves
from roost.daemon.cloud_file import load_cloud
from roost.daemon.companions import Companion, statics
from roost.daemon.static_files import StaticFiles
from roost.edge.confinement import USER as ENVOY
from roost.edge.static_paths import statics_socket
from roost.host.image_roots import ImageRoots
from roost.host.privileges import import_whole
from roost.model.cloud import Cloud
from roost.model.errors import RoostError

# The user is in the range that Linux systems leave to services without an account.
CONFINES = halves.Confines(user=61988, address_space=1 << 30, open_files=8192)
CELLS = range(ENVOY, ENVOY + 1000)  # users of the edge's cells
REQUESTS = 3072  # at once, each with two descriptors; `static_files` lets an image have a part of them
KEPT_ROOTS = 256  # images
ROOT = os.geteuid()
PATIENCE = 10.0  # seconds for the other half to make an image's root
_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")
_FOUND, _MISSING = b"+", b"-"


class _FromTheEdge(H11Protocol):
    """A connection, if one of the edge's cells or roostd made it: any other user of the server is hung up on."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        peer: socket.socket = transport.get_extra_info("socket")
        _, user, _ = struct.unpack("iII", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if user not in CELLS and user != ROOT:
            transport.abort()


class Images:
    """The roots of a cloud's images, for the half without rights."""

    def __init__(self, cloud: Cloud) -> None:
        self._records = ImageRecords(cloud.pool / "images")
        self._shelves = (LayerShelf(cloud.layers), LayerShelf(cloud.shared_layers))
        self._roots = ImageRoots(cloud.run / "statics", CONFINES.user)
        self._roots.sweep()

    def root(self, digest: str) -> int | None:
        """Return a descriptor of an image's root, None when it is not here."""
        image = self._records.get(digest)
        if image is None:
            return None
        try:
            paths = [self._path(layer) for layer in image.layers]
            return self._roots.open([path for path in paths if path is not None]) if None not in paths else None
        except (OSError, RoostError) as error:
            print(f"can't open {digest}: {error}", file=sys.stderr, flush=True)
            return None

    def _path(self, layer: str) -> Path | None:
        return next((shelf.path(layer) for shelf in self._shelves if shelf.get(layer) is not None), None)


class Roots:
    """The roots as the half that serves has them: asked for once, some kept open."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._open: OrderedDict[str, int] = OrderedDict()

    def get(self, digest: str) -> int | None:
        """Return a descriptor that is good until the next call; None when there is no such image."""
        if digest in self._open:
            self._open.move_to_end(digest)
            return self._open[digest]
        if not _DIGEST.fullmatch(digest.encode()):
            return None
        self._link.send(digest.encode())
        answer, found, _, _ = socket.recv_fds(self._link, 1, 1)
        if not answer:
            raise OSError("the half that opens images has ended")
        if not found:
            return None
        self._open[digest] = found[0]
        if len(self._open) > KEPT_ROOTS:
            os.close(self._open.popitem(last=False)[1])
        return found[0]

    def forget(self, digest: str) -> None:
        """Ask for it anew the next time: an image that was removed and came back is another directory."""
        root = self._open.pop(digest, None)
        if root is not None:
            os.close(root)


def serve(cloud: Cloud) -> None:
    """Serve until SIGTERM, or until the half that answers ends. Raises OSError or RoostError."""
    images = Images(cloud)
    listening = _listen(cloud)
    config = uvicorn.Config(
        "", http=_FromTheEdge, loop="asyncio", lifespan="off", ws="none", access_log=False, log_config=None,
        server_header=False, limit_concurrency=REQUESTS, timeout_keep_alive=30, backlog=1024,
        h11_max_incomplete_event_size=128 * 1024,
    )  # fmt: skip
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.settimeout(PATIENCE)
    config.app = StaticFiles(Roots(theirs))
    config.load()  # now: later no files can be read
    import_whole("anyio")
    companion = statics(cloud)
    halves.run(
        companion,
        trusted=halves.Half(lambda: _hand_out(companion, images, ours), [ours]),
        exposed=halves.Half(lambda: asyncio.run(uvicorn.Server(config).serve([listening])), [theirs, listening]),
        confines=CONFINES,
    )


def _listen(cloud: Cloud) -> socket.socket:
    path = statics_socket(cloud.run)
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    path.chmod(0o666)  # cells have users of their own: who connects is looked at
    listening.listen(1024)
    return listening


def _hand_out(companion: Companion, images: Images, link: socket.socket) -> None:
    """Open roots of images for the other half."""
    companion.ready.write_text(companion.form)
    while digest := link.recv(128):
        root = images.root(digest.decode()) if _DIGEST.fullmatch(digest) else None
        if root is None:
            link.send(_MISSING)
            continue
        try:
            socket.send_fds(link, [_FOUND], [root])
        finally:
            os.close(root)


def main() -> int:
    """Run for `--home`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="roost-statics", description="Serves files of images without their apps.")
    parser.add_argument("--home", type=Path, required=True)
    cloud = load_cloud(parser.parse_args().home)
    try:
        serve(cloud)
    except (OSError, RoostError) as error:
        print(f"the server of files can't go on: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
