"""Deploys and rollbacks: both answer an operation."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from roost.api.auth import GuardedRoute, TheControl, documented
from roost.api.bodies import NewDeploy, NewRollback, NewScale
from roost.api.reading import AppName, check_source_id
from roost.api.shapes import operation_to_json
from roost.control.contract import DeployRequest
from roost.model.app_config_read import app_config_from_json
from roost.model.errors import BadInput
from roost.model.image import parse_image_ref
from roost.model.names import check_secret_name

router = APIRouter(prefix="/v1/apps/{app}", route_class=GuardedRoute, dependencies=[documented], tags=["deploys"])


def deploy_request(body: NewDeploy) -> DeployRequest:
    """Return what to deploy; with neither source nor image, the current image again. Raises BadInput."""
    config = None if body.config is None else app_config_from_json(body.config)
    if body.source and body.image:
        raise BadInput("source and image are both given", hint="send one of them")
    if body.source:
        check_source_id(body.source)
    if body.image:
        parse_image_ref(body.image)
    for name in (*body.build_args, *body.build_secrets):
        check_secret_name(name)
    return DeployRequest(body.source, body.image, config, body.build_args, body.build_secrets, body.no_cache)


@router.post("/deploys", status_code=202)
def start_deploy(app: AppName, body: NewDeploy, control: TheControl) -> dict[str, Any]:
    """Begin a deploy."""
    return operation_to_json(control.deploys.start(app, deploy_request(body)))


@router.get("/scale")
def show_scale(app: AppName, control: TheControl) -> dict[str, Any]:
    """Return how many machines each process group has, those without any too."""
    return {"app": app, "counts": dict(control.scaling.counts(app))}


@router.post("/scale", status_code=202)
def scale(app: AppName, body: NewScale, control: TheControl) -> dict[str, Any]:
    """Begin to bring process groups to so many machines."""
    if not body.counts:
        raise BadInput("counts is empty", hint='{"counts": {"app": 2}}')
    return operation_to_json(control.scaling.start(app, body.counts))


@router.post("/rollback", status_code=202)
def roll_back(app: AppName, control: TheControl, body: NewRollback | None = None) -> dict[str, Any]:
    """Begin deploying an earlier release again; version 0 is the one before the current."""
    return operation_to_json(control.deploys.rollback(app, (body or NewRollback()).version))
