"""Reading containers, volumes and processes: what works is read, what does not fit is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from roost.model.containers import parts_of, with_digests
from roost.model.errors import BadInput
from roost.model.machine_config import machine_config_to_json, read_machine_config

FULL: dict[str, Any] = {
    "image": "shop:1",
    "env": {"A": "1"},
    "containers": [
        {"name": "init", "cmd": ["migrate"], "restart": {"policy": "no"}},
        {
            "name": "web",
            "image": "shop:2",
            "entrypoint": ["run"],
            "user": "app",
            "env": {"B": "2"},
            "secrets": [{"env_var": "KEY", "name": "API_KEY"}, {"env_var": "OTHER"}],
            "env_from": [{"env_var": "ME", "field_ref": "id"}],
            "stop": {"signal": "SIGTERM", "timeout": "3s"},
            "depends_on": [{"name": "init", "condition": "exited_successfully"}, "db"],
            "mounts": [{"name": "tmp", "path": "/tmp/shared"}],
            "healthchecks": [
                {"name": "up", "http": {"port": 80, "path": "/up", "headers": [{"name": "X", "values": ["y"]}]}},
                {"exec": {"command": ["true"]}, "kind": "liveness", "unhealthy": "stop", "interval": 2},
            ],
        },
        {"name": "db", "image": "db:1", "healthchecks": [{"tcp": {"port": 5432}}], "secrets": []},
    ],
    "volumes": [
        {"name": "tmp", "temp_dir": {"storage_type": "memory", "size_mb": 8}},
        {"name": "tools", "image": "tools:1"},
    ],
}


def read(**changes: Any) -> Any:
    return read_machine_config(FULL | changes)


def containers(**changes: Any) -> list[dict[str, Any]]:
    return [*FULL["containers"][:2], FULL["containers"][2] | changes]


def test_what_is_written_is_read_again() -> None:
    config = read()
    assert read_machine_config(machine_config_to_json(config)) == config
    assert config.containers[2].secrets == ()
    assert config.containers[0].secrets is None
    assert "containers" not in machine_config_to_json(read_machine_config({"image": "x"}))


def test_images_are_pinned_whatever_a_client_sends() -> None:
    config = read(containers=containers(image_digest="sha256:evil"))
    pinned = with_digests(config, {"shop:2": "sha256:2", "db:1": "sha256:1", "tools:1": "sha256:t"})
    assert pinned.volumes[1].image_digest == "sha256:t"
    assert [one.image_digest for one in pinned.containers] == ["", "sha256:2", "sha256:1"]


def test_the_first_image_is_the_machines_where_it_has_none() -> None:
    assert read_machine_config({"containers": [{"name": "a", "image": "x"}]}).image == "x"


def test_processes_are_containers_of_the_machines_image() -> None:
    programs = [{"cmd": ["a"]}, {"cmd": ["b"], "ignore_app_secrets": True}]
    config = read_machine_config({"image": "x", "processes": programs})
    assert read_machine_config(machine_config_to_json(config)) == config
    assert [(one.name, one.cmd, one.secrets) for one in parts_of(config)] == [
        ("process-0", ("a",), None),
        ("process-1", ("b",), ()),
    ]


CIRCLE = [
    {"name": "a", "depends_on": ["b"]},
    {"name": "b", "depends_on": ["c"]},
    {"name": "c", "depends_on": ["a"]},
]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"containers": CIRCLE, "volumes": []}, "a → b → c → a"),
        ({"containers": [{"name": "a", "depends_on": ["a"]}], "volumes": []}, "a → a"),
        ({"containers": containers(depends_on=["nobody"])}, "containers[2].depends_on[0].name"),
        ({"containers": containers(depends_on=[{"name": "init", "condition": "healthy"}])}, "no healthchecks"),
        ({"containers": containers(depends_on=[{"name": "init", "condition": "odd"}])}, "depends_on[0].condition"),
        ({"containers": containers(name="web")}, "'web' is there twice"),
        ({"containers": containers(name="../x")}, "containers[2].name"),
        ({"containers": containers(name="")}, "containers[2].name is missing"),
        ({"containers": containers(mounts=[{"name": "other", "path": "/x"}])}, "containers[2].mounts[0].name"),
        ({"containers": containers(mounts=[{"name": "tmp", "path": "/etc"}])}, "containers[2].mounts[0].path"),
        ({"containers": containers(healthchecks=[{"tcp": {"port": 1}}, {"tcp": {"port": 2}}])}, "'tcp' is there twice"),
        ({"containers": containers(healthchecks=[{}])}, "containers[2].healthchecks[0]"),
        ({"containers": containers(healthchecks=[{"tcp": {}}])}, "healthchecks[0].tcp.port"),
        ({"containers": containers(env_from=[{"env_var": "X", "field_ref": "password"}])}, "env_from[0].field_ref"),
        ({"containers": containers(unknown=1)}, "containers[2].unknown"),
        ({"containers": containers(secrets=[{"env_var": ""}])}, "secrets[0].env_var"),
        ({"volumes": [{"name": "tmp", "image": "x", "temp_dir": {"size_mb": 1}}]}, "volumes[0] must have either"),
        ({"volumes": [{"name": "tmp"}]}, "volumes[0] must have either"),
        ({"volumes": [{"name": "tmp", "temp_dir": {"size_mb": 0}}]}, "size_mb"),
        ({"volumes": [*FULL["volumes"], *FULL["volumes"]]}, "'tmp' is there twice"),
        ({"processes": [{"cmd": ["x"]}]}, "containers and processes"),
        ({"init": {"cmd": ["x"]}}, "config.init"),
        ({"isolation": "gvisor"}, "config.isolation"),
        ({"containers": [{"name": f"c{n}"} for n in range(33)], "volumes": []}, "32"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput) as refused:
        read(**changes)
    assert named in refused.value.message


def test_one_that_always_restarts_never_ends() -> None:
    with pytest.raises(BadInput, match="init is restarted always"):
        read(containers=[FULL["containers"][0] | {"restart": {"policy": "always"}}, *FULL["containers"][1:]])
