"""`Client` and `AsyncClient`: the API of one cloud, grouped by noun. A group is named once, for both."""

from __future__ import annotations

import copy
from types import TracebackType
from typing import Any, cast

import httpx2

from roost.sdk.admin import Admin
from roost.sdk.apps import Apps, Logs, Releases, Secrets
from roost.sdk.autoscale import Autoscale
from roost.sdk.certificates import Certificates
from roost.sdk.files import Files
from roost.sdk.group import Async, Group, M, Sync, call
from roost.sdk.identity import Audit, Orgs, Tokens
from roost.sdk.machines import Machines
from roost.sdk.networks import IpAssignments, NetworkPolicies
from roost.sdk.operations import Deploys, Images, Operations, Scaling, Sources
from roost.sdk.platform import Platform
from roost.sdk.requests import Requests
from roost.sdk.secret_keys import SecretKeys
from roost.sdk.transport import Transport, join
from roost.sdk.volumes import Volumes
from roost.sdk.wire import AsyncWire, BlockingWire, finish


class Calls(Group[M]):
    """All groups of calls over one transport."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self.admin: Admin[M] = Admin(transport)
        self.apps: Apps[M] = Apps(transport)
        self.machines: Machines[M] = Machines(transport)
        self.volumes: Volumes[M] = Volumes(transport)
        self.network_policies: NetworkPolicies[M] = NetworkPolicies(transport)
        self.ip_assignments: IpAssignments[M] = IpAssignments(transport)
        self.releases: Releases[M] = Releases(transport)
        self.secrets: Secrets[M] = Secrets(transport)
        self.secret_keys: SecretKeys[M] = SecretKeys(transport)
        self.certificates: Certificates[M] = Certificates(transport)
        self.logs: Logs[M] = Logs(transport)
        self.requests: Requests[M] = Requests(transport)
        self.sources: Sources[M] = Sources(transport)
        self.deploys: Deploys[M] = Deploys(transport)
        self.scaling: Scaling[M] = Scaling(transport)
        self.autoscale: Autoscale[M] = Autoscale(transport)
        self.operations: Operations[M] = Operations(transport)
        self.images: Images[M] = Images(transport)
        self.platform: Platform[M] = Platform(transport)
        self.files: Files[M] = Files(transport)
        self.orgs: Orgs[M] = Orgs(transport)
        self.tokens: Tokens[M] = Tokens(transport)
        self.audit: Audit[M] = Audit(transport)

    @property
    def base_url(self) -> str:
        """The API's address, without `/v1`."""
        return self._http.base_url

    @call
    async def status(self) -> dict[str, Any]:
        """Return the cloud's state: id, version, ports, roostd, edge, pool, counts."""
        return cast("dict[str, Any]", await self._http.call("GET", join("status")))

    @call
    async def token(self) -> list[dict[str, Any]]:
        """Return what the token stands for; raises Unauthorized if it stands for nothing."""
        return cast("list[dict[str, Any]]", (await self._http.call("GET", join("tokens", "current")))["tokens"])

    @call
    async def identity_token(self, audience: str = "", *, aws_principal_tags: bool = False) -> str:
        """Return a signed JWT that tells `audience` which machine this is; only for a client that is `inside`."""
        body = {"aud": audience, "aws_principal_tags": aws_principal_tags}
        return await self._http.text("POST", join("tokens", "oidc"), body=body)


class Client(Calls[Sync]):
    """One cloud as seen through a token. Use it in a `with` block, or call `close`.

    `timeout` is seconds for an ordinary call; `patience` is how long refused connections are tried
    again. `http` replaces the network, for programs that test against an API in their own process.
    Every call may raise a RoostError: Unreachable, Unauthorized, NotFound, BadInput, TimedOut, ...
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        timeout: float = 60.0,
        patience: float = 3.0,
        http: httpx2.BaseTransport | None = None,
    ) -> None:
        super().__init__(Transport(base_url, token, wire=BlockingWire, timeout=timeout, patience=patience, http=http))

    @classmethod
    def inside(cls, token: str = "", *, socket: str = "/.fly/api", timeout: float = 60.0) -> Client:
        """Return a client for a program in a machine: its own API, without a token for what it may ask about itself."""
        return cls("http://localhost", token, timeout=timeout, http=httpx2.HTTPTransport(uds=socket))

    def keyed(self, key: str) -> Client:
        """Return this client with an Idempotency-Key of the caller's for its changes, in place of a fresh one each.

        A program that may die between asking and hearing the answer keeps the key, and asks again with it: what was
        done is not done again. One key is for one call. The connections are shared: close only one of them.
        """
        other = copy.copy(self)
        Calls.__init__(other, self._http.keyed(key))
        return other

    def close(self) -> None:
        """Close the connections."""
        finish(self._http.close())

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(Calls[Async]):
    """The same cloud for programs on an asyncio loop: each call of `Client` under the same name, to be awaited.

    Use it in an `async with` block, or await `close`. One client serves one event loop.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        timeout: float = 60.0,
        patience: float = 3.0,
        http: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(Transport(base_url, token, wire=AsyncWire, timeout=timeout, patience=patience, http=http))

    @classmethod
    def inside(cls, token: str = "", *, socket: str = "/.fly/api", timeout: float = 60.0) -> AsyncClient:
        """Return a client for a program in a machine; see `Client.inside`."""
        return cls("http://localhost", token, timeout=timeout, http=httpx2.AsyncHTTPTransport(uds=socket))

    def keyed(self, key: str) -> AsyncClient:
        """Return this client with an Idempotency-Key of the caller's; see `Client.keyed`."""
        other = copy.copy(self)
        Calls.__init__(other, self._http.keyed(key))
        return other

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
