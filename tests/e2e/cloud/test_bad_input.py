"""Input that is wrong, as a user would meet it: a clear error, the documented exit code, nothing half-made."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cloud.conftest import ROOST, RunningCloud, free_port, wait_until
from tests.e2e.cloud.programs import fresh, nothing_added, program, said, server


@pytest.fixture
def name(cloud: RunningCloud) -> Iterator[str]:
    """A name for an app, which is removed if it came to be."""
    chosen = fresh("wrong")
    yield chosen
    cloud.roost("apps", "destroy", chosen, "--yes", check=False)


@pytest.fixture(scope="module")
def shop(cloud: RunningCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An app that serves, whatever the tests do to it."""
    chosen = fresh("shop")
    source = program(tmp_path_factory.mktemp("source") / "shop", server())
    cloud.roost("launch", source, "--name", chosen, "--yes", timeout=240)
    yield chosen
    cloud.roost("apps", "destroy", chosen, "--yes", check=False)


# The configuration file and the directory.


def test_a_wrong_key_is_a_warning_that_names_the_nearest(cloud: RunningCloud, tmp_path: Path, name: str) -> None:
    toml = f'app = "{name}"\nprimary_regoin = "x"\n[http_service]\ninternal_prot = 8080\n'
    answer = said(cloud, "launch", program(tmp_path / "a", server(), toml=toml), "--no-deploy", "--yes")
    assert answer.code == 0
    assert "roost.toml, line 4: http_service.internal_prot is not a known key: did you mean internal_port?" in answer
    assert "line 2: primary_regoin is not a known key: did you mean primary_region?" in answer


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('app = "x"\n\n[http_service]\ninternal_port = "eighty"\n', ("line 4", "http_service.internal_port", "65535")),
        ('app = "x"\n[deploy]\nwait_timeout = "soon"\n', ("line 3", "deploy.wait_timeout")),
        ('app = "x"\n[http_service\n', ("not valid TOML", "line 2")),
        ('app = "x"\n[build]\ndockerfile = "../../etc/passwd"\n', ("build.dockerfile",)),
    ],
)
def test_a_wrong_value_is_an_error_with_its_place(
    cloud: RunningCloud, tmp_path: Path, toml: str, words: tuple[str, ...]
) -> None:
    source = program(tmp_path / "a", server(), toml=toml)
    with nothing_added(cloud):
        answer = said(cloud, "launch", source, "--name", fresh("x"), "--yes")
    assert answer.code == 2
    for word in (str(source / "roost.toml"), *words):
        assert word in answer


@pytest.mark.parametrize("command", ["launch", "deploy"])
def test_a_directory_that_is_not_there(cloud: RunningCloud, tmp_path: Path, command: str) -> None:
    with nothing_added(cloud):
        answer = said(cloud, command, tmp_path / "nowhere", *(["--yes"] if command == "launch" else ["-a", "x"]))
    assert answer.code == 2
    assert f"{tmp_path / 'nowhere'} is not a directory" in answer
    assert "hint: " in answer


def test_a_directory_of_which_nothing_can_be_told(cloud: RunningCloud, tmp_path: Path) -> None:
    source = tmp_path / "notes"
    source.mkdir()
    (source / "README.md").write_text("# Notes\n")
    with nothing_added(cloud):
        answer = said(cloud, "launch", source, "--name", fresh("notes"), "--yes")
    assert answer.code == 2
    for word in ("can't tell what this app is", "requirements.txt", "package.json", "index.html", "add a Dockerfile"):
        assert word in answer
    assert not (source / "roost.toml").exists()


@pytest.mark.parametrize("bad", ["Shop", "a" * 300, "-shop", "my_shop", "shöp", ""])
def test_a_name_that_no_host_can_have(cloud: RunningCloud, tmp_path: Path, bad: str) -> None:
    source = program(tmp_path / "a", server())
    with nothing_added(cloud):
        made = said(cloud, "apps", "create", "--", bad)
        launched = said(cloud, "launch", source, f"--name={bad}", "--yes") if bad else made
    for answer in (made, launched):
        assert answer.code == 2
        assert "lower-case letters, digits" in answer
        assert "hint: " in answer
        assert len(answer.text) < 1000
    assert not (source / "roost.toml").exists()


def test_without_a_terminal_nothing_is_asked(cloud: RunningCloud, tmp_path: Path, shop: str) -> None:
    source = program(tmp_path / "a", server())
    with nothing_added(cloud):
        answers = [
            said(cloud, "launch", source, "--name", fresh("x")),
            said(cloud, "apps", "destroy", shop),
            said(cloud, "destroy-cloud"),
        ]
    for answer in answers:
        assert answer.code == 2
        assert "--yes" in answer
    assert not (source / "roost.toml").exists()
    assert cloud.get(shop).text == "one"


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "deploy .",
        "logs",
        "secrets set A=1",
        "secrets list",
        "releases",
        "rollback",
        "machine list",
        "machine run roost/base:bookworm",
        "ssh console -C true",
        "open --print",
    ],
)
def test_an_app_that_does_not_exist(cloud: RunningCloud, command: str) -> None:
    answer = said(cloud, *command.split(), "-a", "no-such-app")
    assert answer.code == 3
    assert "app not found: 'no-such-app'" in answer
    assert "roost apps list" in answer


