"""What a hostile program inside a machine finds: each probe is run inside, as the machine's root."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.host.conftest import Site

from roost.host.contract import BindMount, MachineSpec
from roost.model.errors import BadInput

# Prints a line per attempt: its name and the error number, 0 when it was let through. perl has syscall().
RAW = """
use POSIX;
my %n = (unshare=>272, mount=>165, keyctl=>250, add_key=>248, bpf=>321, perf=>298, io_uring=>425, userfaultfd=>323,
         setns=>308, open_by_handle=>304, reboot=>169, kexec=>246, init_module=>175, swapon=>167, clone3=>435);
my %a = (unshare=>[0x10000000], mount=>[0,0,0,0,0],
         keyctl=>[0,-3,0], add_key=>[0,0,0,0,0], bpf=>[0,0,0], perf=>[0,0,0,0,0],
         io_uring=>[1,0], userfaultfd=>[0], setns=>[0,0], open_by_handle=>[0,0,0], reboot=>[0,0,0,0], kexec=>[0,0,0,0],
         init_module=>[0,0,0], swapon=>[0,0], clone3=>[0,0]);
for my $k (sort keys %n) { my $r = syscall($n{$k}, @{$a{$k}}); printf "%s %d\n", $k, $r < 0 ? $!+0 : 0; }
for my $f (40, 38, 17, 1, 2, 10) { my $r = syscall(41, $f, 1, 0); printf "socket%d %d\n", $f, $r < 0 ? $!+0 : 0; }
my $r = syscall(56, 0x10000000 | 17, 0, 0, 0, 0); if ($r == 0) { POSIX::_exit(0) }
printf "clone_newuser %d\n", $r < 0 ? $!+0 : 0;
"""


@pytest.fixture(scope="module")
def machine(site: Site) -> Iterator[MachineSpec]:
    spec = site.spec("sleep", "1000")
    site.host.start(spec)
    try:
        yield spec
    finally:
        site.host.destroy(spec.id)


def sh(site: Site, machine: MachineSpec, script: str) -> str:
    done = site.host.execute(machine.id, ("sh", "-c", textwrap.dedent(script)))
    return (done.stdout + done.stderr).decode()


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the probe names x86_64's system call numbers")
def test_dangerous_system_calls_are_refused(site: Site, machine: MachineSpec):
    done = site.host.execute(machine.id, ("perl", "-e", RAW))
    seen = {name: int(code) for name, code in (line.split() for line in done.stdout.decode().splitlines())}
    eperm, enosys = 1, 38
    allowed = {name for name, code in seen.items() if code not in (eperm, enosys)}
    assert allowed == {"socket1", "socket2", "socket10"}
    assert seen["clone3"] == enosys, "a C library must fall back to clone"
    assert seen["unshare"] == eperm


def test_root_inside_is_nobody_outside(site: Site, machine: MachineSpec):
    pid = site.host.observe(machine.id).pid
    status = Path(f"/proc/{pid}/status").read_text()
    uids = next(line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))
    assert all(int(uid) >= 1_000_000 for uid in uids)
    for kind in ("user", "pid", "mnt", "ipc", "uts", "cgroup", "net"):
        assert Path(f"/proc/{pid}/ns/{kind}").readlink() != Path(f"/proc/self/ns/{kind}").readlink(), kind


def test_two_machines_share_no_uid(site: Site, machine: MachineSpec):
    other = site.spec("sleep", "1000")
    try:
        pids = [site.host.observe(machine.id).pid, site.host.start(other).pid]
        first, second = (Path(f"/proc/{pid}/uid_map").read_text().split() for pid in pids)
        assert abs(int(first[1]) - int(second[1])) >= 65536
        assert first[0] == second[0] == "0" and first[2] == second[2] == "65536"
    finally:
        site.host.destroy(other.id)


def test_the_kernels_knobs_are_out_of_reach(site: Site, machine: MachineSpec):
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    said = sh(
        site,
        machine,
        """
        echo '|/bin/evil' > /proc/sys/kernel/core_pattern && echo WROTE
        echo b > /proc/sysrq-trigger && echo WROTE
        echo 1 > /sys/kernel/uevent_helper && echo WROTE
        mount -t tmpfs none /mnt && echo MOUNTED
        mount -o remount,rw /sys && echo MOUNTED
        umount /proc/sys && echo UNMOUNTED
        mknod /dev/loop0 b 7 0 && echo MADE
        head -c1 /proc/kcore && echo READ
        chroot / unshare -U true && echo UNSHARED
        """,
    )
    for word in ("WROTE", "MOUNTED", "UNMOUNTED", "MADE", "READ", "UNSHARED"):
        assert word not in said, said
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before
    assert sh(site, machine, "wc -c < /proc/kallsyms; ls /sys/kernel /sys/firmware").split()[0] == "0"


def test_no_secret_of_the_host_is_seen(site: Site, machine: MachineSpec):
    said = sh(
        site,
        machine,
        "cat /proc/mounts /proc/self/mountinfo /proc/self/cgroup; ps -e 2>/dev/null; ls /proc | grep -c '^[0-9]'",
    )
    assert str(site.cloud.home) not in said
    assert int(said.split()[-1]) < 8, "only the machine's own processes are listed"
    assert machine.id not in sh(site, machine, "cat /proc/self/cgroup")


def test_no_descriptor_is_inherited(site: Site, machine: MachineSpec):
    pid = site.host.observe(machine.id).pid
    assert sorted(path.name for path in Path(f"/proc/{pid}/fd").iterdir()) == ["0", "1", "2"]


def test_set_uid_programs_gain_nothing(site: Site, machine: MachineSpec):
    script = "cp /usr/bin/id /id; chmod 4755 /id; chmod 755 /"
    sh(site, machine, script)
    assert site.host.execute(machine.id, ("/id", "-u"), user="www-data").stdout == b"33\n"


def test_a_link_in_the_image_leads_nowhere(site: Site, tmp_path_factory: pytest.TempPathFactory):
    """An image whose /etc/passwd and /etc/resolv.conf point at the host's files."""
    root = tmp_path_factory.mktemp("hostile")
    secret = root / "secret"
    secret.write_text("intruder:x:0:0::/:/bin/sh\n")
    layer = root / "layer"
    (layer / "etc").mkdir(parents=True)
    for name in ("passwd", "group", "resolv.conf", "hosts", "hostname"):
        (layer / "etc" / name).symlink_to(f"../../../../../../../..{secret}")
    spec = site.spec("sh", "-c", "true", layers=(site.base, layer), user="intruder")
    with pytest.raises(BadInput):
        site.host.start(spec)
    site.host.destroy(spec.id)
    plain = site.spec("sleep", "1000", layers=(site.base, layer))
    try:
        site.host.start(plain)
        assert secret.read_text() == "intruder:x:0:0::/:/bin/sh\n"
        assert site.host.execute(plain.id, ("cat", "/etc/hostname")).stdout == b"machine\n"
    finally:
        site.host.destroy(plain.id)


