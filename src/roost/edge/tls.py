"""TLS at the edge: the https listener, and certificates as Envoy takes them (SDS). Pure.

Names of the cloud's own domain share one wildcard certificate, the secret `CLOUD`, which Envoy holds from its start,
unless they have public ones of their own. For every other name Envoy asks for the certificate when a client first
greets it by that name (on-demand SDS), and keeps it from then on. So a certificate more or less, or a new one,
changes no listener and drains no connection; a name without a certificate fails its own handshakes and nobody else's. A
wildcard right below a top-level name (*.localhost) is accepted by few clients: such a domain's names get certificates
of their own, on demand too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from roost.edge.challenges import PROTOCOL
from roost.edge.contract import Material
from roost.edge.protos import CLUSTER, SECRET, parse, resource

CLOUD = "cloud"  # the secret with the wildcard certificate of the cloud's domain
NAMELESS = "nameless"  # the secret for clients that say no name
# Beginning of the names of secrets that a chain holds: Envoy tells a chain nothing of what it has on demand.
HELD = "held/"
CHALLENGES = "challenges"  # cluster and filter chain
HANDSHAKE_TIMEOUT = "10s"
ALPN = ("h2", "http/1.1")
VERSIONS = ("TLSv1.2", "TLSv1.3")
_SOCKETS = "type.googleapis.com/envoy.extensions.transport_sockets.tls"
_ADS = {"ads": {}, "resource_api_version": "V3"}
# TLS 1.3's suites are not chosen. For 1.2: forward secrecy and authenticated encryption only.
_CIPHERS = (
    "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]",
    "[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)


def has_wildcard(domain: str) -> bool:
    """Say whether names below a domain can share a wildcard certificate."""
    return "." in domain


def secret(name: str, material: Material) -> Any:
    """Return the secret resource `name`."""
    message = parse(SECRET, {"name": name, "tls_certificate": {}})
    message.tls_certificate.certificate_chain.inline_bytes = material.chain
    message.tls_certificate.private_key.inline_bytes = material.key
    return resource(name, message)


def inspector() -> dict[str, Any]:
    """Return the listener filter that reads the name and protocols of a TLS greeting."""
    kind = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
    return {"name": "envoy.filters.listener.tls_inspector", "typed_config": {"@type": kind}}


def filter_chains(domain: str, filters: list[dict[str, Any]], *, shared: bool = True) -> list[dict[str, Any]]:
    """Return the filter chains of the https listener, with these network filters."""
    return [_challenge_chain(), *chains_by_name(domain, filters, shared=shared)]


def chains_by_name(
    domain: str, filters: list[dict[str, Any]], alpn: Sequence[str] = ALPN, versions: Sequence[str] = VERSIONS,
    *, shared: bool = True,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return filter chains that show the certificate of the name that a client says.

    `shared`: names of the cloud's domain share one, where they can.
    """
    chains = []
    common = _common(alpn, versions)
    if shared and has_wildcard(domain):
        chains.append(chain_of_cloud(domain, filters, alpn, versions))
    chains.append(_chain("on-demand", {}, _context({**common, **_BY_NAME}, _FRESH), filters))
    return chains


def chain_of_cloud(
    domain: str, filters: list[dict[str, Any]], alpn: Sequence[str] = ALPN, versions: Sequence[str] = VERSIONS
) -> dict[str, Any]:
    """Return the filter chain for names of the cloud's own domain, which share a certificate."""
    return _chain_of("cloud", CLOUD, [domain, f"*.{domain}"], filters, alpn, versions)


def chain_of_host(
    name: str, host: str, filters: list[dict[str, Any]], alpn: Sequence[str], versions: Sequence[str]
) -> dict[str, Any]:
    """Return the filter chain for one host name whose certificate Envoy has, for where none can be looked up."""
    return _chain_of(name, f"{HELD}{host}", [host], filters, alpn, versions)


def host_of_secret(name: str, domain: str) -> str:
    """Return the host name whose certificate a secret holds."""
    return {CLOUD: f"*.{domain}", NAMELESS: domain}.get(name, name.removeprefix(HELD).lower().rstrip("."))


