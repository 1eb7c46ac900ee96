"""The directory as a source tree: no link is followed, nothing outside is read, sizes are bounded."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from roost.build.detect import DictTree, DirectoryTree, detect
from roost.build.detect.tree import MAX_READ
from roost.model.errors import BadInput


def test_files_are_listed_and_read(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c.txt").write_bytes(b"x\xff")
    tree = DirectoryTree(tmp_path)
    assert tree.paths == {"a/b/c.txt"}
    assert tree.read("a/b/c.txt") == "x\ufffd"
    assert tree.read("a/b") is None


def test_links_are_neither_listed_nor_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    source = tmp_path / "src"
    (source / "dir").mkdir(parents=True)
    (source / "dir/f").write_text("f")
    (source / "link").symlink_to(secret)
    (source / "up").symlink_to(tmp_path)
    tree = DirectoryTree(source)
    assert tree.paths == {"dir/f"}
    for path in ("link", "up/secret", "../secret", "/etc/passwd", "dir/../../secret"):
        assert tree.read(path) is None


def test_a_file_replaced_by_a_link_after_listing_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("f")
    tree = DirectoryTree(tmp_path)
    assert tree.paths == {"d/f"}
    (tmp_path / "d").rename(tmp_path / "e")
    (tmp_path / "d").symlink_to("/etc")
    assert tree.read("d/f") is None


def test_a_fifo_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    tree = DirectoryTree(tmp_path)
    assert tree.paths == {"f"}
    (tmp_path / "f").unlink()
    os.mkfifo(tmp_path / "f")
    assert tree.read("f") is None


def test_heavy_directories_are_skipped_and_reading_is_bounded(tmp_path: Path) -> None:
    for name in ("node_modules", ".git", ".venv"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("")
    (tmp_path / "big").write_text("a" * (MAX_READ + 10))
    tree = DirectoryTree(tmp_path)
    assert tree.paths == {"big"}
    assert len(tree.read("big") or "") == MAX_READ


_NAMES = st.sampled_from(
    ["package.json", "requirements.txt", "app.py", "pyproject.toml", "Pipfile", "go.mod", "Gemfile", "composer.json",
     "Dockerfile", "Procfile", "Staticfile", "index.html", "Cargo.toml", "a.csproj", "angular.json", "setup.cfg"]
)  # fmt: skip


@given(st.dictionaries(_NAMES, st.text(max_size=200), max_size=6))
@example({"composer.json": "0"})
def test_any_content_gives_a_plan_or_a_clear_error(files: dict[str, str]) -> None:
    try:
        assert detect(DictTree(files)).evidence
    except BadInput as error:
        assert error.message
