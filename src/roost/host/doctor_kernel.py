"""The doctor's look at the kernel: what can be tried without leaving a trace is tried, the rest is read.

Trying happens in throwaway namespaces, which vanish with the program that was started in them.
"""

from __future__ import annotations

import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from roost.host.finding import PATIENCE, Finding, fail, ok, warn
from roost.host.nftables import Rules, render
from roost.host.process import run

IDMAPPED_OVERLAY = (5, 19)  # the first kernel with idmapped mounts below overlayfs
CONTROLLERS = ("cpu", "memory", "pids", "freezer")  # of cgroup v1; v2 freezes without a controller
_MODULES = Path("/lib/modules")


def findings() -> list[Finding]:
    """Return one finding for each kernel feature that machines need."""
    return [
        _version(os.uname().release),
        _user_namespaces(),
        _file_system("overlay", "machines' roots"),
        _file_system("xfs", "the pool with its reflinks"),
        _file_system("ext4", "disks"),
        _loop_devices(),
        _virtual_links(),
        _packet_rules(),
        *cgroup_findings(
            Path("/proc/mounts").read_text(),
            Path("/proc/cgroups").read_text() if Path("/proc/cgroups").exists() else "",
            _v2_controllers(),
        ),
    ]


def _version(release: str) -> Finding:
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    if numbers >= IDMAPPED_OVERLAY:
        return ok("kernel", f"Linux {release}: idmapped mounts work below overlayfs")
    return fail("kernel", f"Linux {release} has no idmapped mounts below overlayfs", "install Linux 5.19 or newer")


def _user_namespaces() -> Finding:
    name = "user namespaces"
    if run(["unshare", "--user", "true"], timeout=PATIENCE, check=False).returncode == 0:
        return ok(name, "can be made")
    return fail(
        name,
        "can't be made: root in a machine would be root outside",
        "sysctl user.max_user_namespaces=65536. In a chroot the kernel makes none, whatever that says",
    )


def _file_system(kind: str, purpose: str) -> Finding:
    if kind in Path("/proc/filesystems").read_text().split():
        return ok(f"{kind} file system", "in the kernel")
    if any((_MODULES / os.uname().release).glob(f"kernel/fs/**/{kind}*.ko*")):
        return ok(f"{kind} file system", "there as a module, loaded when first used")
    return fail(f"{kind} file system", f"not in this kernel; needed for {purpose}", f"install a kernel with {kind}")


def _loop_devices() -> Finding:
    if Path("/dev/loop-control").exists():
        return ok("loop devices", "available")
    return fail("loop devices", "/dev/loop-control is missing, so disks can't be mounted", "modprobe loop")


def _virtual_links() -> Finding:
    for kind in (["veth", "peer", "name", "second"], ["bridge"]):
        words = ["unshare", "--net", "ip", "link", "add", "name", "first", "type", *kind]
        done = run(words, timeout=PATIENCE, check=False)
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip()[-200:]
            return fail("virtual links", f"can't make a {kind[0]} link: {reason}", f"modprobe {kind[0]}")
    return ok("virtual links", "veth and bridge work")


def _packet_rules() -> Finding:
    """Let the kernel check the very rules of a cloud, without loading them, in a namespace of its own."""
    rules = Rules("roost_doctor", "roostdoctor", IPv4Network("10.0.0.0/16"), IPv6Network("fdaa::/48"))
    done = run(
        ["unshare", "--net", "nft", "--check", "-f", "-"], input=render(rules).encode(), timeout=PATIENCE, check=False
    )
    if done.returncode == 0:
        return ok("nftables", "the kernel takes the rules of a cloud")
    reason = done.stderr.decode(errors="replace").strip()[:300]
    return fail(
        "nftables", f"the rules of a cloud are refused: {reason}", "install a kernel with nf_tables and nft_fib"
    )


def _v2_controllers() -> str:
    for place in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        path = Path(place, "cgroup.controllers")
        if path.exists():
            return path.read_text()
    return ""


def cgroup_findings(mounts: str, cgroups: str, v2_controllers: str) -> list[Finding]:
    """Judge the cgroup hierarchies from /proc/mounts, /proc/cgroups and cgroup.controllers. Pure."""
    lines = [fields for fields in (line.split() for line in mounts.splitlines()) if len(fields) > 3]
    v1 = {option for fields in lines if fields[2] == "cgroup" for option in fields[3].split(",")}
    v2 = any(fields[2] == "cgroup2" for fields in lines)
    if not v1:
        if not v2:
            return [fail("cgroups", "no hierarchy is mounted", "mount -t cgroup2 none /sys/fs/cgroup")]
        missing = [c for c in CONTROLLERS if c != "freezer" and c not in v2_controllers.split()]
        if missing:
            return [fail("cgroups", f"v2 without {', '.join(missing)}", "enable them in the parent's subtree_control")]
        return [ok("cgroups", "v2 with cpu, memory and pids")]
    missing = [c for c in CONTROLLERS if c not in v1]
    if missing:
        fix = f"mount -t cgroup -o {missing[0]} cgroup /sys/fs/cgroup/{missing[0]}"
        return [fail("cgroups", f"v1 without {', '.join(missing)}", fix)]
    found = [ok("cgroups", "v1" + (" hybrid" if v2 else "") + " with " + ", ".join(CONTROLLERS))]
    enabled = {fields[0] for fields in map(str.split, cgroups.splitlines()) if len(fields) == 4 and fields[3] == "1"}
    if v2 and "hugetlb" in enabled and "hugetlb" not in v1:
        found.append(
            warn(
                "cgroup hugetlb",
                "this controller is in v2 while the others are in v1, at which crun refuses to start",
                "`roost up` mounts it in v1; by hand: mkdir -p /sys/fs/cgroup/hugetlb && "
                "mount -t cgroup -o hugetlb cgroup /sys/fs/cgroup/hugetlb",
            )
        )
    return found
