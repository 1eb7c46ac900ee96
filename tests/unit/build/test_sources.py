from __future__ import annotations

import io
import os
import tarfile

import pytest

from roost.build.sources import SourceStore
from roost.model.errors import BadInput, NotFound

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners are set: be root")


def archive(**files: str) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    out.seek(0)
    return out


def test_a_source_is_received_once_and_found_by_its_id(tmp_path):
    store = SourceStore(tmp_path)
    upload = archive(app="print")
    source = store.receive(upload)
    assert (source.files, source.bytes, (source.path / "app").read_text()) == (1, 5, "print")
    upload.seek(0)
    assert store.receive(upload) == source
    assert SourceStore(tmp_path).get(source.id) == source
    assert len(list((tmp_path / "sources").iterdir())) == 1


def test_a_bad_upload_leaves_nothing(tmp_path):
    store = SourceStore(tmp_path, max_bytes=3)
    with pytest.raises(BadInput):
        store.receive(archive(app="print"))
    assert list((tmp_path / "sources").iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", "0" * 64, "../" + "0" * 61])
def test_unknown_ids_are_not_found(tmp_path, name):
    with pytest.raises(NotFound):
        SourceStore(tmp_path).get(name)


def test_old_sources_make_room_and_young_ones_stay(tmp_path):
    store = SourceStore(tmp_path, keep=2)
    sources = [store.receive(archive(app=str(n))) for n in range(4)]
    assert len(list((tmp_path / "sources").iterdir())) == 4
    for age, source in enumerate(sources):
        os.utime(source.path.parent, (age, age))
    store.collect()
    assert [s for s in sources if s.path.exists()] == sources[2:]
