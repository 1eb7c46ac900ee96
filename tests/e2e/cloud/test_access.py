"""Orgs, tokens and the audit log on a real cloud: who may do what, until when, and what is written down of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from tests.e2e.cloud.conftest import RunningCloud, wait_until
from tests.e2e.cloud.programs import fresh

from roost.sdk import attenuate

CREATE = {"config": {"image": "roost/base:bookworm", "init": {"exec": ["sleep", "infinity"]}}}


@dataclass
class Place:
    """An org with two apps, and tokens: of a reader, of a deployer and of the org's admin."""

    cloud: RunningCloud
    org: str
    app: str
    other: str
    ids: dict[str, str]
    tokens: dict[str, str]

    def ask(self, token: str, method: str, path: str, body: Any = None) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.tokens.get(token, token)}"}
        return self.cloud.api(method, path, headers=headers, **({"json": body} if body is not None else {}))

    def status(self, token: str, method: str, path: str, body: Any = None) -> int:
        return self.ask(token, method, path, body).status_code


@pytest.fixture(scope="module")
def place(cloud: RunningCloud) -> Iterator[Place]:
    org, app, other = fresh("acme"), fresh("shop"), fresh("other")
    cloud.roost("orgs", "create", org)
    made: dict[str, dict[str, Any]] = {}
    try:
        for user, role in (("rita", "reader"), ("dora", "deployer")):
            cloud.roost("orgs", "members", "add", org, user, "--role", role)
            made[role] = cloud.json("tokens", "create", f"{role} of {org}", "--user", user)
        made["admin"] = cloud.json("tokens", "create", f"admin of {org}", "--org", org, "--role", "admin")
        for name in (app, other):
            answer = cloud.api("POST", "/apps", json={"app_name": name, "org_slug": org})
            assert answer.status_code == 201, answer.text
        ids, tokens = ({role: found[key] for role, found in made.items()} for key in ("id", "token"))
        yield Place(cloud, org, app, other, ids, tokens)
    finally:
        for name in (app, other):
            cloud.api("DELETE", f"/apps/{name}?force=true")
        for found in made.values():
            cloud.api("DELETE", f"/tokens/{found['id']}")
        cloud.roost("orgs", "destroy", org, "--yes", check=False)


@pytest.fixture(scope="module")
def machine(place: Place) -> str:
    made = place.ask("deployer", "POST", f"/apps/{place.app}/machines", CREATE)
    assert made.status_code == 200, made.text
    return f"/apps/{place.app}/machines/{made.json()['id']}"


def test_each_role_does_what_it_may(place: Place, machine: str) -> None:
    app = f"/apps/{place.app}"
    deploy = {"image": "roost/base:bookworm"}
    run = {"command": ["echo", "hello"]}
    for token, method, path, body, expected in (
        ("reader", "GET", machine, None, 200),
        ("reader", "POST", f"{app}/machines", CREATE, 403),
        ("reader", "POST", f"{app}/deploys", deploy, 403),
        ("reader", "POST", f"{machine}/exec", run, 403),
        ("reader", "POST", f"{machine}/stop", {}, 403),
        ("deployer", "POST", f"{machine}/exec", run, 200),
        ("deployer", "POST", "/tokens", {"type": "org", "org_slug": place.org}, 403),
        ("deployer", "POST", f"/orgs/{place.org}/members", {"user": "eve", "role": "admin"}, 403),
        ("deployer", "DELETE", app, None, 403),
        ("admin", "GET", f"/orgs/{place.org}/members", None, 200),
        ("admin", "POST", "/orgs", {"slug": fresh("mine")}, 403),
        ("admin", "POST", "/admin/rotate-keys", None, 403),
        ("nobody", "GET", machine, None, 401),
    ):
        answer = place.ask(token, method, path, body)
        assert answer.status_code == expected, (token, method, path, answer.text)
    assert {a["name"] for a in place.ask("reader", "GET", "/apps").json()["apps"]} == {place.app, place.other}


def test_a_revoked_token_fails_at_once_and_all_its_copies_with_it(place: Place, machine: str) -> None:
    made = place.cloud.json("tokens", "create", "short", "-a", place.app)
    copy = attenuate(made["token"], ["action = read"])
    assert place.status(made["token"], "GET", machine) == place.status(copy, "GET", machine) == 200
    place.cloud.roost("tokens", "revoke", made["id"], "--yes")
    assert place.status(made["token"], "GET", machine) == place.status(copy, "GET", machine) == 401
    place.cloud.roost("orgs", "members", "add", place.org, "gustav", "--role", "reader")
    member = place.cloud.json("tokens", "create", "guest", "--user", "gustav")
    assert place.status(member["token"], "GET", machine) == 200
    place.cloud.roost("orgs", "members", "remove", place.org, "gustav")
    assert place.status(member["token"], "GET", machine) == 403, "who is no member any more is out at once"


