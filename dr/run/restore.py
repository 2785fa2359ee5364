"""Apply a restore plan: the steps of its graph side by side, journalled, resumable; a drill differs only in the plan's target.

No question is asked here. One item's failure stops that item and those that wait for it, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dr.errors import REJECTED, DrError
from dr.model.plans import PlannedRestore, RestorePlan
from dr.model.points import PointManifest
from dr.model.runs import RunState, Stamp, StepOutcome
from dr.plan.graph import Chain
from dr.ports import Clock, Json, ObjectStore, Restorer, RestoreWork, Step
from dr.record.codec import encode
from dr.record.hold import Hold
from dr.record.journal import Journal
from dr.run.engine import Engine, never
from dr.run.runner import ending
from dr.run.walking import Ending, Walk, recipe_graph


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
        return self.planned.key


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
        works = works_of(plan, items)
        recipes = [tuple(item.restorer.steps(work)) for item, work in zip(items, works, strict=True)]
        graph = recipe_graph(chains_of(items, recipes))
        hold = self.journal.claim(plan.id)
        with self.engine.renewing(hold), ending(hold), self.leased(plan) as let_go:
            endings = Walk(self.engine, hold, graph, self.stop).run()
            results = tuple(
                result_of(hold, item, work, steps, endings.get(item.key, Ending()))
                for item, work, steps in zip(items, works, recipes, strict=True)
            )
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

    def _end(self, hold: Hold, results: Sequence[ItemResult]) -> None:
        failed = [f"{result.item.key}: {result.error.message}" for result in results if result.error]
        if failed:
            first = next(result.error for result in results if result.error)
            hold.end(RunState.FAILED, "; ".join(failed), error_code=first.kind.code)
        elif any(result.restored is Restored.PARKED for result in results):
            hold.end(RunState.ABANDONED, "stopped on request; resume continues")
        else:
            hold.end(RunState.COMMITTED, f"{len(results)} restored")


def works_of(plan: RestorePlan, items: Sequence[RestoreItem]) -> tuple[RestoreWork, ...]:
    """What each restorer is given."""
    return tuple(RestoreWork(plan.id, item.planned, item.manifest, item.vault, siblings(plan, item)) for item in items)


def chains_of(items: Sequence[RestoreItem], recipes: Sequence[Sequence[Step]]) -> list[Chain[Step]]:
    """For the graph."""
    return [Chain(item.key, item.planned.source.component, steps) for item, steps in zip(items, recipes, strict=True)]


def result_of(hold: Hold, item: RestoreItem, work: RestoreWork, steps: Sequence[Step], end: Ending) -> ItemResult:
    """Of one item, with the outcomes of earlier runs."""
    prefix = f"{item.key}."
    done = tuple(hold.outcomes[prefix + step.name] for step in steps if prefix + step.name in hold.outcomes)
    outcomes = {outcome.step.removeprefix(prefix): outcome.data for outcome in done}
    restored = Restored.PARKED if end.parked else Restored.FAILED if end.error else Restored.DONE
    return ItemResult(item, work, restored, outcomes, done, end.error)


def siblings(plan: RestorePlan, own: RestoreItem) -> Mapping[str, str]:
    """`appdata.database` -> the new database's id: the named targets of the other items; where one source is restored for
    several domains, the one for the domain of `own`."""
    others = sorted(
        (item for item in plan.items if item != own.planned), key=lambda item: item.domain is own.planned.domain
    )
    return {f"{item.source.component}.{name}": value for item in others for name, value in item.target.names.items()}
