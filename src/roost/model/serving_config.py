"""What is read of a machine beside its services: `metrics` and `statics` of its configuration."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from roost.model.config_reading import Reader
from roost.model.errors import BadInput

MAX_STATICS = 10
_IN_URLS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,=@/")
NO_BUCKET = "files come from the image: remove the key, and name their directory in guest_path"


@dataclass(frozen=True, slots=True)
class Metrics:
    """Where the program tells its measurements, as Prometheus text."""

    port: int
    path: str = "/metrics"
    https: bool = False  # with any certificate: it is asked at the machine's own address


@dataclass(frozen=True, slots=True)
class Static:
    """A directory of the image that the edge serves itself, below `url_prefix` (without a slash at its end)."""

    guest_path: str
    url_prefix: str  # "/": everything
    index_document: str = ""  # what a directory shows; "": nothing


def read_metrics(data: object, where: str) -> Metrics | None:
    """Read `metrics`; None where it is not given. Raises BadInput that names the key."""
    if not data:
        return None
    reader = Reader(data, where)
    metrics = Metrics(
        reader.number("port", 0, 1, 65535), reader.text("path", "/metrics") or "/metrics", reader.flag("https", False)
    )
    reader.done()
    if not metrics.port:
        raise BadInput(f"{where}.port is missing", hint="name the port that answers with the metrics")
    check_metrics(metrics, where)
    return metrics


def check_metrics(metrics: Metrics, where: str) -> None:
    """Refuse a path that HTTP does not allow; raises BadInput."""
    path = metrics.path
    if not path.startswith("/") or len(path) > 1000 or any(not 32 < ord(c) < 127 for c in path):
        raise BadInput(f"{where}.path must begin with '/' and hold no blanks, not {path[:40]!r}")


def read_static(data: object, where: str) -> Static:
    """Read one of `statics`; raises BadInput that names the key."""
    reader = Reader(data, where)
    static = Static(reader.text("guest_path"), reader.text("url_prefix"), reader.text("index_document"))
    if reader.take("tigris_bucket"):
        raise BadInput(f"{where}.tigris_bucket is not supported", hint=NO_BUCKET)
    reader.done()
    return checked_static(static, where)


def checked_static(static: Static, where: str) -> Static:
    """Return it with its paths in their plain form; raises BadInput that names the key."""
    guest, prefix = static.guest_path.rstrip("/") or static.guest_path[:1], static.url_prefix.rstrip("/") or "/"
    if not _is_plain(guest) or not guest.isprintable() or guest == "/":
        raise BadInput(
            f"{where}.guest_path must be the absolute path of a directory without '.', '..' or blank parts, "
            f"not {static.guest_path[:40]!r}"
        )
    if not static.url_prefix.startswith("/") or not (prefix == "/" or _is_plain(prefix)) or set(prefix) - _IN_URLS:
        raise BadInput(
            f"{where}.url_prefix must be a path like /static without '.', '..' or blank parts, "
            f"not {static.url_prefix[:40]!r}"
        )
    name = static.index_document
    if name and (name in (".", "..") or "/" in name or not name.isprintable() or len(name.encode()) > 255):
        raise BadInput(f"{where}.index_document must be a file's name like index.html, not {name[:40]!r}")
    return Static(guest, prefix, name)


def _is_plain(path: str) -> bool:
    parts = path.split("/")
    return parts[0] == "" and len(path) <= 1000 and not {"", ".", ".."} & set(parts[1:])


def check_statics(statics: tuple[Static, ...], where: str) -> None:
    """Refuse too many, and two for one prefix; raises BadInput."""
    if len(statics) > MAX_STATICS:
        raise BadInput(f"{where}: at most {MAX_STATICS}", hint="one for a directory serves what is below it, too")
    prefixes = [static.url_prefix for static in statics]
    for index, prefix in enumerate(prefixes):
        if prefix in prefixes[:index]:
            raise BadInput(f"{where}[{index}].url_prefix: {prefix[:40]!r} is there twice")


def serving_to_json(metrics: Metrics | None, statics: tuple[Static, ...]) -> dict[str, Any]:
    """Return the API's keys, without those that are not set."""
    out: dict[str, Any] = {} if metrics is None else {"metrics": asdict(metrics)}
    return out | ({"statics": [static_to_json(static) for static in statics]} if statics else {})


def static_to_json(static: Static) -> dict[str, Any]:
    """Return the API's form of one."""
    return {key: value for key, value in asdict(static).items() if value}
