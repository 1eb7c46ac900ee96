"""What to do with a machine when what is stored and what is seen differ: after a kill of roostd, or a reboot."""

from __future__ import annotations

from enum import StrEnum

from roost.model.machine import Machine, MachineState


class Recovery(StrEnum):
    """One step that brings a machine back in line."""

    NONE = "none"
    ADOPT = "adopt"  # it runs and may run: take it as started
    START = "start"
    STOP = "stop"
    THAW = "thaw"
    KEEP_FROZEN = "keep frozen"  # take it as suspended
    EXITED = "exited"  # its process ended unseen: treat it as an exit
    MARK_STOPPED = "mark stopped"
    DESTROY = "destroy"


_S = MachineState
_AT_REST = (_S.STOPPED, _S.FAILED, _S.CREATED)


def recover(machine: Machine, *, running: bool, frozen: bool, present: bool, ended: bool) -> Recovery:
    """Decide for one machine from its row and what the host sees.

    `present`: something of it is on the host; `ended`: its process is known to have ended by itself. A
    process that is merely gone (reboot, `roost down`) is started again, except one that must run only once.
    """
    if machine.desired is _S.DESTROYED or machine.state in (_S.DESTROYING, _S.DESTROYED):
        return Recovery.DESTROY
    if running:
        return Recovery.STOP if machine.desired is _S.STOPPED else Recovery.ADOPT
    if frozen:
        if machine.desired is _S.SUSPENDED:
            return Recovery.NONE if machine.state is _S.SUSPENDED else Recovery.KEEP_FROZEN
        return Recovery.STOP if machine.desired is _S.STOPPED else Recovery.THAW
    if machine.state in (_S.FAILED, _S.CREATED):
        return Recovery.START if machine.desired is _S.STARTED and machine.state is _S.CREATED else Recovery.NONE
    if machine.desired is _S.STARTED:
        once = machine.config.restart.policy == "no"
        return Recovery.EXITED if machine.state is _S.STARTED and (ended or once) else Recovery.START
    return Recovery.NONE if machine.state is _S.STOPPED and not present else Recovery.MARK_STOPPED
