"""The forms of answers, for the published OpenAPI document: a generated client gets types from them.

Plain JSON Schema, by name. `must` keys are in every answer, `may` keys in some; an answer may hold more. What makes the
answers is in the `shapes` modules; a test holds the two against each other.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
ANY: Schema = {"type": "object", "additionalProperties": True}
TIME: Schema = {"type": "string", "description": "RFC 3339 in UTC; empty: never"}


def ref(name: str) -> Schema:
    """Return a pointer to one of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def many(item: Schema) -> Schema:
    """Return the form of a list."""
    return {"type": "array", "items": item}


def table(value: Schema) -> Schema:
    """Return the form of an object with any keys."""
    return {"type": "object", "additionalProperties": value}


def null_or(value: Schema) -> Schema:
    """Return the form of what may be null."""
    return {"anyOf": [value, {"type": "null"}]}


def obj(may: Schema | None = None, /, **must: Schema) -> Schema:
    """Return the form of an object."""
    return {"type": "object", "required": list(must), "properties": {**must, **(may or {})}}


def one_of(*words: str) -> Schema:
    """Return the form of a word out of some."""
    return {"type": "string", "enum": list(words)}


EXIT = obj(
    exit_code=WHOLE, guest_exit_code=WHOLE, guest_signal=WHOLE, signal=WHOLE, oom_killed=FLAG, requested_stop=FLAG,
    exited_at=TIME, message=TEXT,
)  # fmt: skip
IMAGE_REF = obj({"labels": table(TEXT)}, registry=TEXT, repository=TEXT, tag=TEXT, digest=TEXT)
LEASE_SUMMARY = obj(owner=TEXT, description=TEXT, expires_at=WHOLE)
_LEASE = {"expires_at": WHOLE, "owner": TEXT, "description": TEXT, "version": TEXT}
ORDERED = ("created_at", "updated_at")
TIMES = {name: TIME for name in ORDERED}
MACHINE_STATES = one_of(
    "created", "starting", "started", "stopping", "stopped", "suspending", "suspended", "failed", "destroying",
    "destroyed",
)  # fmt: skip
VOLUME = obj(
    {name: WHOLE for name in ("blocks", "block_size", "blocks_free", "blocks_avail", "bytes_used", "bytes_total")}
    | {"app_name": TEXT},
    id=TEXT, name=TEXT, state=one_of("creating", "created", "extending", "destroying", "destroyed"), size_gb=WHOLE,
    region=TEXT, zone=TEXT, encrypted=FLAG, attached_machine_id=null_or(TEXT), attached_alloc_id=null_or(TEXT),
    fstype=TEXT, snapshot_retention=WHOLE, auto_backup_enabled=FLAG, host_status=TEXT, type=TEXT,
    host_dedication_id=TEXT, **TIMES,
)  # fmt: skip
_CERTIFICATE = obj(
    {"dns_records": ANY},
    hostname=TEXT, configured=FLAG, acme_requested=FLAG, status=TEXT, certificates=many(ANY), validation=table(FLAG),
    dns_requirements=ref("DnsRequirements"), validation_errors=many(ref("ValidationTrouble")),
    rate_limited_until=null_or(TIME), checked_at=TIME, **TIMES,
)  # fmt: skip

