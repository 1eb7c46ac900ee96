"""Files put into machines, roots that are kept, weights: on the real runtime, with hostile images."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tests.e2e.host.conftest import Site

from roost.host.contract import FileInside, MachineSpec
from roost.model.errors import BadInput


def run(site: Site, spec: MachineSpec, script: str) -> str:
    done = site.host.execute(spec.id, ("sh", "-c", script))
    assert done.exit_code == 0, done.stderr
    return done.stdout.decode().strip()


def test_files_are_there_with_their_modes_and_secrets_on_no_disk(site: Site):
    word = os.urandom(16).hex()
    spec = site.spec(
        "sleep",
        "1000",
        files=(
            FileInside("/srv/new/deep/a.conf", b"plain\n", 0o640),
            FileInside("/etc/app.conf", b"x"),
            FileInside("/var/run/pid.conf", b"through a link"),
            FileInside("/run/secrets/key", word.encode(), 0o400, secret=True),
        ),
    )
    site.host.start(spec)
    assert run(site, spec, "cat /srv/new/deep/a.conf; stat -c %a:%u:%g /srv/new/deep/a.conf") == "plain\n640:0:0"
    assert run(site, spec, "cat /run/pid.conf") == "through a link"
    assert run(site, spec, "echo more >> /etc/app.conf; mv /etc/app.conf /etc/b; cat /etc/b") == "xmore"
    assert run(site, spec, "cat /run/secrets/key; stat -c :%a:%u /run/secrets/key") == f"{word}:400:0"
    assert site.host.execute(spec.id, ("sh", "-c", "echo no > /run/secrets/key")).exit_code != 0
    disk = site.cloud.pool / "disks" / f"{spec.id}.img"
    os.sync()
    assert word.encode() not in disk.read_bytes(), "a secret is on the machine's disk"
    site.host.destroy(spec.id)


def test_links_in_an_image_lead_nowhere_but_into_the_machine(site: Site, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("untouched")
    layer = tmp_path / "layer"
    layer.mkdir()
    for name, target in (("up", "../../../../../../" + str(outside)), ("abs", str(outside)), ("dangling", "/nowhere")):
        (layer / name).symlink_to(target)
    (layer / "last").symlink_to(outside / "victim")
    (layer / "fifo").mkdir()
    os.mkfifo(layer / "fifo" / "f")
    tmp_path.chmod(0o755)

    def start(*files: FileInside) -> MachineSpec:
        spec = site.spec("sleep", "1000", layers=(site.base, layer), files=files)
        try:
            site.host.start(spec)
        except BaseException:
            site.host.destroy(spec.id)
            raise
        return spec

    for path in ("/dangling/f", "/last/f", "/etc"):
        with pytest.raises(BadInput, match="files"):
            start(FileInside(path, b"x"))
    spec = start(FileInside("/last", b"new"), FileInside("/fifo/f", b"new"))
    assert run(site, spec, "cat /last /fifo/f") == "newnew"
    site.host.destroy(spec.id)
    inside = f"{outside}/planted"
    for way in ("up", "abs"):
        try:
            spec = start(FileInside(f"/{way}/planted", b"x"), FileInside(f"/{way}/secret", b"y", secret=True))
        except BadInput:
            continue
        assert run(site, spec, f"cat {inside}") == "x", "it is in the machine's own tree"
        site.host.destroy(spec.id)
    assert sorted(p.name for p in outside.iterdir()) == ["victim"]
    assert (outside / "victim").read_text() == "untouched"


def test_a_kept_root_lasts_and_never_meets_another_image(site: Site, tmp_path: Path):
    keep = {"keep_root": True}
    spec = site.spec("sleep", "1000", **keep)
    site.host.start(spec)
    run(site, spec, "echo kept > /root/note; rm -rf /etc/hosts; mv /etc /etc-old; ln -s /root /etc")
    site.host.stop(spec.id, signal="SIGKILL", timeout=0, keep_root=True)
    site.agent().start(spec)
    assert run(site, spec, "cat /root/note; stat -c %F /etc; head -1 /etc/hosts") == (
        "kept\ndirectory\n127.0.0.1\tlocalhost"
    )
    site.host.stop(spec.id, signal="SIGKILL", timeout=0, keep_root=True)
    other = tmp_path / "layer"
    other.mkdir()
    tmp_path.chmod(0o755)
    changed = site.spec("sleep", "1000", id=spec.id, layers=(site.base, other), **keep)
    site.host.start(changed)
    assert run(site, changed, "ls /root/note 2>&1 || true").startswith("ls: cannot access")
    site.host.stop(spec.id, signal="SIGKILL", timeout=0)
    assert not (site.cloud.pool / "disks" / f"{spec.id}.img").exists()
    site.host.destroy(spec.id)


def test_a_shared_processor_weighs_less(site: Site):
    spec = site.spec("sleep", "1000", cpus=1.0, cpu_weight=1 / 16)
    site.host.start(spec)
    for group in Path("/sys/fs/cgroup").glob(f"*/{site.cloud.cgroup}/{spec.id}/cpu.shares"):
        assert int(group.read_text()) == 64
    for group in Path("/sys/fs/cgroup").glob(f"{site.cloud.cgroup}/{spec.id}/cpu.weight"):
        assert int(group.read_text()) < 10
    site.host.destroy(spec.id)


def test_swap_is_refused_where_there_is_none(site: Site):
    if any(
        line.startswith("SwapTotal:") and line.split()[1] != "0"
        for line in Path("/proc/meminfo").read_text().splitlines()
    ):
        spec = site.spec("sleep", "1000", swap_mb=64)
        site.host.start(spec)
        site.host.destroy(spec.id)
        return
    with pytest.raises(BadInput, match="swap_size_mb"):
        site.host.start(site.spec("sleep", "1000", swap_mb=64))


# Exchanges a directory with a link, as quickly as it can, at once (renameat2 with RENAME_EXCHANGE, which gVisor doesn't
# have) and step by step: `..` on the way to it makes the kernel unsure where it is.
SWAP = """
    fork; my ($a, $b, $c) = ("/race/a", "/race/b", "/race/c$$");
    while (1) { syscall(316, -100, $a, -100, $b, 2); rename $a, $c; rename $b, $a; rename $c, $b }