def test_a_bind_shows_host_ids_as_they_are_and_read_only_holds(site: Site, tmp_path_factory: pytest.TempPathFactory):
    source = tmp_path_factory.mktemp("bind")
    (source / "file").write_text("x")
    os.chown(source / "file", 33, 33)
    binds = (BindMount(source, "/seen"), BindMount(source, "/cache", read_only=False))
    spec = site.spec("sleep", "1000", binds=binds)
    try:
        site.host.start(spec)
        assert site.host.execute(spec.id, ("stat", "-c", "%u", "/seen/file")).stdout == b"33\n"
        assert site.host.execute(spec.id, ("touch", "/seen/new")).exit_code != 0
        assert site.host.execute(spec.id, ("touch", "/cache/new")).exit_code == 0
        assert (source / "new").stat().st_uid == 0
    finally:
        site.host.destroy(spec.id)
    assert (source / "file").exists(), "destroying a machine leaves what was shown in it"


def test_a_fork_bomb_dies_with_its_machine(site: Site):
    spec = site.spec("bash", "-c", "b() { b & b & wait; }; b", pids=100, memory_mb=128, cpus=0.5)
    site.host.start(spec)
    site.host.destroy(spec.id)
    assert not any(Path(f"/sys/fs/cgroup/pids/{site.cloud.cgroup}/{spec.id}").glob("*"))


def test_environment_is_private(site: Site):
    spec = site.spec("sleep", "1000", env={"TOKEN": "sesame-opens"})
    site.host.start(spec)
    try:
        holding = [
            path
            for path in (site.cloud.run / "m" / spec.id).rglob("*")
            if path.is_file() and path.name not in ("user", "net") and b"sesame-opens" in path.read_bytes()
        ]
        assert [path.name for path in holding] == ["config.json"]
        assert holding[0].stat().st_mode & 0o077 == 0
        for proc in Path("/proc").glob("[0-9]*"):
            try:
                assert b"sesame-opens" not in (proc / "cmdline").read_bytes()
            except OSError:
                continue
        assert "sesame-opens" not in json.dumps(str(spec))
    finally:
        site.host.destroy(spec.id)
