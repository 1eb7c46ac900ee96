"""The SDK's every call against the real API."""

from __future__ import annotations

import io
import tarfile
from itertools import islice
from typing import Any

import pytest

from roost.model.errors import Conflict, FailedPrecondition, Forbidden, NameTaken, NotFound, TimedOut, Unauthorized
from roost.sdk import Client

CONFIG = {"image": "roost/base:bookworm"}


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("app.py")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"ok"))
    return buffer.getvalue()


def test_apps(client: Client) -> None:
    assert client.apps.create("shop")["name"] == "shop"
    with pytest.raises(NameTaken) as taken:
        client.apps.create("shop")
    assert taken.value.hint
    assert [app["name"] for app in client.apps.list()] == ["shop"]
    assert client.apps.get("shop")["status"] == "pending"
    assert client.apps.status("shop")["state"] == "empty"
    client.apps.destroy("shop")
    with pytest.raises(NotFound):
        client.apps.get("shop")


def test_machines(client: Client) -> None:
    client.apps.create("shop")
    made = client.machines.create("shop", CONFIG, name="one")
    key = made["id"]
    assert (made["state"], made["name"]) == ("started", "one")
    assert [m["id"] for m in client.machines.list("shop", state="started")] == [key]
    assert client.machines.suspend("shop", key)["ok"]
    assert client.machines.list("shop", state="started") == []
    assert client.machines.start("shop", key)["previous_state"] == "suspended"
    assert client.machines.wait("shop", key, state="started", timeout=1)["ok"]
    with pytest.raises(TimedOut):
        client.machines.wait("shop", key, state="stopped", timeout=1)
    with pytest.raises(FailedPrecondition):
        client.machines.destroy("shop", key)
    assert client.machines.stop("shop", key, signal="SIGTERM", timeout=3)["ok"]
    assert client.machines.restart("shop", key)["ok"]
    client.machines.signal("shop", key, "SIGHUP")
    assert client.machines.exec("shop", key, ["echo", "a b"], stdin="in")["stderr"] == "in"
    assert client.machines.events("shop", key, limit=2)[0]["type"] == "restart"
    assert client.machines.cordon("shop", key)["ok"]
    assert client.machines.get("shop", key)["cordoned"]
    assert client.machines.uncordon("shop", key)["ok"]
    assert client.machines.set_metadata("shop", key, {"a": "1", "b": "2"}) == {"a": "1", "b": "2"}
    client.machines.set_metadata("shop", key, {"a": None}, machine_version=made["instance_id"])
    assert client.machines.metadata("shop", key) == {"b": "2"}
    changed = client.machines.update("shop", key, CONFIG, current_version=made["instance_id"])
    assert [v["version"] for v in client.machines.versions("shop", key)] == [
        changed["instance_id"],
        made["instance_id"],
    ]
    with pytest.raises(Conflict):
        client.machines.update("shop", key, CONFIG, current_version=made["instance_id"])
    lease = client.machines.lease("shop", key, ttl=60, description="mine")
    with pytest.raises(Conflict, match="locked"):
        client.machines.cordon("shop", key)
    client.machines.update("shop", key, CONFIG, nonce=lease["nonce"], skip_launch=True)
    client.machines.release("shop", key, lease["nonce"])
    client.machines.start("shop", key)
    assert client.machines.processes("shop", key)[0]["pid"] == 1
    assert client.machines.memory("shop", key, limit_mb=64)["limit_mb"] == 64
    assert client.machines.memory("shop", key)["limit_mb"] == 64
    client.machines.destroy("shop", key, force=True)
    with pytest.raises(NotFound):
        client.machines.get("shop", key)


def test_secrets_never_come_back(client: Client) -> None:
    client.apps.create("shop")
    assert client.secrets.set("shop", {"KEY": "hush", "OTHER": "x"}) == 1
    assert client.secrets.set("shop", {"OTHER": None}) == 2
    listed = client.secrets.list("shop")
    assert [item["name"] for item in listed] == ["KEY"]
    assert "hush" not in str(listed)


def test_source_plan_deploy_and_follow(client: Client, control: Any) -> None:
    client.apps.create("shop")
    source = client.sources.upload(iter([archive()]))
    assert source["files"] == 1
    answer = client.sources.plan(source["id"], name="shop")
    assert answer["plan"]["framework"] == "flask"
    assert 'app = "shop"' in answer["toml"]
    begun = client.deploys.start("shop", source=source["id"], config=answer["config"], build_secrets={"TOKEN": "hush"})
    assert control.world.deploys[-1].build_secrets == {"TOKEN": "hush"}
    told = list(client.operations.follow(begun["id"]))
    assert [(p.number, p.kind) for p in told] == [(1, "step"), (2, "log"), (3, "done")]
    assert told[0].at == 1_700_000_000.5
    assert [p.number for p in client.operations.follow(begun["id"], after=2)] == [3]
    assert client.operations.get(begun["id"])["state"] == "succeeded"
    assert client.operations.cancel(begun["id"])["id"] == begun["id"]
    assert len(client.operations.list(app="shop")) == 1
    assert client.releases.list("shop")[0]["version"] == 1
    assert client.releases.rollback("shop", 1)["kind"] == "rollback"


def test_logs(client: Client, control: Any) -> None:
    client.apps.create("shop")
    lines = list(client.logs.read("shop", limit=5))
    assert [line["message"] for line in lines] == ["line 0", "line 1", "line 2"]
    follower = client.logs.follow("shop", since=1_700_000_000.0)
    assert len(list(islice(follower, 3))) == 3
    follower.close()  # type: ignore[attr-defined]
    assert control.world.asked[-1] == ("logs", "", 1_700_000_000.0, 100, True)


def test_images_status_and_token(client: Client) -> None:
    assert client.images.list()[0]["reference"] == "roost/base:bookworm"
    assert client.images.pull("debian:bookworm")["kind"] == "image.pull"
    assert client.images.refresh("roost/base:bookworm")["kind"] == "image.refresh"
    assert client.images.collect() == 4096
    assert client.status()["pid"] == 11
    assert client.token()[0]["user"] == "admin"


def test_a_token_that_is_unknown_or_may_only_read(address: str) -> None:
    with Client(address, "wrong") as stranger, pytest.raises(Unauthorized) as error:
        stranger.apps.list()
    assert error.value.hint
    with Client(address, "reader-token-of-the-test") as reader, pytest.raises(Forbidden):
        reader.apps.create("shop")


def test_console(client: Client) -> None:
    client.apps.create("shop")
    key = client.machines.create("shop", CONFIG)["id"]
    console = client.machines.console(
        "shop", key, ["sh", "-c", "stty size; read x; echo got $x; exit 7"], rows=33, columns=99
    )
    console.write(b"hello\n")
    said = b"".join(console)
    assert b"33 99" in said
    assert b"got hello" in said
    assert console.exit_code == 7
    console.close()
    with pytest.raises(NotFound):
        client.machines.console("shop", "00000000000000")
