"""Answers requests for files of images, strictly below the directory that the edge names. No state beyond open files.

Everything from the request is hostile: a path is taken apart before it is decoded, and the kernel itself refuses to
leave the directory (openat2), over links too. Nothing is listed, nothing but regular files is read.
"""

from __future__ import annotations

import errno
import hashlib
import mimetypes
import os
import stat
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate, parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from roost.build.beneath import openat2
from roost.edge.pages import Page, negotiate
from roost.edge.replies import error_headers
from roost.edge.static_paths import HEADER, METHODS, read_header
from roost.model.edge_errors import EDGE_ERRORS
from roost.model.serving_config import Static

_NO_MAGICLINKS, _BENEATH, _IN_ROOT = 0x02, 0x08, 0x10  # openat2(2)
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO, errno.EINVAL)
MOST_OF_IMAGE = 512
_AGE = 5.0  # seconds for which a root is taken to be the image's
_TYPES = mimetypes.MimeTypes(filenames=())
for _type, _ending in (
    ("text/javascript", ".mjs"), ("application/wasm", ".wasm"), ("image/webp", ".webp"), ("image/avif", ".avif"),
    ("font/woff", ".woff"), ("font/woff2", ".woff2"), ("font/ttf", ".ttf"), ("font/otf", ".otf"),
    ("application/manifest+json", ".webmanifest"), ("text/markdown", ".md"),
):  # fmt: skip
    _TYPES.add_type(_type, _ending)


class RootsOfImages(Protocol):
    """Where images are found by their digests."""

    def get(self, digest: str) -> int | None:
        """Return a descriptor of an image's root, good until the next call; None when it is not here."""

    def forget(self, digest: str) -> None:
        """Look for it anew the next time."""


