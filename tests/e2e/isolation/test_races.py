"""A machine that swaps its paths for links while the host reads and writes them leads the host nowhere out of itself.

The links lead, absolutely and by way of `..`, to a directory of the host. Nothing in it may be known inside, and
nothing may change. Looking users up in such a machine is in tests/e2e/host/test_root_files.py.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.cloud.conftest import wait_until
from tests.e2e.isolation.conftest import ISOLATIONS, Arena
from tests.e2e.isolation.test_bombs import FLOOR, TIMES, neighbour, typical

__all__ = ["neighbour"]

# Exchanges /race/a, a directory, with /race/b, a link, as quickly as it can, in two processes: at once (renameat2 with
# RENAME_EXCHANGE, which gVisor doesn't have), and in three steps. /race/c leads to each of the host's places in turn.
RACE = """
    my ($to, $n) = ("%s", fork ? 1 : 0); my @links = ($to, "../../../../../../../.." . $to, "/proc/1/root" . $to);
    my ($a, $b, $mine) = ("/race/a", "/race/b", "/race/n$$");
    while (1) {
        syscall(316, -100, $a, -100, $b, 2); rename $a, $mine; rename $b, $a; rename $mine, $b;
        next if ++$n %% 100; symlink $links[$n / 100 %% 3], $mine; rename $mine, "/race/c";
    }
"""
PREPARE = """
    mkdir -p /race/a && cp /etc/passwd /race/a && ln -s {outside} /race/b && ln -s {outside} /race/c || exit 1
    perl -e '{race}' > /dev/null 2>&1 &
"""


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host that everyone may read and write."""
    for place in (tmp_path, *tmp_path.parents):
        if place != Path("/tmp") and place.is_relative_to("/tmp"):
            place.chmod(place.stat().st_mode | 0o011)
    place = tmp_path / "outside"
    place.mkdir()
    place.chmod(0o777)
    (place / "passwd").write_text("thief:x:4242:4242::/:/bin/sh\n")
    (place / "victim").write_text("untouched")
    for file in place.iterdir():
        file.chmod(0o666)
    before = {file.name: file.read_text() for file in place.iterdir()}
    yield place
    assert {file.name: file.read_text() for file in place.iterdir()} == before, "something led out of the machine"


def begin_race(arena: Arena, machine: str, outside: Path, where: str = "/race") -> None:
    script = PREPARE.format(outside=outside, race=RACE % outside).replace("/race", where)
    done = arena.sh(machine, script)
    assert done["exit_code"] == 0, done


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_files_are_copied_inside(arena: Arena, outside: Path, tmp_path: Path, isolation: str) -> None:
    machine = arena.machine(isolation)
    roost, options = arena.cloud.roost, ("-a", arena.app, "--machine", machine)
    (tmp_path / "planted").write_text("planted")
    try:
        begin_race(arena, machine, outside)
        for name in ("a/passwd", "c/passwd", "c/victim"):
            target = tmp_path / name.replace("/", "-")
            roost("ssh", "sftp", "get", f"/race/{name}", str(target), *options, check=False)
            assert not target.exists() or "thief" not in target.read_text()
            assert not target.exists() or "untouched" not in target.read_text()
        roost("ssh", "sftp", "put", str(tmp_path / "planted"), "/race/a/planted", *options, check=False)
        roost("ssh", "sftp", "put", str(tmp_path / "planted"), "/race/c/victim", *options, check=False)
    finally:
        arena.destroy(machine)


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_volume_is_copied_while_its_paths_move(arena: Arena, neighbour: str, outside: Path, isolation: str) -> None:
    through_edge = lambda: arena.cloud.get(neighbour).status_code  # noqa: E731
    calm = typical(through_edge)
    api, at = arena.cloud.api, f"/apps/{arena.app}/volumes"
    made = api("POST", at, json={"name": "race", "size_gb": 1})
    assert made.status_code == 200, made.text
    volume = made.json()["id"]
    machine = arena.machine(isolation, mounts=[{"volume": volume, "path": "/data"}])
    try:
        begin_race(arena, machine, outside, "/data/race")
        arena.sh(machine, "cp /bin/cat /data/cat && chmod 6755 /data/cat && sync")
        for _ in range(3):
            assert api("POST", f"{at}/{volume}/snapshots").status_code == 200
        fork = api("POST", at, json={"name": "race", "source_volume_id": volume})
        assert fork.status_code == 200, fork.text
        extended = api("PUT", f"{at}/{volume}/extend", json={"size_gb": 2})
        assert extended.status_code == 200, extended.text
        during = typical(through_edge)
        print(f"{isolation}: edge {calm * 1e3:.0f} -> {during * 1e3:.0f} ms")
        assert during < max(calm * TIMES, FLOOR)
        found = {path.name: path.lstat() for path in on_host(machine, volume).iterdir()}
        assert found["cat"].st_mode & 0o6000, "its set-user-id program is there"
        assert not [name for name in found if found[name].st_mode & 0o6000 and name != "cat"]
        place = on_host(machine, volume)
        assert os.statvfs(place).f_flag & (os.ST_NOSUID | os.ST_NODEV) == os.ST_NOSUID | os.ST_NODEV
        assert place.parent.stat().st_mode & 0o777 == 0o700, "and nobody but root comes by it here"
    finally:
        arena.destroy(machine)
        wait_until(lambda: api("DELETE", f"{at}/{volume}").status_code == 200, "the volume is given up")
        api("DELETE", f"{at}/{fork.json()['id']}")


