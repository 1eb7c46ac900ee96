"""The table [acme]: what is taken, and which key an error names."""

from __future__ import annotations

from typing import Any

import pytest

from roost.daemon.acme_settings import read_acme
from roost.model.acme import LETS_ENCRYPT, STAGING, split_resolver, with_email
from roost.model.errors import BadInput


def test_nothing_is_issued_before_the_operator_agrees() -> None:
    usual = read_acme({})
    assert (usual.directory, usual.agrees) == (LETS_ENCRYPT, None)
    assert not with_email(usual, "").agrees
    assert with_email(usual, "ops@example.com").agrees  # roost up --email
    assert not with_email(read_acme({"agree_terms": False}), "ops@example.com").agrees
    assert with_email(read_acme({"email": "first@example.com"}), "ops@example.com").email == "first@example.com"
    assert read_acme({"directory": "staging", "agree_terms": True}).directory == STAGING


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("directory", "http://acme.example.com/dir"),
        ("directory", "https://user@acme.example.com/"),
        ("email", "no address"),
        ("agree_terms", "yes"),
        ("ca_bundle", "relative.pem"),
        ("challenges", []),
        ("challenges", ["http-01", "http-01"]),
        ("challenges", ["magic-01"]),
        ("dns_hook", "a shell line"),
        ("dns_hook", ["relative"]),
        ("dns_hook_timeout", 0),
        ("dns_hook_timeout", True),
        ("resolvers", "1.1.1.1"),
        ("resolvers", ["dns.example.com"]),
        ("resolvers", ["1.1.1.1:0"]),
        ("resolvers", ["1.1.1.1:x"]),
        ("own_domain", "yes"),
        ("names_per_week", 0),
        ("names_per_week", True),
    ],
)
def test_an_error_names_the_key(key: str, value: Any) -> None:
    with pytest.raises(BadInput, match=f"acme.{key}"):
        read_acme({key: value})


def test_resolvers_are_addresses_with_or_without_a_port() -> None:
    told = ("9.9.9.9", "127.0.0.1:5353", "2620:fe::fe", "[::1]:5353", "[::1]")
    assert read_acme({"resolvers": list(told)}).resolvers == told
    assert [split_resolver(each) for each in told] == [
        ("9.9.9.9", 53), ("127.0.0.1", 5353), ("2620:fe::fe", 53), ("::1", 5353), ("::1", 53),
    ]  # fmt: skip
