"""Whether this host can carry a cloud, and what to do where it can't.

`diagnose` looks and tries; it changes nothing on the host and owns no state. Each finding stands
alone: a check that breaks becomes a failed finding with its reason, and the others still run.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from roost.host import doctor_kernel, doctor_network, gvisor
from roost.host.finding import PATIENCE, Finding, fail, ok, warn
from roost.host.process import run
from roost.model.errors import RoostError

__all__ = ["Finding", "diagnose"]

_GB = 1 << 30
MIN_DISK, GOOD_DISK = 5 * _GB, 20 * _GB  # free bytes where ROOST_HOME lies; images and disks share them
MIN_MEMORY, GOOD_MEMORY = 512 << 20, 1 * _GB  # available bytes

# program, option that prints its version, lowest version that is known to do, Debian package, what it is for.
# Without an option it only has to be there: mmdebstrap takes longer to say its version than all other checks together.
TOOLS = (
    ("crun", "--version", (1, 8), "crun", "runs machines"),
    ("conmon", "--version", (2, 1), "conmon", "watches machines and writes their logs"),
    ("skopeo", "--version", (1, 9), "skopeo", "copies images from registries"),
    ("mmdebstrap", "", (), "mmdebstrap", "makes the base image"),
    ("nft", "--version", (1, 0, 2), "nftables", "keeps private networks apart"),
    ("mkfs.xfs", "-V", (5, 1), "xfsprogs", "makes the pool; reflinks are the default from 5.1 on"),
    ("mkfs.ext4", "-V", (1, 46), "e2fsprogs", "makes disks"),
    ("losetup", "--version", (2, 36), "mount", "attaches disks"),
    ("tcc", "", (), "tcc", "compiles the edge's filters"),
)


def diagnose(http_port: int, api_port: int, home: Path) -> list[Finding]:
    """Look at everything a cloud needs of this host, all at once, since `roost up` waits. `home` need not exist yet."""
    checks: list[tuple[str, Callable[[], list[Finding]]]] = [
        ("root", lambda: [_root()]),
        ("kernel", doctor_kernel.findings),
        ("programs", _tools),
        ("disk space", lambda: [_disk(home)]),
        ("memory", lambda: [_memory()]),
        ("network", lambda: doctor_network.findings(http_port, api_port)),
    ]

    def carry_out(named: tuple[str, Callable[[], list[Finding]]]) -> list[Finding]:
        name, check = named
        try:
            return check()
        except (RoostError, OSError, ValueError) as error:
            return [fail(name, f"could not be checked: {error}", "report this")]

    with ThreadPoolExecutor(len(checks)) as pool:
        return [finding for findings in pool.map(carry_out, checks) for finding in findings]


def _root() -> Finding:
    if os.geteuid() == 0:
        return ok("root", "running as root")
    return fail("root", "not running as root: namespaces, mounts and links need it", "run it with sudo")


def _tools() -> list[Finding]:
    return [*(_tool(*tool) for tool in TOOLS), _gvisor()]


def _gvisor() -> Finding:
    program = gvisor.program()
    if program is None:
        return warn("gvisor", 'missing; machines with isolation = "gvisor" can\'t run here', gvisor.INSTALL)
    release = gvisor.released(program)
    if release < gvisor.OLDEST:
        return warn("gvisor", f"{program} is of {release or 'an unknown date'}, older than tried", gvisor.INSTALL)
    return ok("gvisor", f"{program} of {release}, platform {gvisor.PLATFORM}")


def _tool(program: str, option: str, lowest: tuple[int, ...], package: str, purpose: str) -> Finding:
    install = f"apt install {package}"
    if shutil.which(program, path=os.defpath + ":/usr/sbin:/sbin:/usr/local/bin:/usr/local/sbin") is None:
        return fail(program, f"missing; it {purpose}", install)
    if not option:
        return ok(program, "there")
    done = run([program, option], timeout=PATIENCE, check=False)
    text = (done.stdout + done.stderr).decode(errors="replace").strip()
    version = parse_version(text)
    if done.returncode or not version:
        first = text.splitlines()[0] if text else "nothing"
        return fail(program, f"does not run: it said {first[:200]}", f"apt install --reinstall {package}")
    shown = ".".join(map(str, version))
    if version < lowest:
        return warn(program, f"version {shown} is older than {'.'.join(map(str, lowest))}", install)
    return ok(program, f"version {shown}")


def parse_version(text: str) -> tuple[int, ...]:
    """Return the first dotted number in a program's own words, or () when there is none."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(map(int, found.group().split("."))) if found else ()


def _disk(home: Path) -> Finding:
    place = home
    while not place.exists():
        place = place.parent
    return judge_amount(
        "disk space", shutil.disk_usage(place).free, MIN_DISK, GOOD_DISK, f"free at {place}",
        "free some space, or set ROOST_HOME to a bigger file system",
    )  # fmt: skip


def _memory() -> Finding:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    available = int(found.group(1)) * 1024 if found else 0
    return judge_amount("memory", available, MIN_MEMORY, GOOD_MEMORY, "available", "end other programs or add memory")


def judge_amount(name: str, amount: int, least: int, good: int, what: str, fix: str) -> Finding:
    """Judge an amount of bytes: fails below `least`, warns below `good`."""
    detail = f"{amount / _GB:.1f} GB {what}"
    if amount < least:
        return fail(name, f"{detail}; at least {least / _GB:.1f} GB are needed", fix)
    if amount < good:
        return warn(name, f"{detail}; {good / _GB:.0f} GB are advisable", fix)
    return ok(name, detail)
