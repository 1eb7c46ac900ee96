"""Sleep and wake through real Envoy: requests are never lost, a broken app says what is wrong."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.e2e.cloud.conftest import RunningCloud, wait_until

SERVER = """
import http.server, os, time
boot = str(time.time_ns())
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = (boot + " " + str(os.getpid())).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer.request_queue_size = 256  # its own 5 makes the kernel drop connections of a burst
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""


def config(autostop: str = "suspend", idle: str = "600s", code: str = SERVER, port: int = 8080) -> dict[str, Any]:
    return {
        "image": "roost/python:bookworm",
        "init": {"exec": ["python3", "-c", code]},
        "restart": {"policy": "on-failure", "max_retries": 1},
        "stop_config": {"signal": "SIGTERM", "timeout": "2s"},
        "services": [
            {
                "internal_port": port,
                "autostop": autostop,
                "autostart": True,
                "idle_timeout": idle,
                "ports": [{"port": 80, "handlers": ["http"]}],
            }
        ],
    }


@pytest.fixture
def app(cloud: RunningCloud) -> Iterator[str]:
    name = f"sleepy-{uuid.uuid4().hex[:8]}"
    cloud.roost("apps", "create", name)
    yield name
    cloud.roost("apps", "destroy", name, "--yes", check=False)


def create(cloud: RunningCloud, app: str, machine: dict[str, Any]) -> httpx2.Response:
    token = (cloud.home / "keys" / "cli.token").read_text().strip()
    return httpx2.post(
        f"http://127.0.0.1:{cloud.api_port}/v1/apps/{app}/machines",
        json={"config": machine},
        headers={"Authorization": f"Bearer {token}"},
        timeout=180,
        trust_env=False,
    )


def state(cloud: RunningCloud, app: str) -> str:
    (machine,) = cloud.machines(app)
    return str(machine["state"])


def test_a_suspended_app_keeps_its_memory_and_answers_the_next_request(cloud: RunningCloud, app: str) -> None:
    assert create(cloud, app, config(idle="2s")).status_code == 200
    first = cloud.get(app).text
    wait_until(lambda: state(cloud, app) == "suspended", "the idle app is suspended")
    assert cloud.get(app).text == first  # same process, same memory
    assert state(cloud, app) == "started"


def test_a_machine_that_sleeps_is_not_checked_and_answers_as_soon_as_it_wakes(cloud: RunningCloud, app: str) -> None:
    checked = config()
    checked["services"][0]["checks"] = [
        {"type": "http", "port": 8080, "path": "/", "interval": "500ms", "timeout": "200ms", "grace_period": "1s"}
    ]
    assert create(cloud, app, checked).status_code == 200
    (machine,) = cloud.machines(app)

    def status() -> str:
        return str(cloud.api("GET", f"/apps/{app}/machines/{machine['id']}").json()["checks"][0]["status"])

    wait_until(lambda: status() == "passing", "the check passes")
    assert cloud.api("POST", f"/apps/{app}/machines/{machine['id']}/suspend").status_code == 200
    until = time.monotonic() + 2.0
    while time.monotonic() < until:  # four checks would have failed
        assert status() == "passing"
    assert [cloud.get(app).status_code for _ in range(5)] == [200] * 5
    wait_until(lambda: state(cloud, app) == "started" and status() == "passing", "it is checked again")


def test_a_stopped_app_starts_afresh_for_a_request(cloud: RunningCloud, app: str) -> None:
    """Also one that needs longer to start than it may be idle: who waits for it keeps it awake."""
    slow = config(autostop="stop", idle="0.5s", code=f"import time\ntime.sleep(2.2)\n{SERVER}")
    assert create(cloud, app, slow).status_code == 200
    first = cloud.get(app).text
    wait_until(lambda: state(cloud, app) == "stopped", "the idle app is stopped")
    again = cloud.get(app)
    assert again.status_code == 200
    assert again.text != first


