from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from roost.cli.source import SourceTree, pack, scan, stays_inside
from roost.model.errors import BadInput, Conflict


def unpack(tree: SourceTree) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(b"".join(pack(tree))), mode="r:gz")


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_packs_files_modes_and_contents(tmp_path: Path) -> None:
    write(tmp_path / "app.py", "print()\n" * 1000).chmod(0o600)
    write(tmp_path / "bin" / "run").chmod(0o700)
    write(tmp_path / "empty", "")
    write(tmp_path / ("long-" * 40) / ("näme-" * 30), "deep")
    tree = scan(tmp_path)
    with unpack(tree) as tar:
        found = {member.name: member for member in tar}
        assert found["app.py"].mode == 0o644
        assert found["bin/run"].mode == 0o755
        assert found["bin"].isdir()
        assert {(m.uid, m.gid, m.uname, m.gname) for m in found.values()} == {(0, 0, "", "")}
        extracted = tar.extractfile("app.py")
        assert extracted and extracted.read() == b"print()\n" * 1000
        assert f"{'long-' * 40}/{'näme-' * 30}" in found
    assert (tree.files, tree.bytes) == (4, 8000 + 1 + 4)


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("b", "a", "c/d"):
        write(tmp_path / name)
    first = b"".join(pack(scan(tmp_path)))
    os.utime(tmp_path / "a", ns=(1, (tmp_path / "a").stat().st_mtime_ns))
    assert b"".join(pack(scan(tmp_path))) == first
    with unpack(scan(tmp_path)) as tar:
        assert [m.name for m in tar] == ["a", "b", "c", "c/d"]
    assert gzip.decompress(first)


def test_ignore_files(tmp_path: Path) -> None:
    for name in (
        "app.py",
        "x.log",
        ".git/config",
        "node_modules/a/b.js",
        "my-env/pyvenv.cfg",
        "my-env/lib/x.py",
        ".env",
    ):
        write(tmp_path / name)
    (tmp_path / ".dockerignore").write_text("app.py\n")
    (tmp_path / ".roostignore").write_text("*.log\n")
    tree = scan(tmp_path)
    assert {entry.path for entry in tree.entries} == {"app.py", ".dockerignore", ".roostignore"}
    assert any("secrets import" in note for note in tree.notes)


def test_links_are_kept_only_when_they_stay_inside(tmp_path: Path) -> None:
    root = tmp_path / "src"
    write(tmp_path / "outside", "secret")
    write(root / "a" / "file")
    links = {"ok": "a/file", "a/up": "../a/file", "a/out": "../../outside", "abs": str(tmp_path / "outside"),
             "here": ".", "sly": "here/../outside", "dir": "a"}  # fmt: skip
    for name, target in links.items():
        (root / name).symlink_to(target)
    tree = scan(root)
    kept = {entry.path: entry.link for entry in tree.entries if entry.link}
    assert kept == {"ok": "a/file", "a/up": "../a/file", "here": ".", "dir": "a"}
    with unpack(tree) as tar:
        assert all("secret" not in (m.name + m.linkname) for m in tar)
    assert len([note for note in tree.notes if "left out" in note]) == 3


@pytest.mark.parametrize(
    ("path", "target", "inside"),
    [("a", "b", True), ("a", "../b", False), ("d/a", "../b", True), ("d/a", "x/../../b", True),
     ("d/a", "../../b", False), ("a", "/etc/passwd", False), ("a", "", False), ("d/a", "../../d/b", False)],
)  # fmt: skip
def test_stays_inside(path: str, target: str, inside: bool) -> None:
    assert stays_inside(path, target) is inside


def test_special_files_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "app.py")
    os.mkfifo(tmp_path / "pipe")
    tree = scan(tmp_path)
    assert [entry.path for entry in tree.entries] == ["app.py"]
    assert "pipe" in tree.notes[0]


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "data", "x" * 100)
    for size in (50, 200):
        tree = scan(tmp_path)
        path.write_text("y" * size)
        with pytest.raises(Conflict):
            list(pack(tree))
    path.write_text("x" * 100)
    tree = scan(tmp_path)
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(BadInput):
        list(pack(tree))


def test_nothing_to_send(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        scan(tmp_path)
    with pytest.raises(BadInput):
        scan(tmp_path / "missing")


def test_a_big_file_is_streamed(tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as file:
        file.truncate(64 << 20)
    assert max(len(chunk) for chunk in pack(scan(tmp_path))) < 1 << 20
