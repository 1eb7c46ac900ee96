"""`roost orgs`: groups of users who share apps and a private network."""

from __future__ import annotations

from typing import Annotated

import typer

from roost.cli import context, output, prompts

group = typer.Typer(help="Orgs: list, create, show, destroy, members.", rich_markup_mode=None, no_args_is_help=True)
members = typer.Typer(help="Members of an org: list, add, remove.", rich_markup_mode=None, no_args_is_help=True)
group.add_typer(members, name="members")
Slug = Annotated[str, typer.Argument(metavar="ORG", help="The org's name in addresses.")]
UserName = Annotated[str, typer.Argument(metavar="USER", help="The user's name.")]


@group.command("list", epilog="Example: roost orgs list")
def list_orgs(as_json: context.JsonOption = False) -> None:
    """List the orgs that your token sees."""
    with context.client() as client:
        found = client.orgs.list()
    if as_json:
        output.say_json(found)
        return
    rows = ((o.get("slug"), o.get("name"), str(o.get("apps", "")), output.since(o.get("created_at"))) for o in found)
    output.say(output.table(("org", "name", "apps", "created"), rows))


@group.command(epilog="Example: roost orgs create acme --name 'Acme Ltd'")
def create(
    slug: Slug,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="How people call it.")] = "",
    as_json: context.JsonOption = False,
) -> None:
    """Make an org."""
    with context.client() as client:
        made = client.orgs.create(slug, name)
    if as_json:
        output.say_json(made)
    else:
        output.say(f"{slug} is made. Add its members with: roost orgs members add {slug} USER --role deployer")


@group.command(epilog="Example: roost orgs show acme")
def show(slug: Slug, as_json: context.JsonOption = False) -> None:
    """Show an org and its members."""
    with context.client() as client:
        found = client.orgs.get(slug)
    if as_json:
        output.say_json(found)
        return
    pairs = [("org", found.get("slug")), ("name", found.get("name")), ("apps", str(found.get("apps", "")))]
    output.say(output.fields([*pairs, ("created", output.since(found.get("created_at")))]))
    for member in found.get("members", []):
        output.say(output.printable(f"member  {member.get('user')}  {member.get('role')}"))


@group.command(epilog="Example: roost orgs destroy acme --yes")
def destroy(slug: Slug, yes: context.YesOption = False) -> None:
    """Remove an org without apps. Its tokens count no more."""
    with context.client() as client:
        client.orgs.get(slug)
        prompts.confirm(f"Destroy the org {slug}, and revoke its tokens?", yes=yes)
        client.orgs.destroy(slug)
    output.say(f"{slug} is destroyed.")


@members.command("list", epilog="Example: roost orgs members list acme")
def list_members(slug: Slug, as_json: context.JsonOption = False) -> None:
    """List an org's members."""
    with context.client() as client:
        found = client.orgs.members(slug)
    if as_json:
        output.say_json(found)
        return
    rows = ((m.get("user"), m.get("role"), output.since(m.get("added_at"))) for m in found)
    output.say(output.table(("user", "role", "added"), rows))


@members.command(epilog="Example: roost orgs members add acme ann@example.com --role admin")
def add(
    slug: Slug,
    user: UserName,
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="admin, deployer or reader.")] = "deployer",
) -> None:
    """Add a member, or change its role."""
    with context.client() as client:
        client.orgs.set_member(slug, user, role)
    output.say(f"{user} is {role} of {slug}. A token for them: roost tokens create --user {user}")


@members.command(epilog="Example: roost orgs members remove acme ann@example.com")
def remove(slug: Slug, user: UserName) -> None:
    """Remove a member. Its tokens see the org no more."""
    with context.client() as client:
        client.orgs.remove_member(slug, user)
    output.say(f"{user} is no member of {slug}.")