def _chain_of(
    name: str, secret_name: str, names: list[str], filters: list[dict[str, Any]], alpn: Sequence[str],
    versions: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    known = {"tls_certificate_sds_secret_configs": [{"name": secret_name, "sds_config": _ADS}]}
    context = _context({**_common(alpn, versions), **known}, {"session_timeout": "86400s"})
    return _chain(name, {"server_names": names}, context, filters)


def chains_of_hosts(
    name: str, hosts: Iterable[str], domain: str, filters: list[dict[str, Any]], alpn: Sequence[str],
    versions: Sequence[str],
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the filter chains, `name/...`, for these host names alone: of the cloud's domain, and others."""
    of_cloud = {host for host in hosts if has_wildcard(domain) and host.endswith(f".{domain}")}
    chains = []
    if of_cloud:
        chain = chain_of_cloud(domain, filters, alpn, versions)
        chains.append(chain | _only(f"{name}/cloud", of_cloud))
    if others := set(hosts) - of_cloud:
        context = _context({**_common(alpn, versions), **_BY_NAME}, _FRESH)
        chains.append(_chain("", {}, context, filters) | _only(f"{name}/on-demand", others))
    return chains


def challenge_chain_of(name: str, hosts: Iterable[str]) -> dict[str, Any]:
    """Return the chain for checks of certificate authorities where these names have chains of their own."""
    chain = _challenge_chain() | _only(f"{name}/challenges", hosts)
    chain["filter_chain_match"]["application_protocols"] = [PROTOCOL]
    return chain


def _only(name: str, hosts: Iterable[str]) -> dict[str, Any]:
    return {"name": name, "filter_chain_match": {"server_names": sorted(hosts), "transport_protocol": "tls"}}


def challenge_cluster(socket: Path) -> Any:
    """Return the cluster of roostd's server that answers TLS-ALPN-01."""
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
    message = parse(
        CLUSTER,
        {
            "name": CHALLENGES,
            "type": "STATIC",
            "connect_timeout": "2s",
            "load_assignment": {"cluster_name": CHALLENGES, "endpoints": [{"lb_endpoints": [endpoint]}]},
        },
    )
    return resource(CHALLENGES, message)


def _challenge_chain() -> dict[str, Any]:
    """Pass on, unopened, the connections of certificate authorities that check a name by TLS-ALPN-01 (RFC 8737)."""
    proxy = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "challenges",
        "cluster": CHALLENGES,
        "idle_timeout": "15s",
        "max_downstream_connection_duration": "30s",
    }
    return {
        "name": CHALLENGES,
        "filter_chain_match": {"application_protocols": [PROTOCOL]},
        "filters": [{"name": "tcp", "typed_config": proxy}],
    }


def _chain(name: str, match: dict[str, Any], context: dict[str, Any], filters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "filter_chain_match": match,
        "filters": filters,
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context},
        "transport_socket_connect_timeout": HANDSHAKE_TIMEOUT,
    }


def _context(common: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    return {"@type": f"{_SOCKETS}.v3.DownstreamTlsContext", "common_tls_context": common, **options}


def _common(alpn: Sequence[str], versions: Sequence[str]) -> dict[str, Any]:
    return {
        "alpn_protocols": list(alpn),
        "tls_params": {
            "tls_minimum_protocol_version": min(versions).replace(".", "_"),
            "tls_maximum_protocol_version": max(versions).replace(".", "_"),
            "cipher_suites": list(_CIPHERS),
            "ecdh_curves": ["X25519MLKEM768", "X25519", "P-256"],
        },
    }


def _on_demand() -> dict[str, Any]:
    """Return the certificate selector: the secret's name is the name that the client says.

    Written as a TypedStruct, since the messages are newer than those that xds-protos has.
    """
    mapper = {
        "name": "sni",
        "typed_config": {"@type": f"{_SOCKETS}.cert_mappers.sni.v3.SNI", "default_value": NAMELESS},
    }
    return {
        "name": "envoy.tls.certificate_selectors.on_demand_secret",
        "typed_config": {
            "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
            "type_url": f"{_SOCKETS}.cert_selectors.on_demand_secret.v3.Config",
            "value": {"config_source": _ADS, "certificate_mapper": mapper},
        },
    }


_BY_NAME = {"custom_tls_certificate_selector": _on_demand()}
# Envoy refuses to resume sessions whose certificate came on demand.
_FRESH = {"disable_stateless_session_resumption": True, "disable_stateful_session_resumption": True}
