"""The real API over the control plane in memory, served on a loopback port, and clients for it."""

from __future__ import annotations

import importlib.util
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import uvicorn
from typer.testing import CliRunner, Result

from roost.api.app import create_api
from roost.cli.main import app as roost
from roost.sdk import Client

Run = Callable[..., Result]


def _load_fake() -> Any:
    """Import the control plane in memory of the API's contract tests."""
    if "fake_control" not in sys.modules:
        path = Path(__file__).parents[1] / "api" / "fake_control.py"
        spec = importlib.util.spec_from_file_location("fake_control", path)
        assert spec and spec.loader
        sys.modules["fake_control"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["fake_control"]


@pytest.fixture
def control() -> Iterator[Any]:
    fake = _load_fake().FakeControl()
    yield fake
    for console in fake.world.consoles:
        console.close()


@pytest.fixture
def address(control: Any) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_api(control), log_level="error", timeout_graceful_shutdown=1))
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), cache_logger_on_first_use=False)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < deadline, "the API did not start within 10 s"
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    listener.close()
    structlog.reset_defaults()
    assert not thread.is_alive()


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address, _load_fake().ADMIN_TOKEN, timeout=10) as found:
        yield found


@pytest.fixture
def environment(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOST_API_URL", address)
    monkeypatch.setenv("ROOST_TOKEN", _load_fake().ADMIN_TOKEN)
    monkeypatch.setenv("ROOST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("ROOST_APP", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(environment: None) -> Run:
    def invoke(*words: str, input: str | None = None, env: dict[str, str] | None = None) -> Result:
        return CliRunner(env=env).invoke(roost, list(words), input=input)

    return invoke
