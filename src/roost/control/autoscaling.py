"""Keeps the number of machines of process groups at what their load asks for: looks, decides, and has it done.

State owned, in memory only: the samples of each group (`plan.autoscale.History`), what the latest look found, and the
work under way, one piece per group. Policies and the log of decisions are the store's. A roostd that dies loses the
samples: the next one waits until it has new ones before it takes machines away. A group whose policy is new, or whose
machines were just changed, waits until the edge was read anew: what was read before is no measure. Nothing here is an
operation, so that no deploy has to wait: while an operation of the app runs, nothing is begun. What a kill left half
done is in the machines' rows (`autoscale_acts`), and the next look goes on from there.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from roost.control.autoscale_acts import AutoscaleActs
from roost.control.contract_autoscale import GroupState
from roost.control.core import Core, log
from roost.control.deploys import Deploys
from roost.control.loads import CurrentLoads, Reading
from roost.control.metrics_book import AppMetrics
from roost.control.rounds import repeat
from roost.edge.contract import Load
from roost.model.app_config_read import machine_configs
from roost.model.autoscale import MADE, MADE_KEY, AutoscalePolicy, Decision, GroupPolicy, check_policy
from roost.model.errors import BadInput, FailedPrecondition, RoostError
from roost.model.machine import Machine
from roost.model.machine_config import MachineConfig
from roost.plan.autoscale import Group, History, Seen, Spell, Verdict, as_seen, decide, group_of, sample

AT_ONCE = 8  # groups that get machines at the same time
PERIOD = 1.0  # seconds between two looks
REST = 10  # times as long as a look took, where there are many apps
FIRST_PAUSE = 15.0  # seconds after work that failed; twice as long after each further failure
LONGEST_PAUSE = 600.0

Key = tuple[str, str]  # app, group


@dataclass(slots=True)
class _Watched:
    policy: AutoscalePolicy
    history: History = field(default_factory=History)
    since: float = field(default_factory=time.monotonic)  # when it was set, or its machines were changed
    verdict: Verdict | None = None
    seen: Seen = field(default_factory=Seen)
    spell: Spell = field(default_factory=Spell)
    failures: int = 0
    paused_until: float = 0.0
    work: asyncio.Task[None] | None = None
    doing: str = ""  # what the work is, in words
    goal: int = 0  # machines there are when it is done

    def awaits(self, reading: Reading | None) -> bool:
        """Say whether the load counts and was last read before this began."""
        return self.policy.concurrency > 0 and (reading is None or reading.began < self.since)


class Autoscaling:
    """Implements `contract.Autoscaling`, and the loop behind it."""

    def __init__(
        self, core: Core, deploys: Deploys, metrics: AppMetrics, acts: AutoscaleActs, loads: CurrentLoads
    ) -> None:
        self._core = core
        self._loads = loads
        self._deploys = deploys
        self._metrics = metrics
        self._acts = acts
        self._watched: dict[Key, _Watched] = {}
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="autoscale")
        self._guard = threading.Lock()  # of what is shown, from other threads

    async def run(self, ready: asyncio.Event) -> None:
        """Look at all groups with a policy, for ever, once machines were recovered."""
        await ready.wait()
        await asyncio.to_thread(self._core.store.autoscale.interrupt, self._core.now())
        await repeat(self.look, "autoscaling", every=PERIOD, rest=REST)

    async def look(self) -> None:
        """Look at every group once, and begin what is to be done."""
        policies = self._core.store.autoscale.policies()
        wanted = {(p.app, p.group): p.policy for p in policies if p.policy is not None}
        with self._guard:
            for key in [key for key in self._watched if key not in wanted]:
                del self._watched[key]
            for key, policy in wanted.items():
                if key not in self._watched or self._watched[key].policy != policy:
                    before = self._watched.get(key)
                    self._watched[key] = _Watched(policy, work=before.work if before else None)
        if not wanted:
            return
        reading = self._loads.read()
        by_app: dict[str, list[str]] = defaultdict(list)
        for app, group in wanted:
            by_app[app].append(group)
        for app, groups in by_app.items():
            machines = await asyncio.to_thread(self._core.store.machines.list, app)
            for group in groups:
                await self._look_at((app, group), machines, reading)

    async def _look_at(self, key: Key, machines: Sequence[Machine], reading: Reading | None) -> None:
        watched, now = self._watched[key], self._core.now()
        group = group_of(machines, key[1])
        if watched.awaits(reading) and group.total >= watched.policy.min:
            return
        seen = self._see(key, watched.policy, group, reading.loads if reading else None)
        found = sample(watched.policy, seen, total=group.total, at=now)
        watched.history.add(found, max(watched.policy.up_after, watched.policy.down_after))
        verdict = decide(watched.policy, group, watched.history, now)
        with self._guard:
            watched.seen, watched.verdict = seen, verdict
        if watched.work is not None and not watched.work.done():
            if found.up > watched.goal:
                self._acts.keep(machine.id for machine in group.running)  # the load is back: nobody need go
            return
        if not (verdict.acts or group.joining):
            await self._note(key, watched, verdict, group)
            return
        if now < watched.paused_until:
            return
        if await asyncio.to_thread(self._is_busy, key[0]):
            return
        watched.work = asyncio.create_task(self._carry_out(key, watched, verdict, group))

    def _is_busy(self, app: str) -> bool:
        return bool(self._core.store.operations.list(app, running=True))

    def _see(self, key: Key, policy: AutoscalePolicy, group: Group, loads: Mapping[str, Load] | None) -> Seen:
        app, name = key
        requests, waiting = None, 0
        if loads is not None and policy.concurrency:
            load = loads.get(app, Load())
            mine = {machine.id for machine in (*group.running, *group.joining)}
            waiting = load.waiting
            requests = waiting + sum(count for machine, count in load.machines.items() if machine in mine)
        nobody = not group.running and not group.joining and not group.others
        values = tuple(
            0.0 if nobody and signal.of in ("", name) else self._metrics.aggregate(
                app, signal.name, signal.aggregate, group=signal.of or name, labels=dict(signal.labels)
            )
            for signal in policy.signals
        )  # fmt: skip
        return Seen(requests, waiting, values)

    async def _note(self, key: Key, watched: _Watched, verdict: Verdict, group: Group) -> None:
        """Log, once, that the load asks for what can't be."""
        if watched.spell.begins(verdict, self._core.now()):
            decision = self._decision(key, watched, verdict, group, state="noted", outcome=verdict.held)
            await asyncio.to_thread(self._core.store.autoscale.add, decision)

    def _decision(
        self, key: Key, watched: _Watched, verdict: Verdict, group: Group, *, state: str, outcome: str = ""
    ) -> Decision:
        now = self._core.now()
        return Decision(
            id=self._core.new_ulid(),
            app=key[0],
            group=key[1],
            at=now,
            action=verdict.action or "up",
            seen=as_seen(watched.policy, watched.seen),
            machines=group.total,
            wanted=verdict.wanted,
            why=verdict.why,
            state=state,
            outcome=outcome,
            ended_at=now if state == "noted" else 0.0,
        )

    async def _carry_out(self, key: Key, watched: _Watched, verdict: Verdict, group: Group) -> None:
        """Do it, and write down what came of it. Samples of before are no measure of what is there after."""
        store = self._core.store.autoscale
        decision = self._decision(key, watched, verdict, group, state="under_way")
        await asyncio.to_thread(store.add, decision)
        state, outcome = "done", ""
        try:
            if verdict.remove:
                going = [machine.id for machine in verdict.remove]
                watched.goal, watched.doing = verdict.wanted, f"takes away {', '.join(going)} when idle"
                outcome = await self._acts.take_away(key[0], going, watched.policy.drain_timeout)
            else:
                sleepers = [machine.id for machine in verdict.wake]
                watched.goal, watched.doing = verdict.wanted, "brings machines up"
                work = partial(self._acts.bring, key[0], key[1], sleepers, verdict.make)
                outcome = await asyncio.get_running_loop().run_in_executor(self._pool, work)
            watched.failures = 0
        except RoostError as error:
            state, outcome = "failed", error.message + (f" ({error.hint})" if error.hint else "")
        except Exception as error:
            log.exception("autoscaling could not change machines", app=key[0], group=key[1])
            state, outcome = "failed", f"this is a defect of Roost: {type(error).__name__}"
        if state == "failed":
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**watched.failures)
            watched.failures += 1
            watched.paused_until = self._core.now() + pause
            outcome += f"; tried again in {pause:.0f} s"
        watched.history, watched.spell, watched.since = History(), Spell(), time.monotonic()
        await asyncio.to_thread(store.end, decision.id, state, outcome, self._core.now())
        log.info("autoscaled", app=key[0], group=key[1], why=verdict.why, state=state, outcome=outcome)

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def groups(self, app: str) -> Sequence[GroupState]:
        """Return the app's policies, by process group; raises NotFound for no such app."""
        self._core.store.apps.get(app)
        machines = self._core.store.machines.list(app)
        return [self._state(policy, machines) for policy in self._core.store.autoscale.policies(app)]

    def _state(self, policy: GroupPolicy, machines: Sequence[Machine]) -> GroupState:
        found = group_of(machines, policy.group)
        made = sum(m.config.metadata.get(MADE_KEY) == MADE for m in (*found.running, *found.asleep, *found.others))
        with self._guard:
            watched = self._watched.get((policy.app, policy.group))
            verdict = watched.verdict if watched and watched.policy == policy.policy else None
            seen = as_seen(watched.policy, watched.seen) if watched and verdict else {}
            paused = watched.paused_until - self._core.now() if watched else 0.0
        held = verdict.held if verdict else ""
        if watched and watched.work and not watched.work.done():
            held = watched.doing
        elif verdict and verdict.acts and paused > 0:
            held = f"the last try failed; the next one is in {paused:.0f} s"
        return GroupState(
            policy=policy,
            machines=found.total,
            running=len(found.running),
            made=made + len(found.joining),
            wanted=verdict.wanted if verdict else found.total,
            why=verdict.why if verdict else "",
            held=held,
            seen=seen,
        )

    def decisions(self, app: str, limit: int) -> Sequence[Decision]:
        """Return the latest decisions, newest first; raises NotFound."""
        self._core.store.apps.get(app)
        return self._core.store.autoscale.decisions(app, limit)

    def set(self, app: str, group: str, policy: AutoscalePolicy) -> GroupState:
        """Set a group's policy, in force at once; raises BadInput for an unknown group, or one it does not fit."""
        configs = self._configs(app)
        config = _one_of(configs, app, group)
        key, why = check_policy(
            policy, serves=bool(config.services), volume=bool(config.mounts), scheduled=config.schedule is not None
        )
        if why:
            raise BadInput(f"{key} {why}")
        for signal in policy.signals:
            _one_of(configs, app, signal.of or group)
        return self._put(GroupPolicy(app, group, policy, "api"))

    def off(self, app: str, group: str) -> GroupState:
        """Leave a group's machines as they are from now on; raises BadInput for an unknown group."""
        if not any(policy.group == group for policy in self._core.store.autoscale.policies(app)):
            _one_of(self._configs(app), app, group)
        return self._put(GroupPolicy(app, group, None, "api"))

    def _put(self, policy: GroupPolicy) -> GroupState:
        self._core.store.autoscale.put(policy)
        return self._state(policy, self._core.store.machines.list(policy.app))

    def _configs(self, app: str) -> Mapping[str, MachineConfig]:
        self._core.store.apps.get(app)
        release = self._deploys.current(app)
        if release is None:
            raise FailedPrecondition(
                f"failed_precondition: {app} has no release whose machines could be scaled",
                hint=f"deploy it first: roost deploy -a {app}",
            )
        image = release.image_reference or release.image_digest
        return machine_configs(release.config, image=image, plan_processes=release.processes, release=release.version)


def _one_of(configs: Mapping[str, MachineConfig], app: str, group: str) -> MachineConfig:
    if group not in configs:
        raise BadInput(f"{app} has no process group {group[:63]!r}", hint=f"it has {', '.join(configs)}")
    return configs[group]
