"""What a process that gave its rights up can still do: ask a name server. And what it can't."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest
from tests.contract.names.test_dns_server import port as port

WITHOUT_RIGHTS = """
import asyncio, os, sys
import dns.asyncquery, dns.message
from roost.host.privileges import give_up, import_whole
import_whole("dns")
for name in ("dns", "dns.rdtypes", "dns.rdtypes.IN", "dns.rdtypes.ANY"):
    sys.modules[name].__path__ = []  # as in an installation that only root can read: nothing is imported from now on
give_up(61991, parent=os.getppid(), memory=512 << 20, files=64)
query = dns.message.make_query("shop.internal", "A")  # 300 addresses: by UDP they are cut, so it asks again by TCP
answer, by_tcp = asyncio.run(dns.asyncquery.udp_with_fallback(query, "127.0.0.1", port=int(sys.argv[1]), timeout=5))
print(len(answer.answer[0]), by_tcp, os.getuid(), os.getgroups())
def attempt(what, call):
    try:
        call()
    except (OSError, MemoryError) as error:
        print(what, type(error).__name__)
attempt("fork", os.fork)
attempt("setuid", lambda: os.setuid(0))
attempt("shadow", lambda: open("/etc/shadow"))
attempt("memory", lambda: bytearray(600 << 20))
attempt("files", lambda: [os.pipe() for _ in range(64)])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up rights that root has")
async def test_it_asks_name_servers_and_does_nothing_else(port: int) -> None:
    done = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WITHOUT_RIGHTS, str(port), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(done.communicate(), 30)
    assert said.decode().splitlines() == [
        "300 True 61991 []",
        "fork BlockingIOError",
        "setuid PermissionError",
        "shadow PermissionError",
        "memory MemoryError",
        "files OSError",
    ]


def test_it_ends_when_the_process_it_works_for_has() -> None:
    code = "from roost.host.privileges import give_up; give_up(61991, parent=1, memory=1 << 30, files=64)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode and "has ended" in done.stderr
