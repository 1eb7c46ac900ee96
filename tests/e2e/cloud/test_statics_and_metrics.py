"""Files served without the app's process, also while it sleeps, and what the program says of itself."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from tests.e2e.cloud.conftest import RunningCloud, wait_until
from tests.e2e.cloud.programs import fresh, said

WEB = """
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = 0

    def do_GET(self):
        Handler.seen += 1
        text = f"app {self.path} {self.headers.get('roost-static')}"
        if self.path == "/metrics":
            text = f'# TYPE seen_total counter\\nseen_total{{app="forged",code="200"}} {Handler.seen}\\n'
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET

http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""
TOML = """
swap_size_mb = 0
[[files]]
guest_path = "/etc/greeting"
raw_value = "hi there"
[[statics]]
guest_path = "/app/public"
url_prefix = "/static"
index_document = "index.html"
[metrics]
port = 8080
[http_service]
internal_port = 8080
"""


@pytest.mark.timeout(200)
def test_awake_asleep_and_without_roostd(cloud: RunningCloud, tmp_path: Path) -> None:
    name = fresh("statics")
    public = tmp_path / "public"
    (public / "sub").mkdir(parents=True)
    (public / "a.css").write_text("body {}")
    (public / "sub" / "index.html").write_text("<p>sub")
    (public / "big").write_bytes(os.urandom(3_000_000))
    (public / "locked").write_text("x")
    (public / "out").symlink_to("/etc/passwd")
    (tmp_path / "web.py").write_text(WEB)
    (tmp_path / "Procfile").write_text("web: python web.py\n")
    (tmp_path / "roost.toml").write_text(f'app = "{name}"\n{TOML}')
    (tmp_path / ".roostignore").write_text("")
    try:
        cloud.roost("apps", "create", name)
        cloud.roost("deploy", tmp_path)
        (machine,) = cloud.machines(name)
        assert cloud.get(name, "/").text == "app / None"
        first = cloud.get(name, "/static/a.css", headers={"roost-static": "image=sha256%3Ax&from=%2Fetc&at=%2Fstatic"})
        assert (first.status_code, first.text, first.headers["content-type"]) == (
            200, "body {}", "text/css; charset=utf-8",
        )  # fmt: skip
        assert cloud.get(name, "/static/a.css", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
        assert cloud.get(name, "/static/big").content == (public / "big").read_bytes()
        part = cloud.get(name, "/static/big", headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, (public / "big").read_bytes()[10:20])
        assert cloud.get(name, "/static/sub").headers["location"] == "/static/sub/"
        for path, code in (("/static/none", "statics_not_found"), ("/static/..%2f..%2fetc/passwd", "statics_bad_path")):
            refused = cloud.get(name, path)
            assert (refused.headers["roost-error"], refused.headers["server"]) == (code, "roost"), refused.text
        assert cloud.get(name, "/staticky").text.startswith("app /staticky")

        def told() -> str:
            return said(cloud, "metrics", name).text

        wait_until(lambda: "seen_total{" in cloud.api("GET", f"/apps/{name}/metrics").text, "metrics are read", 25)
        (line,) = [line for line in told().splitlines() if line.startswith("seen_total")]
        assert f'app="{name}",instance="{machine["id"]}"' in line and 'exported_app="forged"' in line

        assert cloud.api("POST", f"/apps/{name}/machines/{machine['id']}/suspend").status_code == 200
        for path, content in (("/static/a.css", b"body {}"), ("/static/sub/", b"<p>sub")):
            wait_until(lambda p=path, c=content: cloud.get(name, p).content == c, f"{path} is served asleep", 5)
        began = time.monotonic()
        assert cloud.get(name, "/static/big").content == (public / "big").read_bytes()
        assert cloud.get(name, "/static/none").headers["roost-error"] == "statics_not_found"
        assert time.monotonic() - began < 2
        assert cloud.machines(name)[0]["state"] == "suspended", "files wake nobody"
        assert cloud.get(name, "/").text == "app / None"
        assert cloud.machines(name)[0]["state"] == "started"

        pid = json.loads((Path("/run/roost") / cloud_id(cloud) / "statics.pid").read_text())["pid"]
        status = Path(f"/proc/{next(child_of(pid))}/status").read_text()
        assert "\nUid:\t61988\t61988\t61988\t61988\n" in status and "\nCapEff:\t0000000000000000\n" in status
        os.kill(pid, signal.SIGKILL)
        lost = cloud.get(name, "/static/a.css")
        assert lost.status_code == 200 or lost.headers["roost-error"] == "statics_unavailable", lost.text
        wait_until(lambda: cloud.get(name, "/static/a.css").status_code == 200, "another one serves", 10)
        assert cloud.get(name, "/").status_code == 200
    finally:
        cloud.roost("apps", "destroy", name, "--yes", check=False)


def cloud_id(cloud: RunningCloud) -> str:
    return str(json.loads((cloud.home / "cloud.json").read_text())["id"])


def child_of(pid: int):  # type: ignore[no-untyped-def]
    return (int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