"""
PREPARE = """
    mkdir -p /race/a /race/x && cp /etc/passwd /etc/group /race/a && ln -s {outside} /race/b || exit 1
    echo 'owner:x:77:77::/:/bin/sh' >> /race/a/passwd
    for name in passwd group; do rm /etc/$name && ln -s /race/x/../a/../a/$name /etc/$name || exit 1; done
    perl -e '{swap}' > /dev/null 2>&1 &
"""


@pytest.mark.parametrize("isolation", ["crun", "gvisor"])
def test_users_are_looked_up_inside_while_paths_are_swapped_for_links(site: Site, tmp_path: Path, isolation: str):
    (tmp_path / "passwd").write_text("owner:x:4242:4242::/:/bin/sh\nthief:x:4242:4242::/:/bin/sh\n")
    tmp_path.chmod(0o755)
    spec = site.spec("sleep", "1000", isolation=isolation)
    site.host.start(spec)
    try:
        run(site, spec, PREPARE.format(outside=tmp_path, swap=SWAP))
        seen = set()
        deadline = time.monotonic() + (2 if isolation == "crun" else 4)
        while time.monotonic() < deadline:
            with pytest.raises(BadInput, match="no user 'thief'"):
                site.host.execute(spec.id, ("id", "-u"), user="thief")
            try:
                seen.add(site.host.execute(spec.id, ("id", "-u"), user="owner").stdout)
            except BadInput:
                seen.add(b"")
        assert seen == {b"", b"77\n"}, "the race was on: now the directory was there, now the link"
    finally:
        site.host.destroy(spec.id)
