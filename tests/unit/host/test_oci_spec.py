"""What the runtime is told about a machine."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from roost.host import seccomp
from roost.host.contract import BindMount, MachineSpec
from roost.host.namespaces import uid_base
from roost.host.oci_spec import HostTraits, Places, hosts_file, machine_config
from roost.host.users import User
from roost.model.errors import BadInput, HostFailure

SPEC = MachineSpec(
    id="00000000000001",
    app="app",
    slot=3,
    network="net",
    ipv4=IPv4Address("10.0.0.5"),
    ipv6=IPv6Address("fdaa::5"),
    hostname="web",
    layers=(Path("/layer"),),
    argv=("server",),
    env={"A": "1"},
    memory_mb=128,
    cpus=0.5,
    pids=77,
)
PLACES = Places(Path("/m/root"), Path("/m/user"), Path("/m/net"), {}, (), "roost-x/00000000000001")
TRAITS = HostTraits("x86_64", unified_cgroups=False, limits_swap=True, cpus=2, open_files=20000)


def config(
    user: User | None = None, places: Places = PLACES, traits: HostTraits = TRAITS, **changes: Any
) -> dict[str, Any]:
    return machine_config(dataclasses.replace(SPEC, **changes), user or User(), places, traits)


def test_every_namespace_is_its_own():
    kinds = {entry["type"] for entry in config()["linux"]["namespaces"]}
    assert kinds == {"user", "network", "pid", "mount", "ipc", "uts", "cgroup"}


def test_limits():
    limits = config()["linux"]["resources"]
    assert limits["memory"] == {"limit": 128 << 20, "swap": 128 << 20}
    assert limits["pids"] == {"limit": 77}
    assert limits["cpu"]["quota"] * 2 == limits["cpu"]["period"]
    assert "swap" not in config(traits=dataclasses.replace(TRAITS, limits_swap=False))["linux"]["resources"]["memory"]
    assert "quota" not in config(cpus=2)["linux"]["resources"]["cpu"]


def test_root_holds_few_capabilities_and_others_none():
    root, other = config()["process"], config(User(33, 33, (), "/srv"))["process"]
    for dangerous in ("SYS_ADMIN", "NET_ADMIN", "NET_RAW", "SYS_PTRACE", "MKNOD", "SYS_MODULE", "SYS_RESOURCE"):
        assert f"CAP_{dangerous}" not in root["capabilities"]["bounding"]
    assert other["capabilities"]["effective"] == []
    assert root["noNewPrivileges"] and other["noNewPrivileges"]


def test_environment_of_the_machine_wins_over_the_defaults():
    env = dict(entry.split("=", 1) for entry in config(env={"PATH": "/mine", "B": "x=y"})["process"]["env"])
    assert (env["PATH"], env["B"], env["HOSTNAME"], env["HOME"]) == ("/mine", "x=y", "web", "/root")


def test_only_a_builder_may_mount():
    def allowed(profile: dict[str, Any]) -> set[str]:
        rules = [r for r in profile["syscalls"] if r["action"] == "SCMP_ACT_ALLOW" and "args" not in r]
        return {name for rule in rules for name in rule["names"]}

    plain, builder = (allowed(seccomp.profile(architecture="x86_64", builder=flag)) for flag in (False, True))
    assert not plain & {"mount", "unshare", "setns", "keyctl", "bpf", "io_uring_setup", "clone", "socket", "clone3"}
    assert {"mount", "unshare", "clone"} <= builder
    assert not builder & {"keyctl", "bpf", "io_uring_setup", "init_module", "kexec_load", "reboot", "open_by_handle_at"}


def test_no_system_call_is_both_allowed_and_refused():
    for builder in (False, True):
        seen: dict[str, str] = {}
        for rule in seccomp.profile(architecture="x86_64", builder=builder)["syscalls"]:
            for name in rule["names"]:
                if "args" in rule and name in ("setrlimit", "prlimit64"):
                    continue  # by what they ask for: the next test
                assert seen.setdefault(name, rule["action"]) == rule["action"], name
        assert not {"setrlimit", "prlimit64"} & seen.keys()


def test_the_core_limit_is_read_and_never_set():
    """1 is the only limit with which a crash goes to no core_pattern, be it a file or a pipe."""
    limits = {entry["type"]: (entry["soft"], entry["hard"]) for entry in config()["process"]["rlimits"]}
    assert limits["RLIMIT_CORE"] == (1, 1)
    rules = seccomp.profile(architecture="x86_64")["syscalls"]
    for name, place in (("setrlimit", 0), ("prlimit64", 1)):
        mine = [rule for rule in rules if name in rule["names"]]
        assert all(rule["args"][0]["index"] == place for rule in mine)
        of_core = [rule for rule in mine if rule["args"][0]["value"] == 4]
        for rule in of_core:
            reads = any(arg == {"index": 2, "value": 0, "op": "SCMP_CMP_EQ"} for arg in rule["args"])
            assert rule["action"] == ("SCMP_ACT_ALLOW" if reads else "SCMP_ACT_ERRNO")
        assert len(of_core) == place + 1 and len(mine) == 15 + len(of_core)


def test_gvisor_has_its_own_user_namespace_and_counts_processes_itself():
    asked = config(isolation="gvisor")
    assert {"type": "user"} in asked["linux"]["namespaces"], "runsc can't join one"
    assert asked["linux"]["uidMappings"] == config()["linux"]["uidMappings"]
    limits = {entry["type"]: entry["hard"] for entry in asked["process"]["rlimits"]}
    assert limits["RLIMIT_NPROC"] == 77
    assert 77 < asked["linux"]["resources"]["pids"]["limit"] < 4096


def test_vsock_is_no_socket_family():
    rules = [r for r in seccomp.profile(architecture="x86_64")["syscalls"] if "socket" in r["names"]]
    assert {rule["args"][0]["value"] for rule in rules} == {1, 2, 10, 16}
    assert all(rule["args"][0]["op"] == "SCMP_CMP_EQ" for rule in rules)


def test_binds():
    binds = (BindMount(Path("/host/a"), "/a"), BindMount(Path("/host/b"), "/b", read_only=False))
    places = dataclasses.replace(PLACES, binds=(Path("/m/binds/0"), Path("/m/binds/1")))
    by_target = {m["destination"]: m for m in config(places=places, binds=binds)["mounts"]}
    assert (by_target["/a"]["source"], by_target["/b"]["source"]) == ("/m/binds/0", "/m/binds/1")
    assert "ro" in by_target["/a"]["options"] and "rw" in by_target["/b"]["options"]


@pytest.mark.parametrize("target", ["relative", "/a/../../etc", ""])
def test_a_binds_target_is_a_plain_absolute_path(target: str):
    places = dataclasses.replace(PLACES, binds=(Path("/m/binds/0"),))
    with pytest.raises(BadInput):
        config(places=places, binds=(BindMount(Path("/x"), target),))


@pytest.mark.parametrize("argv", [(), ("a\0b",)])
def test_a_command_is_needed(argv: tuple[str, ...]):
    with pytest.raises(BadInput):
        config(argv=argv)


def test_uid_ranges_do_not_overlap_and_end():
    assert uid_base(1) - uid_base(0) == 65536
    assert uid_base(60_000) + 65536 < 2**32
    for slot in (-1, 70_000):
        with pytest.raises(HostFailure):
            uid_base(slot)


def test_hosts_file():
    lines = hosts_file("web", "10.0.0.5", "fdaa::5").splitlines()
    assert "10.0.0.5\tweb" in lines and "fdaa::5\tfly-local-6pn" in lines
