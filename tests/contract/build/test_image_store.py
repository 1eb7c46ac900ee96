"""What any image store must do, on the one there is. Registries are a real one on loopback."""

from __future__ import annotations

import base64
import io
import json
import os
import secrets
import signal
import socket
import tarfile
import threading
import time
from ipaddress import IPv4Network
from pathlib import Path
from threading import Event

import pytest
from tests.ports import free_port

from roost.build.contract import RegistrySettings
from roost.build.oci_export import export_layout
from roost.build.store import LocalImageStore
from roost.host.process import run, spawn
from roost.model.cloud import Cloud
from roost.model.errors import Conflict, HostFailure, NotFound
from roost.model.image import Image, ImageConfig, ImageRef, parse_image_ref

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="layers keep owners: be root")


def quiet(_line: str) -> None:
    pass


def make_cloud(tmp_path: Path, name: str = "c") -> Cloud:
    (tmp_path / name / "pool").mkdir(parents=True, exist_ok=True)
    network = IPv4Network("10.250.0.0/16")
    return Cloud(secrets.token_hex(4), tmp_path / name, 0, 0, "localhost", network, tmp_path / "cache")


@pytest.fixture
def cloud(tmp_path):
    return make_cloud(tmp_path)


@pytest.fixture
def store(cloud):
    return LocalImageStore(cloud, run, RegistrySettings(), grace=0.0)


def layer(store: LocalImageStore, name: str, content: str = "x", owner: str = "") -> str:
    with store.making_layer(name, owner=owner) as tree:
        (tree / name).write_text(content)
    return name


def test_a_sealed_image_is_found_by_digest_and_reference_and_survives_a_restart(store, cloud):
    layers = (layer(store, "one"), layer(store, "two"))
    config = ImageConfig(cmd=("run",), env=("A=1",), exposed_ports=(80,), labels={"l": "v"})
    image = store.seal(layers, config, "roost/apps/a:1")
    assert store.seal(layers, config, "roost/apps/a:1").digest == image.digest
    assert store.seal(layers, ImageConfig(), "roost/apps/a:2").digest != image.digest
    again = LocalImageStore(cloud, run, RegistrySettings())
    assert again.get(image.digest).config == config
    assert again.resolve(parse_image_ref("roost/apps/a:1")).digest == image.digest
    assert [path.name for path in again.layer_paths(image)] == ["one", "two"]
    assert image.size_bytes == 2
    assert {i.digest for i in again.list()} >= {image.digest}


def test_what_is_not_there_is_not_found(store):
    for digest in ("sha256:" + "0" * 64, "../../etc/passwd", ""):
        with pytest.raises(NotFound):
            store.get(digest)
    assert store.resolve(parse_image_ref("roost/apps/none:1")) is None
    with pytest.raises(NotFound):
        store.ensure(parse_image_ref("roost/none:bookworm"), quiet, Event())
    with pytest.raises(NotFound):
        store.seal(("missing",), ImageConfig(), "")


def test_collect_removes_what_nothing_reaches_and_keeps_the_rest(store):
    shared, used, unused = layer(store, "shared"), layer(store, "used"), layer(store, "unused", "12345")
    kept = store.seal((shared, used), ImageConfig(), "roost/apps/a:1")
    gone = store.seal((shared, unused), ImageConfig(), "roost/apps/a:2")
    assert store.collect([kept.digest]) == 5
    assert [p.exists() for p in store.layer_paths(kept)] == [True, True]
    assert store.list() == [kept]
    with pytest.raises(NotFound):
        store.get(gone.digest)
    assert store.resolve(parse_image_ref("roost/apps/a:2")) is None
    assert store.collect([kept.digest]) == 0


def test_collect_keeps_what_was_made_just_now_and_the_last_dependencies_of_an_app(cloud):
    store = LocalImageStore(cloud, run, RegistrySettings(), grace=60.0)
    image = store.seal((layer(store, "fresh"),), ImageConfig(), "")
    assert store.collect([]) == 0
    assert store.get(image.digest)
    old = LocalImageStore(cloud, run, RegistrySettings(), grace=0.0)
    for number in range(5):
        layer(old, f"deps-{number}", owner="app/deps")
        os.utime(old.layers.directory / f"deps-{number}.json", (number, number))
    old.collect([])
    assert sorted(r.id for r in old.layers.list() if r.owner) == ["deps-2", "deps-3", "deps-4"]


def test_a_layer_being_made_outlives_a_collection(store):
    with store.making_layer("busy") as tree:
        (tree / "f").write_text("x")
        store.collect([])
    assert store.has_layer("busy")


def test_shared_layers_stay_while_another_cloud_uses_them(tmp_path, store):
    with store.shared.making("base-x") as tree:
        (tree / "f").write_text("x")
    other = LocalImageStore(make_cloud(tmp_path, "other"), run, RegistrySettings(), grace=0.0)
    image = other.seal(("base-x",), ImageConfig(), "roost/apps/b:1")
    assert store.collect([]) == 0
    assert other.layer_paths(image)[0].exists()
    other.collect([])
    assert not other.shared.get("base-x")


