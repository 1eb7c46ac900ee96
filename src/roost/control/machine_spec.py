"""From a machine's row to what the host is told: pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from roost.host.contract import MachineSpec, VolumeMount
from roost.model.app import App
from roost.model.errors import BadInput
from roost.model.image import Image
from roost.model.machine import Machine
from roost.model.machine_config import Init

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def command_of(image: Image, init: Init) -> tuple[str, ...]:
    """Return what to execute, by Docker's rule: a new entrypoint drops the image's cmd; raises BadInput for nothing."""
    if init.exec:
        return init.exec
    entrypoint = init.entrypoint or image.config.entrypoint
    cmd = init.cmd or (() if init.entrypoint else image.config.cmd)
    argv = (*entrypoint, *cmd)
    if not argv:
        raise BadInput(
            f"the image {image.reference or image.digest} names no command to run",
            hint="give one: config.init.cmd, or `roost machine run IMAGE -- COMMAND`",
        )
    return argv


def environment(app: App, machine: Machine, image: Image, secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the machine's environment: image, then config, then secrets, then what the cloud says.

    The FLY_* names are those of the Fly Machines API (reference, section 4); each is there as ROOST_* too.
    """
    env = {"PATH": DEFAULT_PATH}
    env |= dict(entry.split("=", 1) for entry in image.config.env if "=" in entry)
    if machine.config.services:
        env.setdefault("PORT", str(machine.config.services[0].internal_port))
    env |= machine.config.env
    env |= secrets
    about = {
        "APP_NAME": app.name,
        "MACHINE_ID": machine.id,
        "ALLOC_ID": machine.id,
        "MACHINE_VERSION": machine.instance_id,
        "REGION": machine.region,
        "IMAGE_REF": image.reference or image.digest,
        "PRIVATE_IP": machine.private_ip,
        "PROCESS_GROUP": machine.process_group,
        "VM_MEMORY_MB": str(machine.config.guest.memory_mb),
    }
    env |= {f"{prefix}_{name}": value for name, value in about.items() for prefix in ("FLY", "ROOST")}
    env.setdefault("PRIMARY_REGION", machine.region)
    return env


def machine_spec(
    app: App, machine: Machine, image: Image, layers: tuple[Path, ...], secrets: Mapping[str, str]
) -> MachineSpec:
    """Resolve everything the host needs to run the machine; raises BadInput for a machine without a command."""
    config = machine.config
    return MachineSpec(
        id=machine.id,
        app=app.name,
        slot=machine.slot,
        network=app.network,
        ipv4=IPv4Address(machine.private_ipv4),
        ipv6=IPv6Address(machine.private_ip),
        hostname=machine.id,
        layers=layers,
        argv=command_of(image, config.init),
        env=environment(app, machine, image, secrets),
        cwd=config.init.workdir or image.config.workdir or "/",
        user=config.init.user or image.config.user,
        memory_mb=config.guest.memory_mb,
        cpus=float(config.guest.cpus),
        disk_gb=config.rootfs_gb,
        stop_signal=stop_signal(machine, image),
        stop_timeout=config.stop_config.timeout,
        volumes=tuple(VolumeMount(mount.volume, mount.path) for mount in config.mounts),
        isolation=config.isolation,
        tty=config.init.tty,
    )


def stop_signal(machine: Machine, image: Image) -> str:
    """Return the configured signal, the image's, or SIGINT (the Fly Machines API's default)."""
    return machine.config.stop_config.signal or image.config.stop_signal or "SIGINT"
