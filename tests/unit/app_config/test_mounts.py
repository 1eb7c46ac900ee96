"""Volumes in `roost.toml` and in a machine's configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from roost.model.app_config import AppConfig
from roost.model.app_config_read import app_config_from_json, app_config_to_json, machine_configs, read_app_config
from roost.model.errors import BadInput
from roost.model.machine_config import Mount, machine_config_to_json, read_machine_config


def of(config: AppConfig) -> dict[str, tuple[Mount, ...]]:
    made = machine_configs(config, image="i", plan_processes={}, release=1)
    return {group: machine.mounts for group, machine in made.items()}


@pytest.mark.parametrize(
    ("text", "size"), [("", 1), ('initial_size = "10gb"', 10), ("initial_size = 3", 3), ('initial_size = "7"', 7)]
)
@pytest.mark.parametrize("header", ["[mounts]", "[[mounts]]"])
def test_a_volume_is_the_web_groups(header: str, text: str, size: int) -> None:
    text = f'[processes]\napp = "a"\nworker = "b"\n{header}\nsource = "data"\ndestination = "/data"\n{text}\n'
    config, warnings = read_app_config(text, name="fly.toml")
    assert warnings == []
    assert of(config) == {"app": (Mount("/data", name="data", size_gb=size),), "worker": ()}
    assert app_config_from_json(app_config_to_json(config)) == config


def test_a_volume_of_named_groups() -> None:
    text = '[processes]\na = "a"\nb = "b"\n[mounts]\nsource = "d"\ndestination = "/d"\nprocesses = ["a", "b"]\n'
    config, _ = read_app_config(text, name="roost.toml")
    assert [len(mounts) for mounts in of(config).values()] == [1, 1]
    twice = replace(config, mounts=config.mounts * 2)
    with pytest.raises(BadInput, match="a machine has one"):
        of(twice)
    with pytest.raises(BadInput, match="process group"):
        read_app_config(text.replace('"b"]', '"c"]'), name="roost.toml")


@pytest.mark.parametrize(
    "line",
    [
        'source = "No-name"\ndestination = "/d"', 'source = "d"', 'source = "d"\ndestination = "d"',
        'source = "d"\ndestination = "/proc/x"',
        'source = "d"\ndestination = "/"', 'source = "d"\ndestination = "/a/../b"',
        'source = "d"\ndestination = "/d"\ninitial_size = "501gb"',
        'source = "d"\ndestination = "/d"\ninitial_size = 0',
        'source = "d"\ndestination = "/d"\ninitial_size = "1tb"',
        'source = "d"\ndestination = "/d"\ninitial_size = true',
    ],
)  # fmt: skip
def test_what_can_not_be_mounted_is_refused(line: str) -> None:
    with pytest.raises(BadInput, match="mounts"):
        read_app_config(f"[mounts]\n{line}\n", name="roost.toml")


@pytest.mark.parametrize("strategy", ["canary", "bluegreen"])
def test_two_machines_at_once_are_refused(strategy: str) -> None:
    text = f'[deploy]\nstrategy = "{strategy}"\n[mounts]\nsource = "d"\ndestination = "/d"\n'
    with pytest.raises(BadInput, match=strategy):
        read_app_config(text, name="roost.toml")


def read(**mount: Any) -> Mount:
    (found,) = read_machine_config({"image": "i", "mounts": [mount]}).mounts
    return found


def test_by_id_or_by_name() -> None:
    ident = "vol_0123456789abcdef"
    assert read(volume=ident, path="/d") == Mount("/d", ident)
    assert read(volume="data", path="/d") == read(name="data", path="/d") == Mount("/d", "", "data")
    assert read(volume=ident, name="data", path="/d", size_gb=3, encrypted=False) == Mount("/d", ident, "data", 3)
    config = read_machine_config({"image": "i", "mounts": [{"name": "data", "path": "/d", "size_gb": 2}]})
    assert read_machine_config(machine_config_to_json(config)) == config


@pytest.mark.parametrize(
    "mount",
    [
        {"path": "/d"}, {"volume": "data"}, {"volume": "data", "path": "d"}, {"volume": "../x", "path": "/d"},
        {"volume": "a", "name": "b", "path": "/d"}, {"volume": "a", "path": "/d", "encrypted": True},
        {"volume": "a", "path": "/d", "extend_threshold_percent": 80}, {"volume": "a", "path": "/d\n"},
        {"volume": "a", "path": "//d"}, {"volume": "a", "path": "/d//"},
    ],
)  # fmt: skip
def test_a_mount_that_can_not_be_honoured_is_refused(mount: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"config\.mounts"):
        read(**mount)


def test_one_volume_per_machine() -> None:
    mounts = [{"volume": name, "path": f"/{name}"} for name in ("a", "b")]
    with pytest.raises(BadInput, match="one volume"):
        read_machine_config({"image": "i", "mounts": mounts})
