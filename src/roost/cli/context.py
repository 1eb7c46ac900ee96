"""Which cloud, which token, which app: the only place of the command line that reads the environment.

State on disk: `~/.config/roost/credentials.json` (0600), written by `roost login`; it is replaced as a
whole, so a run that is cut off leaves the old one. On a cloud's own server nothing needs to be stored:
the address is in `HOME/cloud.json` and the token in `HOME/keys/cli.token`.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roost.cli.exits import NotLoggedIn
from roost.model.errors import BadInput

if TYPE_CHECKING:
    from roost.sdk import Client

DEFAULT_HOME = Path("/var/lib/roost")
CONFIG_FILES = ("roost.toml", "fly.toml", "fly.json", "fly.yaml", "fly.yml")

AppOption = Annotated[str, typer.Option("-a", "--app", metavar="APP", help="The app; else $ROOST_APP or roost.toml.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
ContainerOption = Annotated[
    str, typer.Option("--container", metavar="NAME", help="Of a machine with several containers; else the first.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]
HomeOption = Annotated[
    Path | None, typer.Option("--home", metavar="DIR", help="The cloud's directory (default /var/lib/roost).")
]


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API's address and a token for it."""

    url: str
    token: str


def variable(name: str) -> str:
    """Return an environment variable, or ""."""
    return os.environ.get(name, "")


def set_home(home: Path) -> None:
    """Make `home` the cloud's directory for the rest of this run."""
    os.environ["ROOST_HOME"] = str(home.absolute())


def home_directory() -> Path:
    """Return the directory of this server's cloud, whether or not there is one."""
    return Path(variable("ROOST_HOME") or DEFAULT_HOME).absolute()


def cloud_file() -> dict[str, Any] | None:
    """Return what `HOME/cloud.json` says, or None when there is no cloud here."""
    path = home_directory() / "cloud.json"
    try:
        data = json.loads(path.read_bytes())
        int(data["api_port"])
    except FileNotFoundError:
        return None
    except PermissionError:
        raise NotLoggedIn(f"{path} is not yours to read", hint="run as root, or: roost login URL") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} is damaged: {error}", hint="roost doctor") from None
    return dict(data)


def credentials() -> Credentials:
    """Return the cloud to talk to; raises NotLoggedIn that says what was looked for.

    In this order: $ROOST_API_URL with $ROOST_TOKEN, the cloud in --home or $ROOST_HOME, the cloud of
    this server, and what `roost login` stored.
    """
    token = variable("ROOST_TOKEN")
    if url := variable("ROOST_API_URL"):
        stored = _stored()
        return Credentials(url, token or (stored.token if stored and stored.url == url.rstrip("/") else ""))
    chosen = bool(variable("ROOST_HOME"))
    stored = None if chosen else _stored()
    try:
        cloud = cloud_file()
        if cloud is not None:
            return Credentials(f"http://127.0.0.1:{int(cloud['api_port'])}", token or _local_token())
    except NotLoggedIn:
        if stored is None:
            raise
    if stored is not None:
        return Credentials(stored.url, token or stored.token)
    raise NotLoggedIn(
        f"there is no cloud in {home_directory()}" + ("" if chosen else ", and you are not logged in to one"),
        hint=f"roost up --home {home_directory()}" if chosen else "start one with `roost up`, or: roost login URL",
    )


def client(*, patience: float | None = None, timeout: float = 60.0) -> Client:
    """Return a client of that cloud; the caller closes it.

    `patience` is seconds, see `roost.sdk.Client`. By default they are few, but many where this server's own cloud
    is up: if its API is not there, then roostd is just being started again. `timeout` is seconds for an ordinary call.
    """
    from roost.sdk import Client

    found = credentials()
    if patience is None:
        patience = 15.0 if _own_cloud_is_up(found.url) else 3.0
    return Client(found.url, found.token, patience=patience, timeout=timeout)


def _own_cloud_is_up(url: str) -> bool:
    """Tell whether `url` is the API of this server's cloud and nobody took that down."""
    from roost.model.cloud import run_directory

    try:
        cloud = cloud_file()
    except NotLoggedIn:  # there is one, but it is not ours
        return False
    if cloud is None or url != f"http://127.0.0.1:{cloud['api_port']}":
        return False
    return run_directory(str(cloud.get("id"))).exists()


def _local_token() -> str:
    path = home_directory() / "keys" / "cli.token"
    try:
        return path.read_text("utf-8").strip()
    except PermissionError:
        raise NotLoggedIn(f"{path} is not yours to read", hint="run as root, or: roost login URL") from None
    except FileNotFoundError:
        raise NotLoggedIn(f"{path} is missing", hint="`roost up` makes it at the cloud's first start") from None


def credentials_path() -> Path:
    """Return where `roost login` keeps its result."""
    base = Path(variable("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "roost" / "credentials.json"


def _stored() -> Credentials | None:
    path = credentials_path()
    try:
        data = json.loads(path.read_bytes())
        return Credentials(str(data["url"]), str(data["token"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotLoggedIn(f"{path} can't be used: {error}", hint="log in again: roost login URL") from None


def store(found: Credentials) -> Path:
    """Write credentials (mode 0600, replaced as a whole) and return the file's path."""
    path = credentials_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".credentials-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"url": found.url, "token": found.token}, file)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def forget() -> bool:
    """Remove the stored credentials; tells whether there were any."""
    path = credentials_path()
    existed = path.exists()
    path.unlink(missing_ok=True)
    return existed


def find_config(directory: Path) -> Path | None:
    """Return the app's configuration file in `directory`, if there is one."""
    return next((directory / name for name in CONFIG_FILES if (directory / name).is_file()), None)


def app_name(flag: str, directory: Path | None = None) -> str:
    """Return the app that is meant: the flag, $ROOST_APP, or what the configuration file says; raises BadInput."""
    from roost.model.names import check_app_name

    if found := flag or variable("ROOST_APP"):
        return check_app_name(found)
    path = find_config(directory or Path.cwd())
    if path is not None:
        name = _name_in(path)
        if name:
            return check_app_name(name)
    raise BadInput("which app?", hint="name it with -a APP, or run this where its roost.toml is")


def _name_in(path: Path) -> str:
    from roost.model.app_config_text import parse_config

    try:
        data = parse_config(path.read_text("utf-8"), str(path))
    except BadInput as error:
        raise BadInput(error.message, hint="mend the file, or name the app with -a APP") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} can't be read: {error}", hint="mend the file, or name the app with -a APP") from None
    name = data.get("app", "") if isinstance(data, dict) else ""
    return name if isinstance(name, str) else ""
