"""`roost network policies` and `roost ips`: who may connect to machines directly, and addresses of apps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from roost.cli import context, output, prompts
from roost.cli.assignments import split_pair
from roost.model.errors import BadInput
from roost.model.names import check_machine_id
from roost.model.network_policy import check_policy_id, check_policy_name

group = typer.Typer(help="Private networks: policies.", rich_markup_mode=None, no_args_is_help=True)
policies = typer.Typer(
    help="Network policies: which direct connections machines take and make.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
group.add_typer(policies, name="policies")
ips = typer.Typer(help="Addresses of apps: list, allocate, release.", rich_markup_mode=None, no_args_is_help=True)
PolicyId = Annotated[str, typer.Argument(metavar="ID", help="The policy's id.")]


@policies.command("list", epilog="Example: roost network policies list -a shop")
def list_policies(app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """List the app's network policies."""
    with context.client() as client:
        found = client.network_policies.list(context.app_name(app))
    if as_json:
        output.say_json(found)
        return
    rows = ((p["id"], p["name"], _machines(p["selector"]), _rules(p["rules"])) for p in found)
    output.say(output.table(("id", "name", "machines", "allows"), rows))


@policies.command("show", epilog="Example: roost network policies show np_0123456789abcdef -a shop")
def show(policy_id: PolicyId, app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """Show a network policy."""
    with context.client() as client:
        found = client.network_policies.get(context.app_name(app), check_policy_id(policy_id))
    if as_json:
        output.say_json(found)
        return
    pairs = (
        ("id", found["id"]),
        ("name", found["name"]),
        ("machines", _machines(found["selector"])),
        ("allows", _rules(found["rules"])),
        ("created", output.since(found.get("created_at"))),
    )
    output.say(output.fields(pairs))


@policies.command(epilog="Example: roost network policies create web-only -a shop --ingress tcp/80 --ingress tcp/443")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The policy's name.")],
    ingress: Annotated[
        list[str] | None,
        typer.Option("--ingress", metavar="PORT", help="A port that others may connect to: tcp/80, udp/53 or all."),
    ] = None,
    egress: Annotated[
        list[str] | None,
        typer.Option("--egress", metavar="PORT", help="A port that machines may connect to: tcp/443 or all."),
    ] = None,
    machine: Annotated[
        list[str] | None, typer.Option("--machine", metavar="ID", help="For this machine only. Repeatable.")
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option("--metadata", metavar="KEY=VALUE", help="For machines with this metadata only. Repeatable."),
    ] = None,
    app: context.AppOption = "",
    as_json: context.JsonOption = False,
) -> None:
    """Limit direct connections of the app's machines. To the ports given, in each direction that is given."""
    rules = [*_rule("ingress", ingress or []), *_rule("egress", egress or [])]
    if not rules:
        raise BadInput("the policy allows nothing", hint=f"roost network policies create {name} --ingress tcp/80")
    selector: dict[str, Any] = {}
    if machine:
        selector["machines"] = [{"id": check_machine_id(one)} for one in machine]
    if metadata:
        selector["metadata"] = dict(split_pair(word, "--metadata") for word in metadata)
    with context.client() as client:
        made = client.network_policies.create(
            context.app_name(app), check_policy_name(name), selector=selector or {"all": True}, rules=rules
        )
    if as_json:
        output.say_json(made)
    else:
        output.say(f"{made['id']} ({name}) holds for {_machines(made['selector'])}")


@policies.command(epilog="Example: roost network policies destroy np_0123456789abcdef -a shop --yes")
def destroy(policy_id: PolicyId, app: context.AppOption = "", yes: context.YesOption = False) -> None:
    """Remove a network policy."""
    key = context.app_name(app)
    with context.client() as client:
        found = client.network_policies.get(key, check_policy_id(policy_id))
        prompts.confirm(f"Destroy {found['name']}, so that its machines are limited no longer by it?", yes=yes)
        client.network_policies.destroy(key, policy_id)
    output.say(f"{policy_id} is destroyed.")


@ips.command("list", epilog="Example: roost ips list -a shop")
def list_ips(app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """List the addresses that were allocated to the app."""
    with context.client() as client:
        found = client.ip_assignments.list(context.app_name(app))
    if as_json:
        output.say_json(found)
        return
    rows = (
        (a["ip"], "shared" if a["shared"] else "private", a["region"], output.since(a.get("created_at"))) for a in found
    )
    output.say(output.table(("address", "kind", "region", "created"), rows))


@ips.command(epilog="Example: roost ips allocate -a shop")
def allocate(
    kind: Annotated[str, typer.Option("--type", metavar="TYPE", help="shared_v4, or private: see docs.")] = "shared_v4",
    app: context.AppOption = "",
    as_json: context.JsonOption = False,
) -> None:
    """Give the app an address and print it.

    shared_v4: the server's own, to which DNS records of host names point. private: an address of the app's own in its
    private network, also as APP.flycast, at which the edge answers machines of the network, and wakes the app.
    """
    with context.client() as client:
        made = client.ip_assignments.create(context.app_name(app), kind)
    if as_json:
        output.say_json(made)
    else:
        output.say(f"{made['ip']} ({'shared' if made['shared'] else 'private'})")


@ips.command(epilog="Example: roost ips release 203.0.113.7 -a shop")
def release(
    ip: Annotated[str, typer.Argument(metavar="ADDRESS", help="The address.")], app: context.AppOption = ""
) -> None:
    """Forget that the app uses an address."""
    with context.client() as client:
        client.ip_assignments.destroy(context.app_name(app), ip)
    output.say(f"{ip} is released.")


def _rule(direction: str, words: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rule of a direction, none when nothing is said of it; raises BadInput."""
    if not words:
        return []
    if "all" in words:
        return [{"action": "allow", "direction": direction, "ports": []}]
    return [{"action": "allow", "direction": direction, "ports": [_port(word, direction) for word in words]}]


def _port(word: str, direction: str) -> dict[str, Any]:
    protocol, _, number = word.rpartition("/")
    if protocol not in ("tcp", "udp") or not number.isdecimal() or not 0 < int(number[:6]) < 65_536:
        raise BadInput(f"--{direction}: {word[:40]!r} is not a port", hint="for example tcp/80, udp/53 or all")
    return {"protocol": protocol, "port": int(number)}


def _machines(selector: dict[str, Any]) -> str:
    words = [machine["id"] for machine in selector.get("machines", ())]
    words += [f"{key}={value}" for key, value in selector.get("metadata", {}).items()]
    return ", ".join(words) or "all machines"


def _rules(rules: Sequence[dict[str, Any]]) -> str:
    def ports(rule: dict[str, Any]) -> str:
        return " ".join(f"{port['protocol']}/{port['port']}" for port in rule["ports"]) or "all"

    return "; ".join(f"{rule['direction']} {ports(rule)}" for rule in rules)