def test_a_copied_tree_keeps_owners_links_and_overlay_marks(store, tmp_path):
    tree = tmp_path / "tree"
    (tree / "dir").mkdir(parents=True)
    (tree / "dir/f").write_text("x")
    os.chown(tree / "dir/f", 1000, 33)
    (tree / "l").symlink_to("/nowhere")
    os.mknod(tree / "gone", 0o20600, os.makedev(0, 0))
    os.setxattr(tree / "dir", "trusted.overlay.opaque", b"y")
    store.add_layer(tree, layer_id="copy")
    made = store.layers.path("copy")
    assert ((made / "dir/f").stat().st_uid, (made / "dir/f").stat().st_gid) == (1000, 33)
    assert str((made / "l").readlink()) == "/nowhere"
    assert (made / "gone").is_char_device()
    assert os.getxattr(made / "dir", "trusted.overlay.opaque") == b"y"


# -- registries


PASSWORD = "pa55word-of-the-test"
PASSWORD_HASH = "$2b$04$Ox3F5LC9yGqg5vWXumEvTuQrVfvUTxo6OVlmDNZBAtRWFa2.yY7zy"  # bcrypt


class Registry:
    """Debian's docker-registry on loopback, with images pushed by skopeo."""

    def __init__(self, directory: Path, *, password: str = "") -> None:
        self.directory = directory
        self.address = f"127.0.0.1:{free_port()}"
        config = {
            "version": 0.1, "log": {"level": "error"}, "http": {"addr": self.address},
            "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
        }  # fmt: skip
        if password:
            (directory / "htpasswd").write_text(f"user:{PASSWORD_HASH}\n")
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(directory / "htpasswd")}}
            token = base64.b64encode(f"user:{password}".encode()).decode()
            (directory / "auth.json").write_text(json.dumps({"auths": {self.address: {"auth": token}}}))
        (directory / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        command = ["docker-registry", "serve", str(directory / "config.yml")]
        self.process = spawn(command, log=directory / "log")
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(
                    tuple([self.address.split(":")[0], int(self.address.split(":")[1])]), 1
                ).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "the registry did not start"
                time.sleep(0.05)

    def push(self, layout: Path, name: str, auth: Path | None = None) -> ImageRef:
        command = ["skopeo", "copy", "--dest-tls-verify=false", *([f"--dest-authfile={auth}"] if auth else [])]
        run([*command, f"oci:{layout}:image", f"docker://{self.address}/{name}"], timeout=60)
        return parse_image_ref(f"{self.address}/{name}")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.signal(signal.SIGKILL)
            self.process.wait(10)


@pytest.fixture
def registry(tmp_path):
    (tmp_path / "registry").mkdir()
    registry = Registry(tmp_path / "registry")
    yield registry
    registry.stop()


def two_layer_layout(tmp_path: Path) -> Path:
    for name in ("low", "high"):
        (tmp_path / name / "etc").mkdir(parents=True)
    (tmp_path / "low/etc/old").write_text("old")
    (tmp_path / "low/etc/kept").write_text("kept")
    os.mknod(tmp_path / "high/etc/old", 0o20600, os.makedev(0, 0))
    (tmp_path / "high/new").write_text("new")
    config = ImageConfig(
        entrypoint=("/serve",), cmd=("-v",), env=("A=1",), workdir="/srv", user="1000", exposed_ports=(81,)
    )
    image = Image("sha256:" + "0" * 64, "", ("low", "high"), config, 0, 0.0)
    return export_layout(image, [tmp_path / "low", tmp_path / "high"], tmp_path / "layout")


def pulling(cloud: Cloud, registry: Registry, **settings) -> LocalImageStore:
    return LocalImageStore(cloud, run, RegistrySettings(insecure=frozenset({registry.address}), **settings), grace=0.0)


def test_a_pulled_image_is_flattened_with_its_configuration(tmp_path, cloud, registry):
    ref = registry.push(two_layer_layout(tmp_path), "team/app:1")
    store = pulling(cloud, registry)
    lines: list[str] = []
    image = store.ensure(ref, lines.append, Event())
    (root,) = store.layer_paths(image)
    assert sorted(str(p.relative_to(root)) for p in root.rglob("*")) == ["etc", "etc/kept", "new"]
    config = image.config
    assert (config.entrypoint, config.cmd, config.workdir, config.user) == (("/serve",), ("-v",), "/srv", "1000")
    assert (config.env, config.exposed_ports) == (("A=1",), (81,))
    assert any("pulling" in line for line in lines)
    registry.stop()  # it is not asked again
    assert store.ensure(ref, quiet, Event()) == store.resolve(ref)
    assert list(store._pulls.iterdir()) == []


def test_concurrent_pulls_of_one_reference_are_one(tmp_path, cloud, registry):
    ref = registry.push(two_layer_layout(tmp_path), "app:1")
    store = pulling(cloud, registry)
    lines: list[str] = []
    threads = [threading.Thread(target=store.ensure, args=(ref, lines.append, Event())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len([line for line in lines if line.startswith("pulling")]) == 1
    assert store.resolve(ref) is not None


def test_a_mirror_is_asked_in_place_of_the_registry(tmp_path, cloud, registry):
    registry.push(two_layer_layout(tmp_path), "library/app:1")
    store = pulling(cloud, registry, mirrors={"registry.invalid": registry.address})
    image = store.ensure(parse_image_ref("registry.invalid/library/app:1"), quiet, Event())
    assert image.reference == "registry.invalid/library/app:1"


def test_refresh_takes_what_the_tag_names_now(tmp_path, cloud, registry):
    ref = registry.push(two_layer_layout(tmp_path), "app:1")
    store = pulling(cloud, registry)
    first = store.ensure(ref, quiet, Event())
    (tmp_path / "low/etc/kept").write_text("changed")
    (tmp_path / "layout/roost-layers.json").unlink()
    image = Image("sha256:" + "1" * 64, "", ("low",), ImageConfig(), 0, 0.0)
    registry.push(export_layout(image, [tmp_path / "low"], tmp_path / "layout"), "app:1")
    assert store.ensure(ref, quiet, Event()).digest == first.digest
    second = store.refresh(ref, quiet, Event())
    assert second.digest != first.digest
    assert (store.layer_paths(second)[0] / "etc/kept").read_text() == "changed"


def test_errors_name_the_image_and_the_next_step(tmp_path, cloud, registry):
    store = pulling(cloud, registry)
    registry.push(two_layer_layout(tmp_path), "app:1")
    for name in ("app:2", "other:1"):
        with pytest.raises(NotFound, match=name) as caught:
            store.ensure(parse_image_ref(f"{registry.address}/{name}"), quiet, Event())
        assert caught.value.hint
    registry.stop()
    with pytest.raises(HostFailure, match="could not be reached"):
        store.ensure(parse_image_ref(f"{registry.address}/app:1"), quiet, Event())


def test_passwords_come_from_the_auth_file_and_are_not_shown(tmp_path, cloud):
    (tmp_path / "locked").mkdir()
    registry = Registry(tmp_path / "locked", password=PASSWORD)
    try:
        auth = tmp_path / "locked/auth.json"
        ref = registry.push(two_layer_layout(tmp_path), "app:1", auth)
        with pytest.raises(HostFailure, match="private"):
            pulling(cloud, registry).ensure(ref, quiet, Event())
        lines: list[str] = []
        assert pulling(cloud, registry, auth_file=auth).ensure(ref, lines.append, Event())
        assert not any(PASSWORD in line for line in lines)
    finally:
        registry.stop()


def test_a_damaged_blob_is_noticed(tmp_path, store):
    layout = two_layer_layout(tmp_path)
    largest = max((layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    position = data.rfind(b"kept")
    data[position] ^= 1
    largest.write_bytes(data)
    with pytest.raises(HostFailure, match="damaged"):
        store.import_layout(layout, "x/y:1", report=quiet)
    assert store.list() == []
    assert store.layers.list() == []


def test_a_layout_that_a_stranger_filled_with_links_and_fifos_is_refused(tmp_path, store):
    layout = tmp_path / "bad"
    (layout / "blobs/sha256").mkdir(parents=True)
    for make in (lambda p: p.symlink_to("/etc/passwd"), os.mkfifo):
        make(layout / "index.json")
        with pytest.raises(HostFailure, match="damaged"):
            store.import_layout(layout, "x/y:1", report=quiet)
        (layout / "index.json").unlink()


def test_cancelling_ends_a_pull_that_hangs(cloud):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        store = LocalImageStore(cloud, run, RegistrySettings(insecure=frozenset({address})))
        cancelled = Event()
        threading.Timer(1.0, cancelled.set).start()
        began = time.monotonic()
        with pytest.raises(Conflict):
            store.ensure(parse_image_ref(f"{address}/app:1"), quiet, cancelled)
        assert time.monotonic() - began < 8


def test_whiteouts_and_links_survive_the_export(tmp_path):
    layout = two_layer_layout(tmp_path)
    names = set()
    for blob in (layout / "blobs/sha256").iterdir():
        data = blob.read_bytes()
        if not data.startswith(b"{"):
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                names |= set(archive.getnames())
    assert names == {"etc", "etc/old", "etc/kept", "etc/.wh.old", "new"}


def test_what_a_build_uses_outlives_collections_during_it(store):
    layer(store, "before")
    with store.building():
        made = layer(store, "source")
        assert store.find_layer("before") == "before"
        store.collect([])
        image = store.seal(("before", made), ImageConfig(), "")
        store.collect([])
        assert [path.exists() for path in store.layer_paths(image)] == [True, True]
    store.collect([])
    assert store.list() == []
