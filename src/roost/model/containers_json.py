"""The `containers`, `volumes` and `processes` of a machine's configuration as JSON: reading and writing them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from roost.model.config_reading import Reader, check_mount_path, duration_text, read_headers
from roost.model.containers import (
    CONDITIONS,
    FIELDS,
    MAX_VOLUME_MB,
    STORAGE,
    Container,
    ContainerMount,
    Dependency,
    FieldVariable,
    Healthcheck,
    Program,
    SecretVariable,
    SharedVolume,
)
from roost.model.errors import BadInput
from roost.model.file_config import file_to_json, read_file
from roost.model.process_config import read_restart, read_stop_config

if TYPE_CHECKING:
    from roost.model.machine_config import MachineConfig

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_VARIABLE = re.compile(r"[^=\0]+")
_T = TypeVar("_T")


def read_container(data: object, where: str) -> Container:
    """Read one of `containers`; raises BadInput that names the key."""
    reader = Reader(data, where)
    name = _read_name(reader)
    container = Container(
        name=name,
        image=reader.text("image"),
        image_digest=reader.text("image_digest"),
        exec=reader.words("exec"),
        entrypoint=reader.words("entrypoint"),
        cmd=reader.words("cmd"),
        user=reader.text("user"),
        env=_read_env(reader),
        secrets=_read_secrets(reader),
        env_from=reader.items("env_from", _read_field),
        restart=_optional(reader, "restart", read_restart),
        stop=_optional(reader, "stop", read_stop_config),
        depends_on=_read_dependencies(reader),
        healthchecks=reader.items("healthchecks", _read_healthcheck),
        mounts=reader.items("mounts", _read_mount),
        files=reader.items("files", read_file),
    )
    reader.done()
    return container


def read_program(data: object, where: str) -> Program:
    """Read one of `processes`; raises BadInput that names the key."""
    reader = Reader(data, where)
    program = Program(
        exec=reader.words("exec"),
        entrypoint=reader.words("entrypoint"),
        cmd=reader.words("cmd"),
        user=reader.text("user"),
        env=_read_env(reader),
        secrets=_read_secrets(reader),
        env_from=reader.items("env_from", _read_field),
        ignore_app_secrets=reader.flag("ignore_app_secrets", False),
    )
    reader.done()
    return program


def read_shared_volume(data: object, where: str) -> SharedVolume:
    """Read one of `volumes`; raises BadInput that names the key."""
    reader = Reader(data, where)
    name = _read_name(reader)
    image, digest, given = reader.text("image"), reader.text("image_digest"), reader.take("temp_dir")
    reader.done()
    if image and given is None:
        return SharedVolume(name, image=image, image_digest=digest)
    if image or given is None:
        raise BadInput(f"{where} must have either temp_dir or image", hint='for example {"temp_dir": {"size_mb": 64}}')
    kind = Reader(given, f"{where}.temp_dir")
    volume = SharedVolume(
        name, kind.text("storage_type", "disk", among=STORAGE), kind.number("size_mb", 0, 1, MAX_VOLUME_MB)
    )
    kind.done()
    if volume.size_mb == 0:
        raise BadInput(f"{where}.temp_dir.size_mb is missing", hint="say how much it may hold, in MiB")
    return volume


def _read_name(reader: Reader) -> str:
    name = reader.text("name")
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{reader.path('name')} must be letters, digits, '-' and '_', at most 63, not {name[:40]!r}"
            if name
            else f"{reader.path('name')} is missing"
        )
    return name


def _optional(reader: Reader, key: str, read: Callable[[object, str], _T]) -> _T | None:
    value = reader.take(key)
    return read(value, reader.path(key)) if value else None


def _read_env(reader: Reader) -> dict[str, str]:
    env = reader.strings("env")
    for name in env:
        _check_variable(name, reader.path("env"))
    return env


def _check_variable(name: str, where: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise BadInput(f"{where}: {name[:40]!r} can't be a variable's name")
    return name


def _read_secrets(reader: Reader) -> tuple[SecretVariable, ...] | None:
    value = reader.take("secrets")
    if value is None:
        return None
    where = reader.path("secrets")
    if not isinstance(value, list):
        raise BadInput(f"{where} must be a list of {{env_var, name}}")
    return tuple(_read_secret(item, f"{where}[{index}]") for index, item in enumerate(value))


def _read_secret(data: object, where: str) -> SecretVariable:
    reader = Reader(data, where)
    variable, name = reader.text("env_var"), reader.text("name") or reader.text("secret_name")
    reader.done()
    return SecretVariable(_check_variable(variable, f"{where}.env_var"), name)


def _read_field(data: object, where: str) -> FieldVariable:
    reader = Reader(data, where)
    variable = _check_variable(reader.text("env_var"), f"{where}.env_var")
    one = FieldVariable(variable, reader.text("field_ref", among=FIELDS))
    reader.done()
    if not one.field_ref:
        raise BadInput(f"{where}.field_ref is missing", hint=f"one of {', '.join(FIELDS)}")
    return one


def _read_dependencies(reader: Reader) -> tuple[Dependency, ...]:
    """Read a list of {name, condition}; some clients send names only."""

    def read(data: object, where: str) -> Dependency:
        if isinstance(data, str):
            data = {"name": data}
        one = Reader(data, where)
        dependency = Dependency(one.text("name"), one.text("condition", "started", among=CONDITIONS) or "started")
        one.done()
        return dependency

    return reader.items("depends_on", read)


def _read_healthcheck(data: object, where: str) -> Healthcheck:
    reader = Reader(data, where)
    kinds = {kind: value for kind in ("tcp", "http", "exec") if (value := reader.take(kind)) is not None}
    if len(kinds) != 1:
        raise BadInput(f"{where} must have one of tcp, http and exec", hint='for example {"tcp": {"port": 5432}}')
    kind, given = next(iter(kinds.items()))
    inner = Reader(given, f"{where}.{kind}")
    port = inner.number("port", 0, 1, 65535) if kind != "exec" else 0
    command = inner.words("command") if kind == "exec" else ()
    method, path = "GET", "/"
    headers: tuple[tuple[str, str], ...] = ()
    if kind == "http":
        method, path = (inner.text("method", "GET") or "GET").upper(), inner.text("path", "/") or "/"
        headers = read_headers(inner.take("headers"), f"{where}.http.headers")
        inner.text("scheme", "http", among=("http",))
        if not path.startswith("/") or any(ord(c) <= 32 for c in path) or not method.isalpha():
            raise BadInput(f"{where}.http: path must begin with '/' and hold no blanks, method must be a word")
    inner.done()
    if kind == "exec" and not command:
        raise BadInput(f"{where}.exec.command is missing")
    if kind != "exec" and port == 0:
        raise BadInput(f"{where}.{kind}.port is missing")
    check = Healthcheck(
        name=reader.text("name") or kind,
        type=kind,
        port=port,
        command=command,
        method=method,
        path=path,
        headers=headers,
        interval=min(max(reader.duration("interval", 10.0), 0.5), 3600.0),
        timeout=min(max(reader.duration("timeout", 5.0), 0.1), 60.0),
        grace_period=reader.duration("grace_period", 5.0),
        success_threshold=reader.number("success_threshold", 1, 1, 100),
        failure_threshold=reader.number("failure_threshold", 3, 1, 100),
        kind=reader.text("kind", "readiness", among=("readiness", "liveness")),
        unhealthy=reader.text("unhealthy", "", among=("", "stop")),
    )
    reader.done()
    return check


def _read_mount(data: object, where: str) -> ContainerMount:
    reader = Reader(data, where)
    mount = ContainerMount(reader.text("name"), check_mount_path(reader.text("path"), f"{where}.path"))
    reader.done()
    return mount


def several_to_json(config: MachineConfig) -> dict[str, Any]:
    """Return the keys that a configuration with several containers has beyond those of others."""
    out = {
        "containers": [container_to_json(one) for one in config.containers],
        "volumes": [shared_volume_to_json(one) for one in config.volumes],
        "processes": [program_to_json(one) for one in config.processes],
    }
    return {key: value for key, value in out.items() if value}


def container_to_json(one: Container) -> dict[str, Any]:
    """Return the API's form; `read_container` of it gives an equal value."""
    out: dict[str, Any] = {"name": one.name} | {
        key: value
        for key, value in {
            "image": one.image,
            "image_digest": one.image_digest,
            "depends_on": [asdict(need) for need in one.depends_on],
            "healthchecks": [_healthcheck_to_json(check) for check in one.healthchecks],
            "mounts": [asdict(mount) for mount in one.mounts],
            "files": [file_to_json(file) for file in one.files],
        }.items()
        if value
    }
    if one.restart is not None:
        out["restart"] = {"policy": one.restart.policy, "max_retries": one.restart.max_retries}
    if one.stop is not None:
        out["stop"] = {"signal": one.stop.signal, "timeout": duration_text(one.stop.timeout)}
    return out | _program(one)


