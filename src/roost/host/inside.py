"""What is run inside a machine that runs, at the side of its main process: commands, consoles, checks.

Owns no state: what a command has while it runs is `execution`'s. Raises FailedPrecondition for a machine that doesn't
run or is suspended.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from roost.host import health
from roost.host.containers import Containers
from roost.host.contract import Console, ExecResult
from roost.host.execution import Execution
from roost.host.health import HealthResult
from roost.host.machine_files import RunFiles
from roost.host.observing import Observing
from roost.host.parts import Parts
from roost.host.runtime import runtime_for
from roost.model.errors import FailedPrecondition
from roost.model.machine_config import Check


class Inside:
    """Runs commands in machines, and in containers of those that have several."""

    def __init__(self, parts: Parts, containers: Containers, observing: Observing) -> None:
        self._parts, self._containers, self._observing = parts, containers, observing

    def execute(
        self, machine_id: str, container: str, argv: tuple[str, ...], env: dict[str, str], user: str,
        *, stdin: bytes, timeout: float,
    ) -> ExecResult:  # fmt: skip
        """Run a command to its end; raises TimedOut after `timeout` seconds."""
        execution, process = self._execution(machine_id, container, argv, env, user)
        return execution.run(process, stdin=stdin, timeout=timeout)

    def console(self, machine_id: str, container: str, argv: tuple[str, ...], rows: int, columns: int) -> Console:
        """Run a command with a terminal."""
        execution, process = self._execution(machine_id, container, argv, {"TERM": "xterm-256color"}, "")
        return execution.console(process, rows, columns)

    def ask(self, machine_id: str, check: Check) -> HealthResult:
        """Run a check in the machine's network."""
        self._observing.running(machine_id)
        return health.check_inside(check, self._parts.files(machine_id).network_namespace)

    def _execution(
        self, machine_id: str, container: str, argv: tuple[str, ...], env: dict[str, str], user: str
    ) -> tuple[Execution, dict[str, Any]]:
        parts = self._parts
        main, record = self._observing.running(machine_id)
        if parts.cgroups.is_frozen(machine_id):
            raise FailedPrecondition(f"machine {machine_id} is suspended", hint="start it first")
        files: RunFiles = parts.files(machine_id)
        directory = files.directory
        if record.several:
            files, main = self._containers.running(machine_id, container)
        runtime = runtime_for(record.isolation, parts.cloud.run)
        root = files.root if runtime.keeps_root_mounted else Path(f"/proc/{main.pid}/root")
        execution = Execution(files.runtime_id, runtime, directory, root, lambda: parts.cgroups.processes(files.group))
        own = json.loads((files.bundle / "config.json").read_text())["process"]
        return execution, execution.process_of(own, argv, env, user)
