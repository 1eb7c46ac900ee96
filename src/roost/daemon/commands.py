"""`python -m roost.daemon VERB`: the commands about the cloud itself. `roost VERB` becomes this process.

Exit codes are the command line's: 0 done, 1 failed, 2 bad input, 3 no such cloud, 4 not root, 124 timed
out, 130 interrupted. Errors go to stderr, each with what to do next.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from roost.daemon import edge_stand_in, processes, up
from roost.daemon.cloud_file import load_cloud
from roost.daemon.settings import Settings, home_of, read_settings
from roost.host.own_address import outgoing_ipv4
from roost.model.acme import AcmeSettings, with_email
from roost.model.cloud import Cloud
from roost.model.errors import BadInput, Forbidden, NotFound, RoostError, TimedOut
from roost.plan.cloud_domain import Way, way_of_domain, why_not_public
from roost.plan.domain_report import records

_EXIT_CODES: dict[type[RoostError], int] = {BadInput: 2, NotFound: 3, Forbidden: 4, TimedOut: 124}
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def say(text: str) -> None:
    """Tell the user about progress, on stderr: stdout holds results only."""
    print(text, file=sys.stderr, flush=True)


def run_up(settings: Settings, arguments: argparse.Namespace) -> int:
    """Carry out `up`."""
    wanted = up.Wanted(
        arguments.http_port, arguments.api_port, arguments.domain, arguments.https_port, arguments.email,
        arguments.network,
    )  # fmt: skip
    if arguments.foreground:
        up.become_roostd(settings, wanted, say)
    cloud = up.start(settings, wanted, say)
    address = settings.edge.address or outgoing_ipv4()
    print(summary(cloud, with_email(settings.acme, cloud.email), address))
    token = up.unseen_admin_token(cloud)
    if token:
        print(
            f"\nThe admin token, shown this once; `roost login` on another computer asks for it:\n  {token}", flush=True
        )
        up.forget_admin_token(cloud)
    print(
        "\nNext:\n"
        "  roost launch DIR   puts the app in DIR on the internet\n"
        "  roost status       shows how the cloud is\n"
        "  roost down         stops it and keeps its state"
    )
    return 0


def summary(cloud: Cloud, acme: AcmeSettings, address: str) -> str:
    """Say where everything is, and what DNS needs; `address` is this server's own, "" if it is not known."""
    secure = cloud.app_https_url("APP")
    return "\n".join(
        (
            "Roost is up.",
            f"  apps    {cloud.app_url('APP')}",
            *((f"  https   {secure} ({_trust(cloud, acme)})",) if secure else ()),
            *_needs(cloud, acme, address),
            f"  API     {cloud.api_url} (on this server only; the token is in {cloud.keys / 'cli.token'})",
            f"  state   {cloud.home}",
            f"  logs    {cloud.logs}",
        )
    )


def _needs(cloud: Cloud, acme: AcmeSettings, address: str) -> list[str]:
    """Return what a public certificate of the domain needs."""
    way, why = way_of_domain(cloud, acme)
    if way is Way.NONE:
        return [f"  https   no public certificates: {why}"] if acme.agrees and not cloud.https_port else []
    record = records(cloud.domain, way, address)[0]
    lines = [f"  DNS     {record.name} {record.type} {record.value}"]
    if way is Way.NAMES and cloud.http_port != 80 and cloud.https_port != 443:
        lines.append("  ports   the certificate authority calls 80 and 443: lead them here, or give --http-port 80")
    return lines


def _trust(cloud: Cloud, acme: AcmeSettings) -> str:
    way, _ = way_of_domain(cloud, acme)
    if way is not Way.NONE:
        return "certificates come by themselves: `roost admin domain` says how far they are"
    told = "`roost certs ca` prints the certificate to trust"
    if not why_not_public(cloud.domain) and not acme.agrees and acme.own_domain is not False:
        told += "; for one that browsers trust: `roost down`, then `roost up --email YOU@EXAMPLE.COM`"
    return told


def run_down(settings: Settings, _arguments: argparse.Namespace) -> int:
    """Carry out `down`."""
    from roost.daemon import down

    print("Roost is down; its state is kept." if down.stop(settings, say) else "Roost was down already.")
    return 0


def run_edge_start(settings: Settings, arguments: argparse.Namespace) -> int:
    """Carry out `edge start`."""
    from roost.daemon import edge_start

    if arguments.foreground:
        edge_start.become_stand_in(settings.home)
    print(edge_start.start(settings.home))
    return 0


def run_status(settings: Settings, arguments: argparse.Namespace) -> int:
    """Carry out `status`, from files alone."""
    cloud = load_cloud(settings.home, cache=settings.cache)
    seen = processes.look(cloud)
    shown = processes.status(cloud, seen, version=version("roost"))
    if arguments.json:
        print(json.dumps(shown, indent=2))
        _read(arguments.home)
        return 0
    for name in ("roostd", "supervisor", "envoy"):
        part = shown[name]
        pid = part["pid"] if isinstance(part, dict) else None
        silent = name == "roostd" and pid and not seen.api
        print(f"{name:<11} {f'pid {pid}' if pid else 'does not run'}{', does not answer' if silent else ''}")
    if len(seen.edge) > 1:
        for name, pid in seen.edge.items():
            print(f"{name:<11} pid {pid}")
    print(f"{'cloud':<11} {shown['state']}, {cloud.home}")
    print(f"{'apps':<11} {cloud.app_url('APP')}")
    print(f"{'API':<11} {cloud.api_url}")
    _read(arguments.home)  # a broken one is an error, once it is told what runs
    return 0


