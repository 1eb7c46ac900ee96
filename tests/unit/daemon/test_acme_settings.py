"""The table [acme]: what is taken, and which key an error names."""

from __future__ import annotations

from typing import Any

import pytest

from roost.daemon.acme_settings import read_acme
from roost.model.acme import LETS_ENCRYPT, STAGING
from roost.model.errors import BadInput


def test_nothing_is_issued_before_the_operator_agrees() -> None:
    usual = read_acme({})
    assert (usual.directory, usual.agrees) == (LETS_ENCRYPT, False)
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
    ],
)
def test_an_error_names_the_key(key: str, value: Any) -> None:
    with pytest.raises(BadInput, match=f"acme.{key}"):
        read_acme({key: value})
