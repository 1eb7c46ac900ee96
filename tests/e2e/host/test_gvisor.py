"""The life of a machine with `isolation = "gvisor"`: the host's verbs do the same as with crun."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.host.conftest import Site

from roost.host.contract import MachineSpec, RuntimeState, VolumeMount
from roost.model.errors import BadInput, TimedOut
from roost.model.volume import volume_id


@pytest.fixture(scope="module")
def machine(site: Site) -> Iterator[MachineSpec]:
    spec = site.spec("sh", "-c", "echo begun; trap 'exit 5' TERM; while :; do sleep 0.1; done", isolation="gvisor")
    site.host.start(spec)
    try:
        yield spec
    finally:
        site.host.destroy(spec.id)


def run(site: Site, machine: MachineSpec, script: str, **options: object) -> str:
    return site.host.execute(machine.id, ("sh", "-c", script), **options).stdout.decode()  # type: ignore[arg-type]


def eventually(look: Callable[[], object], timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not look():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def test_it_runs_on_another_kernel_and_as_nobody_outside(site: Site, machine: MachineSpec):
    assert "4.4.0" in run(site, machine, "cat /proc/version"), "gVisor says that it is an old Linux"
    processes = [Path(f"/proc/{pid}") for pid in site.host._cgroups.processes(machine.id)]
    assert len(processes) >= 2
    for process in processes:
        uids = next(line.split()[1:] for line in (process / "status").read_text().splitlines() if "Uid:" in line)
        assert all(int(uid) >= 1_000_000 for uid in uids), (process, uids)
        assert (process / "ns/net").readlink() != Path("/proc/self/ns/net").readlink() or "gofer" in (
            process / "cmdline"
        ).read_text(errors="replace")


def test_logs_input_exit_codes_and_users(site: Site, machine: MachineSpec):
    eventually(lambda: [line.text for line in site.host.logs(machine.id)] == ["begun"])
    assert site.host.execute(machine.id, ("cat",), stdin=b"given").stdout == b"given"
    assert site.host.execute(machine.id, ("sh", "-c", "exit 3")).exit_code == 3
    killed = site.host.execute(machine.id, ("sh", "-c", "kill -9 $$"))
    assert (killed.exit_code, killed.exit_signal) == (137, 9)
    assert site.host.execute(machine.id, ("id", "-un"), user="www-data").stdout == b"www-data\n"
    with pytest.raises(BadInput):
        site.host.execute(machine.id, ("no-such-program",))


def test_a_command_over_its_time_dies_with_its_children(site: Site, machine: MachineSpec):
    with pytest.raises(TimedOut):
        run(site, machine, "sleep 1000 & sleep 1000 & sleep 1000", timeout=0.5)
    listed = {process.pid: process.command for process in site.host.processes(machine.id)}
    assert listed[1] == "sh" and len(listed) <= 2, listed


def test_frozen_and_thawed(site: Site, machine: MachineSpec):
    pid = site.host.observe(machine.id).pid
    site.host.freeze(machine.id)
    assert site.host.observe(machine.id).state is RuntimeState.FROZEN
    site.host.thaw(machine.id)
    assert site.host.observe(machine.id).pid == pid
    assert run(site, machine, "echo again") == "again\n"


def test_a_console(site: Site, machine: MachineSpec):
    console = site.host.console(
        machine.id, ("sh", "-c", "read line; stty size; echo $line; exit 4"), rows=11, columns=22
    )
    seen = b""
    try:
        os.write(console.fileno(), b"typed\n")
        while select.select([console.fileno()], [], [], 10)[0]:
            try:
                seen += os.read(console.fileno(), 4096)
            except OSError:
                break  # the command has ended
    finally:
        code = console.close()
    assert b"11 22" in seen and seen.count(b"typed") == 2, seen
    assert code == 4


def test_ctrl_c_on_a_console(site: Site, machine: MachineSpec):
    script = "trap 'echo caught; exit 6' INT; echo be\"\"gun; while :; do sleep 0.05; done"
    console = site.host.console(machine.id, ("sh", "-c", script), rows=24, columns=80)
    seen = b""
    try:
        deadline = time.monotonic() + 10
        while b"caught" not in seen and time.monotonic() < deadline:
            if select.select([console.fileno()], [], [], 0.3)[0]:
                seen += os.read(console.fileno(), 4096)
            elif b"begun" in seen:  # one that comes before runsc looks for signals is lost
                os.write(console.fileno(), b"\x03")
    finally:
        code = console.close()
    assert b"caught" in seen and code == 6, seen


def test_it_ends_as_asked_and_the_root_is_fresh(site: Site):
    spec = site.spec("sh", "-c", "trap 'exit 5' TERM; touch /ready; while :; do sleep 0.05; done", isolation="gvisor")
    try:
        site.host.start(spec)
        eventually(lambda: site.host.execute(spec.id, ("test", "-e", "/ready")).exit_code == 0)
        began = time.monotonic()
        end = site.host.stop(spec.id, signal="SIGTERM", timeout=10).last_exit
        assert end and (end.exit_code, end.requested_stop, end.oom_killed) == (5, True, False)
        assert time.monotonic() - began < 5
        site.host.start(spec)
        eventually(lambda: site.host.execute(spec.id, ("test", "-e", "/ready")).exit_code == 0)
    finally:
        site.host.destroy(spec.id)


def test_its_disk_is_limited_and_a_full_one_hurts_nobody(site: Site, machine: MachineSpec):
    spec = site.spec("sleep", "1000", isolation="gvisor")
    try:
        site.host.start(spec)
        done = site.host.execute(spec.id, ("sh", "-c", "dd if=/dev/zero of=/fill bs=4M; df --output=pcent / | tail -1"))
        assert b"No space left" in done.stderr and done.stdout.strip() == b"100%"
        assert run(site, machine, "echo here > /file; cat /file") == "here\n"
    finally:
        site.host.destroy(spec.id)


def test_a_volume_keeps_what_was_written(site: Site):
    volume = volume_id(os.urandom(10))
    site.host.volumes.create(volume, 1)
    try:
        volumes = (VolumeMount(volume, "/data"),)
        for script, said in (("id -u; echo kept > /data/file", "0\n"), ("cat /data/file", "kept\n")):
            spec = site.spec("sleep", "1000", isolation="gvisor", volumes=volumes)
            try:
                site.host.start(spec)
                assert run(site, spec, script) == said
            finally:
                site.host.destroy(spec.id)
    finally:
        site.host.volumes.destroy(volume)


def test_too_much_memory_is_told(site: Site):
    """More processes than its memory has room for: each takes some of the sandbox's own."""
    bomb = "while (1) { my $p = fork(); if (defined $p && !$p) { my $m = 'x' x 8_000_000; sleep 100; exit } }"
    spec = site.spec("perl", "-e", bomb, isolation="gvisor", memory_mb=128)
    try:
        site.host.start(spec)
        eventually(lambda: site.host.observe(spec.id).state is RuntimeState.PREPARED, 30)
        end = site.host.observe(spec.id).last_exit
        assert end and end.oom_killed and end.exit_code == 137
    finally:
        site.host.destroy(spec.id)
