"""User and network namespaces of machines, and the user namespaces that map ids on mounts.

State: files in a machine's run directory, each pinning a namespace by a bind mount of /proc/PID/ns/*.
A namespace is born in a holder, a program that waits at a pipe from roostd and so ends with it: nothing
unpinned survives roostd. What does not depend on the machine (the pair itself, the veth) is made ahead
of time in the background; the id map is written at use. Invariant: the network namespace belongs to
the user namespace, so a machine may mount its own /sys. After a kill half-way `unpin` clears the pins.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from roost.host import mounts
from roost.host.process import Holder, hold
from roost.host.spares import Spares
from roost.model.errors import HostFailure

IDS = 65536  # uids and gids per machine
_UID_BASE = 1_000_000
_OWNERS = 1 << 20
_UID_LIMIT = 2**32 - 2 - _OWNERS  # above it: ids that own user namespaces and nothing else
_BORN = b"born\n"


def uid_base(slot: int) -> int:
    """Return the host uid (and gid) that is root inside the machine on `slot`."""
    base = _UID_BASE + slot * IDS
    if slot < 0 or base + IDS >= _UID_LIMIT:
        raise HostFailure(f"slot {slot} has no uid range: slots go from 0 to {(_UID_LIMIT - _UID_BASE) // IDS - 1}")
    return base


class NamespacePair:
    """A user namespace without a map yet, and a network namespace that belongs to it."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder

    @property
    def network(self) -> Path:
        """Where the network namespace can be opened while it isn't pinned."""
        return Path(f"/proc/{self._holder.pid}/ns/net")

    def pin(self, slot: int, user: Path, network: Path) -> None:
        """Map the ids of `slot`, pin both namespaces on files, which are made, and let the holder go."""
        _write_maps(self._holder.pid, f"0 {uid_base(slot)} {IDS}\n")
        for kind, target in (("user", user), ("net", network)):
            target.touch(mode=0o600)
            mounts.bind(Path(f"/proc/{self._holder.pid}/ns/{kind}"), target)
        self._holder.close()

    def close(self) -> None:
        """Give up an unpinned pair."""
        self._holder.close()


class Namespaces:
    """Makes namespaces, and keeps up to `spare` pairs ready.

    `on_pair(network, name)` is called once per new pair, in the background where possible: it puts the
    veth in. `on_discard(name)` undoes it for a pair that was never used.
    """

    def __init__(
        self,
        *,
        spare: int = 0,
        on_pair: Callable[[Path, str], None] = lambda _path, _name: None,
        on_discard: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._on_pair = on_pair
        self._on_discard = on_discard
        self._pairs = Spares(self._make, self._discard, number=spare, name="namespaces")
        self._maps = Spares(lambda: _born(user_only=True), Holder.close, number=spare, name="id maps")

    def take(self) -> tuple[NamespacePair, str]:
        """Return a pair and the name its network end was prepared under."""
        return self._pairs.take() or self._make()

    def idmap(self, slot: int) -> int:
        """Return a descriptor of a user namespace for idmapped mounts of the machine on `slot`.

        It has one id more than the machine's own: host root, so that the overlay, which is mounted by
        host root, can make its work files.
        """
        holder = self._maps.take() or _born(user_only=True)
        try:
            _write_maps(holder.pid, f"0 {uid_base(slot)} {IDS}\n{IDS} 0 1\n")
            return os.open(f"/proc/{holder.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            holder.close()

    def refill(self, *, after: float = 0.0) -> None:
        """Bring the spares up to their number in the background, `after` seconds from now. Returns at once."""
        self._pairs.refill(after=after)
        self._maps.refill(after=after)

    def close(self) -> None:
        """Give up the spares."""
        self._pairs.close()
        self._maps.close()

    def _discard(self, prepared: tuple[NamespacePair, str]) -> None:
        pair, name = prepared
        pair.close()
        self._on_discard(name)

    def _make(self) -> tuple[NamespacePair, str]:
        pair = NamespacePair(_born(user_only=False))
        name = os.urandom(3).hex()  # IFNAMSIZ leaves 6 characters after the cloud's prefix
        try:
            self._on_pair(pair.network, name)
        except BaseException:
            pair.close()
            raise
        return pair, name


def root_as(user: int) -> int:
    """Return a descriptor of a user namespace for idmapped mounts in which what is root's belongs to `user`.

    The caller closes it. Raises HostFailure.
    """
    holder = _born(user_only=True)
    try:
        _write_maps(holder.pid, f"0 {user} 1\n")
        return os.open(f"/proc/{holder.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        holder.close()


def unpin(*pins: Path) -> None:
    """Remove pinned namespaces; what isn't there is no error."""
    for pin in pins:
        with contextlib.suppress(FileNotFoundError):
            mounts.unmount(pin)
            pin.unlink()


def _born(*, user_only: bool) -> Holder:
    """Start a holder in new namespaces; returns once they exist.

    A machine's user namespace is made by an id of its own. What a machine has of inotify watchers, waiting signals and
    message queues counts for whoever made its namespace too: if that were host root, one machine could use up what the
    host and all others may have.
    """
    command = ["unshare", "--user", "cat"]
    if not user_only:
        owner = str(_UID_LIMIT + secrets.randbelow(_OWNERS))
        ids = [f"--reuid={owner}", f"--regid={owner}", "--clear-groups"]
        rights = ["--inh-caps=+sys_admin", "--ambient-caps=+sys_admin"]  # where users may make no namespaces
        command = ["setpriv", *ids, *rights, "unshare", "--user", "--net", "cat"]
    holder = hold(command)
    try:
        holder.write(_BORN)
        if holder.read_line(timeout=60.0) != _BORN:
            raise HostFailure(
                "the kernel refused a new user namespace",
                hint="check the sysctls user.max_user_namespaces and kernel.unprivileged_userns_clone",
            )
    except BaseException:
        holder.close()
        raise
    return holder


def _write_maps(pid: int, lines: str) -> None:
    for kind in ("uid_map", "gid_map"):
        Path(f"/proc/{pid}/{kind}").write_text(lines)
