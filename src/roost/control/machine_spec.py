"""From a machine's row to what the host is told: pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from roost.host.contract import ContainerSpec, FileInside, MachineSpec, Resolving, SharedDirectory, VolumeMount
from roost.model.app import App, private_network
from roost.model.containers import Container, parts_of
from roost.model.errors import BadInput
from roost.model.file_config import File, decode_content
from roost.model.image import Image
from roost.model.machine import Machine
from roost.model.machine_config import Init

Images = Callable[[str], tuple[Image, tuple[Path, ...]]]  # digest -> image, directories of its layers

SHARED_WEIGHT = 1 / 16  # of a performance cpu
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
    if machine.config.standbys:
        about["STANDBY_FOR"] = ",".join(machine.config.standbys)
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
        network=private_network(app),
        ipv4=IPv4Address(machine.private_ipv4),
        ipv6=IPv6Address(machine.private_ip),
        hostname=config.dns.hostname or machine.id,
        domain_name=config.dns.hostname_fqdn.rstrip("."),
        resolving=Resolving(
            config.dns.nameservers,
            config.dns.searches,
            tuple(":".join(filter(None, option)) for option in config.dns.options),
        ),
        layers=layers,
        argv=command_of(image, config.init),
        env=environment(app, machine, image, secrets),
        cwd=config.init.workdir or image.config.workdir or "/",
        user=config.init.user or image.config.user,
        memory_mb=config.guest.memory_mb,
        cpus=float(config.guest.cpus),
        cpu_weight=SHARED_WEIGHT if config.guest.cpu_kind == "shared" else 1.0,
        swap_mb=config.init.swap_size_mb,
        disk_gb=config.rootfs_gb,
        stop_signal=stop_signal(machine, image),
        stop_timeout=config.stop_config.timeout,
        volumes=tuple(VolumeMount(mount.volume, mount.path) for mount in config.mounts),
        isolation=config.isolation,
        tty=config.init.tty,
        files=tuple(_file(file, f"config.files[{n}]", app.name, secrets) for n, file in enumerate(config.files)),
        keep_root=config.guest.persist_rootfs != "never",
    )


def _file(file: File, at: str, app: str, secrets: Mapping[str, str]) -> FileInside:
    """Return a file as the host writes it; raises BadInput for a secret that is missing or is not base64."""
    if not file.secret_name:
        return FileInside(file.guest_path, file.content, file.mode)
    where = f"{at}.secret_name"
    if file.secret_name not in secrets:
        raise BadInput(
            f"{where}: {app} has no secret {file.secret_name[:80]!r}",
            hint=f"set it to the file's content in base64: roost secrets set {file.secret_name[:80]}=... -a {app}",
        )
    content = decode_content(secrets[file.secret_name], f"{where}: the value of {file.secret_name[:80]}")
    return FileInside(file.guest_path, content, file.mode, secret=True)


def machine_spec_of_several(app: App, machine: Machine, images: Images, secrets: Mapping[str, str]) -> MachineSpec:
    """Resolve everything the host needs to run a machine with containers.

    Raises BadInput for a container without a command, or with a secret that the app doesn't have.
    """
    image = images(machine.image_digest)[0]
    never_run = replace(image, config=replace(image.config, cmd=("/",)))  # it has no program but its containers
    return replace(
        machine_spec(app, machine, never_run, (), secrets),
        argv=(),
        env={},
        containers=tuple(_container_spec(app, machine, one, images, secrets) for one in parts_of(machine.config)),
        shared=tuple(
            SharedDirectory(one.name, "image", layers=images(one.image_digest)[1])
            if one.image
            else SharedDirectory(one.name, one.storage_type, one.size_mb)
            for one in machine.config.volumes
        ),
    )


def _container_spec(
    app: App, machine: Machine, one: Container, images: Images, secrets: Mapping[str, str]
) -> ContainerSpec:
    image, layers = images(one.image_digest or machine.image_digest)
    stop = one.stop or machine.config.stop_config
    init = Init(one.exec, one.entrypoint, one.cmd)
    return ContainerSpec(
        name=one.name,
        layers=layers,
        argv=command_of(image, init),
        env=_environment_of(app, machine, one, image, secrets),
        cwd=image.config.workdir or "/",
        user=one.user or image.config.user,
        stop_signal=stop.signal or image.config.stop_signal or "SIGINT",
        stop_timeout=stop.timeout,
        mounts=tuple((mount.name, mount.path) for mount in one.mounts),
        files=_files_of(app, machine, one, secrets),
    )


def _files_of(app: App, machine: Machine, one: Container, secrets: Mapping[str, str]) -> tuple[FileInside, ...]:
    """Return the machine's files and the container's own, which go first."""
    own = [_file(file, f"container {one.name}: files[{n}]", app.name, secrets) for n, file in enumerate(one.files)]
    paths = {file.target for file in own}
    others = (_file(file, f"config.files[{n}]", app.name, secrets) for n, file in enumerate(machine.config.files))
    return (*own, *(file for file in others if file.target not in paths))


def _environment_of(
    app: App, machine: Machine, one: Container, image: Image, secrets: Mapping[str, str]
) -> dict[str, str]:
    """Return a container's environment: the machine's, with the container's own on top."""
    shown = dict(secrets)
    if one.secrets is not None:
        wanted = {secret.env_var: secret.name or secret.env_var for secret in one.secrets}
        missing = next((name for name in wanted.values() if name not in secrets), None)
        if missing is not None:
            raise BadInput(
                f"container {one.name} wants the secret {missing[:80]!r}, which {app.name} does not have",
                hint=f"set it: roost secrets set {missing[:80]}=... -a {app.name}",
            )
        shown = {variable: secrets[name] for variable, name in wanted.items()}
    fields = {
        "id": machine.id,
        "version": machine.instance_id,
        "app_name": app.name,
        "private_ip": machine.private_ip,
        "region": machine.region,
        "image": image.reference or image.digest,
    }
    env = environment(app, machine, image, {})
    return (
        env
        | one.env
        | {"FLY_CONTAINER_NAME": one.name, "ROOST_CONTAINER_NAME": one.name}
        | {variable.env_var: fields[variable.field_ref] for variable in one.env_from}
        | shown
    )


def stop_signal(machine: Machine, image: Image) -> str:
    """Return the configured signal, the image's, or SIGINT (the Fly Machines API's default)."""
    return machine.config.stop_config.signal or image.config.stop_signal or "SIGINT"
