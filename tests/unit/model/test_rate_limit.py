"""Limits of a service: what is taken, what is refused by name, and that both forms are the same."""

from __future__ import annotations

import pytest

from roost.model.errors import BadInput
from roost.model.rate_limit import NONE, RateLimit, RateLimits, rate_limits_to_json, read_rate_limits
from roost.model.service_config import read_service, service_to_json


def read(**keys: object) -> RateLimits:
    return read_rate_limits(keys.get, "rate_limit")


def test_both_limits_and_their_bursts() -> None:
    assert read() == NONE
    assert read(per_second=10) == RateLimits(RateLimit(10.0, 20))
    assert read(address_per_second=0.1) == RateLimits(None, RateLimit(0.1, 1))
    assert read(per_second=2.5, burst=7, address_per_second=1, address_burst=3) == RateLimits(
        RateLimit(2.5, 7), RateLimit(1.0, 3)
    )
    assert RateLimit(0.3, 1).retry_after == 4
    assert RateLimit(50, 1).retry_after == 1


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"per_second": 0}, "rate_limit.per_second must be from 0.01"),
        ({"per_second": -1}, "rate_limit.per_second must be"),
        ({"per_second": True}, "rate_limit.per_second must be"),
        ({"per_second": "10"}, "rate_limit.per_second must be"),
        ({"per_second": float("nan")}, "rate_limit.per_second must be"),
        ({"per_second": 1e9}, "rate_limit.per_second must be"),
        ({"per_second": 1, "burst": 0}, "rate_limit.burst must be"),
        ({"per_second": 1, "burst": 1.5}, "rate_limit.burst must be"),
        ({"burst": 5}, "rate_limit.burst needs rate_limit.per_second"),
        ({"address_burst": 5}, "rate_limit.address_burst needs rate_limit.address_per_second"),
        ({"address_per_second": [1]}, "rate_limit.address_per_second must be"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(keys: dict[str, object], named: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(**keys)
    assert named in caught.value.message


def test_a_service_keeps_its_limits() -> None:
    data = {
        "internal_port": 80,
        "rate_limit": {"per_second": 10, "burst": 20, "address_per_second": 0.5, "address_burst": 5},
    }
    service = read_service(data, "services[0]")
    assert service_to_json(service)["rate_limit"] == data["rate_limit"]
    assert read_service(service_to_json(service), "services[0]") == service
    assert "rate_limit" not in service_to_json(read_service({"internal_port": 80}, "services[0]"))
    with pytest.raises(BadInput, match=r"services\[0\]\.rate_limit\.by_address"):
        read_service({"internal_port": 80, "rate_limit": {"by_address": 1}}, "services[0]")
    assert rate_limits_to_json(NONE) == {}