def on_host(machine: str, volume: str) -> Path:
    return next(Path("/run/roost").glob(f"*/m/{machine}/volumes/{volume}"))


def test_files_are_written_into_a_root_full_of_links(arena: Arena, outside: Path) -> None:
    """A root that outlives a restart: what an earlier run left there is in the way of the host's own writes."""
    link = {"guest_path": "/etc/apt/planted", "raw_value": "cGxhbnRlZA=="}
    machine = arena.machine("crun", rootfs={"size_gb": 1, "persist": "always"}, files=[link])
    try:
        arena.sh(
            machine, f"rm -rf /etc/apt && ln -s {outside} /etc/apt; cp -a /etc /e; rm -rf /etc; ln -s /e /etc; sync"
        )
        at = f"/apps/{arena.app}/machines/{machine}"
        assert arena.cloud.api("POST", f"{at}/restart", json={"timeout": "1s"}).status_code in (200, 400, 422)
        wait_until(lambda: arena.state(machine) in ("started", "stopped", "failed"), "it has come to rest")
        assert arena.get(machine)["events"], "it is known what became of it"
    finally:
        arena.destroy(machine)


def test_the_door_to_its_api_is_not_the_machines(arena: Arena, outside: Path) -> None:
    machine = arena.machine("crun")
    try:
        for attempt in ("rm /.fly/api", f"ln -s {outside}/victim /.fly/api.new", "mv /.fly /fly", "touch /.roost/x",
                        "chmod 777 /.fly", f"ln -sfn {outside} /.fly/api"):  # fmt: skip
            assert arena.sh(machine, attempt)["exit_code"] != 0, attempt
        asked = "use IO::Socket::UNIX; print IO::Socket::UNIX->new('/.fly/api') ? 'open' : 'shut'"
        assert arena.sh(machine, f'perl -e "{asked}"')["stdout"] == "open"
    finally:
        arena.destroy(machine)


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_who_enters_a_machine_by_its_own_program_is_not_overwritten(arena: Arena, isolation: str) -> None:
    """CVE-2019-5736: a command that is the runtime itself, while others try to write the file that it runs from."""
    found = shutil.which("crun" if isolation == "crun" else "runsc")
    assert found is not None
    runtime = Path(found)
    before = hashlib.sha256(runtime.read_bytes()).digest()
    machine = arena.machine(isolation)
    writer = """
        $SIG{CHLD} = "IGNORE"; fork; fork; open(my $log, ">>", "/won");
        while (1) { for (glob "/proc/[0-9]*/exe") { my $l = readlink $_ or next; next unless $l =~ /crun|runsc|memfd/;
            if (open(my $f, "+<", $_) or open($f, ">>", $_)) { syswrite $log, "$l\\n" } } }
    """
    try:
        script = (
            "printf '#!/proc/self/exe\\n' > /bin/evil; chmod 755 /bin/evil; perl -e '" + writer.replace("'", "") + "' &"
        )
        assert arena.sh(machine, script)["exit_code"] == 0
        for _ in range(10 if isolation == "crun" else 3):
            for program in ("/bin/evil", "/proc/self/exe"):
                answer = arena.exec(machine, program, timeout=5)
                assert answer.status_code < 500, answer.text
        assert arena.sh(machine, "cat /won")["stdout"] == ""
        assert hashlib.sha256(runtime.read_bytes()).digest() == before
    finally:
        arena.destroy(machine)
