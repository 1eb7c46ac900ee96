"""native/address_limit.c under sanitizers: buckets of addresses, at times that the test says."""

from __future__ import annotations

import ipaddress
import random
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.edge.native import sanitized

SECOND = 1_000_000_000
TENTH, BURST = SECOND // 10, 3  # 10 a second, 3 at once
Call = tuple[float, str]  # seconds, address


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sanitized.program(tmp_path_factory.mktemp("native"), "limit_calls.c", "address_limit.c", "texts.c")


def refused(program: Path, calls: Iterable[Call], every: int = TENTH, burst: int = BURST) -> list[bool]:
    """Say of each request whether it is one too many; the table is empty before."""
    given = b"".join(
        struct.pack("<QQQI", SECOND + round(at * SECOND), every, burst, len(address)) + address.encode()
        for at, address in calls
    )
    done = subprocess.run([program], input=given, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()[:3000]
    return [byte != 0 for byte in done.stdout]


def test_a_bucket_holds_a_burst_and_fills_all_the_time(program: Path) -> None:
    calls = [(0.0, "192.0.2.1")] * 5 + [(0.0, "192.0.2.2")] + [(0.1, "192.0.2.1")] * 2 + [(9.0, "192.0.2.1")] * 4
    assert refused(program, calls) == [False] * 3 + [True] * 2 + [False] + [False, True] + [False] * 3 + [True]
    steady = [(number / 10, "192.0.2.1") for number in range(200)]
    assert not any(refused(program, steady, burst=1)), "at the rate nothing is ever refused"
    hasty = refused(program, [(number / 20, "192.0.2.1") for number in range(2000)])
    assert hasty.count(False) in range(1000, 1005), "and at twice the rate half of it; what is refused does not count"


def test_ipv6_counts_by_what_one_customer_has_and_ipv4_in_its_form_as_ipv4(program: Path) -> None:
    one = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:2:1:2:3:4%eth0"]
    for same in (one, ["192.0.2.7", "::ffff:192.0.2.7", "0:0:0:0:0:ffff:c000:207"]):
        assert refused(program, [(0.0, address) for address in (*same, *same)]) == [False] * 3 + [True] * 3
    others = ["2001:db8:1:3::1", "2001:db8:1:2::1", "1.0.2.7", "2.0.2.7", "192.0.2.71", "0:ff:1::"]
    assert not any(refused(program, [(0.0, address) for address in others], burst=1))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "::1", "", ".", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1..2.3", "1.2.3.", ".1.2.3", "0001.2.3.4",
        "1.2.3.4x", "/run/x.sock", ":", "%", "1:%", "::g", ":" * 63, ":" * 64, "1:" * 4000, "9" * 9000,
    ],
)  # fmt: skip
def test_loopback_and_what_is_no_address_have_no_limit(program: Path, address: str) -> None:
    assert not any(refused(program, [(0.0, address)] * 10))


def test_other_addresses_of_loopback_and_none_have_one(program: Path) -> None:
    assert refused(program, [(0.0, "127.0.0.2")] * 4)[-1]
    assert refused(program, [(0.0, "0.0.0.0")] * 4)[-1]
    assert not any(refused(program, [(0.0, "127.0.0.2")] * 4, every=0)), "no limit is set"


@settings(max_examples=40, deadline=None)
@given(address=st.text(alphabet="0123456789abcdef:.%x", max_size=70) | st.ip_addresses().map(str))
def test_any_text_is_read_as_an_address_or_as_none(program: Path, address: str) -> None:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0] if ":" in address else address)
        limited = ip != ipaddress.ip_address("127.0.0.1") and not (ip.version == 6 and _is_first_64(ip))
    except ValueError:
        limited = False
    assert refused(program, [(0.0, address)] * 2, burst=1)[1] == limited


def _is_first_64(ip: ipaddress.IPv6Address | ipaddress.IPv4Address) -> bool:
    return int(ip) >> 64 == 0 and int(ip) >> 32 != 0xFFFF


def test_twenty_thousand_addresses_are_known_and_a_flood_of_others_refuses_nobody(program: Path) -> None:
    some = [f"10.{number >> 8 & 255}.{number & 255}.1" for number in range(20_000)]
    again = refused(program, [(0.0, address) for address in (*some, *some)], burst=1)[20_000:]
    assert again.count(True) > 19_900
    chance = random.Random(1)
    flood = [(0.01 + n / 1e6, str(ipaddress.IPv4Address(chance.randrange(1 << 31, 1 << 32)))) for n in range(200_000)]
    attacker = [(0.0, "192.0.2.66")] * 50
    found = refused(program, [*attacker, *flood, (0.21, "192.0.2.66"), (0.21, "192.0.2.67")], every=SECOND, burst=20)
    assert not any(found[50:-2]), "new addresses find a full bucket, however many there are"
    assert found[-2:] == [True, False], "who asked for much is remembered all the same"
