"""Files in machines and tunnels, by both clients and by the command line. A machine of the fake is this host."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tests.contract.api.fake_world import ADMIN
from typer.testing import Result

from roost.model.errors import BadInput, FailedPrecondition, Unprocessable
from roost.sdk import AsyncClient, Client

TOKEN = ADMIN["Authorization"].partition(" ")[2]
EVERY_BYTE = bytes(range(256)) * 20_000  # about 5 MB, with all that a terminal could swallow
Run = Callable[..., Result]


@pytest.fixture
def machine(client: Client) -> str:
    client.apps.create("shop")
    return client.machines.create("shop", {"image": "roost/base:bookworm"})["id"]


@pytest.fixture
def upper() -> Iterator[int]:
    """A server that answers all it got, in capitals, after the half-close."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with link:
                data = b""
                while piece := link.recv(65536):
                    data += piece
                link.sendall(data.upper())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


def test_a_file_there_and_back(client: Client, machine: str, tmp_path: Path) -> None:
    place = tmp_path / "it's a file"
    client.files.write("shop", machine, str(place), [EVERY_BYTE], size=len(EVERY_BYTE))
    assert place.read_bytes() == EVERY_BYTE
    assert b"".join(client.files.read("shop", machine, str(place))) == EVERY_BYTE
    client.files.write("shop", machine, str(place), [], size=0)
    assert list(client.files.read("shop", machine, str(place))) == []
    assert [p.name for p in tmp_path.iterdir()] == [place.name]


async def test_the_same_by_the_async_client(address: str, machine: str, tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(EVERY_BYTE), 50_000):
            yield EVERY_BYTE[start : start + 50_000]

    place = str(tmp_path / "file")
    async with AsyncClient(address, TOKEN) as client:
        await client.files.write("shop", machine, place, chunks(), size=len(EVERY_BYTE))
        assert b"".join([piece async for piece in client.files.read("shop", machine, place)]) == EVERY_BYTE
        assert b"".join([piece async for piece in client.files.run("shop", machine, ["echo", "a b"])]) == b"a b\n"


def test_what_cant_be_copied(client: Client, machine: str, tmp_path: Path) -> None:
    with pytest.raises(Unprocessable, match="No such file"):
        list(client.files.read("shop", machine, str(tmp_path / "missing")))
    with pytest.raises(Unprocessable, match="directory"):
        list(client.files.read("shop", machine, str(tmp_path)))
    with pytest.raises(Unprocessable, match="can't be written"):
        client.files.write("shop", machine, str(tmp_path / "no" / "such"), [b"x"], size=1)
    with pytest.raises(BadInput, match="absolute"):
        list(client.files.read("shop", machine, "relative"))
    with pytest.raises(BadInput, match="promised"):
        client.files.write("shop", machine, str(tmp_path / "short"), [b"x"], size=2)
    with pytest.raises(Unprocessable, match="no surely-not"):
        list(client.files.run("shop", machine, ["surely-not"]))


def test_a_tunnel(client: Client, machine: str, upper: int) -> None:
    tunnel = client.machines.proxy("shop", machine, upper)
    tunnel.write(b"hello " * 100_000)
    tunnel.write_eof()
    assert b"".join(tunnel) == b"HELLO " * 100_000
    tunnel.close()
    with pytest.raises(FailedPrecondition):
        client.machines.proxy("shop", machine, 1)


async def test_tunnels_at_once(address: str, machine: str, upper: int) -> None:
    async with AsyncClient(address, TOKEN) as client:

        async def one(number: int) -> bytes:
            tunnel = await client.machines.proxy("shop", machine, upper)
            await tunnel.write(f"number {number}".encode())
            await tunnel.write_eof()
            said = b"".join([piece async for piece in tunnel])
            await tunnel.close()
            return said

        assert await asyncio.gather(*(one(n) for n in range(10))) == [f"NUMBER {n}".encode() for n in range(10)]


def test_roost_proxy(address: str, machine: str, upper: int) -> None:
    environment = {**os.environ, "ROOST_API_URL": address, "ROOST_TOKEN": TOKEN}
    words = [sys.executable, "-m", "roost.cli", "proxy", f"0:{upper}", "-a", "shop"]
    child = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout
        said = child.stdout.readline()
        assert machine in said
        port = int(said.split()[0].rpartition(":")[2])
        for text in (b"abc", b"x" * 1_000_000):
            with socket.create_connection(("127.0.0.1", port), 10) as link:
                link.sendall(text)
                link.shutdown(socket.SHUT_WR)
                got = b""
                while piece := link.recv(65536):
                    got += piece
                assert got == text.upper()
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=20)
    finally:
        child.kill()
        child.wait(10)
    assert child.returncode == 130
    assert "Traceback" not in errors


@pytest.mark.parametrize("mapping", ["", "a:b", "1:0", "70000:1", "1:2:3", "-1:2"])
def test_roost_proxy_refuses(run: Run, machine: str, mapping: str) -> None:
    assert run("proxy", "-a", "shop", "--", mapping).exit_code == 2


def test_sftp(run: Run, machine: str, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    Path("local.bin").write_bytes(EVERY_BYTE)
    assert run("ssh", "sftp", "put", "local.bin", f"{there}/", "-a", "shop").exit_code == 0
    assert (there / "local.bin").read_bytes() == EVERY_BYTE
    taken = run("ssh", "sftp", "get", f"{there}/local.bin", "-a", "shop")
    assert (taken.exit_code, "is there already" in taken.stderr) == (2, True)
    assert run("ssh", "sftp", "get", f"{there}/local.bin", "copy.bin", "-a", "shop").exit_code == 0
    assert Path("copy.bin").read_bytes() == EVERY_BYTE
    assert "local.bin" in run("ssh", "sftp", "ls", str(there), "-a", "shop").stdout
    assert run("ssh", "sftp", "ls", str(there), "-a", "shop", "--json").stdout == '[\n  "local.bin"\n]\n'
    assert f"{there}/local.bin\n" in run("ssh", "sftp", "find", str(there), "-a", "shop").stdout
    Path("link").symlink_to(tmp_path / "elsewhere")
    assert run("ssh", "sftp", "get", f"{there}/local.bin", "link", "-a", "shop").exit_code == 2
    assert not (tmp_path / "elsewhere").exists()
    assert run("ssh", "sftp", "get", f"{there}/missing", "x", "-a", "shop").exit_code == 1
    assert not Path("x").exists()
    assert not [p for p in tmp_path.iterdir() if "part" in p.name]


def test_sftp_shell(run: Run, machine: str, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    Path("one").write_text("1")
    typed = [f"cd {tmp_path}/there", "pwd", "put one", "ls", "get one two", "get ../../../one three"]
    typed += ["nonsense", "cd /nowhere", "get", "find", "exit"]
    found = run("ssh", "sftp", "shell", "-a", "shop", input="\n".join(typed) + "\n")
    assert found.exit_code == 0, found.output
    assert f"{tmp_path}/there\n" in found.stdout
    assert Path("two").read_text() == "1"
    assert not Path("three").exists()
    assert found.stderr.count("error: ") == 4