@pytest.mark.parametrize("pair", ["1A=x", "A B=x", "A-B=x", "FLY_A=x", "ROOST_A=x", "=x", "A", f"{'A' * 300}=x"])
def test_a_secret_that_can_not_be_a_variable(cloud: RunningCloud, shop: str, pair: str) -> None:
    before = cloud.machines(shop)
    answer = said(cloud, "secrets", "set", "-a", shop, "GOOD=1", pair)
    assert answer.code == 2
    assert "error: " in answer
    assert "hint: " in answer
    assert cloud.json("secrets", "list", "-a", shop) == [], "all or nothing"
    assert cloud.machines(shop) == before


# The archive of a source, as no client of ours would make it.


def archive(*members: tarfile.TarInfo) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as out:
        for member in members:
            out.addfile(member, io.BytesIO(b"x" * member.size))
    return packed.getvalue()


def member(path: str, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize(
    "members",
    [
        (member("../escaped", size=1),),
        (member("a/../../escaped", size=1),),
        (member("/var/tmp/escaped", size=1),),
        (member("out", type=tarfile.SYMTYPE, linkname="../.."), member("out/escaped", size=1)),
        (member("passwd", type=tarfile.LNKTYPE, linkname="/etc/passwd"),),
        (member("disk", type=tarfile.BLKTYPE, devmajor=7, devminor=0),),
    ],
    ids=["dots", "dots-inside", "absolute", "through-a-link", "hard-link", "device"],
)
def test_an_archive_can_not_reach_out(cloud: RunningCloud, members: tuple[tarfile.TarInfo, ...]) -> None:
    sources = cloud.home / "pool" / "sources"
    before = set(sources.glob("*"))
    with nothing_added(cloud):
        answer = cloud.api("POST", "/sources", content=archive(*members))
    assert answer.status_code == 400
    assert answer.json()["status"] == "bad_input"
    assert members[0].name.lstrip("/") in answer.json()["error"]
    assert set(sources.glob("*")) == before
    assert not list(cloud.home.rglob("escaped"))
    assert not Path("/var/tmp/escaped").exists()


@pytest.mark.parametrize("body", [b"", b"not a tar", archive(member("a", size=100_000))[:-200]])
def test_an_archive_that_is_none_or_was_cut_off(cloud: RunningCloud, body: bytes) -> None:
    with nothing_added(cloud):
        answer = cloud.api("POST", "/sources", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


# Apps that don't do as they should.


@pytest.mark.parametrize("image", ["roost/nosuch:1", "127.0.0.1:9/nosuch:1"])
def test_an_image_that_does_not_exist(cloud: RunningCloud, shop: str, tmp_path: Path, image: str) -> None:
    releases = cloud.json("releases", "-a", shop)
    with nothing_added(cloud):
        deployed = said(cloud, "deploy", tmp_path, "-a", shop, "--image", image)
        ran = said(cloud, "machine", "run", image, "-a", shop)
    assert deployed.code == 1
    assert ran.code == (3 if image.startswith("roost/") else 1)
    for answer in (deployed, ran):
        assert image in answer
        assert "hint: " in answer
    assert cloud.json("releases", "-a", shop) == releases
    assert cloud.get(shop).text == "one"


def test_an_image_that_is_misspelt_or_missing(cloud: RunningCloud, shop: str, tmp_path: Path) -> None:
    with nothing_added(cloud):
        answer = said(cloud, "deploy", tmp_path, "-a", shop, "--image", "Not An Image")
        empty = said(cloud, "machine", "run", "", "-a", shop)
    assert (answer.code, empty.code) == (2, 2)
    assert "is not an image reference" in answer
    assert "image" in empty


def test_an_app_that_exits_at_once_and_is_mended(cloud: RunningCloud, tmp_path: Path, name: str) -> None:
    source = program(tmp_path / "a", "import sys\nprint('no database here', flush=True)\nsys.exit(7)\n")
    with nothing_added(cloud, name):
        answer = said(cloud, "launch", source, "--name", name, "--yes")
    assert answer.code == 1, "no release before it serves again"
    for word in ("no database here", "exited with code 7", f"roost logs -a {name}"):
        assert word in answer
    assert cloud.json("status", "-a", name)["state"] == "broken"

    again = said(cloud, "launch", source, "--name", name, "--yes")
    assert again.code == 1
    assert f"roost deploy {source} -a {name}" in again
    program(source, server("mended"))
    assert said(cloud, "deploy", source).code == 0
    assert cloud.get(name).text == "mended"


@pytest.mark.parametrize(
    ("code", "start", "words"),
    [
        (server(host="127.0.0.1"), "python web.py", ("listens on 127.0.0.1:8080 only", "0.0.0.0", "$PORT")),
        (
            "import time\ntime.sleep(1000)\n",
            "python web.py",
            ("does not listen on port 8080 yet", "has not listened on port 8080", "0.0.0.0:$PORT"),
        ),
        ("", "no-such-program", ("no-such-program", "exited with code 127")),
    ],
    ids=["on-loopback", "deaf", "no-such-command"],
)
def test_an_app_that_nobody_can_reach(
    cloud: RunningCloud, tmp_path: Path, name: str, code: str, start: str, words: tuple[str, ...]
) -> None:
    toml = f'app = "{name}"\n[deploy]\nwait_timeout = "5s"\n[http_service]\ninternal_port = 8080\n'
    with nothing_added(cloud, name):
        answer = said(cloud, "launch", program(tmp_path / "a", code, toml=toml, start=start), "--yes")
    assert answer.code == 1
    for word in words:
        assert word in answer


@pytest.mark.usefixtures("package_index")
@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"Dockerfile": "FROM roost/base:bookworm\nRUN echo went wrong >&2; exit 3\n"}, ("went wrong", "code 3")),
        (
            {"requirements.txt": "no-such-package-of-roost==99\n", "app.py": "from flask import Flask\n"},
            ("no-such-package-of-roost", "code 1"),
        ),
    ],
    ids=["dockerfile", "requirement"],
)
def test_a_build_that_fails(
    cloud: RunningCloud, tmp_path: Path, name: str, files: dict[str, str], words: tuple[str, ...]
) -> None:
    for path, text in files.items():
        (tmp_path / path).write_text(text)
    with nothing_added(cloud, name):
        answer = said(cloud, "launch", tmp_path, "--name", name, "--yes")
    assert answer.code == 1
    for word in ("failed", *words):
        assert word in answer.text.split("error: ", 1)[1], "the error itself holds the last lines"
    assert cloud.json("releases", "-a", name) == []


