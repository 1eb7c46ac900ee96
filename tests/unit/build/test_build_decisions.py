"""Keys, start commands, environments, hints, recipes: the pure decisions of a build."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from roost.build.base_images import RECIPES, recipe_for
from roost.build.build_keys import build_key, dependencies_key, file_digests, source_key, tree_digest
from roost.build.build_machine import Limits, failure_hint
from roost.build.builder import build_environment, image_config, start_command
from roost.build.contract import BuildRequest
from roost.build.detect import bases
from roost.model.build_plan import BuildPlan, Dependencies
from roost.model.image import ImageConfig, parse_image_ref

PLAN = BuildPlan(
    "python", "flask", (), dependencies=Dependencies(("r.txt",), ("install",)), env={"A": "plan"}, port=9000
)


def test_the_dependency_key_follows_what_decides_the_result_and_nothing_else():
    key = dependencies_key(["base"], PLAN, {"r.txt": "1"}, {})
    assert key == dependencies_key(
        ["base"], replace(PLAN, processes={"app": "x"}, evidence=("y",), port=1), {"r.txt": "1"}, {}
    )
    changed = [
        dependencies_key(["base2"], PLAN, {"r.txt": "1"}, {}),
        dependencies_key(["base"], PLAN, {"r.txt": "2"}, {}),
        dependencies_key(["base"], PLAN, {"r.txt": "1"}, {"ARG": "1"}),
        dependencies_key(["base"], replace(PLAN, env={}), {"r.txt": "1"}, {}),
        dependencies_key(["base"], replace(PLAN, workdir="/srv"), {"r.txt": "1"}, {}),
        dependencies_key(
            ["base"], replace(PLAN, dependencies=Dependencies(("r.txt",), ("other",))), {"r.txt": "1"}, {}
        ),
        build_key(["base"], PLAN, {}),
    ]
    assert len({key, *changed}) == len(changed) + 1


def test_a_trees_digest_sees_names_contents_links_and_executable_bits(tmp_path):
    def make(name: str) -> Path:
        tree = tmp_path / name
        (tree / "d").mkdir(parents=True)
        (tree / "d/f").write_text("x")
        (tree / "l").symlink_to("d/f")
        return tree

    first, second = make("1"), make("2")
    assert tree_digest(first) == tree_digest(second)
    for change in (
        lambda t: (t / "d/f").write_text("y"),
        lambda t: (t / "d/f").chmod(0o755),
        lambda t: (t / "d/g").mkdir(),
        lambda t: ((t / "l").unlink(), (t / "l").symlink_to("d")),
        lambda t: (t / "l").rename(t / "m"),
    ):
        before = tree_digest(second)
        change(second)
        assert tree_digest(second) != before
    assert source_key("t", "/app") != source_key("t", "/srv")


def test_only_files_below_the_source_count(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (tmp_path / "secret").write_text("x")
    (source / "a").write_text("a")
    (source / "d").mkdir()
    (source / "d/b").write_text("b")
    assert set(file_digests(source, ["a", "d", "missing", "../secret", "/etc/passwd", ""])) == {"a", "d/b"}


@pytest.mark.parametrize(
    ("command", "shell"),
    [
        ("gunicorn --bind 0.0.0.0:$PORT app:app", "exec gunicorn --bind 0.0.0.0:$PORT app:app"),
        ("a && b", "a && b"),
        ("a; b", "a; b"),
        ("FOO=1 a", "FOO=1 a"),
        ("cd x", "cd x"),
        ("exec a", "exec a"),
        ("a\nb", "a\nb"),
        ("a > f", "a > f"),
        ("a | b", "a | b"),
        ("exporter --x", "exec exporter --x"),
        (". ./env", ". ./env"),
    ],
)
def test_a_simple_command_takes_the_shells_place(command, shell):
    assert start_command(command) == ("/bin/sh", "-c", shell)


def test_the_images_configuration_and_the_builds_environment():
    base = ImageConfig(cmd=("/bin/sh",), env=("PATH=/bin", "A=base"))
    config = image_config(base, replace(PLAN, processes={"app": "serve"}), "shop")
    assert config.cmd == ("/bin/sh", "-c", "exec serve")
    assert set(config.env) == {"PATH=/bin", "A=plan", "PORT=9000"}
    assert (config.workdir, config.exposed_ports) == ("/app", (9000,))
    assert config.labels["roost.app"] == "shop"
    assert image_config(base, PLAN, "shop").cmd == ("/bin/sh",)
    request = BuildRequest("0" * 14, "shop", Path("/x"), PLAN, build_args={"A": "arg"}, secrets={"S": "1"})
    env = build_environment(base, request)
    assert (env["A"], env["S"], env["PORT"]) == ("arg", "1", "9000")


def test_hints_name_the_likely_cause():
    limits = Limits(memory_mb=512, disk_gb=3)
    assert "512 MB" in failure_hint(1, True, [], limits)
    assert "512 MB" in failure_hint(137, False, [], limits)
    assert "3 GB" in failure_hint(1, False, ["OSError: No space left on device"], limits)
    assert "DNS" in failure_hint(1, False, ["Temporary failure in name resolution"], limits)
    assert "missing" in failure_hint(127, False, [], limits)


def test_every_base_image_that_plans_name_has_a_recipe_with_what_was_agreed():
    for base in bases.TOOLS:
        recipe = recipe_for(parse_image_ref(base))
        assert recipe is not None, base
        assert set(bases.PACKAGES.get(base, ())) <= set(recipe.packages)
        assert dict(bases.FILES.get(base, {})) == dict(recipe.files)
        assert all(reason for reason in recipe.packages.values())


def test_recipes_have_fingerprints_of_their_own():
    assert len({recipe.fingerprint() for recipe in RECIPES.values()}) == len(RECIPES)
    assert recipe_for(parse_image_ref("roost/nothing:bookworm")) is None
    assert recipe_for(parse_image_ref("roost/base:trixie")) is None
    assert recipe_for(parse_image_ref("base:bookworm")) is None
