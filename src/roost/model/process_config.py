"""How a program is started, asked to end and started again: parts of a machine's configuration."""

from __future__ import annotations

from dataclasses import dataclass

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
    )
    reader.done()
    if init.workdir and not init.workdir.startswith("/"):
        raise BadInput(f"{where}.workdir must be an absolute path")
    return init


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