def test_a_weaker_copy_works_in_its_bounds_only(place: Place, machine: str) -> None:
    admin, now = place.tokens["admin"], int(time.time())
    narrow = [f"app = {place.app}", "action = read", f"time < {now + 600}", "ip = 127.0.0.0/8"]
    reading = attenuate(admin, narrow)
    assert place.status(reading, "GET", machine) == 200
    assert place.status(reading, "POST", f"{machine}/stop", {}) == 403
    assert place.status(reading, "GET", f"/apps/{place.other}") == 403
    assert place.status(reading, "POST", "/tokens", {"type": "org", "org_slug": place.org}) == 403
    assert place.status(attenuate(reading, ["action = write"]), "POST", f"{machine}/stop", {}) == 403, "none comes back"
    for condition in (f"time < {now - 1}", "ip = 192.0.2.0/24", "app = another"):
        assert place.status(attenuate(admin, [condition]), "GET", machine) in (401, 403), condition
    running = attenuate(admin, [f"machine = {machine.rpartition('/')[2]}", "action = exec"])
    assert place.status(running, "POST", f"{machine}/exec", {"command": ["true"]}) == 200
    assert place.status(running, "POST", f"{machine}/stop", {}) == 403
    tampered = reading[:-6] + ("A" * 6 if not reading.endswith("A" * 6) else "B" * 6)
    assert place.status(tampered, "GET", machine) == 401


def test_the_audit_log_tells_who_did_what_from_where(place: Place, machine: str) -> None:
    assert place.status("deployer", "POST", f"{machine}/stop", {}) == 200
    assert place.status("reader", "POST", f"{machine}/start", {}) == 403

    def calls() -> dict[tuple[str, str], dict[str, Any]]:
        found = json.loads(place.cloud.roost("audit", "-a", place.app, "--json").stdout)
        return {(line["user"], line["action"].rpartition("/")[2]): line for line in found}

    wait_until(lambda: {("dora", "stop"), ("rita", "start")} <= set(calls()), "both calls are written down", 5)
    seen = calls()
    for user, verb, role, status, result in (
        ("dora", "stop", "deployer", 200, "ok"),
        ("rita", "start", "reader", 403, "refused"),
    ):
        line = seen[user, verb]
        assert (line["status"], line["result"]) == (status, result)
        assert (line["token_id"], line["who"]) == (place.ids[role], f"{role} of {place.org}")
        assert line["subject"] == {"app": place.app, "machine_id": machine.rpartition("/")[2]}
        assert line["source_address"] == "127.0.0.1"
    everything = place.cloud.roost("audit", "--json").stdout
    assert not [token for token in place.tokens.values() if token in everything]
    shown = place.ask("reader", "GET", "/audit").json()
    assert {line["app"] for line in shown["entries"] if line.get("app")} <= {place.app, place.other}, "of its org only"


def test_a_token_for_an_app_is_none_for_a_later_app_of_its_name(place: Place) -> None:
    cloud, name = place.cloud, fresh("twice")
    app = {"app_name": name, "org_slug": place.org}
    cache = cloud.home / "pool" / "build-cache" / name
    try:
        made = cloud.api("POST", "/apps", json=app).json()
        ident = cloud.api("GET", f"/apps/{name}").json()["id"]
        deploys = cloud.api("POST", f"/apps/{name}/deploy_token").json()
        copies = [attenuate(place.tokens["admin"], [condition]) for condition in (f"app_id = {ident}", f"app = {name}")]
        assert [place.status(token, "GET", f"/apps/{name}") for token in (deploys["token"], *copies)] == [200] * 3, made
        (cache / "x").mkdir(parents=True)
        assert cloud.api("DELETE", f"/apps/{name}").status_code == 202
        assert not cache.exists(), "what a build left is not the next owner's"
        assert cloud.api("POST", "/apps", json=app | {"org_slug": "personal"}).status_code == 201
        assert [place.status(token, "GET", f"/apps/{name}") for token in (deploys["token"], *copies)] == [401, 403, 403]
        assert cloud.api("GET", f"/tokens/{deploys['id']}").json()["revoked_at"]
    finally:
        cloud.api("DELETE", f"/apps/{name}?force=true")
