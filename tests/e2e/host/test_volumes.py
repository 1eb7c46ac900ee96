"""Volumes on the host: what is written outlives machines, copies are whole, and no kill loses or freezes anything."""

from __future__ import annotations

import operator
import os
import pickle
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.host.conftest import Site

from roost.host import loop
from roost.host.contract import MachineSpec, RuntimeState, VolumeMount
from roost.host.process import run
from roost.model.errors import Conflict, FailedPrecondition, NotFound
from roost.model.volume import snapshot_id, volume_id

GB = 1 << 30
_CAP_SYS_RESOURCE = 24  # without it the kernel does not extend a mounted ext4 (capabilities(7))
_CAPABILITIES = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
ONLINE = bool(int(_CAPABILITIES.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)
# Each number is durable before the next is begun: what a copy holds must be 0..n without a gap.
COUNT = (
    "import os\n"
    "f = os.open('/data/log', os.O_WRONLY | os.O_CREAT | os.O_APPEND)\n"
    "for n in range(10**9):\n"
    "    os.write(f, b'%d\\n' % n); os.fsync(f)\n"
)
READ = ("cat", "/data/log")


def new_volume() -> str:
    return volume_id(os.urandom(10))


def new_snapshot() -> str:
    return snapshot_id(os.urandom(10))


def using(site: Site, volume: str, *argv: str, **changes: object) -> MachineSpec:
    mount = (VolumeMount(volume, "/data"),)
    return site.spec(*(argv or ("sleep", "1000")), volumes=mount, **changes)


def shell(site: Site, spec: MachineSpec, line: str) -> str:
    done = site.host.execute(spec.id, ("sh", "-c", line))
    return (done.stdout + done.stderr).decode()


def numbers(text: str) -> list[int]:
    """The numbers that are whole: a copy may hold the beginning of one more."""
    return [int(word) for word in text.split("\n")[:-1]]


def check_disk(site: Site, volume: str) -> None:
    """A copy may need its journal replayed, and nothing else."""
    image = site.cloud.pool / "volumes" / f"{volume}.img"
    done = run(["e2fsck", "-f", "-y", "-E", "journal_only", str(image)], timeout=60, check=False)
    assert done.returncode <= 1, done.stdout.decode()
    done = run(["e2fsck", "-f", "-n", str(image)], timeout=60, check=False)
    assert done.returncode == 0, done.stdout.decode()


@pytest.fixture
def volume(site: Site) -> Iterator[str]:
    made = new_volume()
    site.host.volumes.create(made, 1)
    yield made
    for machine in site.host.observe_all():
        site.host.destroy(machine)
    site.host.volumes.destroy(made)


def test_a_volume_outlives_machines_and_a_stop_resets_the_root(site: Site, volume: str):
    spec = using(site, volume)
    site.host.start(spec)
    shell(site, spec, "echo kept > /data/file; echo lost > /root/file")
    site.host.stop(spec.id, signal="SIGKILL", timeout=0)
    site.host.start(spec)
    assert shell(site, spec, "cat /data/file; ls /root") == "kept\n"
    site.host.destroy(spec.id)
    other = using(site, volume)  # another slot: its root owns the files all the same
    site.host.start(other)
    assert shell(site, other, "cat /data/file; stat -c '%u %U' /data/file; echo more >> /data/file") == (
        "kept\n0 root\n"
    )
    flags = shell(site, other, "grep ' /data ' /proc/mounts").split()[3].split(",")
    assert {"nosuid", "nodev"} <= set(flags)


def test_one_volume_one_machine(site: Site, volume: str):
    spec = using(site, volume)
    site.host.start(spec)
    with pytest.raises(Conflict, match=spec.id):
        site.host.start(using(site, volume))
    with pytest.raises(FailedPrecondition):
        site.host.volumes.destroy(volume)
    assert shell(site, spec, "echo fine > /data/x && cat /data/x") == "fine\n"
    with pytest.raises(NotFound):
        site.host.start(using(site, new_volume()))


def test_a_full_volume_is_the_machines_own_trouble(site: Site, volume: str):
    spec, neighbour = using(site, volume), site.spec("sleep", "1000")
    site.host.start(spec)
    site.host.start(neighbour)
    said = shell(site, spec, "dd if=/dev/zero of=/data/big bs=1M count=2000 oflag=direct")
    assert "No space left on device" in said
    assert site.host.volumes.usage(volume).blocks_avail < 256
    assert shell(site, neighbour, "dd if=/dev/zero of=/root/x bs=1M count=20 2>&1; echo fine").endswith("fine\n")
    assert shell(site, spec, "rm /data/big; echo again > /data/x; cat /data/x") == "again\n"
    assert site.host.observe(spec.id).state is RuntimeState.RUNNING


def test_extended_in_use_and_at_rest(site: Site, volume: str):
    spec = using(site, volume)
    site.host.start(spec)
    shell(site, spec, "echo kept > /data/file")
    assert site.host.volumes.extend(volume, 3) is ONLINE
    if not ONLINE:
        assert shell(site, spec, "echo fine > /data/x; cat /data/x") == "fine\n"
        site.host.stop(spec.id, signal="SIGKILL", timeout=0)
        site.host.start(spec)
    assert os.statvfs(site.cloud.run / "m" / spec.id / "volumes" / volume).f_blocks * 4096 > 2.8 * GB
    assert int(shell(site, spec, "df -B1 --output=size /data | tail -1")) > 2.8 * GB
    site.host.stop(spec.id, signal="SIGKILL", timeout=0)
    site.host.volumes.extend(volume, 7)
    site.host.volumes.extend(volume, 2)  # never smaller
    assert site.host.volumes.usage(volume).bytes_total == 7 * GB
    check_disk(site, volume)
    site.host.start(spec)
    assert int(shell(site, spec, "df -B1 --output=size /data | tail -1")) > 6.7 * GB
    assert shell(site, spec, "cat /data/file") == "kept\n"


def test_copies_under_load_are_a_prefix(site: Site, volume: str):
    spec = using(site, volume, "python3", "-c", COUNT)
    site.host.start(spec)
    copies, kept, times = [], [], []
    for _ in range(3):
        time.sleep(0.3)
        seen = len(numbers(site.host.execute(spec.id, READ).stdout.decode()))
        copies.append((new_volume(), seen))
        kept.append(new_snapshot())
        site.host.volumes.snapshot(volume, kept[-1])
        begin = time.monotonic()
        site.host.volumes.create(copies[-1][0], 1, source_id=volume)
        times.append(time.monotonic() - begin)
    assert sorted(times)[1] < 0.25, times
    after = len(numbers(site.host.execute(spec.id, READ).stdout.decode()))
    time.sleep(0.2)
    assert len(numbers(site.host.execute(spec.id, READ).stdout.decode())) > after  # it still writes: it was thawed
    for snapshot, (_, seen) in list(zip(kept, copies, strict=True)):
        restored = new_volume()
        site.host.volumes.create(restored, 1, snapshot_id=snapshot)
        copies.append((restored, seen))
    for copy, seen in copies:
        check_disk(site, copy)
        reader = using(site, copy)
        site.host.start(reader)
        found = numbers(site.host.execute(reader.id, READ).stdout.decode())
        assert found == list(range(len(found)))
        assert len(found) >= seen
        site.host.destroy(reader.id)
        site.host.volumes.destroy(copy)
    for snapshot in kept:
        site.host.volumes.destroy_snapshot(snapshot)
    used = [path for path in (site.cloud.pool / "snapshots").iterdir()]
    assert used == []


def test_copies_in_the_middle_of_stops_and_starts_are_whole(site: Site, volume: str):
    """Mounting, unmounting and copying the same volume at once: each copy has a clean file system."""
    spec = using(site, volume, "python3", "-c", COUNT)
    done = threading.Event()

    def restless() -> None:
        while not done.is_set():
            site.host.start(spec)
            site.host.stop(spec.id, signal="SIGKILL", timeout=0)

    thread = threading.Thread(target=restless)
    thread.start()
    try:
        for _ in range(6):
            copy = new_volume()
            site.host.volumes.create(copy, 1, source_id=volume)
            check_disk(site, copy)
            site.host.volumes.destroy(copy)
    finally:
        done.set()
        thread.join()


def test_a_fork_may_be_larger(site: Site, volume: str):
    fork = new_volume()
    site.host.volumes.create(fork, 4, source_id=volume)
    assert site.host.volumes.usage(fork).bytes_total == 4 * GB
    check_disk(site, fork)
    site.host.volumes.destroy(fork)


def test_a_suspended_machines_volume_is_copied(site: Site, volume: str):
    spec = using(site, volume, "python3", "-c", COUNT)
    site.host.start(spec)
    time.sleep(0.3)
    site.host.freeze(spec.id)
    fork = new_volume()
    site.host.volumes.create(fork, 1, source_id=volume)
    site.host.thaw(spec.id)
    check_disk(site, fork)
    site.host.volumes.destroy(fork)


def test_nothing_but_volume_ids_becomes_a_path(site: Site):
    from roost.model.errors import BadInput

    for bad in ("../pool", "vol_/../../x", "", "vol_0123456789abcdeF"):
        with pytest.raises(BadInput):
            site.host.volumes.create(bad, 1)
        with pytest.raises(BadInput):
            site.host.volumes.snapshot(bad, new_snapshot())


VICTIM = """
import operator, os, pickle, signal, sys
from roost.host.agent import LocalHost
cloud, verb, arguments, fatal = pickle.load(open(sys.argv[1], "rb"))
def faults(step):
    if step == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
host = LocalHost(cloud, faults, spares=0)
operator.attrgetter(verb)(host)(*arguments[0], **arguments[1])
"""
FORK = ("freeze", "frozen", "copied", "made", "grow", "resize", "resized")
KILLS = (
    [("fork", step) for step in FORK]
    + [("extend", step) for step in ("grow", "resize")]
    + [("snapshot", step) for step in ("freeze", "frozen", "copied")]
    + [("destroy", "destroy"), ("destroy_snapshot", "destroy_snapshot"), ("start", "mount"), ("stop", "unmount")]
)


@pytest.mark.parametrize(("verb", "step"), KILLS)
def test_a_kill_loses_nothing_and_leaves_nothing_frozen(site: Site, volume: str, tmp_path: Path, verb: str, step: str):
    spec = using(site, volume, "python3", "-c", COUNT)
    other, kept = new_volume(), new_snapshot()
    if verb == "destroy":
        site.host.volumes.create(other, 1)
    if verb == "destroy_snapshot":
        site.host.volumes.snapshot(volume, kept)
    if verb != "start":
        site.host.start(spec)
        time.sleep(0.3)
    calls: dict[str, tuple[str, tuple[tuple[object, ...], dict[str, object]]]] = {
        "fork": ("volumes.create", ((other, 2), {"source_id": volume})),
        "extend": ("volumes.extend", ((volume, 2), {})),
        "snapshot": ("volumes.snapshot", ((volume, kept), {})),
        "destroy": ("volumes.destroy", ((other,), {})),
        "destroy_snapshot": ("volumes.destroy_snapshot", ((kept,), {})),
        "start": ("start", ((spec,), {})),
        "stop": ("stop", ((spec.id,), {"signal": "SIGKILL", "timeout": 0})),
    }
    name, arguments = calls[verb]
    orders = tmp_path / "orders"
    orders.write_bytes(pickle.dumps((site.cloud, name, arguments, f"host.volume.{step}")))
    done = run([sys.executable, "-c", VICTIM, str(orders)], timeout=60, check=False)
    assert done.returncode == -9, done.stderr.decode()

    again = site.agent()
    again.ensure()  # as the next roostd does first
    point = site.cloud.run / "m" / spec.id / "volumes" / volume
    if point.is_mount():
        (point / "thawed").touch()  # would wait for ever on a frozen file system
    operator.attrgetter(name)(again)(*arguments[0], **arguments[1])
    assert not [path for path in (site.cloud.pool / "volumes").iterdir() if path.name.startswith(".")]
    if verb == "stop":
        again.start(spec)
    before = len(numbers(again.execute(spec.id, READ).stdout.decode()))
    deadline = time.monotonic() + 10
    while len(found := numbers(again.execute(spec.id, READ).stdout.decode())) == before:
        assert time.monotonic() < deadline, "the machine writes nothing any more"
        time.sleep(0.05)
    assert found == list(range(len(found))) or verb == "stop"
    if verb == "fork":
        assert again.volumes.usage(other).bytes_total == 2 * GB
        check_disk(site, other)
    if verb == "extend" and ONLINE:
        assert os.statvfs(point).f_blocks * 4096 > 1.8 * GB
    again.destroy(spec.id)
    if verb == "extend":
        again.volumes.extend(volume, 2)
        assert again.volumes.usage(volume).bytes_total == 2 * GB
    check_disk(site, volume)
    assert not [image for image in loop.attached() if site.cloud.pool / "volumes" in image.parents]
    if verb in ("fork",):
        again.volumes.destroy(other)
    again.volumes.destroy_snapshot(kept)
    again.close()


def test_a_frozen_volume_does_not_hold_up_a_stop(site: Site, volume: str, tmp_path: Path):
    """As when roostd was killed in a copy and the cloud is taken down by hand before it is back."""
    spec = using(site, volume, "python3", "-c", COUNT)
    site.host.start(spec)
    orders = tmp_path / "orders"
    arguments = ((volume, new_snapshot()), {})
    orders.write_bytes(pickle.dumps((site.cloud, "volumes.snapshot", arguments, "host.volume.frozen")))
    run([sys.executable, "-c", VICTIM, str(orders)], timeout=60, check=False)
    begin = time.monotonic()
    site.host.stop(spec.id, signal="SIGTERM", timeout=0.2)
    assert time.monotonic() - begin < 5
    assert not site.host.observe(spec.id).pid
