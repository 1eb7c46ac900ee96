"""`roost autoscale`: numbers of machines that follow their load, and why they are what they are."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from roost.cli import context, output
from roost.cli.assignments import split_pair
from roost.model.errors import BadInput

group = typer.Typer(
    help="Machines by load: show, set, off, explain.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
Group = Annotated[str, typer.Argument(metavar="GROUP", help="The process group; `app` where there is one only.")]
_SIGNS = {"up": "+", "down": "-", "limit": "=", "blind": "?"}


@group.command(epilog="Example: roost autoscale show -a shop")
def show(app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """Show the app's policies and how many machines there are."""
    with context.client() as client:
        found = client.autoscale.show(context.app_name(app), limit=0)["groups"]
    if as_json:
        output.say_json(found)
        return
    rows = ((g["group"], g["machines"], g["running"], g["made"], g["wanted"], _policy(g), g["origin"]) for g in found)
    output.say(output.table(("group", "machines", "running", "made", "wanted", "policy", "from"), rows))


@group.command("set", epilog="Example: roost autoscale set app -a shop --max 5 --concurrency 20")
def set_policy(
    name: Group,
    most: Annotated[int, typer.Option("--max", metavar="N", min=1, max=1000, help="Never more machines.")],
    least: Annotated[int, typer.Option("--min", metavar="N", min=0, max=1000, help="Never fewer.")] = 1,
    concurrency: Annotated[
        int, typer.Option("--concurrency", metavar="N", min=0, help="A machine for each N requests at once.")
    ] = 0,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME=N",
            help="A machine for each N of the sum of this metric of the app's; repeatable.",
        ),
    ] = None,
    up_after: Annotated[
        str, typer.Option("--up-after", metavar="TIME", help="How long more must be asked for.")
    ] = "0s",
    down_after: Annotated[str, typer.Option("--down-after", metavar="TIME", help="How long fewer.")] = "5m",
    app: context.AppOption = "",
) -> None:
    """Let the number of machines follow the load. Until a deploy whose roost.toml says otherwise."""
    policy: dict[str, Any] = {
        "min": least, "max": most, "concurrency": concurrency, "up_after": up_after, "down_after": down_after,
        "metrics": [_metric(word) for word in metrics or ()],
    }  # fmt: skip
    with context.client() as client:
        found = client.autoscale.set(context.app_name(app), name, policy)
    output.say(f"{name}: {_policy(found)}")


@group.command(epilog="Example: roost autoscale off app -a shop")
def off(name: Group, app: context.AppOption = "") -> None:
    """Leave a process group's machines as they are from now on."""
    with context.client() as client:
        client.autoscale.off(context.app_name(app), name)
    output.say(f"{name}: its number of machines stays as it is; `roost scale count` changes it")


@group.command(epilog="Example: roost autoscale explain -a shop")
def explain(
    app: context.AppOption = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=200, help="So many decisions.")] = 20,
    as_json: context.JsonOption = False,
) -> None:
    """Tell why there are so many machines. How it stands now, and what was decided lately."""
    name = context.app_name(app)
    with context.client() as client:
        found = client.autoscale.show(name, limit=limit)
    if as_json:
        output.say_json(found)
        return
    if not found["groups"] and not found["decisions"]:
        output.say(f"No process group of {name} is scaled: `roost autoscale set`, or [[autoscale]] in roost.toml.")
        return
    for one in found["groups"]:
        output.say(output.printable(f"{one['group']}: {_now(one)}"))
    for decision in found["decisions"]:
        output.say(output.printable(_told(decision)))


def _metric(word: str) -> dict[str, Any]:
    name, text = split_pair(word, "a metric")
    try:
        return {"name": name, "target": float(text)}
    except ValueError:
        raise BadInput(f"{text[:40]!r} is not a number", hint="queue_depth=100") from None


def _policy(found: dict[str, Any]) -> str:
    policy = found["policy"]
    if policy is None:
        return "off"
    signals = [f"{policy['concurrency']} requests at once"] if policy.get("concurrency") else []
    signals += [f"{m['target']:g} of {m['name']} ({m.get('aggregate', 'sum')})" for m in policy.get("metrics", ())]
    return f"{policy['min']} to {policy['max']}, one for each {' or '.join(signals)}"


def _now(found: dict[str, Any]) -> str:
    total, running = found["machines"], found["running"]
    count = f"{total} machine{'' if total == 1 else 's'}, {running} of them run{'s' if running == 1 else ''}"
    if not found["enabled"]:
        return f"{count}; switched off"
    said = [count, found["why"] or "not looked at yet"]
    if found["held"]:
        said.append(found["held"])
    return "; ".join(said)


def _told(decision: dict[str, Any]) -> str:
    sign = _SIGNS.get(decision["action"], " ")
    change = f"{decision['machines']} -> {decision['wanted']}"
    done = decision["done"] or decision["state"].replace("_", " ")
    state = "" if decision["state"] in ("done", "noted") else f"{decision['state'].replace('_', ' ')}: "
    return f"{decision['at'][:19]}  {sign} {decision['group']}  {change}  {decision['why']}. {state}{done}"
