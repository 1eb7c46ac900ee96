"""The client and the command line when the API restarts, breaks off, or an operation ends badly.

The server is a real one on a loopback port that plays a script in the shapes of docs/api.md.
"""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.ports import free_port
from typer.testing import CliRunner

from roost.cli.main import app as roost
from roost.daemon.cloud_file import save_cloud
from roost.model.cloud import Cloud
from roost.sdk import Client, Unreachable

AT = "2026-01-01T00:00:00.000Z"
Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Script

    def log_message(self, format: str, *args: object) -> None: ...

    def answer(self) -> None:
        length = int(self.headers.get("content-length", 0))
        self.body = self.rfile.read(length)
        path = self.path.split("?")[0]
        self.server.asked.append(f"{self.command} {self.path}")
        self.server.answers.get(f"{self.command} {path}", missing)(self)

    do_GET = do_POST = answer

    def send_json(self, value: object, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def send_events(self, *events: tuple[int, str, str, str], until: threading.Event | None = None) -> None:
        """Send server-sent events and break off, as a killed roostd does."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number, kind, step, text in events:
            data = json.dumps({"number": number, "kind": kind, "step": step, "text": text, "timestamp": AT})
            piece = f"event: {kind}\nid: {number}\ndata: {data}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        if until is not None:
            until.wait(20)
        self.close_connection = True


def missing(handler: Handler) -> None:
    handler.send_json({"error": "not scripted", "status": "not_found", "hint": ""}, 404)


class Script(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def operation(self, state: str, kind: str = "deploy", **more: object) -> dict[str, Any]:
        base = {"id": "01OP", "kind": kind, "app": "shop", "state": state, "steps": ["build", "roll out"]}
        return base | {"step": "build", "error": "", "hint": "", "created_at": AT} | more


@pytest.fixture
def script() -> Iterator[Script]:
    server = Script()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_following_goes_on_where_it_broke_off(script: Script) -> None:
    parts = iter(
        [
            [(1, "step", "build", ""), (2, "log", "build", "one")],
            [(2, "log", "build", "one"), (3, "log", "build", "two")],  # an older server repeats a line
            [],
            [(4, "done", "", "succeeded")],
        ]
    )
    script.answers["GET /v1/operations/01OP/events"] = lambda handler: handler.send_events(*next(parts))
    script.answers["GET /v1/operations/01OP"] = lambda handler: handler.send_json(script.operation("running"))
    with Client(script.url, "t") as client:
        told = list(client.operations.follow("01OP"))
    assert [(p.number, p.kind, p.text) for p in told] == [
        (1, "step", ""),
        (2, "log", "one"),
        (3, "log", "two"),
        (4, "done", "succeeded"),
    ]
    assert [a for a in script.asked if "events" in a] == [
        f"GET /v1/operations/01OP/events?after={n}" for n in (0, 2, 3, 3)
    ]


def test_following_ends_when_the_operation_has_ended_without_a_last_event(script: Script) -> None:
    script.answers["GET /v1/operations/01OP/events"] = lambda handler: handler.send_events()
    states = iter(["running", "succeeded"])  # asked once after each break
    script.answers["GET /v1/operations/01OP"] = lambda handler: handler.send_json(script.operation(next(states)))
    with Client(script.url, "t") as client:
        assert list(client.operations.follow("01OP")) == []


def test_following_gives_up_after_its_patience() -> None:
    with Client(f"http://127.0.0.1:{free_port()}", "t", patience=0.1) as client:
        begun = time.monotonic()
        with pytest.raises(Unreachable) as error:
            list(client.operations.follow("01OP", patience=0.5))
    assert 0.4 < time.monotonic() - begun < 5
    assert "refused" in error.value.message
    assert "roost up" in error.value.hint


def test_a_refused_call_is_tried_again_until_the_api_is_back() -> None:
    port = free_port()
    made: list[Script] = []

    def come_back() -> None:
        time.sleep(0.4)
        server = Script(port)
        server.answers["POST /v1/apps"] = lambda handler: handler.send_json({"name": "shop"}, 201)
        made.append(server)
        server.serve_forever(poll_interval=0.02)

    thread = threading.Thread(target=come_back, daemon=True)
    thread.start()
    try:
        with Client(f"http://127.0.0.1:{port}", "t", patience=10) as client:
            assert client.apps.create("shop")["name"] == "shop"
        assert made[0].asked == ["POST /v1/apps"]
    finally:
        made[0].shutdown()
        made[0].server_close()
        thread.join(10)


def hang_up(handler: Handler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def test_a_change_whose_effect_is_unknown_is_never_sent_twice_and_a_read_is(script: Script) -> None:
    script.answers["POST /v1/apps"] = hang_up
    with Client(script.url, "t", patience=2) as client:
        with pytest.raises(Unreachable):
            client.apps.create("shop")
        assert script.asked == ["POST /v1/apps"]
        tries = iter([hang_up, hang_up, lambda handler: handler.send_json({"apps": []})])
        script.answers["GET /v1/apps"] = lambda handler: next(tries)(handler)
        assert client.apps.list() == []
    assert script.asked.count("GET /v1/apps") == 3


def test_logs_go_on_after_a_break_and_show_nothing_twice(script: Script) -> None:
    def lines(*numbers: int) -> Answer:
        def send(handler: Handler) -> None:
            text = "".join(
                json.dumps(
                    {"timestamp": f"2026-01-01T00:00:0{n}.000Z", "machine": "m", "stream": "stdout", "message": f"{n}"}
                )
                + "\n"
                for n in numbers
            )
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(text)))
            handler.end_headers()
            handler.wfile.write(text.encode())

        return send

    parts = iter([lines(1, 2, 2), lines(2, 3), lines(3, 4)])
    script.answers["GET /v1/apps/shop/logs"] = lambda handler: next(parts)(handler)
    script.answers["GET /healthz"] = lambda handler: handler.send_json({"ok": True})
    with Client(script.url, "t") as client:
        follower = client.logs.follow("shop")
        assert [next(follower)["message"] for _ in range(5)] == ["1", "2", "2", "3", "4"]
        follower.close()  # type: ignore[attr-defined]


def deploying(script: Script, end: dict[str, Any], *releases: str) -> None:
    script.answers |= {
        "GET /v1/apps/shop": lambda handler: handler.send_json({"name": "shop"}),
        "POST /v1/apps/shop/deploys": lambda handler: handler.send_json(script.operation("running"), 202),
        "GET /v1/operations/01OP/events": lambda handler: handler.send_events(
            (1, "step", "build", ""), (2, "log", "build", "Step 1"), (3, "done", "", end["state"])
        ),
        "GET /v1/operations/01OP": lambda handler: handler.send_json(end),
        "GET /v1/apps/shop/releases": lambda handler: handler.send_json(
            [{"status": status, "created_at": "2026-01-01T00:00:01.000Z"} for status in releases]
        ),
    }


@pytest.mark.parametrize(
    ("releases", "code"), [(("failed", "complete"), 5), (("failed", "failed"), 1), (("complete",), 1), ((), 1)]
)
def test_a_deploy_that_fails(script: Script, tmp_path: Path, releases: tuple[str, ...], code: int) -> None:
    end = script.operation("failed", error="the app never listened on port 8080", hint="listen on $PORT")
    deploying(script, end, *releases)
    result = CliRunner(env={"ROOST_API_URL": script.url, "ROOST_TOKEN": "t"}).invoke(
        roost, ["deploy", str(tmp_path), "-a", "shop", "--image", "debian:bookworm"]
    )
    assert result.exit_code == code, result.output
    assert "    Step 1\nerror: the app never listened on port 8080\nhint: listen on $PORT\n" in result.stderr


def test_ctrl_c_cancels_the_deploy_on_the_server(script: Script, tmp_path: Path) -> None:
    cancelled = threading.Event()
    deploying(script, script.operation("cancelled"), "complete")

    def events(handler: Handler) -> None:
        if cancelled.is_set():
            handler.send_events((3, "done", "", "cancelled"))
        else:
            handler.send_events((1, "step", "build", ""), (2, "log", "build", "slow"), until=cancelled)

    def cancel(handler: Handler) -> None:
        cancelled.set()
        handler.send_json(script.operation("running"))

    script.answers |= {"GET /v1/operations/01OP/events": events, "POST /v1/operations/01OP/cancel": cancel}
    environment = {**os.environ, "ROOST_API_URL": script.url, "ROOST_TOKEN": "t"}
    words = [sys.executable, "-m", "roost.cli", "deploy", str(tmp_path), "-a", "shop", "--image", "debian:bookworm"]
    child = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stderr
        seen = ""
        while "slow" not in seen:
            line = child.stderr.readline()
            assert line, seen
            seen += line
        child.send_signal(signal.SIGINT)
        _, rest = child.communicate(timeout=20)
    finally:
        child.kill()
        child.wait(10)
    assert child.returncode == 130, rest
    assert cancelled.is_set()
    assert "error: the deploy was cancelled" in rest
    assert "Traceback" not in rest


def test_a_pipe_that_closes_early_is_no_crash(script: Script) -> None:
    script.answers["GET /v1/apps"] = lambda handler: handler.send_json({"apps": [{"name": "x" * 100}] * 5000})
    environment = {**os.environ, "ROOST_API_URL": script.url, "ROOST_TOKEN": "t"}
    words = [sys.executable, "-m", "roost.cli", "apps", "list"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(words, env=environment, stdout=writing, stderr=subprocess.PIPE, timeout=30, check=False)
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr == b""


def test_status_answers_from_files_when_the_api_is_down(tmp_path: Path) -> None:
    port = free_port()
    home = tmp_path / "home"
    (home / "keys").mkdir(parents=True)
    (home / "keys" / "cli.token").write_text("t")
    network = ipaddress.ip_network("10.250.0.0/16")
    save_cloud(Cloud("deadbeef", home, free_port(), port, "localhost", network, tmp_path / "cache"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ROOST_")}
    words = [sys.executable, "-m", "roost.cli", "--home", str(home), "status", "--json"]
    done = subprocess.run(words, env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["roostd"]["pid"], found["envoy"]["pid"], found["api_port"]) == (None, None, port)
    assert found["api_url"] == f"http://127.0.0.1:{port}"
    listed = [sys.executable, "-m", "roost.cli", "apps", "list"]
    done = subprocess.run(
        listed, env={**environment, "ROOST_HOME": str(home)}, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert b"refused" in done.stderr
    assert b"roost up" in done.stderr
