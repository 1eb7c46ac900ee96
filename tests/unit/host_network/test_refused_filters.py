"""What the kernel does not take is not kept: it would spoil the next load of the whole table."""

from __future__ import annotations

import stat
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from roost.host.network_filters import Limited, NetworkFilters
from roost.model.errors import HostFailure
from roost.model.network_policy import NO_FILTER, Filter, Port


def limited(port: int) -> Limited:
    return Limited(IPv4Address("10.1.0.5"), IPv6Address("fdaa::5"), Filter(frozenset({Port("tcp", port)})))


def test_a_limit_that_nft_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nft = tmp_path / "bin" / "nft"
    nft.parent.mkdir()
    nft.write_text("#!/bin/sh\ncat >/dev/null\ntest ! -e " + str(tmp_path / "refuse") + "\n")
    nft.chmod(nft.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{nft.parent}:/usr/bin:/bin")

    def reload() -> None:
        raise HostFailure("the table can't be loaded")

    filters = NetworkFilters(tmp_path / "run", "roost_test", reload)
    filters.set("0123456789abcd", limited(80))
    before = filters.all()
    (tmp_path / "refuse").touch()
    with pytest.raises(HostFailure, match="can't be loaded"):
        filters.set("0123456789abcd", limited(81))
    assert filters.all() == before
    (tmp_path / "refuse").unlink()
    filters.set("0123456789abcd", Limited(*vars_of(limited(80)), NO_FILTER))
    assert filters.all() == {}


def vars_of(one: Limited) -> tuple[IPv4Address, IPv6Address]:
    return one.ipv4, one.ipv6
