"""Limits on requests: the operator's, by client address, and those that an app sets for itself. Pure.

The edge counts in its own memory, so nothing is asked on the way. Addresses of IPv6 count by their /64, which one
customer has. The operator's limit holds for all hosts and public listeners of an Envoy together. It costs every
request, so our own code counts (native/address_limit.c), while the request is its headers and no more: one that is too
many is marked, and refused by a route (refused_first.py). Loopback has no limit there: who comes from there
is a tunnel or the operator, and brings the requests of many. An app's limits are a filter of Envoy's, with a bucket per
address, the least recently seen of them forgotten; it is off but where an app's virtual host configures it.
"""

from __future__ import annotations

from typing import Any

from roost.edge.protos import LocalRateLimit, any_of, json_format
from roost.model.rate_limit import RateLimit, RateLimits

OF_APP = "roost.limit.app"  # the filter's name
ADDRESSES_OF_APP = 4096
_KIND = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
_KEY = "masked_remote_address"
_LOOPBACK = ("127.0.0.1/32", "::1/64")
_ENDLESS = RateLimit(400_000_000, 4_000_000_000)
_WINDOW = 10  # seconds in which a bucket's rate is spelled; it fills all the time


def by_address(limit: RateLimit | None) -> str:
    """Return the operator's limit in native/headers.c's words: nanoseconds between requests, burst, seconds to wait."""
    if limit is None:
        return "0 0 0"
    return f"{max(1, round(1e9 / limit.per_second))} {limit.burst} {limit.retry_after}"


def filters() -> list[dict[str, Any]]:
    """Return the HTTP filters that a public listener begins with. Private networks have no limits."""
    return [{"name": OF_APP, "typed_config": {"@type": _KIND, "stat_prefix": "app"}, "disabled": True}]


def limit_app(host: Any, limits: RateLimits) -> None:
    """Put an app's limits into its virtual host."""
    if limits.in_all is None and limits.by_address is None:
        return
    message = json_format.ParseDict(_spelled(limits), LocalRateLimit())
    host.typed_per_filter_config[OF_APP].CopyFrom(any_of(message))


def _spelled(limits: RateLimits) -> dict[str, Any]:
    slowest = max(limit.retry_after for limit in (limits.in_all, limits.by_address) if limit is not None)
    everything = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    found: dict[str, Any] = {
        "stat_prefix": "limit",
        "token_bucket": _bucket(limits.in_all or _ENDLESS),
        "always_consume_default_token_bucket": limits.in_all is not None,
        "filter_enabled": everything,
        "filter_enforced": everything,
        "response_headers_to_add": [{"header": {"key": "retry-after", "value": str(slowest)}}],
    }
    if limits.by_address is not None:
        masks = {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}
        found |= {
            "rate_limits": [{"actions": [{_KEY: masks}]}],
            "descriptors": [
                *({"entries": [{"key": _KEY, "value": own}], "token_bucket": _bucket(_ENDLESS)} for own in _LOOPBACK),
                {"entries": [{"key": _KEY}], "token_bucket": _bucket(limits.by_address)},
            ],
            "max_dynamic_descriptors": ADDRESSES_OF_APP,
        }
    return found


def _bucket(limit: RateLimit) -> dict[str, Any]:
    tokens = max(1, round(limit.per_second * _WINDOW))
    window = tokens / limit.per_second
    return {"max_tokens": limit.burst, "tokens_per_fill": tokens, "fill_interval": f"{window:.3f}s"}
