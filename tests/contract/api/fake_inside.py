"""Identity tokens that say plainly what was asked, and an API as a machine's own socket shows it."""

from __future__ import annotations

from typing import Any

import httpx2
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from tests.contract.api import fake_domain

from roost.api.inside import SOURCE
from roost.control.contract import KeyRotation
from roost.plan.domain_report import Report


class Oidc:
    def token(self, machine_id: str, *, audience: str = "", aws_principal_tags: bool = False) -> str:
        return f"token.{machine_id}.{audience}.{aws_principal_tags}"

    def configuration(self) -> dict[str, Any]:
        return {"issuer": "http://issuer.test"}

    def keys(self) -> dict[str, Any]:
        return {"keys": []}


class Admin:
    def rotate_keys(self) -> KeyRotation:
        return KeyRotation(2, 3, 0)

    def domain(self) -> Report:
        return fake_domain.report()

    def check_domain(self) -> Report:
        return fake_domain.report()


def own_socket(api: FastAPI, machine_id: str, **headers: str) -> httpx2.AsyncClient:
    """A client that comes through the socket of a machine, without a token."""

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {SOURCE: machine_id}
        await api(scope, receive, send)

    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=door), base_url="http://flaps", headers=headers)
