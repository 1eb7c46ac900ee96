"""The documentation names every key that works, and its links lead somewhere."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from roost.daemon.settings import _KEYS as SETTINGS
from roost.model.app_config_keys import WORKING
from roost.model.machine_config import MachineConfig, Service

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def test_every_key_of_roost_toml_is_documented() -> None:
    text = (ROOT / "docs" / "roost-toml.md").read_text()
    for table, keys in WORKING.items():
        for key in keys:
            assert re.search(rf"\b{re.escape(key)}\b", text), f"docs/roost-toml.md does not say what {table}.{key} is"


def test_every_key_of_a_machine_is_documented() -> None:
    text = (ROOT / "docs" / "machines.md").read_text()
    names = {field.name for field in fields(MachineConfig)} | {field.name for field in fields(Service)}
    on_the_wire = {"rootfs_gb": "rootfs", "concurrency_type": "concurrency", "rate_limits": "rate_limit"}
    for name in names:
        assert on_the_wire.get(name, name) in text, f"docs/machines.md does not say what {name} is"


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    for table, keys in SETTINGS.items():
        for key in keys:
            assert re.search(rf"^(\[.*)?{key}\b", text, re.MULTILINE), f"docs/operating.md does not show {table}.{key}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which does not exist"


def test_every_benchmark_is_documented() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text()
    parts = {"all", "cells_parts", "zero_lost_load"}  # what others start
    for path in (ROOT / "bench").glob("*.py"):
        if path.stem not in parts and "__main__" in path.read_text():
            assert f"| `{path.stem}` |" in text, f"docs/benchmarks.md does not say what {path.name} measures"
