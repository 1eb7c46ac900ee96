"""Leases at the API's edge: the header with the nonce, and the check in front of what changes a machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

from fastapi import Depends, Header

from roost.api.auth import TheControl
from roost.api.reading import AppName, MachineId
from roost.control.contract import Control

DEFAULT_TTL = 30  # seconds
_T = TypeVar("_T")
LeaseNonce = Annotated[str, Header(alias="fly-machine-lease-nonce", max_length=255)]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who asks for a change of a machine, with the nonce of the lease, if any."""

    control: Control
    app: str
    machine_id: str
    nonce: str = field(repr=False)

    def may(self, change: Callable[[], _T]) -> Callable[[], _T]:
        """Return `change` with the check in front of it: it raises Conflict when another holds the machine."""

        def checked() -> _T:
            self.control.leases.check(self.app, self.machine_id, self.nonce)
            return change()

        return checked


def _holder(app: AppName, machine_id: MachineId, control: TheControl, nonce: LeaseNonce = "") -> Holder:
    return Holder(control, app, machine_id, nonce)


TheHolder = Annotated[Holder, Depends(_holder)]
