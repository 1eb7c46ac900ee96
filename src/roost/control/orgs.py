"""The verbs on orgs and their members."""

from __future__ import annotations

from collections.abc import Sequence

from roost.control.core import Core
from roost.model.errors import BadInput, FailedPrecondition, NotFound
from roost.model.identity import PERSONAL, Member, Org, Role, check_org, check_user


class Orgs:
    """Orgs: groups of users who share apps."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._orgs = core.store.orgs

    def list(self) -> Sequence[Org]:
        """Return all orgs, by slug."""
        return self._orgs.list()

    def get(self, slug: str) -> Org:
        """Return an org; raises NotFound."""
        found = self._orgs.find(slug)
        if found is None:
            raise NotFound(f"org not found: {slug[:80]!r}", hint="`roost orgs list` shows them")
        return found

    def create(self, slug: str, name: str = "") -> Org:
        """Make an org without members; raises NameTaken."""
        made = Org(check_org(slug), name or slug, self._core.now())
        self._orgs.add(made)
        return made

    def destroy(self, slug: str) -> None:
        """Remove an org, its members and tokens; raises FailedPrecondition while it has apps."""
        self.get(slug)
        if slug == PERSONAL:
            raise BadInput(f"the org {PERSONAL} can't be removed: every cloud has it")
        with self._core.locks.holding(lock_of(slug)):
            apps = self._core.store.apps.list(slug)
            if apps:
                raise FailedPrecondition(
                    f"failed_precondition: the org {slug} has {len(apps)} apps",
                    hint=f"destroy them first: roost apps destroy {apps[0].name}",
                )
            self._orgs.remove(slug, self._core.now())

    def members(self, slug: str) -> Sequence[Member]:
        """Return an org's members, by name."""
        self.get(slug)
        return self._orgs.members(slug)

    def set_member(self, slug: str, user: str, role: Role) -> Member:
        """Add a member, or change its role; raises NotFound."""
        self.get(slug)
        member = Member(slug, check_user(user), role, self._core.now())
        self._orgs.set_member(member)
        return member

    def remove_member(self, slug: str, user: str) -> None:
        """Remove a member: its tokens see the org no more. Raises NotFound."""
        self.get(slug)
        self._orgs.remove_member(slug, check_user(user))


def lock_of(slug: str) -> str:
    """Return the name of the lock that is held while an app is made in an org, or the org removed."""
    return f"org:{slug}"