def test_200_requests_at_once_wake_it_once_and_all_are_answered(cloud: RunningCloud, app: str) -> None:
    assert create(cloud, app, config(autostop="stop")).status_code == 200
    (machine,) = cloud.machines(app)
    cloud.roost("machine", "stop", machine["id"], "-a", app)

    async def burst() -> list[httpx2.Response]:
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(timeout=60, trust_env=False, limits=limits) as client:
            url, headers = f"http://127.0.0.1:{cloud.http_port}/", {"Host": f"{app}.localhost"}
            return await asyncio.gather(*(client.get(url, headers=headers) for _ in range(200)))

    answers = asyncio.run(burst())
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1  # one process answered them all
    starts = [e for e in cloud.json("machine", "status", machine["id"], "-a", app)["events"] if e["type"] == "start"]
    assert sum(1 for e in starts if e["status"] == "started") == 2  # the first start, and one for the 200


def test_requests_during_going_to_sleep_are_all_answered(cloud: RunningCloud, app: str) -> None:
    assert create(cloud, app, config(idle="0.5s")).status_code == 200
    deadline = time.monotonic() + 12
    answers = []
    pause = 0.3
    while time.monotonic() < deadline:
        answers.append(cloud.get(app).status_code)
        pause = 0.3 + (pause * 7919) % 1.7  # around the moment at which it goes to sleep
        time.sleep(pause)
    assert set(answers) == {200}


def test_an_app_is_awake_while_an_answer_streams_and_sleeps_after_it(cloud: RunningCloud, app: str) -> None:
    slowly = "self.end_headers(); self.wfile.flush(); time.sleep(2.5 * (self.path != '/'))\n"
    code = SERVER.replace("self.end_headers()\n", slowly)
    assert create(cloud, app, config(idle="0.5s", code=code)).status_code == 200
    wait_until(lambda: cloud.get(app).status_code == 200, "it is awake, and Envoy has its route")
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(cloud.get(app, "/slow").status_code))
    asking.start()
    seen: set[str] = set()
    while asking.is_alive():
        seen.add(state(cloud, app))
        asking.join(0.1)
    assert (answers, seen) == ([200], {"started"})
    wait_until(lambda: state(cloud, app) == "suspended", "it sleeps once nobody asks")


def test_an_app_that_exits_says_so_on_its_page(cloud: RunningCloud, app: str) -> None:
    create(cloud, app, config(code="import sys; print('no database', flush=True); sys.exit(3)"))
    page = wait_until(lambda: (r := cloud.get(app)).status_code == 502 and r, "the page says that the app exited")
    assert "exited with code 3" in page.text
    assert page.headers["roost-fault"] == "app"
    assert page.headers["roost-error"] == "app_exited"
    lines = [json.loads(line)["message"] for line in cloud.roost("logs", "-a", app, "--json").stdout.splitlines()]
    assert "no database" in lines


def test_an_app_on_loopback_is_told_to_listen_elsewhere(cloud: RunningCloud, app: str) -> None:
    create(cloud, app, config(code=SERVER.replace("0.0.0.0", "127.0.0.1")))
    page = cloud.get(app)
    assert page.status_code == 502
    assert "127.0.0.1" in page.text
    assert "0.0.0.0" in page.text
    assert page.headers["roost-error"] == "app_listens_on_loopback"


def test_an_unknown_host_is_a_plain_404(cloud: RunningCloud) -> None:
    page = cloud.get("no-such-app")
    assert page.status_code == 404
    assert "no app at no-such-app.localhost" in page.text


def test_request_headers_say_who_called_and_can_not_be_forged(cloud: RunningCloud, app: str) -> None:
    echo = SERVER.replace('(boot + " " + str(os.getpid())).encode()', "str(self.headers).encode()")
    create(cloud, app, config(code=echo))
    wait_until(lambda: cloud.get(app).status_code == 200, "the app answers")
    seen = cloud.get(app, headers={"Fly-Client-IP": "6.6.6.6", "X-Forwarded-Proto": "https"}).text.lower()
    assert "fly-client-ip: 127.0.0.1" in seen
    assert "6.6.6.6" not in seen
    assert "x-forwarded-proto: http\n" in seen
    assert "fly-region: local" in seen
