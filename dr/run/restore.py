"""Apply a restore plan: its items side by side, journalled, resumable; a drill differs only in the plan's target.

No question is asked here. One item's failure stops that item and those that wait for it, nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial

from dr.errors import FENCED, LOCKED, REJECTED, RESTORE_FAILED, DrError
from dr.model.plans import PlannedRestore, RestorePlan
from dr.model.points import PointManifest
from dr.model.runs import RunState, Stamp, StepOutcome
from dr.ports import Clock, Json, ObjectStore, Restorer, RestoreWork, Step
from dr.record.codec import encode
from dr.record.hold import Hold
from dr.record.journal import Journal
from dr.run.engine import Engine, Parked, never
from dr.run.runner import ending


class Restored(StrEnum):
    """What became of one item."""

    DONE = "done"
    FAILED = "failed"
    PARKED = "parked"


@dataclass(frozen=True, slots=True)
class RestoreItem:
    """One item with all it needs: its restorer, and its manifest unless it comes from the living source."""

    planned: PlannedRestore
    restorer: Restorer
    vault: ObjectStore
    manifest: PointManifest | None

    @property
    def key(self) -> str:
        """`appdata.firestore.db.logical`: the item's name in the journal."""
        return f"{self.planned.source.slug}.{self.planned.domain}"


@dataclass(frozen=True, slots=True)
class ItemResult:
    """`outcomes` by the restorer's step names, also of earlier runs; `steps` the same with their stamps, in order."""

    item: RestoreItem
    work: RestoreWork
    restored: Restored
    outcomes: Mapping[str, Json]
    steps: tuple[StepOutcome, ...]
    error: DrError | None = None

    @property
    def own_steps(self) -> tuple[StepOutcome, ...]:
        """`steps` under the restorer's own names."""
        return tuple(replace(outcome, step=outcome.step.removeprefix(f"{self.item.key}.")) for outcome in self.steps)


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What became of a plan. `started` is this run's; steps of earlier runs carry stamps before it."""

    plan: RestorePlan
    items: tuple[ItemResult, ...]
    started: Stamp
    ended: Stamp

    @property
    def ok(self) -> bool:
        return all(item.restored is Restored.DONE for item in self.items)


@contextmanager
def unheld(_plan: RestorePlan) -> Iterator[Callable[[], None]]:
    """Where nothing prunes."""
    yield lambda: None


