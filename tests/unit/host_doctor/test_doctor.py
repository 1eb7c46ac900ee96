"""The doctor's judgement, on given facts and on this host."""

from __future__ import annotations

import socket
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from tests.ports import free_port

from roost.host import doctor
from roost.host.doctor import diagnose, judge_amount, parse_version
from roost.host.doctor_kernel import cgroup_findings
from roost.host.doctor_network import judge_network, parse_blockers
from roost.host.finding import FindingStatus

V1 = "".join(f"cgroup /sys/fs/cgroup/{c} cgroup rw,{c} 0 0\n" for c in ("cpu", "memory", "pids", "freezer"))
HYBRID = V1 + "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
HUGETLB = "#subsys_name\thierarchy\tnum_cgroups\tenabled\nhugetlb\t0\t1\t1\n"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("crun version 1.8.1\ncommit: f8a0", (1, 8, 1)),
        ("nftables v1.0.6 (Lester Gooch #5)", (1, 0, 6)),
        ("mkfs.xfs version 6.1.0", (6, 1, 0)),
        ("no number", ()),
    ],
)
def test_versions_are_read(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


def test_amounts_are_judged() -> None:
    statuses = [judge_amount("d", n << 30, 5 << 30, 20 << 30, "free", "f").status for n in (4, 5, 19, 20)]
    assert statuses == ["fail", "warn", "warn", "ok"]


@pytest.mark.parametrize(
    ("mounts", "cgroups", "v2", "statuses"),
    [
        ("", "", "", ["fail"]),
        ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0", "", "cpu memory pids io", ["ok"]),
        ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0", "", "cpu io", ["fail"]),
        (V1, HUGETLB, "", ["ok"]),
        (V1.replace("pids", "other"), "", "", ["fail"]),
        (HYBRID, HUGETLB, "hugetlb", ["ok", "warn"]),
        (HYBRID + "cgroup /sys/fs/cgroup/hugetlb cgroup rw,hugetlb 0 0", HUGETLB, "", ["ok"]),
    ],
)
def test_cgroup_layouts(mounts: str, cgroups: str, v2: str, statuses: list[str]) -> None:
    found = cgroup_findings(mounts, cgroups, v2)
    assert [f.status for f in found] == statuses
    assert all(f.fix for f in found if f.status is not FindingStatus.OK)


def forward_chain(table: str, policy: str = "accept", *expr: dict[str, object]) -> dict[str, object]:
    chain = {"family": "ip", "table": table, "name": "FORWARD", "hook": "forward", "policy": policy}
    rule = {"family": "ip", "table": table, "chain": "FORWARD", "expr": list(expr)}
    return {"nftables": [{"metainfo": {}}, {"chain": chain}, *([{"rule": rule}] if expr else [])]}


def test_a_dropping_firewall_of_others_is_named() -> None:
    assert parse_blockers(forward_chain("filter", "drop")) == ["nft ip filter FORWARD"]
    assert parse_blockers(forward_chain("filter", "accept", {"counter": {}}, {"reject": {}})) != []
    assert parse_blockers(forward_chain("filter", "accept", {"match": {}}, {"drop": None})) == []
    assert parse_blockers(forward_chain("roost_0a0b0c0d", "drop")) == []
    assert parse_blockers(forward_chain("filter")) == []


def test_a_name_server_in_the_clouds_network_is_named() -> None:
    network = IPv4Network("10.255.0.0/16")
    assert judge_network(network, ("10.254.0.1", "fd00::1")).status is FindingStatus.OK
    found = judge_network(network, ("1.1.1.1", "10.255.255.53"))
    assert found.status is FindingStatus.WARN
    assert "10.255.255.53" in found.detail and "1.1.1.1" not in found.detail and found.fix


def test_this_host_is_looked_at_and_every_trouble_comes_with_a_fix(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        findings = {f.name: f for f in diagnose(free_port(), taken.getsockname()[1], tmp_path / "not" / "yet")}
    assert findings["public port"].status is FindingStatus.OK
    assert findings["API port"].status is FindingStatus.FAIL
    assert "python" in findings["API port"].detail or "pytest" in findings["API port"].detail
    assert all(f.fix for f in findings.values() if f.status is not FindingStatus.OK)
    for name in ("user namespaces", "virtual links", "nftables", "cgroups", "loop devices"):
        assert findings[name].status is FindingStatus.OK, findings[name]
    assert {"kernel", "user namespaces", "nftables", "cgroups", "crun", "conmon", "disk space"} <= findings.keys()


def test_a_missing_program_is_a_failure_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "TOOLS", (("no-such-program", "-V", (1,), "nosuch", "does things"),))
    (found,) = [f for f in diagnose(1, 1, tmp_path) if f.name == "no-such-program"]
    assert (found.status, found.fix) == (FindingStatus.FAIL, "apt install nosuch")
