"""Archives from strangers: what is unpacked, and that nothing leaves the destination."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
import zstandard

from roost.build.archive import apply_layer, unpack_source
from roost.model.errors import BadInput

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners and whiteouts need root")


def entry(
    name: str,
    content: bytes | None = None,
    *,
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
    mode: int = 0o644,
    uid: int = 0,
):
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode, member.uid, member.gid = kind, link, mode, uid, uid
    member.size = len(content or b"")
    return member, content


def folder(name: str):
    return entry(name, kind=tarfile.DIRTYPE, mode=0o755)


def link(name: str, target: str):
    return entry(name, kind=tarfile.SYMTYPE, link=target)


def tar(*entries) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, content in entries:
            archive.addfile(member, io.BytesIO(content) if content is not None else None)
    return out.getvalue()


def source(data: bytes, to: Path, max_bytes: int = 1 << 20, max_files: int = 100):
    to.mkdir(exist_ok=True)
    return unpack_source(io.BytesIO(data), to, max_bytes=max_bytes, max_files=max_files)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
def test_a_source_is_unpacked_whatever_its_compression(tmp_path, pack):
    data = tar(
        folder("./"), entry("./app.py", b"print(1)"), entry("bin/run", b"#!", mode=0o4755), link("here", "bin/run")
    )
    raw = pack(data)
    result = source(raw, tmp_path / "d")
    assert (tmp_path / "d/app.py").read_bytes() == b"print(1)"
    assert stat.S_IMODE((tmp_path / "d/bin/run").stat().st_mode) == 0o755  # no setuid
    assert (tmp_path / "d/here").readlink() == Path("bin/run")
    assert result.digest == "sha256:" + hashlib.sha256(raw).hexdigest()
    assert result.diff_id == "sha256:" + hashlib.sha256(data).hexdigest()
    assert (result.files, result.bytes) == (4, 10)


@pytest.mark.parametrize(
    "entries",
    [
        [entry("/etc/passwd", b"x")],
        [entry("../x", b"x")],
        [entry("a/../../x", b"x")],
        [link("l", "/etc")],
        [link("l", "../..")],
        [folder("d"), link("d/l", "../../x")],
        [link("l", "d"), folder("d"), entry("l/x", b"x")],
        [link("l", ".."), entry("l/x", b"x")],
        [link("root", "."), folder("a"), folder("a/b"), link("a/b/up", "../.."), link("sly", "a/b/up/../x")],
        [entry("h", kind=tarfile.LNKTYPE, link="/etc/passwd")],
        [entry("h", kind=tarfile.LNKTYPE, link="../../etc/passwd")],
        [link("l", "x"), entry("h", kind=tarfile.LNKTYPE, link="l")],
        [entry("c", kind=tarfile.CHRTYPE)],
        [entry("b", kind=tarfile.BLKTYPE)],
        [entry("f", kind=tarfile.FIFOTYPE)],
        [entry("a", b"x"), entry("a/b", b"x")],
        [folder("a"), entry("a/b", b"x"), entry("a", b"x")],
        [entry("n" * 300, b"x")],
        [entry(".", b"x")],
    ],
    ids=lambda entries: " ".join(f"{m.name[:20]}>{m.linkname}" if m.linkname else m.name[:20] for m, _ in entries),
)
def test_hostile_sources_are_refused_by_name(tmp_path, entries):
    with pytest.raises(BadInput) as caught:
        source(tar(*entries), tmp_path / "d")
    assert any(repr(m.name[:100])[1:-1] in caught.value.message for m, _ in entries)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d"]


def test_bounds_hold_for_bytes_files_and_bombs(tmp_path):
    with pytest.raises(BadInput, match="more than 10 bytes"):
        source(tar(entry("a", b"x" * 6), entry("b", b"x" * 6)), tmp_path / "a", max_bytes=10)
    with pytest.raises(BadInput, match="more than 2 files"):
        source(tar(entry("a", b""), entry("b", b""), entry("c", b"")), tmp_path / "b", max_files=2)
    bomb = gzip.compress(tar(entry("a", b"")) + bytes(64 << 20))
    with pytest.raises(BadInput, match="more than"):
        source(bomb, tmp_path / "c")


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 3 << 20
    with pytest.raises(BadInput, match="header"):
        source(header.tobuf() + bytes(3 << 20), tmp_path / "d", max_bytes=1 << 30)


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x1f\x8b\x08junk", gzip.compress(tar(entry("a", b"x" * 5000)))[:-30]]
)
def test_broken_archives_are_bad_input(tmp_path, data):
    with pytest.raises(BadInput):
        source(data, tmp_path / "d")


def test_the_last_of_two_members_of_one_name_wins_and_links_are_replaced(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("safe")
    source(
        tar(
            entry("a", b"1"),
            entry("b", kind=tarfile.LNKTYPE, link="a"),
            entry("a", b"2"),
            link("c", "a"),
            entry("c", b"3"),
        ),
        tmp_path / "d",
    )
    assert [(tmp_path / "d" / n).read_bytes() for n in "abc"] == [b"2", b"1", b"3"]
    assert not (tmp_path / "d/c").is_symlink()


def layer(data: bytes, to: Path, **options):
    to.mkdir(exist_ok=True)
    return apply_layer(io.BytesIO(data), to, **options)


@needs_root
def test_layers_stack_with_whiteouts_and_opaque_directories(tmp_path):
    root = tmp_path / "r"
    layer(
        tar(
            folder("etc"),
            entry("etc/a", b"1"),
            entry("etc/b", b"1"),
            folder("opt"),
            entry("opt/old", b"1"),
            folder("x"),
            entry("x/y", b""),
        ),
        root,
    )
    upper = tar(
        entry("etc/.wh.a"), entry("opt/new", b"2"), entry("opt/.wh..wh..opq"), entry(".wh.x"), entry(".wh..wh.plnk")
    )
    layer(upper, root)
    found = sorted(str(p.relative_to(root)) for p in root.rglob("*"))
    assert found == ["etc", "etc/b", "opt", "opt/new"]


@needs_root
def test_a_layer_of_its_own_keeps_whiteouts_in_overlay_form(tmp_path):
    root = tmp_path / "r"
    layer(tar(entry("etc/.wh.a"), entry("opt/.wh..wh..opq"), entry("opt/n", b"")), root, overlay=True)
    mark = (root / "etc/a").stat()
    assert stat.S_ISCHR(mark.st_mode)
    assert mark.st_rdev == 0
    assert os.getxattr(root / "opt", "trusted.overlay.opaque") == b"y"


@needs_root
def test_layers_follow_links_inside_the_root_only(tmp_path):
    root = tmp_path / "r"
    data = tar(
        folder("usr"), folder("usr/lib"), link("lib", "usr/lib"), link("abs", "/usr/lib"), link("up", "../../..")
    )
    layer(data, root)
    layer(tar(entry("lib/one", b"1"), entry("abs/two", b"2"), entry("up/three", b"3")), root)
    assert sorted(p.name for p in (root / "usr/lib").iterdir()) == ["one", "two"]
    assert (root / "three").read_bytes() == b"3"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r"]


@needs_root
def test_layer_members_keep_mode_and_owner_and_lose_devices(tmp_path):
    root = tmp_path / "r"
    layer(
        tar(
            entry("su", b"x", mode=0o4755, uid=0),
            entry("mine", b"x", uid=1000),
            entry("far", b"x", uid=200_000),
            entry("hard", kind=tarfile.LNKTYPE, link="mine"),
            entry("dev", kind=tarfile.CHRTYPE),
            entry("/abs", b"x"),
        ),
        root,
    )
    assert stat.S_IMODE((root / "su").stat().st_mode) == 0o4755
    assert ((root / "mine").stat().st_uid, (root / "far").stat().st_uid) == (1000, 65534)
    assert (root / "hard").stat().st_ino == (root / "mine").stat().st_ino
    assert not (root / "dev").exists()
    assert (root / "abs").exists()


@needs_root
@pytest.mark.parametrize(
    "member", [entry("../x", b""), entry("h", kind=tarfile.LNKTYPE, link="../../etc/passwd"), entry("a/.wh...")]
)
def test_hostile_layer_members_are_refused(tmp_path, member):
    with pytest.raises(BadInput):
        layer(tar(folder("a"), member), tmp_path / "r")


def test_digests_are_verified(tmp_path):
    data = tar(folder("a"))
    raw = gzip.compress(data)
    good = {
        "digest": "sha256:" + hashlib.sha256(raw).hexdigest(),
        "diff_id": "sha256:" + hashlib.sha256(data).hexdigest(),
    }
    layer(raw, tmp_path / "a", **good)
    for key in good:
        with pytest.raises(BadInput, match=key):
            layer(raw, tmp_path / "b", **{key: "sha256:" + "0" * 64})
