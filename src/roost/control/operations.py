"""Operations: durable jobs made of steps, each with an undo.

State owned: the operations' rows and progress, and a thread for each one under way. The step under way is
written before it begins, and a step is safe to run again, so after a kill of roostd the operation goes on
from the step it was in (`resume`). A step that fails, or a cancellation, undoes the steps before it in
reverse order; what an undo can't mend is logged and left to the sweep.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from roost.control.core import Core, log
from roost.model.errors import Conflict, DatabaseFull, HostFailure, RoostError, out_of_space
from roost.model.operation import Operation, OperationState, Progress, one_at_a_time

TRY_AGAIN = 2.0  # seconds
FLUSH = 0.1  # seconds between two writes of collected output
KEEP = 30 * 86_400.0  # seconds that an ended operation can be looked up


class Cancelled(Exception):
    """The user asked the operation to end."""


class Job:
    """An operation under way, as its steps see it."""

    def __init__(self, core: Core, operation: Operation, secrets: dict[str, str]) -> None:
        self._core = core
        self.operation = operation
        self.secrets = secrets
        self.cancelled = threading.Event()
        self.ended = threading.Event()
        self._lines: list[tuple[str, str, str, float]] = []
        self._writing = threading.Lock()

    @property
    def app(self) -> str:
        """Name of the app it belongs to."""
        return self.operation.app

    @property
    def arguments(self) -> dict[str, object]:
        """What was asked."""
        return self.operation.arguments

    @property
    def result(self) -> dict[str, object]:
        """What was made so far."""
        return self.operation.result

    def keep(self, **made: object) -> None:
        """Add to the result, durably."""
        self.save(result={**self.operation.result, **made})

    def save(self, **changes: object) -> None:
        """Change the operation's row."""
        self.operation = replace(self.operation, updated_at=self._core.now(), **changes)  # type: ignore[arg-type]
        self._core.store.operations.save(self.operation)

    def report(self, line: str, kind: str = "log") -> None:
        """Tell the user something; written in batches."""
        with self._writing:
            self._lines.append((kind, self.operation.step, line[:16_384], self._core.now()))

    def flush(self) -> None:
        """Write what was reported."""
        with self._writing:
            if not self._lines:
                return
            self._core.store.operations.report(self.operation.id, self._lines)
            self._lines = []
        self._core.changes.notify(f"operation:{self.operation.id}")

    def check(self) -> None:
        """Raise Cancelled if the user asked for it."""
        if self.cancelled.is_set():
            raise Cancelled


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `run` and `undo` end in the same state however often they are begun."""

    name: str
    title: str
    run: Callable[[Job], None]
    undo: Callable[[Job], None] | None = None
    silent: Callable[[Job], bool] = lambda _job: False  # True: there is nothing to do, and nothing to tell


class Operations:
    """Starts, follows, cancels and resumes operations."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._kinds: dict[str, tuple[Step, ...]] = {}
        self._jobs: dict[str, Job] = {}
        self._starting = threading.Lock()

    def define(self, kind: str, steps: tuple[Step, ...]) -> None:
        """Say what a kind of operation does."""
        self._kinds[kind] = steps

    def start(
        self, kind: str, *, app: str = "", arguments: dict[str, object], secrets: Mapping[str, str] | None = None
    ) -> Operation:
        """Begin an operation; raises Conflict while another one of the same app runs."""
        steps, now = self._kinds[kind], self._core.now()
        operation = Operation(
            id=self._core.new_ulid(),
            kind=kind,
            app=app,
            state=OperationState.RUNNING,
            step="",
            steps=tuple(step.name for step in steps),
            arguments=arguments,
            result={},
            error="",
            hint="",
            created_at=now,
            updated_at=now,
        )
        sealed = self._core.vault.seal(json.dumps(dict(secrets)).encode(), operation.id) if secrets else None
        with self._starting:
            if app:
                self._refuse_second(app)
            self._core.store.operations.add(operation, sealed)
            self._launch(operation, dict(secrets or {}))
        return operation

    def _refuse_second(self, app: str) -> None:
        for other in self._core.store.operations.list(app, running=True):
            raise one_at_a_time(other.kind, app, other.id)

    def resume(self) -> None:
        """Go on with the operations that a kill of roostd interrupted, and forget old ones."""
        with suppress(DatabaseFull):
            self._core.store.operations.forget_before(self._core.now() - KEEP)
        for operation in self._core.store.operations.list(running=True):
            if operation.kind not in self._kinds:
                continue
            sealed = self._core.store.operations.sealed(operation.id)
            secrets = json.loads(self._core.vault.open(sealed, operation.id)) if sealed else {}
            log.info("resuming operation", operation=operation.id, kind=operation.kind, step=operation.step)
            self._launch(operation, secrets)

    def _launch(self, operation: Operation, secrets: dict[str, str]) -> None:
        job = Job(self._core, operation, secrets)
        self._jobs[operation.id] = job
        threading.Thread(target=self._run, args=(job,), name=f"operation-{operation.id}", daemon=True).start()

    def _run(self, job: Job) -> None:
        enough = threading.Event()
        flusher = threading.Thread(target=self._flush_until, args=(job, enough), daemon=True)
        flusher.start()
        try:
            self._carry_out(job)
        except Exception:
            log.exception("operation ended badly", operation=job.operation.id)
        finally:
            enough.set()
            flusher.join()
            with suppress(DatabaseFull):
                job.flush()
            self._jobs.pop(job.operation.id, None)
            job.ended.set()
            self._core.changes.notify(f"operation:{job.operation.id}")

    @staticmethod
    def _flush_until(job: Job, enough: threading.Event) -> None:
        while not enough.wait(FLUSH):
            with suppress(DatabaseFull):
                job.flush()

    def _carry_out(self, job: Job) -> None:
        steps = self._kinds[job.operation.kind]
        names = [step.name for step in steps]
        first = names.index(job.operation.step) if job.operation.step in names else 0
        done = list(steps[:first])
        kind = job.operation.kind
        try:
            for step in steps[first:]:
                job.check()
                job.save(step=step.name)
                if not step.silent(job):
                    job.report(step.title, "step")
                self._core.fault(f"{kind}.{step.name}.begin")
                done.append(step)
                began = time.monotonic()
                step.run(job)
                job.keep(seconds={**_seconds(job), step.name: round(time.monotonic() - began, 3)})
                self._core.fault(f"{kind}.{step.name}.end")
            self._end(job, OperationState.SUCCEEDED, "", "")
        except Cancelled:
            self._undo(job, done)
            self._end(job, OperationState.CANCELLED, "cancelled", "")
        except RoostError as error:
            if job.cancelled.is_set():
                self._undo(job, done)
                self._end(job, OperationState.CANCELLED, "cancelled", "")
                return
            self._keep_error(job, error)
            self._undo(job, done)
            self._end(job, OperationState.FAILED, error.message, error.hint)
        except Exception as error:
            log.exception("operation failed", operation=job.operation.id, step=job.operation.step)
            known = out_of_space(error) or HostFailure(
                f"{job.operation.kind} failed in step {job.operation.step}: {type(error).__name__}",
                hint="this is a defect of Roost: HOME/log/roostd.log on the server has the details",
            )
            self._keep_error(job, known)
            self._undo(job, done)
            self._end(job, OperationState.FAILED, known.message, known.hint)

    @staticmethod
    def _keep_error(job: Job, error: RoostError) -> None:
        with suppress(DatabaseFull):  # the end will say it again
            job.save(error=error.message, hint=error.hint)

    def _undo(self, job: Job, done: list[Step]) -> None:
        for step in reversed(done):
            if step.undo is None:
                continue
            try:
                self._insist(job, partial(step.undo, job))
            except Exception:
                log.exception("undo failed", operation=job.operation.id, step=step.name)

    def _end(self, job: Job, state: OperationState, error: str, hint: str) -> None:
        job.report(error or "done", "done")
        self._insist(job, job.flush)
        self._insist(job, lambda: job.save(state=state, error=error, hint=hint))

    @staticmethod
    def _insist(job: Job, work: Callable[[], None]) -> None:
        """Do what leaves a mess if it is not done; while the database is full, again: the operation runs on so long."""
        while True:
            try:
                return work()
            except DatabaseFull as full:
                log.warning("an operation can't go on", operation=job.operation.id, error=full.message)
                time.sleep(TRY_AGAIN)

    def get(self, operation_id: str) -> Operation:
        """Return an operation; raises NotFound."""
        return self._core.store.operations.get(operation_id)

    def cancel(self, operation_id: str) -> Operation:
        """Ask it to end and undo; returns it as it is now. One that has ended stays as it is."""
        operation = self.get(operation_id)
        job = self._jobs.get(operation_id)
        if job is not None:
            job.cancelled.set()
        return operation

    def end_all(self, app: str, timeout: float) -> None:
        """Cancel an app's operations and wait until they have ended; raises Conflict after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        for operation in self._core.store.operations.list(app, running=True):
            job = self._jobs.get(operation.id)
            if job is None:
                continue
            job.cancelled.set()
            if not job.ended.wait(max(0.0, deadline - time.monotonic())):
                raise Conflict(f"a {operation.kind} of {app} does not end", hint="try again in a moment")

    async def follow(self, operation_id: str, after: int = 0) -> AsyncIterator[Progress]:
        """Yield progress numbered above `after`; ends after the one of kind `done`."""
        operations = self._core.store.operations
        self.get(operation_id)
        with self._core.changes.watching(f"operation:{operation_id}") as news:
            while True:
                ended = self.get(operation_id).state is not OperationState.RUNNING
                lines = await asyncio.to_thread(operations.progress, operation_id, after)
                for line in lines:
                    if line.kind == "done" and not ended:
                        break  # the row says how it ended a moment later
                    after = line.number
                    yield line
                    if line.kind == "done":
                        return
                if ended and not lines:
                    return
                if not lines or not ended:
                    await news(1.0)

    def list(self, app: str | None = None) -> list[Operation]:
        """Return the operations of an app, or all, newest first."""
        return self._core.store.operations.list(app)


def _seconds(job: Job) -> dict[str, object]:
    seconds = job.result.get("seconds")
    return dict(seconds) if isinstance(seconds, dict) else {}