SCHEMAS: dict[str, Schema] = {
    "Ok": obj(ok={"const": True}),
    "App": obj(
        id=TEXT, name=TEXT, internal_numeric_id=WHOLE, network=TEXT, network_cidr=TEXT, machine_count=WHOLE,
        status=one_of("pending", "deployed", "suspended"), volume_count=WHOLE, cname_target=TEXT, app_role=TEXT,
        organization=obj(name=TEXT, slug=TEXT, internal_numeric_id=WHOLE), secrets_version=WHOLE, created_at=TIME,
    ),
    "AppStatus": obj(
        app=ref("App"), url=TEXT, serves=many(TEXT), reason=TEXT, release=null_or(ref("Release")),
        machines=many(ref("Machine")), state=one_of("awake", "asleep", "stopped", "broken", "empty", "deploying"),
        last_request_at=TIME,
    ),
    "Release": obj(
        app=TEXT, version=WHOLE, image=TEXT, image_digest=TEXT, status=one_of("rolling", "complete", "failed"),
        reason=TEXT, processes=table(TEXT), created_at=TIME, config=ANY,
    ),
    "Machine": obj(
        {
            "config": ref("MachineConfig"),
            "events": many(ref("MachineEvent")),
            "checks": many(ref("CheckStatus")),
            "containers": many(ref("ContainerStatus")),
            "host_status": one_of("ok", "unknown", "unreachable"),
            "nonce": TEXT,
            "lease": null_or(LEASE_SUMMARY),
            "app_name": TEXT,
        },
        id=TEXT, name=TEXT, state=MACHINE_STATES, desired_state=TEXT, region=TEXT, instance_id=TEXT, version=TEXT,
        private_ip=TEXT, private_ipv4=TEXT, image_ref=IMAGE_REF, process_group=TEXT, release=WHOLE, cordoned=FLAG,
        restart_count=WHOLE, last_exit=null_or(EXIT), **TIMES,
    ),
    "MachineConfig": obj(
        {
            "init": ANY, "services": many(ANY), "checks": table(ANY), "mounts": many(ANY), "files": many(ANY),
            "stop_config": ANY, "rootfs": ANY, "isolation": TEXT, "dns": ANY, "containers": many(ANY),
            "volumes": many(ANY), "processes": many(ANY), "auto_destroy": FLAG,
            "restart": obj(policy=TEXT, max_retries=WHOLE),
        },
        image=TEXT, guest=ANY, env=table(TEXT), metadata=table(TEXT),
    ),
    "MachineEvent": obj(id=TEXT, type=TEXT, status=TEXT, source=TEXT, timestamp=WHOLE, request=ANY),
    "CheckStatus": obj(
        name=TEXT, status=one_of("passing", "warning", "critical"), output=TEXT, updated_at=null_or(TIME)
    ),
    "ContainerStatus": obj(
        name=TEXT, state=TEXT, image=TEXT, image_ref=IMAGE_REF, restart_count=WHOLE, started_at=null_or(TIME),
        last_exit=null_or(EXIT),
    ),
    "MachineVersion": obj(version=TEXT, user_config=ref("MachineConfig")),
    "Run": obj(
        id=TEXT, machine_id=TEXT, instance_id=TEXT, state=TEXT, trigger=TEXT, scheduled_at=null_or(TIME),
        missed=WHOLE, started_at=null_or(TIME), ended_at=null_or(TIME), exit_code=null_or(WHOLE), signal=WHOLE,
        oom=FLAG, reason=TEXT,
    ),
    "RequestWindow": obj(
        seconds=WHOLE, requests=WHOLE, rate=NUMBER, statuses=table(WHOLE), latency_ms=table(ANY),
        errors=many(obj(error=TEXT, count=WHOLE, fault=TEXT, message=TEXT, hint=TEXT)),
    ),
    "AutoscaleGroup": obj(
        group=TEXT, enabled=FLAG, origin=one_of("deploy", "api"), policy=null_or(ANY), machines=WHOLE, running=WHOLE,
        made=WHOLE, wanted=WHOLE, why=TEXT, held=TEXT, seen=ANY,
    ),
    "AutoscaleDecision": obj(
        id=TEXT, at=TIME, group=TEXT, action=one_of("up", "down", "limit", "blind"), seen=ANY, machines=WHOLE,
        wanted=WHOLE, why=TEXT, done=TEXT, ended_at=null_or(TIME),
        state=one_of("under_way", "done", "failed", "interrupted", "noted"),
    ),
    "Moved": obj(ok={"const": True}, state=TEXT),
    "Started": obj(
        ok={"const": True}, previous_state=TEXT, state=TEXT, status=TEXT, message=TEXT, migrated=FLAG, new_host=TEXT
    ),
    "Waited": obj(ok={"const": True}, state=TEXT, version=TEXT, event_id=TEXT),
    "Executed": obj(exit_code=WHOLE, exit_signal=WHOLE, stdout=TEXT, stderr=TEXT),
    "Process": obj(
        pid=WHOLE, command=TEXT, directory=TEXT, cpu=WHOLE, rss=WHOLE, rtime=WHOLE, stime=WHOLE,
        listen_sockets=many(obj(proto=TEXT, address=TEXT)),
    ),
    "Memory": obj(limit_mb=WHOLE, available_mb=WHOLE),
    "Lease": obj(
        {"nonce": TEXT},
        status=TEXT, message=TEXT, code=TEXT, data=obj({"nonce": TEXT}, **_LEASE), **_LEASE,
    ),
    "Volume": VOLUME,
    "Snapshot": obj(
        id=TEXT, volume_id=TEXT, size=WHOLE, volume_size=WHOLE, digest=TEXT, status=TEXT, retention_days=WHOLE,
        created_at=TIME,
    ),
    "Secret": obj({"version": WHOLE, "Version": WHOLE}, name=TEXT, digest=TEXT, **TIMES),
    "SecretsVersion": obj(version=WHOLE, Version=WHOLE),
    "SecretKey": obj(
        {"public_key": TEXT, "version": WHOLE, "Version": WHOLE}, name=TEXT, type=TEXT, **TIMES
    ),
    "NetworkPolicy": obj(
        id=TEXT, name=TEXT, selector=ANY, created_at=TIME,
        rules=many(
            obj(action={"const": "allow"}, direction=TEXT, ports=many(obj(protocol=TEXT, port=WHOLE)))
        ),
    ),
    "IpAssignment": obj(ip=TEXT, region=TEXT, service_name=TEXT, shared=FLAG, egress=FLAG, created_at=TIME),
    "DnsRequirements": obj(
        a=many(TEXT), aaaa=many(TEXT), cname=TEXT, acme_challenge=obj(name=TEXT, target=TEXT),
        ownership=obj(name=TEXT, app_value=TEXT, org_value=TEXT),
    ),
    "ValidationTrouble": obj(code=TEXT, message=TEXT, remediation=TEXT, timestamp=TIME),
    "Certificate": _CERTIFICATE,
    "CertificateSummary": obj(hostname=TEXT, configured=FLAG, status=TEXT, acme_requested=FLAG, **TIMES),
    "Operation": obj(
        id=TEXT, kind=TEXT, app=TEXT, state=one_of("running", "succeeded", "failed", "cancelled"), step=TEXT,
        steps=many(TEXT), arguments=ANY, result=ANY, error=TEXT, hint=TEXT, **TIMES,
    ),
    "Image": obj(
        digest=TEXT, reference=TEXT, size_bytes=WHOLE, layers=many(TEXT), created_at=TIME,
        config=obj(
            entrypoint=many(TEXT), cmd=many(TEXT), workdir=TEXT, user=TEXT, exposed_ports=many(WHOLE),
            stop_signal=TEXT, labels=table(TEXT),
        ),
    ),
    "Token": obj(
        {"token": TEXT},
        id=TEXT, name=TEXT, org_slug=TEXT, user=TEXT, role=TEXT, apps=null_or(many(TEXT)), machine=TEXT,
        actions=null_or(many(TEXT)), created_at=TIME, expires_at=TIME, revoked_at=TIME,
    ),
    "TokenInUse": obj(
        token_id=TEXT, org_slug=TEXT, organization=TEXT, user=TEXT, name=TEXT, role=TEXT, cloud=FLAG,
        apps=null_or(many(TEXT)), restricted_to_machine=null_or(TEXT), source_machine_id=null_or(TEXT),
        actions=null_or(many(TEXT)), source_addresses=many(TEXT), expires_at=TIME,
    ),
    "VerifiedToken": obj(token_id=TEXT, nonce=obj(kid=many(WHOLE)), tokens=many(ref("TokenInUse"))),
    "Org": obj({"members": many(ref("Member"))}, slug=TEXT, name=TEXT, apps=WHOLE, created_at=TIME),
    "Member": obj(user=TEXT, org_slug=TEXT, role=one_of("admin", "deployer", "reader"), added_at=TIME),
    "AuditEntry": obj(
        id=TEXT, at=TIME, who=TEXT, user=TEXT, token_id=TEXT, action=TEXT, subject=table(TEXT), app=TEXT,
        org_slug=TEXT, source_address=TEXT, status=WHOLE, result=TEXT, request_id=TEXT,
    ),
    "Region": obj(
        code=TEXT, name=TEXT, latitude=NUMBER, longitude=NUMBER, gateway_available=FLAG, requires_paid_plan=FLAG,
        geo_region=TEXT, deprecated=FLAG, mpg_available=FLAG,
    ),
    "CloudStatus": obj(
        id=TEXT, version=TEXT, domain=TEXT, http_port=WHOLE, api_port=WHOLE, pid=WHOLE, started_at=TIME, edge=ANY,
        pool=obj(used_bytes=WHOLE, total_bytes=WHOLE), apps=WHOLE, machines=table(WHOLE),
        certificate=null_or(obj(kind=TEXT, status=TEXT, summary=TEXT, trouble=TEXT, remediation=TEXT)),
    ),
    "DomainCertificates": obj(
        domain=TEXT, kind=one_of("wildcard", "names", "none"), status=one_of("active", "pending", "failing", "none"),
        summary=TEXT, new_names_this_week=WHOLE, new_names_per_week=WHOLE, next_attempt_at=null_or(TIME),
        names=many(
            obj(
                hostname=TEXT, app=TEXT, issuer=TEXT, expires_at=null_or(TIME), renew_at=null_or(TIME),
                next_attempt_at=null_or(TIME), error=TEXT, message=TEXT, failures=WHOLE,
            )
        ),
        dns_records=many(obj(name=TEXT, type=TEXT, value=TEXT, purpose=TEXT)),
        troubles=many(obj(code=TEXT, message=TEXT, remediation=TEXT)),
    ),
}  # fmt: skip
