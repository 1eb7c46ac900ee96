"""One build step in a machine of its own: limited, followed line by line, and gone afterwards.

Owns the build machine while a step runs; the machine is destroyed on every way out. After a kill of
`roostd` the machine is found by the host's list of machines, where it belongs to no app, and removed.
Secrets are in the machine's environment or in files on memory; lines that show one are masked.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from threading import Event
from typing import Protocol, runtime_checkable

from roost.build.contract import Report
from roost.host.contract import BindMount, LogLine, MachineSpec, Observed, RuntimeState
from roost.model.errors import Conflict, HostFailure, RoostError, TimedOut, Unprocessable

NETWORK = "build"  # build machines reach the internet and each other, no app
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
CA_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
_POLL = 0.05  # seconds between two looks at the machine
_SHOWN_LINES = 20
_MASK_FROM = 6  # characters: shorter secrets would mask ordinary text

Address = Callable[[], tuple[int, IPv4Address, IPv6Address]]


@runtime_checkable
class BuildHost(Protocol):
    """What a build needs of the host agent (see roost.host.contract.Host)."""

    def start(self, spec: MachineSpec) -> Observed:
        """Run the machine's main process."""

    def observe(self, machine_id: str) -> Observed:
        """Look at it."""

    def logs(self, machine_id: str, *, since: float = 0.0, offset: int = 0, limit: int = 1000) -> list[LogLine]:
        """Read its output from `offset` on."""

    def stop(self, machine_id: str, *, signal: str, timeout: float) -> Observed:
        """End it."""

    def destroy(self, machine_id: str) -> None:
        """Remove all of it."""

    def upper(self, machine_id: str) -> AbstractContextManager[Path]:
        """Give its writable layer once it has ended."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a build may use. `deadline` is seconds for one step."""

    memory_mb: int = 2048
    cpus: float = 2.0
    pids: int = 2048
    disk_gb: int = 10
    deadline: float = 1800.0


@dataclass(frozen=True, slots=True)
class Step:
    """Commands to run on layers. `what` says in words what it is for; `masked` are values never to be shown."""

    machine_id: str
    app: str
    what: str
    layers: tuple[Path, ...]  # lowest first
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    cwd: str = "/"
    binds: tuple[BindMount, ...] = ()
    masked: tuple[str, ...] = field(default=(), repr=False)
    builder: bool = False


