"""The module is put in place whole or not at all."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from roost.edge import native_build
from roost.edge.native_build import build_module
from roost.model.errors import HostFailure


def spawn(argv: Sequence[str], _log: Path) -> int:
    return subprocess.Popen(argv).pid


@pytest.mark.parametrize("goes_on", ['echo half >"$4"; exec sleep 60', "exit 1"])
async def test_a_compiler_that_does_not_finish_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goes_on: str
) -> None:
    compiler, directory = tmp_path / "tcc", tmp_path / "modules"
    compiler.write_text(f"#!/bin/sh\n{goes_on}\n")
    compiler.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _name: str(compiler))
    monkeypatch.setattr(native_build, "COMPILE_TIMEOUT", 0.5)
    with pytest.raises(HostFailure):
        await build_module(directory, spawn, tmp_path / "log")
    assert list(directory.iterdir()) == []
