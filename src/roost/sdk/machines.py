"""Calls about single machines: making, stopping, waking, running commands in them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast, overload

from roost.sdk.group import Async, Group, M, Sync, call, stream
from roost.sdk.shapes import ExecResult, Lease, Machine, Run
from roost.sdk.transport import join
from roost.sdk.wire import finish

if TYPE_CHECKING:
    from roost.sdk.console import Console
    from roost.sdk.tunnel import Tunnel

_SLOW = 180.0  # seconds: a start may pull an image, a stop may wait for the program


class Machines(Group[M]):
    """`client.machines`."""

    @call
    async def list(self, app: str, *, state: str = "", include_deleted: bool = False) -> list[Machine]:
        """Return an app's machines; `state` is one state or several with commas between.

        With `include_deleted` also those that were destroyed in the last seven days.
        """
        query = {"state": state} | ({"include_deleted": "true"} if include_deleted else {})
        return cast("list[Machine]", await self._http.call("GET", join("apps", app, "machines"), query=query))

    @call
    async def get(self, app: str, machine_id: str) -> Machine:
        """Return a machine; raises NotFound."""
        return cast("Machine", await self._http.call("GET", join("apps", app, "machines", machine_id)))

    @call
    async def create(
        self, app: str, config: Mapping[str, Any], *, name: str = "", region: str = "", skip_launch: bool = False
    ) -> Machine:
        """Make a machine of `config` (docs/machines.md) and start it unless `skip_launch`."""
        body: dict[str, Any] = {"config": dict(config)}
        body |= {key: value for key, value in (("name", name), ("region", region)) if value}
        if skip_launch:
            body["skip_launch"] = True
        return cast("Machine", await self._http.call("POST", join("apps", app, "machines"), body=body, timeout=600.0))

    @call
    async def update(
        self,
        app: str,
        machine_id: str,
        config: Mapping[str, Any],
        *,
        current_version: str = "",
        skip_launch: bool = False,
        nonce: str = "",
    ) -> Machine:
        """Give a machine a new configuration, the whole of it; a running one is restarted unless `skip_launch`.

        Raises Conflict when its `instance_id` is not `current_version`, or when another holds a lease on it.
        """
        body: dict[str, Any] = {"config": dict(config)}
        if current_version:
            body["current_version"] = current_version
        if skip_launch:
            body["skip_launch"] = True
        path = join("apps", app, "machines", machine_id)
        return cast("Machine", await self._http.call("POST", path, body=body, timeout=600.0, headers=_holding(nonce)))

    @call
    async def versions(self, app: str, machine_id: str) -> Sequence[dict[str, Any]]:
        """Return the configurations it has had, newest first: `version` and `user_config`."""
        path = join("apps", app, "machines", machine_id, "versions")
        return cast("Sequence[dict[str, Any]]", await self._http.call("GET", path))

    @call
    async def cordon(self, app: str, machine_id: str, *, nonce: str = "") -> dict[str, Any]:
        """Keep requests from a machine, without stopping it."""
        return await self._verb(app, machine_id, "cordon", nonce=nonce)

    @call
    async def uncordon(self, app: str, machine_id: str, *, nonce: str = "") -> dict[str, Any]:
        """Let requests reach it again."""
        return await self._verb(app, machine_id, "uncordon", nonce=nonce)

    @call
    async def metadata(self, app: str, machine_id: str) -> dict[str, str]:
        """Return the machine's metadata."""
        return cast(
            "dict[str, str]", await self._http.call("GET", join("apps", app, "machines", machine_id, "metadata"))
        )

    @call
    async def set_metadata(
        self, app: str, machine_id: str, values: Mapping[str, str | None], *, machine_version: str = ""
    ) -> dict[str, str]:
        """Set and (None) remove metadata; returns what there is then. It is not restarted.

        Raises FailedPrecondition when its `instance_id` is not `machine_version`.
        """
        body: dict[str, Any] = {"metadata": dict(values)}
        if machine_version:
            body["machine_version"] = machine_version
        path = join("apps", app, "machines", machine_id, "metadata")
        return cast("dict[str, str]", await self._http.call("PATCH", path, body=body))

    @call
    async def lease(self, app: str, machine_id: str, *, ttl: int = 30, description: str = "", nonce: str = "") -> Lease:
        """Take a machine for `ttl` seconds, or with its `nonce` hold it for so much longer; raises Conflict."""
        path = join("apps", app, "machines", machine_id, "lease")
        body = {"ttl": ttl, "description": description}
        return cast("Lease", (await self._http.call("POST", path, body=body, headers=_holding(nonce)))["data"])

    @call
    async def current_lease(self, app: str, machine_id: str) -> Lease:
        """Return who holds the machine, without the nonce; raises NotFound when nobody does."""
        return cast("Lease", (await self._http.call("GET", join("apps", app, "machines", machine_id, "lease")))["data"])

    @call
    async def release(self, app: str, machine_id: str, nonce: str) -> None:
        """Give a lease back."""
        path = join("apps", app, "machines", machine_id, "lease")
        await self._http.call("DELETE", path, headers=_holding(nonce))

    @call
    async def processes(self, app: str, machine_id: str) -> Sequence[dict[str, Any]]:
        """Return what runs in a machine, with the sockets it listens on."""
        path = join("apps", app, "machines", machine_id, "ps")
        return cast("Sequence[dict[str, Any]]", await self._http.call("GET", path))

    @call
    async def memory(self, app: str, machine_id: str, *, limit_mb: int | None = None) -> dict[str, int]:
        """Return `limit_mb` and `available_mb`; with `limit_mb` set it first, until the next start."""
        path = join("apps", app, "machines", machine_id, "memory")
        body = None if limit_mb is None else {"limit_mb": limit_mb}
        return cast("dict[str, int]", await self._http.call("GET" if body is None else "PUT", path, body=body))

    @call
    async def reclaim_memory(self, app: str, machine_id: str, amount_mb: int) -> int:
        """Take back about so many MiB that a machine can do without, such as cached files; return how many it was."""
        path = join("apps", app, "machines", machine_id, "memory", "reclaim")
        return int((await self._http.call("POST", path, body={"amount_mb": amount_mb}))["actual_mb"])

    @call
    async def start(self, app: str, machine_id: str) -> dict[str, Any]:
        """Start or resume a machine; the answer has its `previous_state`."""
        return await self._verb(app, machine_id, "start")

    @call
    async def stop(
        self, app: str, machine_id: str, *, signal: str = "", timeout: float | None = None
    ) -> dict[str, Any]:
        """Stop a machine: `signal` first, then kill after `timeout` seconds (both as configured if not given)."""
        body: dict[str, Any] = {"signal": signal} if signal else {}
        if timeout is not None:
            body["timeout"] = f"{timeout:g}s"
        return await self._verb(app, machine_id, "stop", body)

    @call
    async def restart(self, app: str, machine_id: str) -> dict[str, Any]:
        """Stop and start a machine."""
        return await self._verb(app, machine_id, "restart")

    @call
    async def suspend(self, app: str, machine_id: str) -> dict[str, Any]:
        """Freeze a machine: its memory stays, it uses no processor time."""
        return await self._verb(app, machine_id, "suspend")

    @call
    async def signal(self, app: str, machine_id: str, signal: str) -> dict[str, Any]:
        """Send a signal such as SIGHUP to the machine's main process."""
        return await self._verb(app, machine_id, "signal", {"signal": signal})

    @call
    async def destroy(self, app: str, machine_id: str, *, force: bool = False) -> None:
        """Remove a machine; without `force` raises FailedPrecondition while it runs."""
        path = join("apps", app, "machines", machine_id)
        await self._http.call("DELETE", path, query={"force": force}, timeout=_SLOW)

    @call
    async def exec(
        self,
        app: str,
        machine_id: str,
        command: Sequence[str],
        *,
        stdin: str = "",
        timeout: float = 60.0,
        container: str = "",
    ) -> ExecResult:
        """Run a command in a started machine, or one of its containers; raises TimedOut after `timeout` seconds."""
        body: dict[str, Any] = {"command": list(command), "timeout": timeout}
        if container:
            body["container"] = container
        if stdin:
            body["stdin"] = stdin
        path = join("apps", app, "machines", machine_id, "exec")
        return cast("ExecResult", await self._http.call("POST", path, body=body, timeout=timeout + 30))

    @call
    async def wait(self, app: str, machine_id: str, *, state: str = "started", timeout: int = 60) -> dict[str, Any]:
        """Return once the machine is in `state`; raises TimedOut after `timeout` seconds (1 to 60)."""
        path = join("apps", app, "machines", machine_id, "wait")
        answer = await self._http.call("GET", path, query={"state": state, "timeout": timeout}, timeout=timeout + 15.0)
        return cast("dict[str, Any]", answer)

    @call
    async def events(self, app: str, machine_id: str, *, limit: int = 20) -> Sequence[dict[str, Any]]:
        """Return what happened to a machine, newest first."""
        path = join("apps", app, "machines", machine_id, "events")
        return cast("Sequence[dict[str, Any]]", await self._http.call("GET", path, query={"limit": limit}))

    @stream
    async def runs(self, app: str, machine_id: str, *, page: int = 100) -> AsyncGenerator[Run, None]:
        """Yield what a machine with a schedule did, newest first; they are fetched `page` at a time."""
        path = join("apps", app, "machines", machine_id, "runs")
        query: dict[str, str | int] = {"limit": page, "cursor": ""}
        while True:
            answer = await self._http.call("GET", path, query=query)
            for run in answer["runs"]:
                yield run
            query["cursor"] = answer["next_cursor"]
            if not query["cursor"]:
                return

    @overload
    def console(
        self: Machines[Sync],
        app: str,
        machine_id: str,
        command: Sequence[str] = (),
        *,
        rows: int = 24,
        columns: int = 80,
        container: str = "",
    ) -> Console[Sync]: ...
    @overload
    def console(
        self: Machines[Async],
        app: str,
        machine_id: str,
        command: Sequence[str] = (),
        *,
        rows: int = 24,
        columns: int = 80,
        container: str = "",
    ) -> Coroutine[Any, Any, Console[Async]]: ...
    def console(
        self,
        app: str,
        machine_id: str,
        command: Sequence[str] = (),
        *,
        rows: int = 24,
        columns: int = 80,
        container: str = "",
    ) -> Any:
        """Run a command (the image's best shell by default) with a terminal; the caller closes the console."""
        from roost.sdk.console import open_console

        path = join("apps", app, "machines", machine_id, "console")
        opening = open_console(self._http, path, command, rows=rows, columns=columns, container=container)
        return finish(opening) if self._http.blocking else opening

    @overload
    def proxy(self: Machines[Sync], app: str, machine_id: str, port: int) -> Tunnel[Sync]: ...
    @overload
    def proxy(self: Machines[Async], app: str, machine_id: str, port: int) -> Coroutine[Any, Any, Tunnel[Async]]: ...
    def proxy(self, app: str, machine_id: str, port: int) -> Any:
        """Connect to a TCP port of a machine, which is woken if it sleeps; the caller closes the tunnel."""
        from roost.sdk.tunnel import open_tunnel

        opening = open_tunnel(self._http, join("apps", app, "machines", machine_id, "proxy"), port)
        return finish(opening) if self._http.blocking else opening

    async def _verb(
        self, app: str, machine_id: str, verb: str, body: Mapping[str, Any] | None = None, *, nonce: str = ""
    ) -> dict[str, Any]:
        path = join("apps", app, "machines", machine_id, verb)
        answer = await self._http.call("POST", path, body=dict(body or {}), timeout=_SLOW, headers=_holding(nonce))
        return cast("dict[str, Any]", answer)


def _holding(nonce: str) -> dict[str, str]:
    return {"fly-machine-lease-nonce": nonce} if nonce else {}
