"""The edge inside private networks: one more listener, where the address that was called decides the app. Pure.

Machines call an app's private address; the host leads those of its network here (`host/network_flycast.py`), and the
listener filter `original_dst` restores the address they meant. A script puts it in place of the request's authority,
by which routes are chosen; the Host that the client sent goes on to the app and decides nothing. Both travel in
headers, which go no further than the edge: `forget_call` takes them off behind the router, where Host is put back
(a route would take them off before that). Its routes are a
configuration of their own, so no name that a client of the public ports invents leads to them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from roost.edge.head import PRIVATE, PRIVATE_HOST
from roost.edge.protos import VirtualHost

ROUTES_NAME = "flycast"
LISTENER_NAME = "flycast"
_EXT = "type.googleapis.com/envoy.extensions."

_SCRIPT = f"""
function envoy_on_request(handle)
  local headers = handle:headers()
  local address = string.gsub(handle:streamInfo():downstreamLocalAddress(), ":%d+$", "")
  headers:replace("{PRIVATE_HOST}", headers:get(":authority") or "")
  headers:replace("{PRIVATE}", address)
  headers:replace(":authority", address)
  handle:clearRouteCache()
end
"""


def by_address() -> dict[str, Any]:
    """Return the filter that makes the address that was called the request's authority."""
    return {
        "name": "envoy.filters.http.lua",
        "typed_config": {"@type": f"{_EXT}filters.http.lua.v3.Lua", "default_source_code": {"inline_string": _SCRIPT}},
    }


def forget_call() -> dict[str, Any]:
    """Return the filter between Envoy and machines that takes off what `by_address` wrote."""
    mutations = {"request_mutations": [{"remove": name} for name in (PRIVATE, PRIVATE_HOST)]}
    return {
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {"@type": f"{_EXT}filters.http.header_mutation.v3.HeaderMutation", "mutations": mutations},
    }


def original_address() -> dict[str, Any]:
    """Return the listener filter that restores the address that was called."""
    kind = f"{_EXT}filters.listener.original_dst.v3.OriginalDst"
    return {"name": "envoy.filters.listener.original_dst", "typed_config": {"@type": kind}}


def private_virtual_host(public: Any, addresses: Iterable[str]) -> Any:
    """Return an app's virtual host for its private addresses, made from its public one."""
    host = VirtualHost()
    host.CopyFrom(public)
    host.domains[:] = [domain(address) for address in addresses]
    host.name = f"{ROUTES_NAME}/{public.name.rpartition('/')[2]}"
    kept = [entry for entry in host.routes if entry.HasField("route")]
    del host.routes[:]
    host.routes.extend(kept)
    for entry in host.routes:
        entry.route.host_rewrite_header = PRIVATE_HOST
    return host


def domain(address: str) -> str:
    """Return the authority that `by_address` makes of an address."""
    return f"[{address}]" if ":" in address else address
