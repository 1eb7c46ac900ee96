"""Images that were built for an app are its org's; all others are anybody's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roost.model.errors import NotFound
from roost.model.image import Image, ImageConfig, parse_image_ref
from roost.plan.image_access import check_usable, owner_of

DIGEST = "sha256:" + "ab" * 32
BUILT = Image(DIGEST, "roost/apps/shop:0123456789abcd", (), ImageConfig(), 1, 100.0)
PULLED = replace(BUILT, reference="docker.io/library/nginx:1")
BASE = replace(BUILT, reference="roost/base:bookworm")
OURS = {"shop": 50.0, "blog": 60.0}
THEIRS = {"other": 50.0}
BY_DIGEST = ("nginx", "roost/base:bookworm", "roost/apps/other:1", "roost/apps/other", "ghcr.io/a/b:1")


@pytest.mark.parametrize(
    ("reference", "owner"),
    [
        ("roost/apps/shop:1", "shop"),
        (f"roost/apps/shop@{DIGEST}", "shop"),
        ("roost/base:bookworm", ""),
        ("docker.io/roost/apps/shop:1", ""),
        ("", ""),
    ],
)
def test_whose_it_is(reference: str, owner: str) -> None:
    assert owner_of(reference) == owner


def test_the_org_of_the_app_may() -> None:
    for text in (BUILT.reference, f"roost/apps/shop@{DIGEST}", f"nginx@{DIGEST}"):
        assert check_usable(parse_image_ref(text), BUILT, OURS) is BUILT


@pytest.mark.parametrize("text", [BUILT.reference, *(f"{name}@{DIGEST}" for name in BY_DIGEST)])
def test_another_org_may_not(text: str) -> None:
    with pytest.raises(NotFound, match="not on this host"):
        check_usable(parse_image_ref(text), BUILT, THEIRS)


@pytest.mark.parametrize("image", [PULLED, BASE, replace(BUILT, reference="")])
def test_anybody_may_use_what_was_not_built_here(image: Image) -> None:
    assert check_usable(parse_image_ref(f"nginx@{DIGEST}"), image, THEIRS) is image


def test_two_that_built_the_same_use_it_each_under_its_name() -> None:
    assert check_usable(parse_image_ref("roost/apps/other:77"), BUILT, THEIRS) is BUILT
    assert check_usable(parse_image_ref(BUILT.reference), replace(BUILT, reference="roost/apps/other:77"), OURS)


def test_an_app_that_took_over_a_name_has_not_the_images_of_before() -> None:
    with pytest.raises(NotFound):
        check_usable(parse_image_ref(BUILT.reference), BUILT, {"shop": 100.5})
