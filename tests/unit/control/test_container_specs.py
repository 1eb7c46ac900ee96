"""What the host is told of a machine with containers: the machine's own part is that of any machine."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.factory import machine

from roost.control.machine_spec import machine_spec, machine_spec_of_several
from roost.host.contract import ContainerSpec, MachineSpec
from roost.model.app import App
from roost.model.errors import BadInput
from roost.model.image import Image, ImageConfig
from roost.model.machine_config import read_machine_config

PROGRAM = {"layers", "argv", "env", "cwd", "user", "stop_signal", "stop_timeout", "tty", "containers", "shared"}
SECRETS = {"KEY": "k", "OTHER": "o"}
CONFIG: dict[str, Any] = {
    "image": "shop:1",
    "env": {"A": "1", "B": "1"},
    "guest": {"cpus": 2, "memory_mb": 512},
    "stop_config": {"signal": "SIGTERM", "timeout": 9},
    "dns": {"hostname": "named"},
    "mounts": [{"volume": "vol_0123456789abcdef", "path": "/data"}],
}


def image(digest: str, **config: Any) -> Image:
    base = ImageConfig(cmd=("run",), env=("FROM=image",), user="app", workdir="/srv")
    return Image(digest, f"shop:{digest}", (), replace(base, **config), 1, 1.0)


def app() -> App:
    return App(**{field.name: "shop" if field.type == "str" else 0 for field in fields(App)})


def spec(*containers: dict[str, Any], **changes: Any) -> MachineSpec:
    config = read_machine_config(CONFIG | {"containers": list(containers)} | changes)
    images = {"sha256:1": image("sha256:1"), "sha256:2": image("sha256:2", cmd=())}
    made = machine(config=config, image_digest="sha256:1")
    return machine_spec_of_several(app(), made, lambda digest: (images[digest], (Path(digest),)), SECRETS)


def one(**container: Any) -> ContainerSpec:
    return spec({"name": "a"} | container).containers[0]


def test_the_machine_is_as_any_other_but_for_its_program() -> None:
    config = read_machine_config(CONFIG)
    alone = machine_spec(app(), machine(config=config), image("sha256:1"), (), SECRETS)
    several = spec({"name": "a"})
    for name in {field.name for field in fields(MachineSpec)} - PROGRAM:
        assert getattr(several, name) == getattr(alone, name), name
    assert (several.layers, several.argv, several.env) == ((), (), {})


def test_a_container_has_its_images_program_and_the_machines_ending() -> None:
    made = one()
    assert (made.layers, made.argv, made.cwd, made.user) == ((Path("sha256:1"),), ("run",), "/srv", "app")
    assert (made.stop_signal, made.stop_timeout) == ("SIGTERM", 9.0)
    own = one(cmd=["own"], user="root", stop={"signal": "SIGQUIT", "timeout": 1})
    assert (own.argv, own.user, own.stop_signal, own.stop_timeout) == (("own",), "root", "SIGQUIT", 1.0)


def test_its_environment_is_the_machines_with_its_own_on_top() -> None:
    env = one(env={"B": "2"}, env_from=[{"env_var": "ME", "field_ref": "id"}]).env
    wanted = {"A": "1", "B": "2", "FROM": "image", "ME": machine().id, "KEY": "k", "FLY_CONTAINER_NAME": "a"}
    assert wanted.items() <= env.items()


def test_it_has_only_the_secrets_that_it_names() -> None:
    env = one(secrets=[{"env_var": "MINE", "name": "KEY"}]).env
    assert env["MINE"] == "k"
    assert "KEY" not in env and "OTHER" not in env
    assert "KEY" not in one(secrets=[]).env
    with pytest.raises(BadInput, match="container a wants the secret 'GONE'"):
        one(secrets=[{"env_var": "X", "name": "GONE"}])
