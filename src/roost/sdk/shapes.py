"""The API's JSON objects as the client hands them out (docs/api.md). Pure.

Keys follow the Fly Machines API where it has them. An answer may hold more keys than are named here,
and an older cloud may leave some out, hence `total=False`; values are passed on as they came.
"""

from __future__ import annotations

from typing import Any, TypedDict


class App(TypedDict, total=False):
    """An app. `status` is `deployed`, `suspended` or `pending`."""

    id: str
    name: str
    status: str
    network: str
    machine_count: int
    organization: dict[str, Any]
    created_at: str


class Machine(TypedDict, total=False):
    """A machine. `config` is its configuration object, `events` come newest first."""

    id: str
    name: str
    state: str
    region: str
    instance_id: str
    private_ip: str
    process_group: str
    cordoned: bool
    release: int
    last_exit: dict[str, Any] | None
    config: dict[str, Any]
    image_ref: dict[str, Any]
    events: list[dict[str, Any]]
    checks: list[dict[str, Any]]
    containers: list[dict[str, Any]]  # name, state and more; only where it has several
    next_run_at: str  # only where it has a schedule
    created_at: str
    updated_at: str


class Run(TypedDict, total=False):
    """A run of a machine with a schedule.

    `state` is running, succeeded, failed, skipped or interrupted; `trigger` schedule, catch_up, create or start. What
    there is not is None: a skipped run has no `started_at`, one that somebody started no `scheduled_at`.
    """

    id: str
    machine_id: str
    instance_id: str
    state: str
    trigger: str
    scheduled_at: str | None
    missed: int
    started_at: str | None
    ended_at: str | None
    exit_code: int | None
    signal: int
    oom: bool
    reason: str


class Lease(TypedDict, total=False):
    """The right to change a machine; `expires_at` is a Unix time. Show `nonce` to nobody else."""

    nonce: str
    expires_at: int
    owner: str
    description: str
    version: str


class Volume(TypedDict, total=False):
    """A volume. `attached_machine_id` is null while no machine has it."""

    id: str
    name: str
    state: str
    size_gb: int
    region: str
    encrypted: bool
    attached_machine_id: str | None
    snapshot_retention: int
    auto_backup_enabled: bool
    bytes_used: int
    bytes_total: int
    created_at: str


class Snapshot(TypedDict, total=False):
    """What a volume held at one moment; sizes are bytes."""

    id: str
    volume_id: str
    size: int
    volume_size: int
    status: str
    retention_days: int
    created_at: str


class NetworkPolicy(TypedDict, total=False):
    """What some machines of an app take and make in direct connections."""

    id: str
    name: str
    selector: dict[str, Any]
    rules: list[dict[str, Any]]
    created_at: str


class IpAssignment(TypedDict, total=False):
    """An address under which an app is reached."""

    ip: str
    region: str
    service_name: str
    shared: bool
    egress: bool
    created_at: str


class AppStatus(TypedDict, total=False):
    """What a visitor of the app finds, and why: `state` is awake, asleep, stopped, broken, empty or deploying.

    `serves` names where its machines answer: its URL, and ports of its own like `shop.example.com:6667/tcp`.
    """

    app: App
    url: str
    serves: list[str]
    state: str
    reason: str
    release: dict[str, Any] | None
    machines: list[Machine]
    last_request_at: str


class Release(TypedDict, total=False):
    """An immutable pair of image and configuration; `status` is rolling, complete or failed."""

    version: int
    status: str
    reason: str
    image: str
    image_digest: str
    config: dict[str, Any]
    created_at: str


class Operation(TypedDict, total=False):
    """A durable job. `state` is running, succeeded, failed or cancelled; `steps` are all of its steps."""

    id: str
    kind: str
    app: str
    state: str
    step: str
    steps: list[str]
    result: dict[str, Any]
    error: str
    hint: str
    created_at: str
    updated_at: str


class Secret(TypedDict, total=False):
    """A secret without its value; the digest tells two values apart."""

    name: str
    digest: str
    created_at: str
    updated_at: str


class Image(TypedDict, total=False):
    """An image in the cloud's store."""

    digest: str
    reference: str
    size_bytes: int
    created_at: str


class Source(TypedDict, total=False):
    """A source directory that was received; `id` names it in `plan` and in deploys."""

    id: str
    bytes: int
    files: int


class ExecResult(TypedDict, total=False):
    """How a command ended, and what it wrote (bounded by the server)."""

    exit_code: int
    exit_signal: int
    stdout: str
    stderr: str


class LogLine(TypedDict, total=False):
    """One line of a log. `timestamp` is RFC 3339."""

    timestamp: str
    machine: str
    stream: str
    message: str
    source: str


class RequestLine(TypedDict, total=False):
    """A request that the edge served or refused, and the number that went `alike` with it, itself included.

    `cursor` is its place in the app's log.
    """

    timestamp: str
    id: str
    method: str
    host: str
    path: str
    status: int
    protocol: str
    client: str
    machine: str
    bytes_in: int
    bytes_out: int
    latency_ms: dict[str, float]
    tries: int
    error: str
    fault: str
    alike: int
    detail: str
    cursor: int


class RequestWindow(TypedDict, total=False):
    """The latest `seconds` of an app's requests."""

    seconds: int
    requests: int
    rate: float
    statuses: dict[str, int]
    errors: list[dict[str, str | int]]
    latency_ms: dict[str, dict[str, float]]


class RequestSummary(TypedDict, total=False):
    """The last minute, five minutes and hour. `dropped` counts requests of the cloud that were not logged."""

    app: str
    windows: list[RequestWindow]
    dropped: int
