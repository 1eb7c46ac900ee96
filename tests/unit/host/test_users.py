"""Users as written, resolved in hostile and honest images."""

import os
from pathlib import Path

import pytest

from roost.host.users import User, read_inside, read_user, resolve_user
from roost.model.errors import BadInput

PASSWD = """root:x:0:0:root:/root:/bin/sh
web:x:33:34::/srv/web:/bin/false
broken
huge:x:99999999999:1::/:
bad:x:-1:0::/:
"""
GROUP = "root:x:0:\nweb:x:34:\nextra:x:50:web,other\ndisk:x:6:other\n"


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("", User(0, 0, (), "/root")),
        ("root", User(0, 0, (), "/root")),
        ("web", User(33, 34, (50,), "/srv/web")),
        ("33", User(33, 34, (50,), "/srv/web")),
        ("web:extra", User(33, 50, (), "/srv/web")),
        ("web:7", User(33, 7, (), "/srv/web")),
        ("1234", User(1234, 0, (), "/")),
        ("1234:4321", User(1234, 4321, (), "/")),
    ],
)
def test_resolution(text: str, user: User):
    assert resolve_user(text, PASSWD, GROUP) == user


@pytest.mark.parametrize("text", ["nobody", "web:nogroup", "65536", "-1", "huge", "bad", ":", "web:65536", "٣"])
def test_refusal(text: str):
    with pytest.raises(BadInput):
        resolve_user(text, PASSWD, GROUP)


def test_links_do_not_leave_the_image(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.write_text("evil:x:0:0::/:\n")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "passwd").symlink_to(outside)
    assert read_inside(root, "etc/passwd") == ""
    (root / "etc" / "group").symlink_to("../../outside")
    assert read_inside(root, "etc/group") == ""
    with pytest.raises(BadInput):
        read_user(root, "evil")


def test_a_link_inside_the_image_is_followed(tmp_path: Path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "real").write_text(PASSWD)
    (tmp_path / "etc" / "passwd").symlink_to("/real")
    assert read_user(tmp_path, "web").uid == 33


def test_a_pipe_or_a_directory_in_place_of_the_file_holds_nobody_up(tmp_path: Path):
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc" / "passwd")
    (tmp_path / "etc" / "group").mkdir()
    assert read_inside(tmp_path, "etc/passwd") == ""
    assert read_inside(tmp_path, "etc/group") == ""
