"""Which health checks a machine has, and which of them have a say in what. Pure."""

from __future__ import annotations

from dataclasses import replace

from roost.model.machine_config import Check, MachineConfig


def checks_of(config: MachineConfig) -> dict[str, Check]:
    """Return all of a machine's checks by name: its own and its services'."""
    found = dict(config.checks) | _of_services(config)
    return {
        name: replace(check, http2=True) if check.protocol == "http" and speaks_http2(config, check.port) else check
        for name, check in found.items()
    }


def speaks_http2(config: MachineConfig, port: int) -> bool:
    """Say whether a port of a machine speaks HTTP/2 without TLS (`h2_backend`)."""
    services = (service for service in config.services if service.internal_port == port)
    return any(public.http.h2_backend for service in services for public in service.ports)


def steering_checks(config: MachineConfig) -> set[str]:
    """Return the names of the checks that must not fail for a machine to get requests."""
    own = {name for name, check in config.checks.items() if check.kind == "readiness"}
    return own | {name for name, check in _of_services(config).items() if check.kind != "informational"}


def deciding_checks(config: MachineConfig) -> set[str]:
    """Return the names of the checks that must pass for a deploy to go on: all but the informational."""
    return {name for name, check in checks_of(config).items() if check.kind != "informational"}


def aside(config: MachineConfig, *, steering: bool = False) -> set[str]:
    """Return the names of the checks that have no say in a deploy or, if `steering`, in who gets requests."""
    return set(checks_of(config)) - (steering_checks(config) if steering else deciding_checks(config))


def _of_services(config: MachineConfig) -> dict[str, Check]:
    return {
        f"servicecheck-{index:02d}-{check.type}-{check.port}": check
        for service in config.services
        for index, check in enumerate(service.checks)
    }