class _Refused(Exception):
    """The request is answered with the error class `code`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _Moved(Exception):
    """The request names a directory without its slash."""


class StaticFiles:
    """The ASGI application. `most` files of an image are sent at once: who reads slowly leaves room for others."""

    def __init__(self, roots: RootsOfImages, most: int = MOST_OF_IMAGE) -> None:
        self._roots, self._most = roots, most
        self._sending: Counter[str] = Counter()  # by image
        self._known: dict[str, float] = {}  # image -> when its root was taken

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        try:
            response = self._answer(scope, headers)
        except _Refused as refused:
            response = _error(refused.code, headers.get("accept", ""), head=scope["method"] == "HEAD")
        except _Moved:
            query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
            response = RedirectResponse(f"{scope['raw_path'].decode('latin-1')}/{query}", status_code=301)
        image = response.image if isinstance(response, _File) else ""
        self._sending[image] += 1
        try:
            await response(scope, receive, send)
        finally:
            self._sending[image] -= 1
            if not self._sending[image]:
                del self._sending[image]

    def _answer(self, scope: Scope, headers: Headers) -> Response:
        if scope["method"] not in METHODS:
            raise _Refused("statics_bad_method")
        told = headers.getlist(HEADER)
        named = read_header(told[0]) if len(told) == 1 else None
        if named is None:
            raise _Refused("statics_unavailable")
        image, static = named
        path = path_below(scope["raw_path"], static)
        if self._sending[image] >= self._most:
            raise _Refused("statics_busy")
        descriptor, status, name = self._open(image, static, path)
        file = _File(descriptor, status, name, image)
        if file.unchanged(headers):
            file.close()
            kept = {key: value for key, value in file.headers.items() if key in ("etag", "last-modified")}
            return Response(status_code=304, headers=kept)
        return file

    def _open(self, image: str, static: Static, path: bytes) -> tuple[int, os.stat_result, str]:
        root = self._root(image)
        try:
            directory = _openat(root, os.fsencode(static.guest_path.lstrip("/")), os.O_PATH | os.O_DIRECTORY, _IN_ROOT)
        except _Refused:
            if time.monotonic() - self._known.get(image, 0.0) < _AGE:
                raise
            self._roots.forget(image)  # the image may have been removed, and be here again
            self._known.pop(image, None)
            directory = _openat(
                self._root(image), os.fsencode(static.guest_path.lstrip("/")), os.O_PATH | os.O_DIRECTORY, _IN_ROOT
            )
        try:
            return _open_file(directory, path, static.index_document)
        finally:
            os.close(directory)

    def _root(self, image: str) -> int:
        root = self._roots.get(image)
        if root is None:
            raise _Refused("statics_unavailable")
        if len(self._known) > 4096:
            self._known.clear()
        self._known.setdefault(image, time.monotonic())
        return root


def path_below(raw_path: bytes, static: Static) -> bytes:
    """Return the file's path below the directory, with a slash at its end as it was asked for; raises _Refused.

    Each part is decoded by itself, so that no encoded slash makes two of one.
    """
    prefix = static.url_prefix.rstrip("/").encode()
    if raw_path != prefix and not raw_path.startswith(prefix + b"/"):
        raise _Refused("statics_bad_path")
    rest = raw_path[len(prefix) + 1 :]
    if not rest:
        return b"/" if raw_path.endswith(b"/") else b""
    parts = [_decoded(part) for part in rest.split(b"/")]
    if any(part in (b".", b"..") for part in parts) or b"" in parts[:-1]:
        raise _Refused("statics_bad_path")
    return b"/".join(parts)


def _decoded(part: bytes) -> bytes:
    plain = unquote_to_bytes(part)
    if any(char in plain for char in b"/\\\0") or len(plain) > 255:
        raise _Refused("statics_bad_path")
    return plain


def _openat(directory: int, path: bytes, flags: int, resolve: int) -> int:
    try:
        return openat2(directory, os.fsdecode(path) or ".", flags, resolve | _NO_MAGICLINKS)
    except OSError as error:
        if error.errno in _MISSING:
            raise _Refused("statics_not_found") from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EXDEV):
            raise _Refused("statics_forbidden") from None
        raise _Refused("statics_unavailable") from None


def _open_file(directory: int, path: bytes, index: str) -> tuple[int, os.stat_result, str]:
    """Return a regular file, open for reading; raises _Refused, and _Moved for a directory without its slash."""
    plain, as_directory = path.rstrip(b"/"), path.endswith(b"/")
    if index and as_directory:
        plain = plain + b"/" + index.encode() if plain else index.encode()
    descriptor = _openat(directory, plain, _READ, _BENEATH)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and (index or not as_directory):
        return descriptor, status, os.fsdecode(plain).rpartition("/")[2]
    os.close(descriptor)
    if stat.S_ISDIR(status.st_mode) and index and not as_directory:
        raise _Moved
    raise _Refused("statics_not_found")


class _File(FileResponse):
    """A file that is open already. Read in the loop: this process may have no threads."""

    def __init__(self, descriptor: int, status: os.stat_result, name: str, image: str) -> None:
        self._descriptor, self.image = descriptor, image
        changed = max(status.st_ctime, status.st_mtime)  # builds set times; when the layer came here is later
        identity = f"{status.st_ino}-{status.st_ctime_ns}-{status.st_mtime_ns}-{status.st_size}"
        self._changed = int(changed)
        super().__init__(
            name,
            media_type=_type_of(name),
            stat_result=status,
            headers={
                "etag": f'"{hashlib.sha256(identity.encode()).hexdigest()[:32]}"',
                "last-modified": formatdate(changed, usegmt=True),
            },
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and close it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.close()

    def close(self) -> None:
        """Close the file; twice is once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def unchanged(self, headers: Headers) -> bool:
        """Say whether the client has it already (RFC 9110, section 13)."""
        if (known := headers.get("if-none-match")) is not None:
            tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
            return "*" in tags or self.headers["etag"] in tags
        if (since := headers.get("if-modified-since")) is not None:
            try:
                return parsedate_to_datetime(since).timestamp() >= self._changed
            except (ValueError, TypeError, OverflowError):
                return False
        return False

    @asynccontextmanager
    async def _open_file(self) -> AsyncIterator[Any]:
        yield _Reader(self._descriptor)


class _Reader:
    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._at = descriptor, 0

    async def seek(self, offset: int) -> None:
        self._at = offset

    async def read(self, size: int) -> bytes:
        data = os.pread(self._descriptor, size, self._at)
        self._at += len(data)
        return data


def _type_of(name: str) -> str:
    kind, encoding = _TYPES.guess_type(f"/{name}", strict=False)
    if encoding:
        return {"gzip": "application/gzip"}.get(encoding, "application/octet-stream")
    return kind or "application/octet-stream"


def _error(code: str, accept: str, *, head: bool) -> Response:
    error = EDGE_ERRORS[code]
    page = Page(error.status, error.fault, error.code, error.message, error.hint)
    content_type, body = negotiate(page, accept)
    headers = error_headers(error) | {"content-type": content_type, "content-length": str(len(body))}
    if code == "statics_bad_method":
        headers["allow"] = ", ".join(METHODS)
    return Response(b"" if head else body, status_code=error.status, headers=headers)
