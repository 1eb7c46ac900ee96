"""Files served without an app: what is found, what is not, and that nothing leads out of the directory."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from roost.daemon.static_files import StaticFiles
from roost.edge.static_paths import HEADER, AppStatics, read_header
from roost.model.serving_config import Static

IMAGE, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


class Roots:
    def __init__(self, root: Path) -> None:
        self.fd = os.open(root, os.O_PATH | os.O_DIRECTORY)

    def get(self, digest: str) -> int | None:
        return self.fd if digest == IMAGE else None

    def forget(self, digest: str) -> None:
        pass


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    public = tmp_path / "app" / "public"
    (public / "sub").mkdir(parents=True)
    (public / "a.txt").write_text("hello")
    (public / "b c.html").write_text("<p>")
    (public / "sub" / "index.html").write_text("sub index")
    (public / "code.tar.gz").write_bytes(b"x")
    (tmp_path / "secret").write_text("secret")
    (public / "out").symlink_to("../../secret")
    (public / "absolute").symlink_to("/secret")
    (public / "inside").symlink_to("sub/index.html")
    os.mkfifo(public / "pipe")
    yield tmp_path


async def ask(root: Path, path: str, *, index: str = "", prefix: str = "/static", **options: Any) -> httpx2.Response:
    roots = Roots(root)
    told = AppStatics("shop", options.pop("image", IMAGE), ()).header(Static("/app/public", prefix, index))
    headers = {HEADER: told} | options.pop("headers", {})
    try:
        transport = httpx2.ASGITransport(StaticFiles(roots))
        async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
            request = client.build_request(options.pop("method", "GET"), "http://x/", headers=headers, **options)
            request.url = httpx2.URL("http://x").copy_with(raw_path=path.encode())
            return await client.send(request)
    finally:
        os.close(roots.fd)


async def test_a_file_with_what_caches_need(root: Path) -> None:
    answer = await ask(root, "/static/a.txt?v=1")
    assert (answer.status_code, answer.text) == (200, "hello")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert (answer.headers["content-length"], answer.headers["accept-ranges"]) == ("5", "bytes")
    for header, value in (
        ("If-None-Match", answer.headers["etag"]),
        ("If-None-Match", f'"other", W/{answer.headers["etag"]}'),
        ("If-Modified-Since", answer.headers["last-modified"]),
    ):
        again = await ask(root, "/static/a.txt", headers={header: value})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", answer.headers["etag"])
    head = await ask(root, "/static/a.txt", method="HEAD")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "5")
    part = await ask(root, "/static/a.txt", headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.text, part.headers["content-range"]) == (206, "el", "bytes 1-2/5")
    beyond = await ask(root, "/static/a.txt", headers={"Range": "bytes=9-"})
    assert beyond.status_code == 416
    stale = await ask(root, "/static/a.txt", headers={"Range": "bytes=1-2", "If-Range": '"old"'})
    assert stale.status_code == 200


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/static/b%20c.html", "text/html; charset=utf-8"), ("/static/code.tar.gz", "application/gzip"),
        ("/static/inside", "application/octet-stream"),
    ],
)  # fmt: skip
async def test_kinds_of_files(root: Path, path: str, content_type: str) -> None:
    answer = await ask(root, path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/static/none", 404, "statics_not_found"), ("/static/a.txt/", 404, "statics_not_found"),
        ("/static/a.txt/x", 404, "statics_not_found"), ("/static", 404, "statics_not_found"),
        ("/static/", 404, "statics_not_found"), ("/static/sub", 404, "statics_not_found"),
        ("/static/pipe", 404, "statics_not_found"), ("/static/out", 403, "statics_forbidden"),
        ("/static/absolute", 403, "statics_forbidden"), ("/static/../a.txt", 400, "statics_bad_path"),
        ("/static/%2e%2e/secret", 400, "statics_bad_path"), ("/static/..%2f..%2fsecret", 400, "statics_bad_path"),
        ("/static/sub%2Findex.html", 400, "statics_bad_path"), ("/static//etc/passwd", 400, "statics_bad_path"),
        ("/static/a%00.txt", 400, "statics_bad_path"), ("/static/..%5c..%5csecret", 400, "statics_bad_path"),
        ("/static/%2e/a.txt", 400, "statics_bad_path"), ("/other/a.txt", 400, "statics_bad_path"),
        ("/static/" + "x" * 300, 400, "statics_bad_path"), ("/static/" + "x/" * 3000 + "y", 404, "statics_not_found"),
        ("/static/%ff%fe", 404, "statics_not_found"), ("/static/%", 404, "statics_not_found"),
        ("/staticky/a.txt", 400, "statics_bad_path"),
    ],
)  # fmt: skip
async def test_what_is_not_served(root: Path, path: str, status: int, code: str) -> None:
    answer = await ask(root, path)
    assert (answer.status_code, answer.headers["roost-error"]) == (status, code), answer.text
    assert "secret" not in answer.text


async def test_an_index_and_the_way_to_it(root: Path) -> None:
    moved = await ask(root, "/static/sub?a=1", index="index.html")
    assert (moved.status_code, moved.headers["location"]) == (301, "/static/sub/?a=1")
    assert (await ask(root, "/static/sub/", index="index.html")).text == "sub index"
    assert (await ask(root, "/static/", index="index.html")).status_code == 404
    (root / "app" / "public" / "index.html").write_text("top")
    assert (await ask(root, "/", index="index.html", prefix="/")).text == "top"
    assert (await ask(root, "//evil.test/", index="index.html", prefix="/")).status_code == 400


async def test_only_what_the_edge_names_is_read(root: Path) -> None:
    assert (await ask(root, "/static/a.txt", method="POST")).status_code == 405
    other = await ask(root, "/static/a.txt", image="sha256:" + "b" * 64)
    assert (other.status_code, other.headers["roost-error"]) == (503, "statics_unavailable")
    assert (await ask(root, "/static/a.txt", headers={HEADER: "nothing"})).status_code == 503


def test_which_requests_are_for_files() -> None:
    deep, top = Static("/a b&c", "/s/deep", "i.html"), Static("/top", "/s")
    statics = AppStatics("shop", IMAGE, (top, deep))
    assert read_header(statics.asked_for("GET", "/s/deep/x?y")) == (IMAGE, deep)
    assert read_header(statics.asked_for("HEAD", "/s")) == (IMAGE, top)
    for method, target in (("POST", "/s/x"), ("GET", "/sx"), ("GET", "/"), ("GET", "/?/s/x")):
        assert statics.asked_for(method, target) == ""
    assert AppStatics("shop", IMAGE, (Static("/top", "/"),)).asked_for("GET", "/any?x")


WITHOUT_IMPORTS = """
import asyncio, sys
from starlette.responses import FileResponse
from roost.host.privileges import import_whole
import_whole("anyio")
for name in ("anyio", "anyio._core", "anyio._backends", "anyio.streams", "starlette"):
    sys.modules[name].__path__ = []  # as in an installation that only root can read
