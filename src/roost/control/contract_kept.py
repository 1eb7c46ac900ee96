"""The verbs on what an app keeps: volumes, secrets and secret keys. See `contract`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from roost.control.contract_values import SecretInfo
from roost.model.listing import OrgListing
from roost.model.secret_key import KeyType, SecretKey
from roost.model.volume import DEFAULT_RETENTION, Snapshot, Usage, Volume


class Volumes(Protocol):
    """Volumes of an app: named disks that outlive machines, and their snapshots."""

    def list(self, app: str) -> list[Volume]:
        """Return the volumes of an app, oldest first."""

    def count(self, app: str) -> int:
        """Return how many volumes an app has."""

    def of_org(self, asked: OrgListing) -> Sequence[Volume]:
        """Return an org's volumes that are asked for, in the order of their last change."""

    def create(
        self,
        app: str,
        name: str,
        *,
        size_gb: int = 0,
        region: str = "",
        snapshot_id: str = "",
        source_volume_id: str = "",
        snapshot_retention: int = DEFAULT_RETENTION,
        auto_backup_enabled: bool = True,
    ) -> Volume:
        """Make a volume, empty or as a copy; a copy is at least as large as its original (0: just as large)."""

    def get(self, app: str, volume_id: str) -> Volume:
        """Return a volume; raises NotFound, also when it belongs to another app."""

    def usage(self, volume: Volume) -> Usage:
        """Return how full it is."""

    def update(
        self,
        app: str,
        volume_id: str,
        *,
        snapshot_retention: int | None = None,
        auto_backup_enabled: bool | None = None,
    ) -> Volume:
        """Change how it is backed up; None leaves a thing as it is."""

    def extend(self, app: str, volume_id: str, size_gb: int) -> tuple[Volume, bool]:
        """Make it larger; says whether its machine must be restarted to see it. Raises BadInput for a smaller size."""

    def destroy(self, app: str, volume_id: str) -> Volume:
        """Remove it for good; raises FailedPrecondition while a machine has it. Its snapshots stay."""

    def snapshots(self, app: str, volume_id: str) -> Sequence[Snapshot]:
        """Return its snapshots, newest first, also when the volume is gone; raises NotFound."""

    def snapshot(self, app: str, volume_id: str) -> Snapshot:
        """Keep what it holds now for as many days as it says."""


class Secrets(Protocol):
    """Secrets of an app: environment variables of its machines."""

    def list(self, app: str) -> list[SecretInfo]:
        """Return names and digests, never values."""

    def get(self, app: str, name: str) -> SecretInfo:
        """Return one name and digest; raises NotFound."""

    def remove(self, app: str, name: str) -> int:
        """Remove one; returns the new secrets version. Raises NotFound."""

    def set(self, app: str, values: Mapping[str, str | None]) -> int:
        """Set and (None) remove secrets at once; returns the new secrets version."""


class SecretKeys(Protocol):
    """Secret keys of an app: used here, never handed out. The int is the new version of the app's secrets."""

    def list(self, app: str) -> list[SecretKey]:
        """Return the keys by name."""

    def get(self, app: str, name: str) -> SecretKey:
        """Return a key; raises NotFound."""

    def set(self, app: str, name: str, kind: KeyType, value: bytes) -> tuple[SecretKey, int]:
        """Store a key in place of what has its name; raises BadInput."""

    def generate(self, app: str, name: str, kind: KeyType) -> tuple[SecretKey, int]:
        """Make a random key; raises Conflict when there is one of that name."""

    def remove(self, app: str, name: str) -> int:
        """Remove a key for good; raises NotFound."""

    def encrypt(self, app: str, name: str, plaintext: bytes, associated: bytes = b"") -> bytes:
        """Encrypt with a key; raises BadInput for one that can't."""

    def decrypt(self, app: str, name: str, ciphertext: bytes, associated: bytes = b"") -> bytes:
        """Decrypt with a key; raises BadInput for what it didn't encrypt."""

    def sign(self, app: str, name: str, message: bytes) -> bytes:
        """Sign with a key; raises BadInput for one that can't."""

    def verify(self, app: str, name: str, message: bytes, signature: bytes) -> bool:
        """Tell whether a signature is the key's; raises BadInput for one that can't."""
