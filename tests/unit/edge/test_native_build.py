"""The module is put in place whole or not at all."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from roost.edge import native_build
from roost.edge.native_build import build_module, is_whole
from roost.edge.native_module import compile_command, file_name
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


async def test_what_a_full_disk_cut_off_is_not_put_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tmp_path / file_name()
    tcc = shutil.which("tcc")
    assert tcc
    subprocess.run(compile_command(tcc, whole), check=True)
    assert is_whole(whole)
    data = whole.read_bytes()
    for length in (*range(0, len(data), 997), len(data) - 1):
        whole.write_bytes(data[:length])
        assert not is_whole(whole), f"{length} of {len(data)}"
    whole.write_bytes(data)
    compiler, directory = tmp_path / "tcc", tmp_path / "modules"
    compiler.write_text(f'#!/bin/sh\nhead -c 30000 {whole} >"$4"\n')
    compiler.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _name: str(compiler))
    with pytest.raises(HostFailure, match="disk is full"):
        await build_module(directory, spawn, tmp_path / "log")
    assert list(directory.iterdir()) == []
