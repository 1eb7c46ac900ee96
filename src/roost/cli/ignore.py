"""Which files of a source directory are not uploaded. Pure: rules over paths.

Defaults come first, then `.roostignore` or else `.dockerignore`, so a line `!dist` brings back what a
default left out. As in git, a file below an ignored directory can't be brought back by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from pathspec import GitIgnoreSpec

IGNORE_FILES = (".roostignore", ".dockerignore")  # the first that exists is used
ALWAYS_SENT = frozenset({"roost.toml", "fly.toml", "fly.json", "fly.yaml", "fly.yml", "Dockerfile", "Procfile"})
DEFAULTS = (
    ".git/",
    ".hg/",
    ".svn/",
    "node_modules/",
    ".venv/",
    "__pycache__/",
    "*.pyc",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".tox/",
    ".nox/",
    ".terraform/",
    ".DS_Store",
    ".env",
    ".env.local",
    ".env.*.local",
)
LOCAL_SECRETS = (".env", ".env.local")  # left out by default and worth a word, since the app may miss them


class IgnoreRules:
    """Decides which paths (POSIX, relative, a directory's without a trailing slash) stay at home."""

    def __init__(self, lines: Sequence[str] = (), *, file: str = "") -> None:
        own = [_anchored(line) for line in lines] if file.endswith(".dockerignore") else list(lines)
        self._spec = GitIgnoreSpec.from_lines([*DEFAULTS, *own])

    def excludes(self, path: str, *, directory: bool = False) -> bool:
        """Tell whether `path` is left out; its parents are assumed not to be."""
        if not directory and path in ALWAYS_SENT:
            return False
        return self._spec.match_file(f"{path}/" if directory else path)


def _anchored(line: str) -> str:
    """Turn a line of a `.dockerignore`, whose patterns start at the top directory, into git's form."""
    text = line.strip()
    if not text or text.startswith("#"):
        return ""
    mark, pattern = ("!", text[1:].strip()) if text.startswith("!") else ("", text)
    pattern = pattern.removeprefix("./").lstrip("/")
    return mark + (pattern if pattern.startswith("**/") else f"/{pattern}")
