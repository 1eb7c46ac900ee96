"""Which route answers what, for the published OpenAPI document. A route without a row here fails a test."""

from __future__ import annotations

from roost.api.answers import ANY, FLAG, TEXT, WHOLE, Schema, many, obj, ref, table

_A = "/v1/apps/{app}"
_M = f"{_A}/machines/{{machine_id}}"
_V = f"{_A}/volumes/{{volume_id}}"
_K = f"{_A}/secretkeys/{{name}}"
_C = f"{_A}/certificates/{{hostname}}"
_O = "/v1/orgs/{slug}"
_T = "/v1/tokens"
_OP = "/v1/operations/{operation_id}"
_PAGE = {"next_cursor": TEXT, "last_updated_at": TEXT}
_OPERATION, _CERTIFICATE = ref("Operation"), ref("Certificate")

ANSWERS: dict[tuple[str, str], Schema] = {
    ("GET", "/healthz"): ref("Ok"),
    ("GET", "/.well-known/openid-configuration"): ANY,
    ("GET", "/.well-known/jwks"): obj(keys=many(ANY)),
    ("GET", "/v1/status"): ref("CloudStatus"),
    ("POST", "/v1/admin/rotate-keys"): obj(key=WHOLE, data_keys=WHOLE, values=WHOLE),
    ("GET", "/v1/apps"): obj(total_apps=WHOLE, apps=many(ref("App"))),
    ("POST", "/v1/apps"): ref("App"),
    ("GET", _A): ref("App"),
    ("GET", "/v1/admin/domain"): ref("DomainCertificates"),
    ("POST", "/v1/admin/domain/check"): ref("DomainCertificates"),
    ("GET", f"{_A}/status"): ref("AppStatus"),
    ("GET", f"{_A}/releases"): many(ref("Release")),
    ("GET", f"{_A}/requests/summary"): obj(
        app=TEXT, windows=many(ref("RequestWindow")), dropped=WHOLE, left_out=many(TEXT)
    ),
    ("POST", f"{_A}/deploys"): _OPERATION,
    ("POST", f"{_A}/rollback"): _OPERATION,
    ("GET", f"{_A}/scale"): obj(app=TEXT, counts=table(WHOLE)),
    ("POST", f"{_A}/scale"): _OPERATION,
    ("GET", f"{_A}/autoscale"): obj(
        app=TEXT, groups=many(ref("AutoscaleGroup")), decisions=many(ref("AutoscaleDecision"))
    ),
    ("PUT", f"{_A}/autoscale/{{group}}"): ref("AutoscaleGroup"),
    ("DELETE", f"{_A}/autoscale/{{group}}"): ref("AutoscaleGroup"),
    ("POST", f"{_A}/deploy_token"): obj(token=TEXT, id=TEXT),
    ("GET", f"{_A}/machines"): many(ref("Machine")),
    ("POST", f"{_A}/machines"): ref("Machine"),
    ("GET", _M): ref("Machine"),
    ("POST", _M): ref("Machine"),
    ("DELETE", _M): ref("Ok"),
    ("POST", f"{_M}/start"): ref("Started"),
    ("POST", f"{_M}/stop"): ref("Moved"),
    ("POST", f"{_M}/restart"): ref("Moved"),
    ("POST", f"{_M}/suspend"): ref("Moved"),
    ("POST", f"{_M}/signal"): ref("Ok"),
    ("POST", f"{_M}/cordon"): ref("Ok"),
    ("POST", f"{_M}/uncordon"): ref("Ok"),
    ("POST", f"{_M}/exec"): ref("Executed"),
    ("GET", f"{_M}/wait"): ref("Waited"),
    ("GET", f"{_M}/events"): many(ref("MachineEvent")),
    ("GET", f"{_M}/versions"): many(ref("MachineVersion")),
    ("GET", f"{_M}/runs"): obj(runs=many(ref("Run")), next_cursor=TEXT),
    ("GET", f"{_M}/ps"): many(ref("Process")),
    ("GET", f"{_M}/memory"): ref("Memory"),
    ("PUT", f"{_M}/memory"): ref("Memory"),
    ("POST", f"{_M}/memory/reclaim"): obj(actual_mb=WHOLE),
    ("GET", f"{_M}/lease"): ref("Lease"),
    ("POST", f"{_M}/lease"): ref("Lease"),
    ("DELETE", f"{_M}/lease"): obj(ok=FLAG, status=TEXT, message=TEXT, code=TEXT),
    ("GET", f"{_M}/metadata"): table(TEXT),
    ("PUT", f"{_M}/metadata"): table(TEXT),
    ("PATCH", f"{_M}/metadata"): table(TEXT),
    ("GET", f"{_M}/metadata/{{key}}"): obj(value=TEXT),
    ("GET", f"{_A}/volumes"): many(ref("Volume")),
    ("POST", f"{_A}/volumes"): ref("Volume"),
    ("GET", _V): ref("Volume"),
    ("PUT", _V): ref("Volume"),
    ("DELETE", _V): ref("Volume"),
    ("PUT", f"{_V}/extend"): obj(volume=ref("Volume"), needs_restart=FLAG),
    ("GET", f"{_V}/snapshots"): many(ref("Snapshot")),
    ("POST", f"{_V}/snapshots"): ref("Snapshot"),
    ("GET", f"{_A}/network_policies"): many(ref("NetworkPolicy")),
    ("POST", f"{_A}/network_policies"): ref("NetworkPolicy"),
    ("GET", f"{_A}/network_policies/{{policy_id}}"): ref("NetworkPolicy"),
    ("GET", f"{_A}/ip_assignments"): obj(ips=many(ref("IpAssignment"))),
    ("POST", f"{_A}/ip_assignments"): ref("IpAssignment"),
    ("GET", f"{_A}/secrets"): obj(secrets=many(ref("Secret"))),
    ("POST", f"{_A}/secrets"): obj(secrets=many(ref("Secret")), version=WHOLE, Version=WHOLE),
    ("GET", f"{_A}/secrets/{{name}}"): ref("Secret"),
    ("POST", f"{_A}/secrets/{{name}}"): ref("Secret"),
    ("DELETE", f"{_A}/secrets/{{name}}"): ref("SecretsVersion"),
    ("GET", f"{_A}/secretkeys"): obj(secret_keys=many(ref("SecretKey"))),
    ("GET", _K): ref("SecretKey"),
    ("POST", _K): ref("SecretKey"),
    ("POST", f"{_K}/generate"): ref("SecretKey"),
    ("DELETE", _K): ref("SecretsVersion"),
    ("POST", f"{_K}/encrypt"): obj(ciphertext=TEXT),
    ("POST", f"{_K}/decrypt"): obj(plaintext=TEXT),
    ("POST", f"{_K}/sign"): obj(signature=TEXT),
    ("GET", f"{_A}/certificates"): obj(
        certificates=many(ref("CertificateSummary")), next_cursor=TEXT, total_count=WHOLE
    ),
    ("POST", f"{_A}/certificates/acme"): _CERTIFICATE,
    ("POST", f"{_A}/certificates/custom"): _CERTIFICATE,
    ("GET", _C): _CERTIFICATE,
    ("POST", f"{_C}/check"): _CERTIFICATE,
    ("DELETE", f"{_C}/acme"): _CERTIFICATE,
    ("DELETE", f"{_C}/custom"): _CERTIFICATE,
    ("GET", f"{_O}/machines"): obj(
        machines=many(ref("Machine")), last_machine_id=TEXT, error_regions=many(TEXT), **_PAGE
    ),
    ("GET", f"{_O}/volumes"): obj(volumes=many(ref("Volume")), last_volume_id=TEXT, **_PAGE),
    ("GET", "/v1/orgs"): obj(orgs=many(ref("Org"))),
    ("POST", "/v1/orgs"): ref("Org"),
    ("GET", _O): ref("Org"),
    ("GET", f"{_O}/members"): obj(members=many(ref("Member"))),
    ("POST", f"{_O}/members"): ref("Member"),
    ("GET", "/v1/platform/certificate_authority"): obj(pem=TEXT, needed=FLAG, why=TEXT),
    ("GET", "/v1/platform/regions"): obj(nearest=TEXT, regions=many(ref("Region"))),
    ("POST", "/v1/platform/placements"): obj(regions=many(obj(region=TEXT, count=WHOLE, concurrency=WHOLE))),
    ("GET", _T): obj(tokens=many(ref("Token"))),
    ("POST", _T): ref("Token"),
    ("GET", f"{_T}/{{token_id}}"): ref("Token"),
    ("DELETE", f"{_T}/{{token_id}}"): ref("Token"),
    ("GET", f"{_T}/current"): obj(tokens=many(ref("TokenInUse"))),
    ("POST", f"{_T}/authenticate"): ref("VerifiedToken"),
    ("POST", f"{_T}/authorize"): obj(access=ANY, verified_token=ref("VerifiedToken")),
    ("GET", "/v1/audit"): obj(entries=many(ref("AuditEntry")), next_cursor=TEXT),
    ("POST", "/v1/sources"): obj(id=TEXT, bytes=WHOLE, files=WHOLE),
    ("POST", "/v1/sources/{source_id}/plan"): obj(plan=ANY, config=ANY, toml=TEXT),
    ("GET", "/v1/operations"): many(_OPERATION),
    ("GET", _OP): _OPERATION,
    ("POST", f"{_OP}/cancel"): _OPERATION,
    ("GET", "/v1/images"): many(ref("Image")),
    ("POST", "/v1/images/pull"): _OPERATION,
    ("POST", "/v1/images/refresh"): _OPERATION,
    ("POST", "/v1/images/collect"): obj(freed_bytes=WHOLE),
}
