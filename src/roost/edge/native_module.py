"""What Envoy loads besides its configuration: our own filters, in C (native/*.c, as one module). Pure.

Only what every request needs, or what Envoy has no means for, is there: what is done to headers first (headers.c),
the limit by client address (address_limit.c), whom it believes about that (proxies.c), the hook for replays
(replay_hook.c), which also looks for bodies that stand still (bodies.c), what is kept of bodies (kept.c), lines before
apps with a limit (admission.c), the log of requests (request_log.c). native_build.py compiles it when the edge starts.
A module has another name for each version of its sources, so that an Envoy that runs takes a new one beside what it
has, and one version never gets what another made of a configuration.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roost.edge.protos import DynamicModuleFilterPerRoute, FilterConfig, StringValue, any_of, any_pb2

_DIRECTORY = Path(__file__).with_name("native")
SOURCES = tuple(sorted(_DIRECTORY.glob("*.c")))
SEARCH_PATH = "ENVOY_DYNAMIC_MODULES_SEARCH_PATH"  # the variable that tells Envoy where modules are
_TYPES = "type.googleapis.com/"
_TEXT = _TYPES + "google.protobuf.StringValue"


@functools.cache
def module_name() -> str:
    """Return the module's name."""
    digest = hashlib.sha256()
    for path in sorted(_DIRECTORY.glob("*.[ch]")):
        digest.update(path.read_bytes())
    return f"roost-{digest.hexdigest()[:12]}"


def file_name() -> str:
    """Return the name of the module's file, as Envoy looks for it."""
    return f"lib{module_name()}.so"


def compile_command(compiler: str, output: Path) -> tuple[str, ...]:
    """Return what makes the module; `compiler` is tcc."""
    return (compiler, "-shared", "-nostdlib", "-o", str(output), *map(str, SOURCES))


def http_filter(kind: str, text: str = "") -> dict[str, Any]:
    """Return an HTTP filter of the module, switched off; `switch_on` does it for a route."""
    return {**hook(kind, text), "disabled": True}


def hook(kind: str, text: str) -> dict[str, Any]:
    """Return an HTTP filter of the module that is always on, with `text` for its configuration."""
    return {
        "name": _filter_name(kind),
        "typed_config": {
            "@type": _TYPES + "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
            "dynamic_module_config": _module(),
            "filter_name": kind,
            "filter_config": {"@type": _TEXT, "value": text},
        },
    }


def switch_on(entry: Any, kind: str, text: str) -> None:
    """Have a route's requests pass an HTTP filter of the module, with `text` for its configuration."""
    config = DynamicModuleFilterPerRoute()
    config.dynamic_module_config.name = module_name()
    config.dynamic_module_config.do_not_close = True
    config.per_route_config_name = kind
    config.filter_config.CopyFrom(any_of(StringValue(value=text)))
    entry.typed_per_filter_config[_filter_name(kind)].CopyFrom(any_of(config))


def switch_on_plainly(entry: Any, kind: str) -> None:
    """Have a route's requests pass an HTTP filter of the module, as the connection manager configures it."""
    entry.typed_per_filter_config[_filter_name(kind)].CopyFrom(any_of(FilterConfig(config=any_pb2.Any())))


def early_headers(
    port: int, region: str, by_address: str, proxies: Sequence[str] = (), *, secure: bool, public: bool
) -> dict[str, Any]:
    """Return what a connection manager does to headers before anything looks at them.

    Only what is `public` refuses requests that name no host, and believes nobody but `proxies`, networks, about who the
    client is. `by_address` is the limit by client address, in the words of `limits.by_address`.
    """
    by_tls, whose = "on" if secure else "off", "public" if public else "private"
    # its message is in Envoy 1.40 but not yet in xds-protos 1.85
    kind = "envoy.extensions.http.early_header_mutation.dynamic_modules.v3.DynamicModuleEarlyHeaderMutation"
    return {
        "name": module_name(),
        "typed_config": {
            "@type": _TYPES + "xds.type.v3.TypedStruct",
            "type_url": _TYPES + kind,
            "value": {
                "dynamic_module_config": _module(),
                "early_header_mutation_name": "headers",
                "early_header_mutation_config": {
                    "@type": _TEXT,
                    "value": " ".join((str(port), by_tls, whose, by_address, ",".join(proxies) or "-", region)),
                },
            },
        },
    }  # fmt: skip


def access_logger(path: Path) -> dict[str, Any]:
    """Return the access logger that writes a line to `path` for each request or connection at its end."""
    # its message is in Envoy 1.40 but not yet in xds-protos 1.85
    kind = "envoy.extensions.access_loggers.dynamic_modules.v3.DynamicModuleAccessLog"
    return {
        "name": module_name(),
        "typed_config": {
            "@type": _TYPES + "xds.type.v3.TypedStruct",
            "type_url": _TYPES + kind,
            "value": {
                "dynamic_module_config": _module(),
                "logger_name": "requests",
                "logger_config": {"@type": _TEXT, "value": str(path)},
            },
        },
    }


def _filter_name(kind: str) -> str:
    return f"{module_name()}-{kind}"  # so one version's filters never get another's configuration


def _module() -> dict[str, Any]:
    return {"name": module_name(), "do_not_close": True}
