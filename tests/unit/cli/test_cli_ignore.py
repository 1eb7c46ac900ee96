from __future__ import annotations

import pytest

from roost.cli.ignore import DEFAULTS, IgnoreRules


@pytest.mark.parametrize(
    ("path", "directory", "excluded"),
    [
        (".git", True, True),
        ("web/node_modules", True, True),
        ("node_modules.txt", False, False),
        ("a/__pycache__", True, True),
        ("a/b.pyc", False, True),
        (".env", False, True),
        (".env.production", False, False),
        (".env.production.local", False, True),
        (".github", True, False),
        ("app.py", False, False),
    ],
)
def test_defaults(path: str, directory: bool, excluded: bool) -> None:
    assert IgnoreRules().excludes(path, directory=directory) is excluded


def test_own_lines_come_after_the_defaults() -> None:
    rules = IgnoreRules(["*.log", "!keep.log", "/build/", "!.env", "# a comment", ""])
    assert rules.excludes("a/x.log")
    assert not rules.excludes("a/keep.log")
    assert rules.excludes("build", directory=True)
    assert not rules.excludes("src/build", directory=True)
    assert not rules.excludes(".env")


def test_dockerignore_patterns_start_at_the_top() -> None:
    rules = IgnoreRules(["tmp", "./docs", "/x", "**/cache", "!docs/keep.md"], file=".dockerignore")
    assert rules.excludes("tmp", directory=True)
    assert not rules.excludes("src/tmp", directory=True)
    assert rules.excludes("docs", directory=True)
    assert rules.excludes("x")
    assert not rules.excludes("y/x")
    assert rules.excludes("a/b/cache", directory=True)


def test_what_detection_needs_is_always_sent() -> None:
    rules = IgnoreRules(["Dockerfile", "*.toml", "*"])
    assert not rules.excludes("Dockerfile")
    assert not rules.excludes("roost.toml")
    assert rules.excludes("other.toml")
    assert rules.excludes("Dockerfile", directory=True)


def test_the_defaults_are_patterns_that_match_something() -> None:
    for pattern in DEFAULTS:
        name = pattern.replace("*", "x").rstrip("/")
        assert IgnoreRules().excludes(name, directory=pattern.endswith("/")), pattern
