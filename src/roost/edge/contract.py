"""What control asks of the edge, and what the edge asks back.

Only awake apps are in Envoy. Requests for all other hosts go to the activator, which asks the
`Waker` what to do with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from roost.edge.static_paths import AppStatics
from roost.model.port_options import NO_HTTP_OPTIONS, NO_TLS_OPTIONS, HttpOptions, TlsOptions
from roost.model.rate_limit import NONE, RateLimits
from roost.model.request import Request
from roost.model.steering import SessionRule, Wish


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one machine of an app listens."""

    machine_id: str
    address: str  # private IPv4
    port: int


@dataclass(frozen=True, slots=True)
class Route:
    """One awake app at the edge. The endpoints are its healthy, running machines.

    There are none only if the app sleeps and has `h2_backend`: its requests wait in Envoy.
    """

    app: str
    hosts: tuple[str, ...]  # lower case, without port
    endpoints: tuple[Endpoint, ...]
    region: str = "local"
    force_https: bool = False
    hard_limit: int = 0  # requests at once per machine; 0: no limit
    soft_limit: int = 0  # requests above which other machines are preferred; 0: none
    by_connection: bool = False  # the limits count connections, of which each carries one request
    idle_timeout: float = 0.0  # seconds a stream may be silent; 0: no limit
    http: HttpOptions = NO_HTTP_OPTIONS
    org: str = ""  # whose app it is; decides which of the edge's cells serve it
    statics: AppStatics | None = None  # what is served without the app
    private: tuple[str, ...] = ()  # addresses at which the app answers in its private network
    sessions: tuple[SessionRule, ...] = ()  # replays that are remembered by cookie or header
    limits: RateLimits = NONE  # how many requests it takes
    others: tuple[str, ...] = ()  # names below its wildcards that are other apps'


@dataclass(frozen=True, slots=True)
class PublicPort:
    """A port of the cloud that leads to one app alone, or by name ("sni", "pg") to one of many.

    Without endpoints the app sleeps: connecting wakes it.
    """

    app: str
    port: int
    protocol: str = "tcp"
    org: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    hosts: tuple[
        str, ...
    ] = ()  # with the protocols "sni" (TLS on the https port, passed on unopened) and "pg" (Postgres)
    hard_limit: int = 0  # connections at once per machine; 0: no limit
    region: str = "local"
    http: HttpOptions = NO_HTTP_OPTIONS
    limits: RateLimits = NONE  # of requests
    handlers: tuple[str, ...] = ()  # of http, tls, pg_tls, proxy_proto; (): bytes as they are
    tls: TlsOptions = NO_TLS_OPTIONS
    proxy_version: str = ""  # of the PROXY protocol to the app: "" or v1, v2


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request can't be served. `fault` says whose: the page and the header tell the user."""

    status: int  # 404, 502 or 503
    fault: str  # "app" | "cloud" | "none"
    code: str  # machine-readable class, e.g. "app_exited", "app_not_listening", "no_such_app"
    message: str  # one sentence: what happened
    hint: str = ""  # the next step


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the edge has seen of one app."""

    active: int = 0  # requests under way, WebSockets and streams included
    last_request_at: float = 0.0  # Unix time of the latest start or end of a request; 0: never


@dataclass(frozen=True, slots=True)
class Load:
    """What an awake app has under way at this moment, WebSockets and streams included."""

    machines: Mapping[str, int] = field(default_factory=dict)  # requests by machine id, of those in its route
    connections: Mapping[str, int] = field(default_factory=dict)  # those that Envoy has to them, idle ones too
    endpoints: tuple[Endpoint, ...] = ()  # of these machines
    waiting: int = 0  # requests that wait for a machine below its hard_limit, or a connection

    @property
    def requests(self) -> int:
        """All of them."""
        return sum(self.machines.values()) + self.waiting


@dataclass(frozen=True, slots=True)
class WakeResult:
    """Either an endpoint that accepts connections, or a refusal."""

    endpoint: Endpoint | None = None
    refusal: Refusal | None = None
    app: str = ""  # whose endpoint it is: the request counts as this app's traffic
    force_https: bool = False  # a request without TLS is led to the same place with it
    hard_limit: int = 0  # requests at once on this machine; 0: no limit


class Waker(Protocol):
    """Control's side: decides what becomes of requests that have no route in Envoy or say where they want to go."""

    async def wake(self, host: str) -> WakeResult:
        """Bring the app behind `host` to where one of its machines accepts connections.

        Called once per request; the callee joins calls for the same app, bounds them and gives up
        at its own deadline. It also sees to it that the app's route is put to the edge.
        """

    async def wake_port(self, app: str, protocol: str, port: int) -> WakeResult:
        """Bring the app to where one of its machines accepts connections for this port of the cloud."""

    def app_of(self, host: str) -> str:
        """Return the app that answers on a host name, "" if none does."""

    def host_at(self, address: str) -> str:
        """Return the public host name of the app with this private address, "" if it is nobody's."""

    def machine_at(self, app: str, address: str) -> tuple[str, str]:
        """Return id and region of the app's machine with this private address, ("", own region) if none has it."""

    async def reach(self, source: str, app: str, wish: Wish) -> WakeResult:
        """Bring a machine of `app` that fulfils the wish to where it accepts connections.

        `source` is the app that sends the request there, which must be allowed to; `app` itself for a client's wish.
        """


