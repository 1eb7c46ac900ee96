"""What to do with a machine when what is stored and what is seen differ: after a kill of roostd, or a reboot."""

from __future__ import annotations

from enum import StrEnum

from roost.model.machine import ExitInfo, Machine, MachineState


class Recovery(StrEnum):
    """One step that brings a machine back in line."""

    NONE = "none"
    ADOPT = "adopt"  # it runs and may run: take it as started
    START = "start"
    STOP = "stop"
    THAW = "thaw"
    KEEP_FROZEN = "keep frozen"  # take it as suspended
    EXITED = "exited"  # its process ended unseen: treat it as an exit
    INTERRUPTED = "interrupted"  # the run of a scheduled machine is gone: it is not run again before its time
    MARK_STOPPED = "mark stopped"
    DESTROY = "destroy"


_S = MachineState
_AT_REST = (_S.STOPPED, _S.FAILED, _S.CREATED)


def has_ended(machine: Machine, info: ExitInfo | None) -> bool:
    """Say whether its program has ended by itself; what an earlier run left says nothing of one that begins."""
    if info is None or info.requested_stop:
        return False
    return machine.state is not _S.STARTING or info.at >= machine.updated_at


def recover(machine: Machine, *, running: bool, frozen: bool, present: bool, ended: bool) -> Recovery:
    """Decide for one machine from its row and what the host sees.

    `present`: something of it is on the host; `ended`: its process is known to have ended by itself. A
    process that is merely gone (reboot, `roost down`) is started again, except one that must run only once. A scheduled
    machine whose start was under way is started: its run had not begun.
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
        if machine.config.schedule is not None:
            if ended and machine.state in (_S.STARTED, _S.STARTING):
                return Recovery.EXITED
            return Recovery.INTERRUPTED if machine.state is _S.STARTED else Recovery.START
        return Recovery.EXITED if machine.state is _S.STARTED and (ended or once) else Recovery.START
    return Recovery.NONE if machine.state is _S.STOPPED and not present else Recovery.MARK_STOPPED
