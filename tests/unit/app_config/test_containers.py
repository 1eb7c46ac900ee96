"""`container` and `machine_config` of roost.toml."""

from __future__ import annotations

import pytest

from roost.model.app_config_read import (
    app_config_from_json,
    app_config_to_json,
    machine_configs,
    read_app_config,
    write_app_config,
)
from roost.model.errors import BadInput
from roost.model.machine_config import Init, read_machine_config
from roost.model.machine_config import machine_config_to_json as machine_to_json

TEXT = """
container = "web"
[[machine_config.containers]]
name = "cache"
image = "redis:7"
image_digest = "sha256:not-yours-to-say"
[[machine_config.containers]]
name = "web"
image = "ignored"
depends_on = ["cache"]
mounts = [{name = "tmp", path = "/shared"}]
[[machine_config.volumes]]
name = "tmp"
temp_dir = {storage_type = "memory", size_mb = 8}
"""


def read(text: str, files: dict[str, str] | None = None):
    return read_app_config(text, name="roost.toml", load=(files or {}).__getitem__)[0]


def test_the_one_named_runs_what_was_built_with_the_command_that_was_found() -> None:
    (machine,) = machine_configs(read(TEXT), image="built", plan_processes={"app": "serve"}, release=1).values()
    cache, web = machine.containers
    assert (machine.image, machine.init) == ("built", Init())
    assert (cache.image, cache.image_digest, cache.cmd) == ("redis:7", "", ())
    assert (web.image, web.cmd) == ("", ("/bin/sh", "-c", "exec serve"))
    assert [volume.name for volume in machine.volumes] == ["tmp"]


def test_its_own_command_stays() -> None:
    config = read(TEXT.replace('image = "ignored"', 'cmd = ["own"]'))
    (machine,) = machine_configs(config, image="built", plan_processes={"app": "serve"}, release=1).values()
    assert machine.containers[1].cmd == ("own",)


def test_what_is_written_is_read_again() -> None:
    config = read(TEXT)
    assert app_config_from_json(app_config_to_json(config)) == config
    assert read(write_app_config(config)) == config


@pytest.mark.parametrize("text", ['{"containers": [{"name": "a"}]}', "helpers.json"])
def test_json_in_place_or_in_a_file(text: str) -> None:
    config = read(f"machine_config = '{text}'", {"helpers.json": '{"containers": [{"name": "a"}]}'})
    assert (config.container, config.containers[0].name) == ("a", "a")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('container = "web"', "line 1: container"),
        ("machine_config = '{\"contaniers\": [1]}'", "contaniers"),
        ("machine_config = '{'", "not valid JSON"),
        ("machine_config = 3", "must be an object"),
        ('machine_config = \'{"guest": {"gpus": 2}, "containers": [{"name": "a"}]}\'', "machine_config.guest.gpus"),
        ('machine_config = \'{"init": {"cmd": ["x"]}, "containers": [{"name": "a"}]}\'', "machine_config.init"),
        ('machine_config = \'{"schedule": "daily"}\'', "machine_config.schedule"),
        (TEXT.replace('container = "web"', 'container = "nobody"'), "'nobody', and there are cache, web"),
        (TEXT.replace('["cache"]', '["nobody"]'), "depends_on[0].name"),
        ('isolation = "gvisor"\n' + TEXT, "isolation"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(BadInput) as refused:
        read(text)
    assert named in refused.value.message


def test_a_file_is_not_read_on_the_server() -> None:
    with pytest.raises(BadInput, match="can't be read here"):
        app_config_from_json({"machine_config": "/etc/passwd"})


def test_process_groups_beside_containers_are_refused() -> None:
    with pytest.raises(BadInput, match="process groups web, worker"):
        machine_configs(read(TEXT), image="i", plan_processes={"web": "a", "worker": "b"}, release=1)


def test_files_are_of_each_container_and_its_own_go_first() -> None:
    text = """
machine_config = '''{"files": [{"guest_path": "/a", "raw_value": "QQ=="}, {"guest_path": "/b", "raw_value": "Qg=="}],
  "guest": {"persist_rootfs": "always"},
  "containers": [{"name": "web", "files": [{"guest_path": "/a", "raw_value": "d2Vi"}]}]}'''
"""
    config = read(text)
    (machine,) = machine_configs(config, image="built", plan_processes={}, release=1).values()
    assert [file.content for file in machine.containers[0].files] == [b"web"]
    assert [file.content for file in machine.files] == [b"A", b"B"]
    assert machine.guest.persist_rootfs == "always"
    assert read_machine_config(machine_to_json(machine)) == machine
    assert app_config_from_json(app_config_to_json(config)) == config