@dataclass(frozen=True, slots=True)
class Material:
    """A certificate with its key, both PEM. The key never appears in text."""

    chain: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"Material(chain of {len(self.chain)} bytes)"


class CertificateSource(Protocol):
    """Control's side: knows the certificates."""

    async def certificate(self, host: str) -> Material | None:
        """Return what to show a client that greets the edge by this name, None if there is none.

        `host` is lower case, whatever a client sent; `*.DOMAIN` asks for the wildcard certificate of that domain.
        """


class NoCertificates:
    """A source that has none."""

    async def certificate(self, host: str) -> Material | None:
        """Return None."""
        del host
        return None


@dataclass(frozen=True, slots=True)
class EdgeStatus:
    """How the edge is."""

    pid: int  # of Envoy; 0 when it does not run
    connected: bool  # Envoy's xDS stream is open
    routes: int
    rejected: str = ""  # Envoy's words on the latest configuration it refused
    detail: dict[str, object] = field(default_factory=dict)


class ChallengeAnswers(Protocol):
    """What the edge answers certificate authorities that check a name. Calls may be made on any thread."""

    def set_http(self, host: str, token: str, answer: str) -> None:
        """Answer HTTP-01 for a host's token, whether its app is awake or not."""

    def clear_http(self, host: str, token: str) -> None:
        """Answer no longer."""

    def set_tls(self, host: str, material: Material) -> None:
        """Answer TLS-ALPN-01 for a host with this certificate."""

    def clear_tls(self, host: str) -> None:
        """Answer no longer."""


class Edge(Protocol):
    """The edge as control sees it. All calls are on roostd's event loop."""

    @property
    def challenges(self) -> ChallengeAnswers:
        """The challenges of certificate authorities."""

    async def start(self) -> None:
        """Serve xDS and the activator, read the log of requests; start Envoy or adopt the one that runs."""

    async def stop(self, *, envoy_too: bool) -> None:
        """Stop serving; end Envoy only when asked, since it outlives roostd."""

    async def put(self, route: Route, *, timeout: float = 5.0) -> None:
        """Route an app; returns when Envoy has acknowledged it, or after `timeout` seconds without one."""

    async def remove(self, app: str, *, timeout: float = 5.0) -> bool:
        """Take an app out, so that new requests go to the activator; True once Envoy acknowledged."""

    async def put_ports(self, app: str, ports: Sequence[PublicPort]) -> None:
        """Have these public ports, and no others, lead to the app alone. One that can't be served is in the status."""

    async def replace_all(self, routes: list[Route], ports: Mapping[str, Sequence[PublicPort]]) -> None:
        """Set the whole table (ports by app), after a restart of roostd."""

    def certificates_changed(self, hosts: Iterable[str]) -> None:
        """Have the certificates of these host names looked up again; the source says what they are now."""

    async def show_names_apart(self) -> None:
        """Show each name of the cloud's domain a certificate of its own from now on, and let authorities check names.

        Until now they may have shared one. Twice is once.
        """

    def app_is_gone(self, app: str) -> None:
        """Forget what was seen and remembered of an app that is no more; a later one may have its name."""

    def keep_requests(self, take: Callable[[Sequence[tuple[str, Request]]], None]) -> None:
        """Say who takes the requests that ended (app or "", request), on a thread of the edge's; before `start`."""

    @property
    def unlogged(self) -> int:
        """Requests that were served and not handed on, because they came faster than that."""

    def traffic(self, app: str) -> Traffic:
        """Return what was seen of an app since roostd started: of what is under way, at the latest reading."""

    async def has_requests(self, app: str) -> bool:
        """Ask Envoy whether a request of the app is under way now; True also when it does not tell."""

    async def loads(self) -> Mapping[str, Load] | None:
        """Return what each awake app has under way; None when an Envoy that runs does not tell."""

    def around_reading(self, look: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        """Say what is to be looked at right before and right after each reading that `loads` tells."""

    async def drained(self, app: str, *, timeout: float) -> bool:
        """Wait until no request of the app is under way; False at the deadline."""

    async def ejected(self, app: str) -> list[str]:
        """Return the machines of an app that get no requests for a while, since they failed again and again."""

    def status(self) -> EdgeStatus:
        """Return how the edge is."""
