"""`roost certs`: certificates for an app's own host names, and the DNS records that they need."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roost.cli import context, output, prompts
from roost.cli.waiting import waiting
from roost.model.errors import BadInput, NotFound

if TYPE_CHECKING:
    from roost.sdk import Client

group = typer.Typer(
    help="Certificates: list, add, show, check, import, remove, ca.", rich_markup_mode=None, no_args_is_help=True
)
OWN = "own authority"
Host = Annotated[str, typer.Argument(metavar="HOSTNAME", help="Like shop.example.com or *.example.com.")]


@group.command("list", epilog="Example: roost certs list -a shop")
def list_certs(
    app: context.AppOption = "",
    filter: Annotated[str, typer.Option("--filter", metavar="TEXT", help="Names that hold this.")] = "",
    as_json: context.JsonOption = False,
) -> None:
    """List an app's host names."""
    with context.client() as client:
        name = context.app_name(app)
        found = client.certificates.list(name, filter=filter)
        host = f"{name}.{client.status()['domain']}"
        own = _of_domain(client, name, host) if filter in host else None
    if as_json:
        output.say_json([*([_summary(own)] if own is not None else []), *found])
        return
    rows = [(item["hostname"], item["status"], "yes" if item["configured"] else "no", _has(item)) for item in found]
    if own is not None:
        rows.insert(
            0,
            (
                own["hostname"],
                _standing(own),
                "yes",
                "of the cloud's domain" if own["acme_requested"] else "by the cloud's own authority",
            ),
        )
    output.say(output.table(("host name", "status", "leads here", "certificate"), rows))


def _of_domain(client: Client, app: str, host: str) -> Mapping[str, Any] | None:
    """Return the app's name in the cloud's domain; None of an older cloud, which does not tell."""
    try:
        return client.certificates.get(app, host)
    except NotFound:
        return None


