"""A machine's OCI bundle: what is written for the runtime before a machine is made.

State: the bundle directory below the machine's run directory, in memory only, since it holds secrets.
Writing it twice replaces it; `MachineFiles.forget_run` removes it.
"""

from __future__ import annotations

import json
import os
import platform
import resource
from collections.abc import Sequence
from pathlib import Path

from roost.host.cgroups import Cgroups
from roost.host.contract import MachineSpec
from roost.host.machine_files import RunFiles, write_whole
from roost.host.oci_spec import HostTraits, Places, hosts_file, machine_config, resolver_file
from roost.host.users import read_user

DOORS = ("/.fly", "/.roost")  # where a machine finds the directory with its API's socket


def etc(spec: MachineSpec, nameservers: Sequence[str]) -> dict[str, str]:
    """Return the files in /etc that depend on the machine, by name. `nameservers` serve who names none."""
    return {
        "hosts": hosts_file(" ".join(filter(None, (spec.domain_name, spec.hostname))), str(spec.ipv4), str(spec.ipv6)),
        "resolv.conf": resolver_file(spec.resolving, nameservers),
        "hostname": f"{spec.hostname}\n",
    }


def write(
    spec: MachineSpec, files: RunFiles, binds: tuple[Path, ...], shown_etc: dict[str, str], cgroups: Cgroups
) -> None:
    """Write the OCI configuration of a machine whose root is mounted; raises BadInput.

    `shown_etc` goes into /etc by binds: a builder's writable layer becomes an image and must not hold it.
    """
    shown = {}
    for name, text in shown_etc.items():
        file = files.etc / name
        file.write_text(text)
        file.chmod(0o644)
        shown[f"/etc/{name}"] = file
    if files.door.is_dir():
        shown |= dict.fromkeys(DOORS, files.door)
    user = read_user(files.root, spec.user)
    places = Places(files.root, files.user_namespace, files.network_namespace, shown, binds, cgroups.name(files.group))
    config = machine_config(spec, user, places, host_traits(cgroups))
    write_whole(files.bundle / "config.json", json.dumps(config))


def host_traits(cgroups: Cgroups) -> HostTraits:
    """Look at what this host can do."""
    return HostTraits(
        architecture=platform.machine(),
        unified_cgroups=cgroups.unified,
        limits_swap=cgroups.limits_swap,
        cpus=len(os.sched_getaffinity(0)),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
    )
