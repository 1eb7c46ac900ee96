"""What every command must have, and how soon the help appears."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from roost.cli.main import app

ROOT = typer.main.get_command(app)


def commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found = []
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found += commands(command, (*path, name))
        else:
            found.append(((*path, name), command))
    return found


ALL = commands(ROOT)


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_every_command_has_a_help_text_and_an_example(path: tuple[str, ...], command: Any) -> None:
    result = CliRunner().invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    assert f"Example: roost {' '.join(path)}" in " ".join(result.stdout.split())
    assert command.help


def test_no_summary_is_cut_on_a_terminal_of_80_columns() -> None:
    groups = {path[:length] for path, _ in ALL for length in range(len(path))}
    for path in sorted(groups):
        shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "80"}).stdout
        assert not [line for line in shown.splitlines()[1:] if line.endswith("...")], path


def test_every_listing_has_json() -> None:
    for path, command in ALL:
        if path[-1] in ("list", "releases", "status", "logs"):
            assert "--json" in {option for param in command.params for option in param.opts}, path


@pytest.mark.parametrize(
    "words", [["nonsense"], ["launch", "--nonsense"], ["machine", "start"], ["up", "--http-port", "0"]]
)
def test_usage_errors_end_with_2(words: list[str]) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")


def test_without_a_command_the_help_is_shown() -> None:
    assert CliRunner().invoke(app, []).exit_code == 0
    assert "launch" in CliRunner().invoke(app, []).stdout
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("roost ")


def test_help_loads_nothing_heavy() -> None:
    """Starting takes as long as its imports: the client, rich and the configuration reader wait for their command."""
    libraries = ("httpx2", "rich.console", "websockets", "pathspec", "tomlkit", "asyncio")
    heavy = (*libraries, "roost.model.app_config_read", "roost.model.machine_config")
    code = f"import sys, roost.cli.main; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_the_reference_names_every_command_and_every_option() -> None:
    text = (Path(__file__).parents[3] / "docs" / "cli.md").read_text("utf-8")
    for path, command in ALL:
        assert f"roost {' '.join(path)}" in text or f"`{path[-1]}" in text, path
        for param in command.params:
            long = [option for option in param.opts if option.startswith("--")]
            assert all(option in text for option in long), (path, long)