def _summary(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the app's name in the cloud's domain with the keys of a listing's rows, and `own_authority`. Pure."""
    checked, entries = own["validation"], own["certificates"]
    return {
        "hostname": own["hostname"],
        "configured": True,
        "status": own["status"],
        "acme_requested": own["acme_requested"],
        "acme_alpn_configured": checked["alpn_configured"],
        "acme_http_configured": checked["http_configured"],
        "acme_dns_configured": checked["dns_configured"],
        "ownership_txt_configured": checked["ownership_txt_configured"],
        "has_custom_certificate": any(entry["source"] == "custom" for entry in entries),
        "has_fly_certificate": any(entry["source"] == "fly" and entry["issued"] for entry in entries),
        "created_at": own["created_at"],
        "updated_at": own["updated_at"],
        "own_authority": _standing(own) == OWN,
    }


def _has(item: Mapping[str, Any]) -> str:
    parts = (
        ("imported", item["has_custom_certificate"]),
        ("issued" if item["has_fly_certificate"] else "asked for", item["acme_requested"]),
    )
    return ", ".join(word for word, is_so in parts if is_so)


@group.command(epilog="Example: roost certs add shop.example.com -a shop")
def add(hostname: Host, app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """Ask for a certificate, and show the DNS records to add."""
    with context.client() as client:
        name = context.app_name(app)
        with waiting(f"Asking DNS about {hostname}"):
            client.certificates.request(name, hostname)
            found = client.certificates.check(name, hostname)
    _show(found, as_json)


@group.command(epilog="Example: roost certs show shop.example.com -a shop")
def show(hostname: Host, app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """Show a host name as the last check saw it."""
    with context.client() as client:
        _show(client.certificates.get(context.app_name(app), hostname), as_json)


@group.command(epilog="Example: roost certs check shop.example.com -a shop")
def check(hostname: Host, app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """Ask DNS now, and show what is missing."""
    with context.client() as client, waiting(f"Asking DNS about {hostname}"):
        found = client.certificates.check(context.app_name(app), hostname)
    _show(found, as_json)


@group.command(
    "import", epilog="Example: roost certs import shop.example.com --fullchain c.pem --private-key k.pem -a shop"
)
def import_cert(
    hostname: Host,
    fullchain: Annotated[Path, typer.Option("--fullchain", metavar="FILE", help="The chain as PEM, its own first.")],
    private_key: Annotated[Path, typer.Option("--private-key", metavar="FILE", help="Its key as PEM.")],
    app: context.AppOption = "",
    as_json: context.JsonOption = False,
) -> None:
    """Bring a certificate with its key, in place of an earlier one."""
    chain, key = _text(fullchain), _text(private_key)
    with context.client() as client:
        name = context.app_name(app)
        client.certificates.upload(name, hostname, chain, key)
        _show(client.certificates.check(name, hostname), as_json)


@group.command(epilog="Example: roost certs remove shop.example.com -a shop")
def remove(
    hostname: Host, app: context.AppOption = "", yes: context.YesOption = False, as_json: context.JsonOption = False
) -> None:
    """Remove a host name with its certificates."""
    prompts.confirm(f"Remove {hostname} and its certificates?", yes=yes)
    with context.client() as client:
        client.certificates.remove(context.app_name(app), hostname)
    if as_json:
        output.say_json({"hostname": hostname, "removed": True})
    else:
        output.say(f"removed {hostname}")


@group.command(epilog="Example: roost certs ca > roost-ca.pem && curl --cacert roost-ca.pem https://APP.localhost:8443")
def ca(as_json: context.JsonOption = False) -> None:
    """Print the certificate of the cloud's own authority.

    It signs for the cloud's domain alone. The command says when clients don't have to trust it.
    """
    with context.client() as client:
        found = client.platform.certificate_authority()
    if as_json:
        output.say_json(found)
        return
    output.say(found["pem"].strip())
    if why := found.get("why"):  # an older cloud does not say
        output.note(f"note: {why}")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise BadInput(f"can't read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadInput(
            f"{path} is not in PEM form, which is text",
            hint=f"for a certificate in DER form: openssl x509 -inform der -in {path} -out {path.with_suffix('.pem')}",
        ) from None


def _show(found: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        output.say_json(found)
        return
    now = datetime.now(UTC)
    output.say(f"{found['hostname']}: {_standing(found)}")
    for entry in found["certificates"]:
        kinds = ", ".join(f"{one['type']} until {one['expires_at'][:10]}" for one in entry["issued"])
        word = "imported" if entry["source"] == "custom" else "by ACME"
        ended = bool(kinds) and all(datetime.fromisoformat(one["expires_at"]) <= now for one in entry["issued"])
        again = f", renewed about {entry['renews_at'][:10]}" if entry.get("renews_at") and not ended else ""
        output.say(f"  {word}: {kinds or 'not issued'}{again} ({'expired' if ended else entry['status']})")
    if lines := records(found):
        output.say("\n".join(lines))
        asked = output.since(found.get("checked_at"))
        if asked and not asked.endswith("s ago"):
            output.say(f"  (DNS as it was {asked}: `roost certs check` asks again)")
    if found["rate_limited_until"]:
        output.say(f"  the authority limits us until {found['rate_limited_until']}")
    for trouble in found["validation_errors"]:
        output.say(f"  {trouble['message']}: {trouble['remediation']}")


def _standing(found: Mapping[str, Any]) -> str:
    """Return the status; of a name that no public certificate is asked for, that it has the own authority's. Pure."""
    own = any(trouble["code"] == "own_authority" for trouble in found["validation_errors"])
    return OWN if own else str(found["status"])


def records(found: Mapping[str, Any]) -> list[str]:
    """Return the DNS records that are still to be added, as lines. Pure."""
    wanted, name, active = found["dns_requirements"], found["hostname"], found["status"] == "active"
    lines = []
    if not found["configured"]:
        lines.append("  DNS records, so that requests come here (one CNAME, or the addresses):")
        lines.append(f"    {name}. CNAME {wanted['cname']}.")
        lines += [f"    {name}. A {address}" for address in wanted["a"]]
        lines += [f"    {name}. AAAA {address}" for address in wanted["aaaa"]]
        if not active and not found["validation"]["ownership_txt_configured"]:
            lines.append("  or, while the name still leads elsewhere, to prove that it is yours:")
            lines.append(f'    {wanted["ownership"]["name"]}. TXT "{wanted["ownership"]["app_value"]}"')
    asked = found["acme_requested"] and not active and not found["validation"]["dns_configured"]
    if name.startswith("*.") and asked:
        lines.append("  for a wildcard to be issued, unless the cloud's command can change the name's zone:")
        lines.append(f"    {wanted['acme_challenge']['name']}. CNAME {wanted['acme_challenge']['target']}.")
    return lines
