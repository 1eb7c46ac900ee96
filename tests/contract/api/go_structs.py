"""What clients in Go decode the API's answers into: the fields that they read, and their types."""

from __future__ import annotations

from tests.contract.api.go_json import (
    anything,
    autostop,
    boolean,
    duration,
    int32,
    int64,
    many,
    string,
    struct,
    table,
    time,
    uint32,
    uint64,
)

strings = many(string)
labels = table(string)
header = struct(name=string, values=strings)
check = struct(
    port=int64, type=string, kind=string, interval=duration, timeout=duration, grace_period=duration, method=string,
    path=string, protocol=string, tls_skip_verify=boolean, tls_server_name=string, headers=many(header),
)  # fmt: skip
port = struct(
    port=int64, start_port=int64, end_port=int64, handlers=strings, force_https=boolean,
    tls_options=struct(alpn=strings, versions=strings, default_self_signed=boolean),
    http_options=struct(
        compress=boolean, h2_backend=boolean, idle_timeout=uint32, headers_read_timeout=uint32,
        response=struct(headers=table(anything), pristine=boolean),
        replay_cache=many(
            struct(path_prefix=string, ttl_seconds=int64, type=string, name=string, allow_bypass=boolean)
        ),
    ),
    proxy_proto_options=struct(version=string),
)  # fmt: skip
service = struct(
    protocol=string, internal_port=int64, autostop=autostop, autostart=boolean, min_machines_running=int64,
    ports=many(port), checks=many(check), force_instance_key=string,
    concurrency=struct(type=string, hard_limit=int64, soft_limit=int64),
)  # fmt: skip
file = struct(guest_path=string, raw_value=string, secret_name=string, image_config=string, mode=uint32)
secret_of = struct(env_var=string, name=string)
field_of = struct(env_var=string, field_ref=string)
restart = struct(policy=string, max_retries=int64)
stop = struct(timeout=duration, signal=string)
healthcheck = struct(
    name=string, interval=int64, grace_period=int64, success_threshold=int32, failure_threshold=int32, timeout=int64,
    kind=string, unhealthy=string, tcp=struct(port=int32), exec=struct(command=strings),
    http=struct(
        port=int32, method=string, path=string, headers=many(header), scheme=string, tls_skip_verify=boolean,
        tls_server_name=string,
    ),
)  # fmt: skip
program = struct(
    exec=strings, entrypoint=strings, cmd=strings, user=string, env=labels, secrets=many(secret_of),
    ignore_app_secrets=boolean, env_from=many(field_of),
)  # fmt: skip
container = struct(
    name=string, image=string, exec=strings, entrypoint=strings, cmd=strings, user=string, env=labels,
    secrets=many(secret_of), env_from=many(field_of), files=many(file), restart=restart, stop=stop,
    depends_on=many(struct(name=string, condition=string)), healthchecks=many(healthcheck),
    mounts=many(struct(name=string, path=string)),
)  # fmt: skip
config = struct(
    env=labels,
    init=struct(
        exec=strings, entrypoint=strings, cmd=strings, tty=boolean, swap_size_mb=int64, kernel_args=strings
    ),
    guest=struct(
        cpu_kind=string, cpus=int64, memory_mb=int64, max_memory_mb=int64, gpus=int64, gpu_kind=string,
        host_dedication_id=string, persist_rootfs=string, kernel_args=strings,
    ),
    metadata=labels,
    mounts=many(
        struct(
            encrypted=boolean, path=string, size_gb=int64, volume=string, name=string,
            extend_threshold_percent=int64, add_size_gb=int64, size_gb_limit=int64,
        )
    ),
    services=many(service),
    metrics=struct(port=int64, path=string, https=boolean),
    checks=table(check),
    statics=many(struct(guest_path=string, url_prefix=string, tigris_bucket=string, index_document=string)),
    image=string, files=many(file), schedule=string, auto_destroy=boolean, restart=restart,
    dns=struct(
        skip_registration=boolean, nameservers=strings, searches=strings, hostname=string, hostname_fqdn=string,
        options=many(struct(name=string, value=string)), dns_forward_rules=many(struct(basename=string, addr=string)),
    ),
    processes=many(program), standbys=strings, stop_config=stop, containers=many(container),
    volumes=many(
        struct(name=string, image=string, temp_dir=struct(storage_type=string, size_mb=uint64))
    ),
    rootfs=struct(persist=string, size_gb=uint64), cache_drive=struct(size_mb=uint64),
)  # fmt: skip
exit_event = struct(
    exit_code=int64, guest_exit_code=int64, guest_signal=int64, oom_killed=boolean, requested_stop=boolean,
    restarting=boolean, signal=int64, exited_at=time,
)  # fmt: skip
event = struct(
    type=string, status=string, source=string, timestamp=int64,
    request=struct(
        exit_event=exit_event, MonitorEvent=struct(exit_event=exit_event), restart_count=int64
    ),
)  # fmt: skip
machine = struct(
    id=string, name=string, state=string, region=string, instance_id=string, version=string, private_ip=string,
    created_at=string, updated_at=string, nonce=string, host_status=string, cordoned=boolean,
    image_ref=struct(registry=string, repository=string, tag=string, digest=string, labels=labels),
    config=config, incomplete_config=config, events=many(event),
    checks=many(struct(name=string, status=string, output=string, updated_at=time)),
    containers=many(struct(name=string, state=string)),
)  # fmt: skip
machines = many(machine)
lease = struct(
    status=string, message=string, code=string,
    data=struct(nonce=string, expires_at=int64, owner=string, version=string),
)  # fmt: skip
started = struct(message=string, status=string, previous_state=string)
app = struct(
    id=string, name=string, internal_numeric_id=int32, network=string, status=string, machine_count=int64,
    volume_count=int64, cname_target=string, app_role=string,
    organization=struct(name=string, slug=string, internal_numeric_id=int32),
)  # fmt: skip
apps = struct(apps=many(app))
volume = struct(
    id=string, name=string, state=string, size_gb=int64, region=string, zone=string, encrypted=boolean,
    attached_machine_id=string, attached_alloc_id=string, created_at=time, host_dedication_id=string,
    snapshot_retention=int64, auto_backup_enabled=boolean, host_status=string,
)  # fmt: skip
volumes = many(volume)
extended = struct(volume=volume, needs_restart=boolean)
snapshots = many(struct(id=string, size=int64, digest=string, created_at=time, status=string, retention_days=int64))
secret = struct(name=string, value=string, digest=string)
secrets = struct(secrets=many(secret), version=uint64)
address = struct(ip=string, region=string, service_name=string, shared=boolean, created_at=time, egress=boolean)
addresses = struct(ips=many(address))
regions = struct(Regions=many(struct(code=string, name=string, gatewayAvailable=boolean)), Nearest=string)
placements = struct(Regions=many(struct(Region=string, Count=int64, Concurrency=int64)))
executed = struct(exit_code=int32, stdout=string, stderr=string)
processes = many(
    struct(
        pid=int32, stime=uint64, rtime=uint64, command=string, directory=string, cpu=uint64, rss=uint64,
        listen_sockets=many(struct(proto=string, address=string)),
    )
)  # fmt: skip
error = struct(error=string, status=string, message=string)