def run_doctor(settings: Settings, arguments: argparse.Namespace) -> int:
    """Carry out `doctor`; 1 when something that a cloud can't do without is missing."""
    from roost.daemon import checks

    findings = [*checks.findings(settings), *checks.judge_settings(settings.home)]
    if arguments.json:
        print(json.dumps([checks.as_json(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(checks.as_line(finding))
    return 1 if any(finding.status == "fail" for finding in findings) else 0


def run_destroy_cloud(settings: Settings, arguments: argparse.Namespace) -> int:
    """Carry out `destroy-cloud`."""
    from roost.daemon import down, strays

    if arguments.stray:
        cloud = strays.by_id(arguments.stray)
        down.destroy_stray(cloud, say, confirmed=arguments.yes)
        print(f"What was left of the cloud {cloud.id} is gone.")
        return 0
    down.destroy(settings, say, confirmed=arguments.yes)
    print(f"The cloud in {settings.home} is gone.")
    return 0


def _port(text: str) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a port: use a number from 1 to 65535")


def _port_or_none(text: str) -> int:
    return 0 if text == "0" else _port(text)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    result = argparse.ArgumentParser(
        prog="roost", description="Start, stop, check and remove the cloud on this server."
    )
    verbs = result.add_subparsers(dest="verb", required=True)

    def verb(name: str, help: str, carry_out: Callable[[Settings, argparse.Namespace], int]) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=help, description=help)
        added.add_argument("--home", type=Path, help="the cloud's directory (default: ROOST_HOME, else /var/lib/roost)")
        added.set_defaults(carry_out=carry_out)
        return added

    added = verb("up", "start the cloud; does nothing when it runs", run_up)
    added.add_argument("--http-port", type=_port, help="port of the apps (default for a new cloud: 8080)")
    added.add_argument(
        "--https-port",
        type=_port_or_none,
        help="port of the apps by TLS, 0 for none (default: 443 with --http-port 80, 8443 with 8080, else none)",
    )
    added.add_argument("--api-port", type=_port, help="port of the API on 127.0.0.1 (default for a new cloud: 4280)")
    added.add_argument("--domain", help="apps answer on APP.DOMAIN (default for a new cloud: localhost)")
    added.add_argument(
        "--email",
        help='for certificates that browsers trust: yours, by which you agree to the authority\'s terms; "": none',
    )
    added.add_argument(
        "--network", help="IPv4 network of a new cloud's machines, a /16 of 10.0.0.0/8 (default: one that is free)"
    )
    added.add_argument("--foreground", action="store_true", help="become roostd instead of starting it, for systemd")
    added = verb("edge-start", "start the edge without roostd, from the last good configuration", run_edge_start)
    added.add_argument("--foreground", action="store_true", help="become what looks after the edge, for systemd")
    verb("down", "stop the cloud and keep its state", run_down)
    verb("status", "show what runs", run_status).add_argument("--json", action="store_true", help="as JSON")
    verb("doctor", "check that this host can run a cloud", run_doctor).add_argument(
        "--json", action="store_true", help="as JSON"
    )
    added = verb("destroy-cloud", "remove the cloud with all its data", run_destroy_cloud)
    added.add_argument("--yes", action="store_true", help="really do it")
    added.add_argument("--stray", metavar="ID", help="end this cloud, whose home was removed by hand")
    return result


def _settings(arguments: argparse.Namespace) -> Settings:
    """Return the settings. Broken ones may be why roostd can't start, and are no reason that nothing else can."""
    if arguments.verb in ("edge-start", "status", "doctor"):
        return edge_stand_in.last_good_settings(home_of(arguments.home))
    return _read(arguments.home)


def _read(home: Path | None) -> Settings:
    """Return the settings; raises BadInput that names the file."""
    try:
        return read_settings(home)
    except BadInput as error:
        raise BadInput(error.message, hint=error.hint or f"see {home_of(home) / 'config.toml'}") from None


def main(argv: list[str] | None = None) -> int:
    """Carry out one verb and return the exit code."""
    arguments = parser().parse_args(argv)
    try:
        carry_out: Callable[[Settings, argparse.Namespace], int] = arguments.carry_out
        code = carry_out(_settings(arguments), arguments)
        sys.stdout.flush()
        return code
    except RoostError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return _EXIT_CODES.get(type(error), 1)
    except BrokenPipeError:  # the reader of our output has seen enough; what was to be done is done
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        print(f"error: {error.strerror}: {error.filename or 'a disk of the cloud'}", file=sys.stderr)
        print("hint: `roost doctor` shows which disk; free some of it, and run this again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
