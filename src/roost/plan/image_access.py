"""Whose images an app may run or be built on. Pure.

What was built here belongs to the app it was built for, and its org's apps may use it. What was pulled, and the base
images, anybody may use. A digest is no password: knowing one gives nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from roost.model.errors import NotFound
from roost.model.image import LOCAL_REGISTRY, Image, ImageRef

_BUILT = f"{LOCAL_REGISTRY}/apps/"


def owner_of(reference: str) -> str:
    """Return the app that an image was built for, by the reference it has; "" for any other image."""
    return reference.removeprefix(_BUILT).partition(":")[0].partition("@")[0] if reference.startswith(_BUILT) else ""


def check_usable(ref: ImageRef, image: Image, apps: Mapping[str, float]) -> Image:
    """Return the image that a reference led to if apps with these names, made at these times, may use it.

    Raises NotFound, as for one that is not there. Two apps that built the same have one image, which bears the later
    one's name: each may use it under its own.
    """
    owner = owner_of(image.reference)
    if owner and ref.digest is None:
        owner = owner_of(str(ref)) or owner
    if owner and image.created_at < apps.get(owner, float("inf")):
        raise NotFound(f"image {str(ref)[:120]} is not on this host", hint="roost image list shows what is")
    return image
