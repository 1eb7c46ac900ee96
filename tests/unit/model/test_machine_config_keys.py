"""Every key of a machine's configuration works or is refused by name, and survives being written and read."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from roost.model.errors import BadInput
from roost.model.guest_config import check_memory
from roost.model.machine_config import MachineConfig, machine_config_to_json, read_machine_config

IMAGE = {"image": "roost/base:bookworm"}
CONTENT = base64.b64encode(b"a\0b").decode()


def read(**keys: Any) -> MachineConfig:
    config = read_machine_config(IMAGE | keys)
    assert read_machine_config(machine_config_to_json(config)) == config, "written and read again it is the same"
    return config


@pytest.mark.parametrize(
    ("size", "kind", "cpus", "memory"),
    [
        ("shared-cpu-1x", "shared", 1, 256),
        ("shared-cpu-8x", "shared", 8, 2048),
        ("performance-2x", "performance", 2, 4096),
        ("performance-cpu-16x", "performance", 16, 32768),
    ],
)
def test_sizes(size: str, kind: str, cpus: int, memory: int) -> None:
    guest = read(guest={"size": size}).guest
    assert (guest.cpu_kind, guest.cpus, guest.memory_mb) == (kind, cpus, memory)


def test_what_works() -> None:
    config = read(
        guest={"memory_mb": 64, "max_memory_mb": 512, "persist_rootfs": "always"},
        init={"swap_size_mb": 128, "cmd": ["a"], "tty": True},
        rootfs={"size_gb": 2, "persist": "always"},
        checks={"up": {"port": 1, "type": "http", "kind": "readiness", "protocol": "https", "tls_skip_verify": True}},
        mounts=[
            {"name": "data", "path": "/data", "extend_threshold_percent": 80, "add_size_gb": 1, "size_gb_limit": 9}
        ],
        files=[
            {"guest_path": "/etc/a", "raw_value": CONTENT, "mode": 0o600},
            {"guest_path": "/etc/b", "secret_name": "KEY", "raw_value": "", "mode": "0400"},
        ],
    )
    assert config.guest.max_memory_mb == 512 and config.init.swap_size_mb == 128
    assert config.files[0].content == b"a\0b" and config.files[0].mode == 0o600
    assert (config.files[1].secret_name, config.files[1].mode) == ("KEY", 0o400)
    assert "a\\x00b" not in repr(config), "a file's content is in no log"
    assert read(skip_secrets=True, containers=[{"name": "a", "image": "b", "secrets": []}]).skip_secrets
    assert read(rootfs={"persist": "restart"}).guest.persist_rootfs == "restart"


SECRET_FILE = {"guest_path": "/b", "secret_name": "KEY"}
SECRET = {"env_var": "KEY"}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"skip_secrets": True, "files": [SECRET_FILE]}, "config.files[0].secret_name"),
    (
        {"skip_secrets": True, "containers": [{"name": "a", "image": "b", "files": [SECRET_FILE]}]},
        "config.containers[0].files[0].secret_name",
    ),
    (
        {"skip_secrets": True, "containers": [{"name": "a", "image": "b", "secrets": [SECRET]}]},
        "config.containers[0].secrets",
    ),
    ({"skip_secrets": True, "processes": [{"cmd": ["a"], "secrets": [SECRET]}]}, "config.processes[0].secrets"),
    ({"guest": {"size": "a100-40gb"}}, "config.guest.size"),
    ({"guest": {"size": "shared-cpu-3x"}}, "config.guest.size"),
    ({"guest": {"gpus": 1}}, "config.guest.gpus"),
    ({"guest": {"gpu_kind": "a10"}}, "config.guest.gpu_kind"),
    ({"guest": {"kernel_args": ["quiet"]}}, "config.guest.kernel_args"),
    ({"guest": {"host_dedication_id": "x"}}, "config.guest.host_dedication_id"),
    ({"guest": {"persist_rootfs": "often"}}, "config.guest.persist_rootfs"),
    ({"guest": {"memory_mb": 64, "max_memory_mb": 32}}, "config.guest.max_memory_mb"),
    ({"guest": {"persist_rootfs": "always"}, "rootfs": {"persist": "restart"}}, "config.rootfs.persist"),
    ({"init": {"kernel_args": ["quiet"]}}, "config.init.kernel_args"),
    ({"init": {"swap_size_mb": -1}}, "config.init.swap_size_mb"),
    ({"cache_drive": {"size_mb": 10}}, "config.cache_drive"),
    ({"spot": {"max_price_fraction": 0.5}}, "config.spot"),
    ({"checks": {"a": {"port": 1, "kind": "other"}}}, "config.checks.a.kind"),
    ({"checks": {"a": {"port": 1, "protocol": "https"}}}, "config.checks.a.protocol"),
    ({"checks": {"a": {"port": 1, "type": "http", "tls_skip_verify": True}}}, "config.checks.a.tls_skip_verify"),
    (
        {"checks": {"a": {"port": 1, "type": "http", "protocol": "https", "tls_server_name": "a b"}}},
        "config.checks.a.tls_server_name",
    ),
    ({"services": [{"internal_port": 1, "force_instance_key": "x"}]}, "config.services[0].force_instance_key"),
    ({"services": [{"internal_port": 1, "protocol": "sctp"}]}, "config.services[0].protocol"),
    (
        {"services": [{"internal_port": 1, "ports": [{"port": 80, "tls_options": {"alpn": ["h2"]}}]}]},
        "config.services[0].ports[0].tls_options",
    ),
    ({"mounts": [{"name": "d", "path": "/d", "add_size_gb": 1}]}, "config.mounts[0].extend_threshold_percent"),
    ({"mounts": [{"name": "d", "path": "/d", "extend_threshold_percent": 80}]}, "config.mounts[0].add_size_gb"),
    ({"files": [{"guest_path": "/a"}]}, "config.files[0]"),
    ({"files": [{"guest_path": "/a", "raw_value": "%"}]}, "config.files[0].raw_value"),
    ({"files": [{"guest_path": "/a", "raw_value": 1}]}, "config.files[0].raw_value"),
    ({"files": [{"guest_path": "/a", "image_config": "x"}]}, "config.files[0].image_config"),
    ({"files": [{"guest_path": "a", "raw_value": CONTENT}]}, "config.files[0].guest_path"),
    ({"files": [{"guest_path": "/a/../b", "raw_value": CONTENT}]}, "config.files[0].guest_path"),
    ({"files": [{"guest_path": "/proc/a", "raw_value": CONTENT}]}, "config.files[0].guest_path"),
    ({"files": [{"guest_path": "/etc/hosts", "raw_value": CONTENT}]}, "config.files[0].guest_path"),
    ({"files": [{"guest_path": "/a", "raw_value": CONTENT, "mode": 0o4755}]}, "config.files[0].mode"),
    ({"files": [{"guest_path": "/a", "raw_value": CONTENT}] * 2}, "config.files[1].guest_path"),
    (
        {"mounts": [{"name": "d", "path": "/d"}], "files": [{"guest_path": "/d/a", "raw_value": CONTENT}]},
        "config.files[0].guest_path",
    ),
]


@pytest.mark.parametrize(("keys", "named"), REFUSED, ids=[named for _, named in REFUSED])
def test_what_is_refused_by_name(keys: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput) as refusal:
        read_machine_config(IMAGE | keys)
    assert refusal.value.message.startswith(named), refusal.value.message


def test_memory_per_cpu() -> None:
    check_memory(read(guest={"memory_mb": 2048}).guest, "g")
    check_memory(read(guest={"cpu_kind": "performance", "memory_mb": 8192}).guest, "g")
    with pytest.raises(BadInput, match=r"g\.memory_mb"):
        check_memory(read(guest={"memory_mb": 2049}).guest, "g")
    with pytest.raises(BadInput, match=r"g\.max_memory_mb"):
        check_memory(read(guest={"max_memory_mb": 4096}).guest, "g")
