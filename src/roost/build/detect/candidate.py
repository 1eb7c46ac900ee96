"""What one stack's detector hands back, and how strong its case is. Pure values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from roost.model.build_plan import BuildPlan


class Strength(IntEnum):
    """How sure a detector is that the directory is an app of its stack; the strongest wins."""

    MANIFEST = 0  # a package file, and nothing that would be started (it may be tooling)
    FILES = 1  # files that can be served as they are
    PROGRAM = 2  # something to start
    SERVER = 3  # a server framework, and what it serves


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan, and why it should be chosen over another stack's."""

    strength: Strength
    plan: BuildPlan


@dataclass(slots=True)
class Story:
    """Collects what a detector finds, in order: evidence, things to tell, services that seem needed."""

    evidence: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)

    def found(self, what: str) -> None:
        """Add a line of evidence once."""
        if what not in self.evidence:
            self.evidence.append(what)

    def tell(self, what: str) -> None:
        """Add a note for the user once."""
        if what not in self.notes:
            self.notes.append(what)

    def need(self, service: str, why: str) -> None:
        """Note that the code seems to use a managed service."""
        if service not in self.needs:
            self.needs.append(service)
            self.found(f"{why}: it seems to use {service}")
