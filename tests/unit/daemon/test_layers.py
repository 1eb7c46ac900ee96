"""The few rules of DESIGN that import-linter can't see: one door each for processes, environment and SQL."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted((ROOT / "src" / "roost").rglob("*.py"))

DOORS = {
    "subprocess": ["host/process.py"],
    "sqlalchemy": ["store/"],
    "sqlite3": ["store/"],
    "alembic": ["store/"],
    "grpc": ["edge/"],
    "google": ["edge/"],
}
ENVIRONMENT = {"daemon/settings.py", "cli/context.py"}


def _imports(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def _reads_environment(tree: ast.Module) -> bool:
    wanted = {"environ", "environb", "getenv", "getenvb", "putenv"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            if node.attr in wanted:
                return True
        elif isinstance(node, ast.ImportFrom) and node.module == "os" and wanted & {a.name for a in node.names}:
            return True
    return False


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_processes_environment_and_sql_have_one_door_each(path: Path) -> None:
    name = str(path.relative_to(ROOT / "src" / "roost"))
    tree = ast.parse(path.read_text())
    for module, allowed in DOORS.items():
        if module in _imports(tree):
            assert name.startswith(tuple(allowed)), f"{name} imports {module}, which belongs in {allowed}"
    if _reads_environment(tree):
        assert name in ENVIRONMENT, f"{name} reads the environment, which only {sorted(ENVIRONMENT)} may do"


def test_the_sources_were_found() -> None:
    assert len(SOURCES) > 10


def _names(lines: list[str]) -> set[str]:
    found = (re.match(r"[A-Za-z0-9._-]+", line) for line in lines)
    return {re.sub(r"[-_.]+", "-", match.group()).lower() for match in found if match}


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt", "requirements-setup.txt"])
def test_locked_requirements_carry_hashes_and_name_no_index(lock: str) -> None:
    text = (ROOT / "packaging" / lock).read_text()
    pins = re.findall(r"^\S+==\S+", text, re.MULTILINE)
    assert pins
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_each_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for wanted, lock in (
        (project["project"]["dependencies"], "requirements.txt"),
        (project["dependency-groups"]["dev"], "requirements-dev.txt"),
    ):
        locked = _names((ROOT / "packaging" / lock).read_text().splitlines())
        assert _names(wanted) <= locked, f"run scripts/lock: {sorted(_names(wanted) - locked)} are not in {lock}"


@pytest.mark.parametrize("listing", ["system-packages.txt", "test-packages.txt"])
def test_each_system_package_has_a_reason(listing: str) -> None:
    lines = (ROOT / "packaging" / listing).read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    assert packages
    for line in packages:
        assert re.fullmatch(r"[a-z0-9][a-z0-9.+-]+ +# \S.*", line), line
    assert len({line.split()[0] for line in packages}) == len(packages)


def test_what_the_doctor_asks_for_is_installed_by_the_set_up() -> None:
    from roost.host.doctor import TOOLS

    lines = (ROOT / "packaging" / "system-packages.txt").read_text().splitlines()
    assert {tool[3] for tool in TOOLS} <= {line.split()[0] for line in lines if line}