def program_to_json(one: Program) -> dict[str, Any]:
    """Return the API's form; `read_program` of it gives an equal value."""
    return _program(one) | ({"ignore_app_secrets": True} if one.ignore_app_secrets else {})


def shared_volume_to_json(one: SharedVolume) -> dict[str, Any]:
    """Return the API's form; `read_shared_volume` of it gives an equal value."""
    if one.image:
        return {"name": one.name, "image": one.image} | ({"image_digest": one.image_digest} if one.image_digest else {})
    return {"name": one.name, "temp_dir": {"storage_type": one.storage_type, "size_mb": one.size_mb}}


def _program(one: Container | Program) -> dict[str, Any]:
    out: dict[str, Any] = {
        key: value
        for key, value in {
            "exec": list(one.exec),
            "entrypoint": list(one.entrypoint),
            "cmd": list(one.cmd),
            "user": one.user,
            "env": dict(one.env),
            "env_from": [asdict(variable) for variable in one.env_from],
        }.items()
        if value
    }
    if one.secrets is not None:
        out["secrets"] = [{k: v for k, v in asdict(secret).items() if v} for secret in one.secrets]
    return out


def _seconds(value: float) -> int | str:
    """Return a time as whole seconds, the only form that Go clients read here, or as text where it is none."""
    return int(value) if value.is_integer() else duration_text(value)


def _healthcheck_to_json(check: Healthcheck) -> dict[str, Any]:
    what: dict[str, Any] = {"command": list(check.command)} if check.type == "exec" else {"port": check.port}
    if check.type == "http":
        headers = [{"name": name, "values": [value]} for name, value in check.headers]
        what |= {"method": check.method, "path": check.path, "headers": headers}
    out = {
        "name": check.name,
        check.type: what,
        "interval": _seconds(check.interval),
        "timeout": _seconds(check.timeout),
        "grace_period": _seconds(check.grace_period),
        "success_threshold": check.success_threshold,
        "failure_threshold": check.failure_threshold,
        "kind": check.kind,
    }
    return out | ({"unhealthy": check.unhealthy} if check.unhealthy else {})