async def receive():
    await asyncio.sleep(9)
async def send(message):
    print(message["type"], len(message.get("body", b"")))
scope = {"type": "http", "method": "GET", "headers": []}
asyncio.run(FileResponse(sys.argv[1])(scope, receive, send))
"""


def test_files_are_served_without_a_further_import(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_IMPORTS, tmp_path / "file"], capture_output=True, text=True, timeout=30
    )
    assert (done.stdout.splitlines(), done.returncode) == (["http.response.start 0", "http.response.body 5"], 0)


async def test_clients_that_read_slowly_leave_room_for_other_apps(root: Path) -> None:
    roots = {IMAGE: Roots(root), OTHER: Roots(root)}

    class Both:
        def get(self, digest: str) -> int | None:
            return roots[digest].fd

        def forget(self, digest: str) -> None:
            pass

    serving, reads = StaticFiles(Both(), most=3), asyncio.Event()
    statuses: list[int] = []

    async def ask_slowly(image: str) -> None:
        told = AppStatics("shop", image, ()).header(Static("/app/public", "/static", ""))
        scope = {
            "type": "http", "asgi": {"spec_version": "2.4"}, "method": "GET", "raw_path": b"/static/a.txt", "path": "/",
            "query_string": b"",
            "headers": [(HEADER.encode(), told.encode())],
        }  # fmt: skip

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            else:
                await reads.wait()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        await serving(scope, receive, send)

    asked = [asyncio.create_task(ask_slowly(image)) for image in [IMAGE] * 5 + [OTHER]]
    while len(statuses) < 6:
        await asyncio.sleep(0)
    assert sorted(statuses) == [200, 200, 200, 200, 429, 429]
    reads.set()
    await asyncio.gather(*asked)
    await ask_slowly(IMAGE)
    assert statuses[-1] == 200
    for one in roots.values():
        os.close(one.fd)
