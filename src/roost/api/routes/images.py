"""Images in the cloud's store."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from roost.api.auth import GuardedRoute, TheControl, documented
from roost.api.bodies import ImageReference
from roost.api.long_calls import TheLongCalls
from roost.api.shapes import image_to_json, operation_to_json
from roost.model.image import parse_image_ref

router = APIRouter(prefix="/v1/images", route_class=GuardedRoute, dependencies=[documented], tags=["images"])


@router.get("")
def list_images(control: TheControl) -> list[dict[str, Any]]:
    """List the images, newest first."""
    return [image_to_json(image) for image in control.images.list()]


@router.post("/pull", status_code=202)
def pull_image(body: ImageReference, control: TheControl) -> dict[str, Any]:
    """Bring an image here, unless it is here."""
    parse_image_ref(body.reference)
    return operation_to_json(control.images.pull(body.reference))


@router.post("/refresh", status_code=202)
def refresh_image(body: ImageReference, control: TheControl) -> dict[str, Any]:
    """Pull or make an image again, even if it is here."""
    parse_image_ref(body.reference)
    return operation_to_json(control.images.refresh(body.reference))


@router.post("/collect")
async def collect_images(control: TheControl, long_calls: TheLongCalls) -> dict[str, Any]:
    """Remove the images and layers that nothing uses."""
    return {"freed_bytes": await long_calls.run(control.images.collect)}
