"""No two of Roost's unprivileged processes share a user id: one could send the other signals, or use its sockets."""

from __future__ import annotations

from roost.daemon import dnsd, staticsd
from roost.edge.confinement import FRONT_USER, USER
from roost.plan.cells import MAX_CELLS, MAX_OWN_CELLS


def test_every_process_has_a_user_of_its_own() -> None:
    users = [
        dnsd.CONFINES.user,
        staticsd.CONFINES.user,
        FRONT_USER,
        *(USER + n for n in range(MAX_CELLS + MAX_OWN_CELLS)),
    ]
    assert len(set(users)) == len(users)
