"""Control groups by direct writes, on version 1 and on version 2 where the host mounts both."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.host import service_cgroups
from roost.host.cgroup_tree import ROOT
from roost.host.cgroups import Cgroups
from roost.host.service_cgroups import ServiceLimits
from roost.model.errors import HostFailure

MACHINE = "00000000000001"


def roots() -> list[Path]:
    """Where each version can be tried: freezing and killing need no controller in version 2."""
    found = [ROOT] if (ROOT / "freezer").is_dir() else []
    return found + [path for path in (ROOT / "unified", ROOT) if (path / "cgroup.procs").exists()]


@pytest.fixture(params=roots(), ids=lambda path: "v2" if (path / "cgroup.procs").exists() else "v1")
def group(request: pytest.FixtureRequest) -> Iterator[tuple[Cgroups, subprocess.Popen[bytes]]]:
    root: Path = request.param
    parent = f"roost-test-{secrets.token_hex(4)}"
    cgroups = Cgroups(parent, root)
    child = subprocess.Popen(["bash", "-c", "read go; (while :; do :; done) & wait"], stdin=-1)
    hierarchies = [root] if cgroups.unified else [root / name for name in ("freezer", "memory", "pids")]
    try:
        for hierarchy in hierarchies:
            (hierarchy / parent / MACHINE).mkdir(parents=True)
            (hierarchy / parent / MACHINE / "cgroup.procs").write_text(str(child.pid))
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.flush()
        yield cgroups, child
    finally:
        with contextlib.suppress(HostFailure):
            cgroups.thaw(MACHINE)
        cgroups.kill_all(MACHINE)
        child.kill()
        child.wait(5)
        cgroups.remove(MACHINE)
        cgroups.remove_parent()
        assert not any((hierarchy / parent).exists() for hierarchy in hierarchies)


def cpu_ticks(pids: list[int]) -> int:
    return sum(int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11]) for pid in pids)


def test_freeze_and_thaw(group: tuple[Cgroups, subprocess.Popen[bytes]]):
    cgroups, _ = group
    cgroups.freeze(MACHINE)
    assert cgroups.is_frozen(MACHINE)
    pids = cgroups.processes(MACHINE)
    before = cpu_ticks(pids)
    time.sleep(0.3)
    assert cpu_ticks(pids) == before
    cgroups.freeze(MACHINE)
    cgroups.thaw(MACHINE)
    assert not cgroups.is_frozen(MACHINE)
    deadline = time.monotonic() + 10
    while cpu_ticks(cgroups.processes(MACHINE)) <= before:
        assert time.monotonic() < deadline


def test_kill_all_also_when_frozen(group: tuple[Cgroups, subprocess.Popen[bytes]]):
    cgroups, child = group
    cgroups.freeze(MACHINE)
    cgroups.kill_all(MACHINE)
    assert child.wait(5) == -9
    assert cgroups.processes(MACHINE) == []
    cgroups.kill_all(MACHINE)


def test_a_group_that_is_gone(group: tuple[Cgroups, subprocess.Popen[bytes]]):
    cgroups, _ = group
    other = "00000000000002"
    cgroups.kill_all(other)
    cgroups.remove(other)
    assert not cgroups.is_frozen(other)
    assert cgroups.usage(other) == (0, 0.0, 0)
    with pytest.raises(HostFailure):
        cgroups.freeze(other)


def test_machines_are_listed(group: tuple[Cgroups, subprocess.Popen[bytes]]):
    cgroups, _ = group
    assert cgroups.machines() == [MACHINE]


def _place(pid: int, controller: str) -> str:
    rows = (line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    found = {name: path for _, names, path in rows for name in names.split(",")}
    return found.get(controller, found.get("", ""))


def test_each_process_of_the_edge_is_the_neighbour_of_the_others_and_of_all_else():
    name = f"roost-test-{secrets.token_hex(4)}"
    children = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    try:
        for number, child in enumerate(children):
            for _ in range(2):  # it may be there already
                service_cgroups.confine(f"{name}-{number}", child.pid, ServiceLimits(200, 64 << 20, 16))
            assert _place(child.pid, "cpu") == _place(child.pid, "memory") == f"/{name}-{number}"
        shares = [*ROOT.glob(f"cpu*/{name}-0/cpu.shares")]
        weights = shares or [*ROOT.glob(f"{name}-0/cpu.weight")]  # version 1, or 2
        assert {path.read_text().strip() for path in weights} == {"2048" if shares else "200"}
    finally:
        for child in children:
            child.kill()
            child.wait(5)
        service_cgroups.remove(name)
    assert not [path for path in ROOT.glob(f"*/{name}*")]
