"""`Client`: the API of one cloud, grouped by noun."""

from __future__ import annotations

from types import TracebackType
from typing import Any, cast

import httpx2

from roost.sdk.apps import Apps, Logs, Releases, Secrets
from roost.sdk.machines import Machines
from roost.sdk.operations import Deploys, Images, Operations, Sources
from roost.sdk.transport import Transport, join
from roost.sdk.volumes import Volumes


class Client:
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
        self._http = Transport(base_url, token, timeout=timeout, patience=patience, http=http)
        self.apps = Apps(self._http)
        self.machines = Machines(self._http)
        self.volumes = Volumes(self._http)
        self.releases = Releases(self._http)
        self.secrets = Secrets(self._http)
        self.logs = Logs(self._http)
        self.sources = Sources(self._http)
        self.deploys = Deploys(self._http)
        self.operations = Operations(self._http)
        self.images = Images(self._http)

    @property
    def base_url(self) -> str:
        """The API's address, without `/v1`."""
        return self._http.base_url

    def status(self) -> dict[str, Any]:
        """Return the cloud's state: id, version, ports, roostd, edge, pool, counts."""
        return cast("dict[str, Any]", self._http.call("GET", join("status")))

    def token(self) -> list[dict[str, Any]]:
        """Return what the token stands for; raises Unauthorized if it stands for nothing."""
        return cast("list[dict[str, Any]]", self._http.call("GET", join("tokens", "current"))["tokens"])

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