def test_an_app_without_a_service_is_said_to_serve_nothing(cloud: RunningCloud, tmp_path: Path, name: str) -> None:
    answer = said(cloud, "launch", program(tmp_path / "a", server(), toml=f'app = "{name}"\n'), "--yes")
    assert answer.code == 0
    assert "which no request reaches: there is no [http_service]" in answer
    assert f"{name} is up, and serves no requests" in answer
    assert "http://" not in answer
    assert "[http_service]" in cloud.get(name).text


# Two things at once.


@contextmanager
def slow_deploy(cloud: RunningCloud, app: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A deploy that takes a while, in its release command; ended with the block."""
    toml = f'app = "{app}"\n[deploy]\nrelease_command = "sleep 8"\n[http_service]\ninternal_port = 8080\n'
    source = program(tmp_path / "slow", server("slow"), toml=toml)
    environment = {**os.environ, "ROOST_HOME": str(cloud.home)}
    argv = [ROOST, "deploy", source]
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        wait_until(lambda: len(cloud.machines(app)) == 2, "the release command runs")
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_second_deploy_is_refused_and_the_first_goes_on(cloud: RunningCloud, tmp_path: Path, name: str) -> None:
    source = program(tmp_path / "a", server())
    cloud.roost("launch", source, "--name", name, "--yes")
    with slow_deploy(cloud, name, tmp_path) as first:
        second = said(cloud, "deploy", source)
        secret = said(cloud, "secrets", "set", "-a", name, "A=1")
        said_by_first, _ = first.communicate(timeout=120)
    for answer in (second, secret):
        assert answer.code == 1
        assert f"a deploy of {name} is already under way" in answer
    assert "roost operations show" in second
    assert "it is stored, but not rolled out" in secret
    assert first.returncode == 0, said_by_first
    assert cloud.get(name).text == "slow"
    assert [m["state"] for m in cloud.machines(name)] == ["started"]


def test_destroying_an_app_ends_its_deploy(cloud: RunningCloud, tmp_path: Path, name: str) -> None:
    with nothing_added(cloud):
        cloud.roost("launch", program(tmp_path / "a", server()), "--name", name, "--yes")
        with slow_deploy(cloud, name, tmp_path) as deploy:
            began = time.monotonic()
            assert said(cloud, "apps", "destroy", name, "--yes").code == 0
            assert time.monotonic() - began < 20
            ended, _ = deploy.communicate(timeout=30)
        assert deploy.returncode == 1
        assert "the deploy was cancelled" in ended
        assert said(cloud, "status", "-a", name).code == 3


# A cloud that can't be made.


@pytest.mark.parametrize("flag", ["--http-port", "--api-port", "both"])
def test_a_port_in_use_leaves_no_cloud(tmp_path: Path, flag: str) -> None:
    home = tmp_path / "home"
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken = busy.getsockname()[1]
        ports = {"--http-port": free_port(), "--api-port": free_port()} | ({flag: taken} if flag != "both" else {})
        if flag == "both":
            ports = dict.fromkeys(ports, free_port())
        argv = [ROOST, "up", "--home", home, *(str(word) for pair in ports.items() for word in pair)]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == (2 if flag == "both" else 1)
    assert f"port {ports['--api-port'] if flag == 'both' else taken} " in done.stderr
    assert ("--http-port" if flag == "both" else flag) in done.stderr.split("hint: ")[1]
    assert not home.exists()
    notes = Path("/var/cache/roost/clouds")
    assert not [note for note in notes.glob("*") if str(home) in note.read_text()]