@dataclass(frozen=True, slots=True)
class RestoreRunner:
    """Applies plans. `journal` is the one of `restores` (or `drills`) and continues after failures."""

    journal: Journal
    clock: Clock
    engine: Engine
    stop: Callable[[], bool] = field(default=never)
    leased: Callable[[RestorePlan], AbstractContextManager[Callable[[], None]]] = field(default=unheld)
    """Keeps a plan's points from being pruned inside the block; what it gives lets them go again."""

    def apply(self, plan: RestorePlan, items: Sequence[RestoreItem]) -> RestoreResult:
        """Run, or resume, to the end of every item. Raises DrError LOCKED while another process applies it, and REJECTED
        when the plan was stored before with another content or its items wait for each other in a circle."""
        started = self.clock.stamp()
        self._keep(plan)
        works = [RestoreWork(plan.id, item.planned, item.manifest, item.vault, siblings(plan, item)) for item in items]
        recipes = [tuple(item.restorer.steps(work)) for item, work in zip(items, works, strict=True)]
        refuse_circles(items, recipes)
        hold = self.journal.claim(plan.id)
        with self.engine.renewing(hold), ending(hold), self.leased(plan) as let_go:
            results = self._side_by_side(hold, items, works, recipes)
            self._end(hold, results)
            result = RestoreResult(plan, results, started, self.clock.stamp())
            if result.ok:
                let_go()
        return result

    def _keep(self, plan: RestorePlan) -> None:
        """The plan itself, create-only: a resume applies what was reviewed."""
        try:
            self.journal.store.put(f"{self.journal.base}/{plan.id}/plan.json", encode(plan))
        except DrError as error:
            if error.temporary:
                raise
            raise DrError(REJECTED, f"plan {plan.id} was applied before with another content") from error

    def _side_by_side(
        self,
        hold: Hold,
        items: Sequence[RestoreItem],
        works: Sequence[RestoreWork],
        recipes: Sequence[Sequence[Step]],
    ) -> tuple[ItemResult, ...]:
        gates = Gates([item.planned.source.component for item in items])
        with ThreadPoolExecutor(max(1, len(items)), thread_name_prefix="restore") as pool:
            try:
                pending = [
                    pool.submit(self._one, hold, item, work, steps, gates)
                    for item, work, steps in zip(items, works, recipes, strict=True)
                ]
                return tuple(future.result() for future in pending)
            except BaseException:
                # Ctrl-C reaches only this thread: the items must park too, or leaving the pool would wait for all of them
                hold.interrupted = True
                raise

    def _one(self, hold: Hold, item: RestoreItem, work: RestoreWork, steps: Sequence[Step], gates: Gates) -> ItemResult:
        prefix, restored, error = f"{item.key}.", Restored.FAILED, None
        try:
            self.engine.run(hold, steps, prefix=prefix, stop=self.stop, before=gates.wait)
            restored = Restored.DONE
        except Parked:
            restored = Restored.PARKED
        except DrError as failure:
            if failure.kind in (FENCED, LOCKED):
                raise
            error = failure
        finally:
            # also after a bug, or those who wait for this item would wait for ever
            gates.close(item.planned.source.component, restored is Restored.DONE)
        done = tuple(hold.outcomes[prefix + step.name] for step in steps if prefix + step.name in hold.outcomes)
        outcomes = {outcome.step.removeprefix(prefix): outcome.data for outcome in done}
        return ItemResult(item, work, restored, outcomes, done, error)

    def _end(self, hold: Hold, results: Sequence[ItemResult]) -> None:
        failed = [f"{result.item.key}: {result.error.message}" for result in results if result.error]
        if failed:
            first = next(result.error for result in results if result.error)
            hold.end(RunState.FAILED, "; ".join(failed), error_code=first.kind.code)
        elif any(result.restored is Restored.PARKED for result in results):
            hold.end(RunState.ABANDONED, "stopped on request; resume continues")
        else:
            hold.end(RunState.COMMITTED, f"{len(results)} restored")


class Gates:
    """A step may wait until whole other components are restored."""

    def __init__(self, components: Sequence[str]) -> None:
        self._left = {name: components.count(name) for name in components}
        self._failed: set[str] = set()
        self._changed = threading.Condition()

    def close(self, component: str, good: bool) -> None:
        """One item of that component has come to its end."""
        with self._changed:
            self._left[component] -= 1
            if not good:
                self._failed.add(component)
            self._changed.notify_all()

    def wait(self, step: Step) -> None:
        """Returns when all that `step` comes after is restored (what the plan lacks is not waited for). Raises DrError
        RESTORE_FAILED when it never will be."""
        with self._changed:
            for name in step.after:
                self._changed.wait_for(partial(self._settled, name))
                if name in self._failed:
                    raise DrError(RESTORE_FAILED, f"{step.name} needs {name}, which was not restored")

    def _settled(self, name: str) -> bool:
        return name in self._failed or self._left.get(name, 0) == 0


def siblings(plan: RestorePlan, own: RestoreItem) -> Mapping[str, str]:
    """`appdata.database` -> the new database's id: the named targets of the other items; where one source is restored for
    several domains, the one for the domain of `own`."""
    others = sorted(
        (item for item in plan.items if item != own.planned), key=lambda item: item.domain is own.planned.domain
    )
    return {f"{item.source.component}.{name}": value for item in others for name, value in item.target.names.items()}


def refuse_circles(items: Sequence[RestoreItem], recipes: Sequence[Sequence[Step]]) -> None:
    """Raises DrError REJECTED when components wait for each other (also through others)."""
    after: dict[str, set[str]] = {item.planned.source.component: set() for item in items}
    for item, steps in zip(items, recipes, strict=True):
        after[item.planned.source.component] |= {name for step in steps for name in step.after}
    while ready := [name for name, names in after.items() if not names & after.keys()]:
        for name in ready:
            del after[name]
    if after:
        raise DrError(REJECTED, f"the restores of {' and '.join(sorted(after))} wait for each other")