class BuildMachines:
    """Runs build steps on a host."""

    def __init__(self, host: BuildHost, address: Address, limits: Limits) -> None:
        self._host, self._address, self._limits = host, address, limits

    @contextmanager
    def run(self, step: Step, report: Report, cancelled: Event) -> Iterator[Path]:
        """Run a step and give the directory of what it changed, in overlay form, for the length of the block.

        Raises Unprocessable when the commands fail, TimedOut at the deadline, Conflict when cancelled.
        """
        if cancelled.is_set():
            raise Conflict("the build was cancelled", code="cancelled")
        lines: list[str] = []

        def show(text: str) -> None:
            for secret in step.masked:
                if len(secret) >= _MASK_FROM:
                    text = text.replace(secret, "***")
            lines.append(text)
            del lines[:-_SHOWN_LINES]
            report(text)

        self._host.destroy(step.machine_id)  # what a killed roostd left of the same build
        try:
            self._host.start(self._spec(step))
            ended = self._follow(step, show, cancelled)
            if ended.last_exit is None or ended.last_exit.exit_code or ended.last_exit.signal:
                raise self._failure(step, ended, lines)
            with self._host.upper(step.machine_id) as upper:
                yield upper
        finally:
            with suppress(RoostError):
                self._host.stop(step.machine_id, signal="SIGKILL", timeout=0.0)
            self._host.destroy(step.machine_id)

    def _spec(self, step: Step) -> MachineSpec:
        slot, ipv4, ipv6 = self._address()
        env = dict(step.env)
        binds = step.binds
        if CA_BUNDLE.exists():
            binds += (BindMount(CA_BUNDLE.resolve(), str(CA_BUNDLE)),)
            env |= {name: str(CA_BUNDLE) for name in CA_VARIABLES}
        limits = self._limits
        return MachineSpec(
            id=step.machine_id, app=step.app, slot=slot, network=NETWORK, ipv4=ipv4, ipv6=ipv6, hostname="build",
            layers=step.layers, argv=step.argv, env=env, cwd=step.cwd, memory_mb=limits.memory_mb, cpus=limits.cpus,
            pids=limits.pids, disk_gb=limits.disk_gb, stop_signal="SIGKILL", binds=binds, builder=step.builder,
        )  # fmt: skip

    def _follow(self, step: Step, show: Report, cancelled: Event) -> Observed:
        """Show the output until the machine has ended, and return how it is then."""
        deadline = time.monotonic() + self._limits.deadline
        offset = 0
        while True:
            seen = self._host.observe(step.machine_id)
            running = seen.state in (RuntimeState.RUNNING, RuntimeState.FROZEN)
            while lines := self._host.logs(step.machine_id, offset=offset):
                for line in lines:
                    show(line.text.rsplit("\r", 1)[-1].rstrip() if line.text else "")
                offset = max(offset, lines[-1].offset)
                if running:
                    break
            if not running:
                return seen
            if cancelled.wait(_POLL):
                raise Conflict("the build was cancelled", code="cancelled")
            if time.monotonic() > deadline:
                raise TimedOut(
                    f"{step.what} did not end within {self._limits.deadline:g} s",
                    hint="see where it hangs in the lines above; a build must not wait for input",
                )

    def _failure(self, step: Step, ended: Observed, lines: list[str]) -> RoostError:
        how = ended.last_exit
        if how is None:
            return HostFailure(
                f"the build machine ended and its exit code is unknown ({step.what})", hint="deploy again"
            )
        tail = "".join(f"\n  {line}" for line in lines)
        return Unprocessable(
            f"{step.what} failed: it {how.describe()}{tail}",
            hint=failure_hint(how.exit_code, how.oom_killed or how.signal == 9, lines, self._limits),
            code="build_failed",
        )


def failure_hint(code: int, killed: bool, lines: list[str], limits: Limits) -> str:
    """Guess from how a step ended what the user can do about it."""
    text = "\n".join(lines).lower()
    if killed or code == 137:
        return f"it was killed, most likely for using more than the {limits.memory_mb} MB that a build has"
    if "no space left on device" in text:
        return f"the build's disk of {limits.disk_gb} GB is full: keep large files out of the source and the image"
    if "temporary failure in name resolution" in text or "could not resolve host" in text or "eai_again" in text:
        return "a name could not be resolved: check this server's network and DNS (roost doctor)"
    if code == 127 or "command not found" in text:
        return "a program is missing in the base image: bring it by a Dockerfile, or change the command in roost.toml"
    return "the lines above are the last of its output; the same commands can be tried with a Dockerfile or locally"


def scrub(upper: Path, mount_points: tuple[str, ...]) -> None:
    """Remove from a step's result what no machine needs: temporary files, download caches, empty mount points."""
    for path in ("tmp", "var/tmp", "run", "root/.cache", "root/.npm", "var/cache/apt", "var/lib/apt/lists"):
        _clear(upper, path)
    for target in (*mount_points, str(CA_BUNDLE)):
        directory = _descend(upper, target.strip("/"))
        if directory is not None:
            with suppress(OSError):
                directory.rmdir() if directory.is_dir() else _unlink_empty(directory)


def _unlink_empty(path: Path) -> None:
    if path.is_file() and path.stat().st_size == 0:
        path.unlink()


def _descend(root: Path, path: str) -> Path | None:
    """Return root/path when every step on the way is a real directory: the tree is a stranger's."""
    here = root
    for part in Path(path).parts:
        if here.is_symlink() or not here.is_dir():
            return None
        here = here / part
    return None if here.is_symlink() or not here.exists() else here


def _clear(root: Path, path: str) -> None:
    directory = _descend(root, path)
    if directory is None or not directory.is_dir():
        return
    for child in directory.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child, ignore_errors=True)
        else:
            child.unlink(missing_ok=True)
