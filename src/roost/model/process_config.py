"""How a program is started, asked to end and started again: parts of a machine's configuration."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from roost.model.config_reading import Reader, read_signal
from roost.model.errors import BadInput


@dataclass(frozen=True, slots=True)
class Init:
    """Overrides of what the image starts. `exec` replaces entrypoint and cmd."""

    exec: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    tty: bool = False
    swap_size_mb: int = 0  # beyond its memory, where the server has swap space


@dataclass(frozen=True, slots=True)
class Restart:
    """What to do when the main process ends."""

    policy: str = "on-failure"  # no | always | on-failure
    max_retries: int = 10  # per 5-minute window (reference, section 1.4)


@dataclass(frozen=True, slots=True)
class StopConfig:
    """How to ask the main process to end, and how long to wait (seconds) before SIGKILL."""

    signal: str = ""  # "": the image's, else SIGINT
    timeout: float = 5.0


def read_init(data: object, where: str) -> Init:
    """Read `init`; raises BadInput that names the key."""
    reader = Reader(data, where)
    init = Init(
        exec=reader.words("exec"),
        entrypoint=reader.words("entrypoint"),
        cmd=reader.words("cmd"),
        user=reader.text("user"),
        workdir=reader.text("workdir"),
        tty=reader.flag("tty", False),
        swap_size_mb=reader.number("swap_size_mb", 0, 0, 1_048_576),
    )
    if reader.take("kernel_args"):
        raise BadInput(f"{where}.kernel_args is not supported", hint="machines share the server's kernel")
    reader.done()
    if init.workdir and not init.workdir.startswith("/"):
        raise BadInput(f"{where}.workdir must be an absolute path")
    return init


def init_to_json(init: Init) -> dict[str, Any]:
    """Return the API's form; what is as by default is left out."""
    data = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(init).items()}
    return {name: value for name, value in data.items() if value}


def read_restart(data: object, where: str) -> Restart:
    """Read `restart`; raises BadInput that names the key."""
    reader = Reader(data, where)
    policy = reader.text("policy", "on-failure", among=("no", "never", "always", "on-failure"))
    restart = Restart("no" if policy == "never" else policy, reader.number("max_retries", 10, 0, 1_000_000))
    reader.done()
    return restart


def read_stop_config(data: object, where: str) -> StopConfig:
    """Read `stop_config`; raises BadInput that names the key."""
    reader = Reader(data, where)
    stop = StopConfig(read_signal(reader.take("signal"), f"{where}.signal"), reader.duration("timeout", 5.0))
    reader.done()
    if stop.timeout > 300:
        raise BadInput(f"{where}.timeout must be at most 300 s")
    return stop
