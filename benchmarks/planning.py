"""A restore plan of four rows over 100,000 points (goal < 1 s), and the worst case of it: an instant that none of them has.

What is timed is the decision, from the listed points to the plan with its skew, its graph and its critical path; reading the
listing from a bucket is the benchmark `catalogue`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from benchmarks.measure import report, spread
from dr.model.graph import StepKind
from dr.model.ids import Slot, SourceId
from dr.model.plans import PlannedRestore, RestorePlan, Target
from dr.model.points import Check, Coverage, PointManifest, PointSummary
from dr.model.strategy import FailureDomain, Place, SourceSpec
from dr.plan.outlook import outlook
from dr.ports import Json, RestoredItem, RestoreWork, Source, Step, StepContext
from dr.record.codec import encode
from dr.record.summary import metadata_of
from dr.run.planning import Planner, Want
from dr.run.recipes import with_steps
from dr.stores.memory import MemoryStore

EACH = 25_000
RUNS = 7
GOAL_S = 1.0
CADENCE = timedelta(minutes=20)
NEWEST = datetime(2025, 5, 28, tzinfo=UTC)
ROWS = ("cluster", "appdata", "config", "audit")
STEPS = 8
HISTORY = 20
"""Measured runs of each step."""


@dataclass(frozen=True)
class Outlines:
    """A restorer that plans as quickly as it can: what is measured is the planning around it."""

    method: str = "bench"

    def outline(
        self,
        spec: SourceSpec,
        origin: PointManifest | Coverage,
        requested: datetime,
        domain: FailureDomain,
        target: Target,
    ) -> PlannedRestore:
        assert isinstance(origin, PointManifest)
        return PlannedRestore(
            spec.id, domain, self.method, None, origin.as_of, target, 1 << 30, None, 0.0, ("a copy",), ("a reason",)
        )

    def steps(self, work: RestoreWork) -> Sequence[Step]:
        after = ("appdata",) if work.item.source.component == "cluster" else ()
        first = Step("verify", _nothing, after, StepKind.VERIFY, 1 << 30)
        return (first, *(Step(f"step-{n}", _nothing, kind=StepKind.WRITE) for n in range(STEPS - 1)))

    def contents(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> Iterator[RestoredItem]:
        return iter(())

    def checks(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        return ()

    def teardown(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        return ()


def _nothing(_context: StepContext) -> Json:
    return {}


def source(component: str) -> SourceId:
    return SourceId(component, "bench", "x")


def manifest(component: str, as_of: datetime) -> PointManifest:
    slot = Slot(source(component), as_of)
    return PointManifest(
        slot, 1, "bench", as_of, as_of, as_of, (), {}, (), tuple(FailureDomain), as_of + timedelta(days=400), "bench"
    )


def summary(component: str, as_of: datetime, generation: int) -> PointSummary:
    one = manifest(component, as_of)
    return PointSummary(
        one.slot, "bench", as_of, as_of, as_of, 0, one.survives, one.retain_until, one.name, generation, ""
    )


def listing(vault: MemoryStore) -> dict[str, list[PointSummary]]:
    """Rows out of step with each other by minutes, so that the skew is not nothing. Only what is chosen is read."""
    found: dict[str, list[PointSummary]] = {}
    for shift, component in enumerate(ROWS):
        instants = [NEWEST - CADENCE * number - timedelta(minutes=shift) for number in range(EACH)]
        found[component] = [summary(component, as_of, 1) for as_of in reversed(instants)]
        for index in (EACH // 2, EACH // 2 - 1):
            one = manifest(component, found[component][index].as_of)
            info = vault.put(one.name, encode(one), metadata=metadata_of(one))
            found[component][index] = replace(found[component][index], generation=info.generation, crc32c=info.crc32c)
    return found


def timed(made: Callable[[], RestorePlan]) -> tuple[float, float, RestorePlan]:
    began, used = time.perf_counter(), time.process_time()
    plan = made()
    return time.perf_counter() - began, time.process_time() - used, plan


def main() -> None:
    vault = MemoryStore("vault")
    points = listing(vault)
    planner = Planner(
        lambda _component: vault, _never, {"bench": Outlines()}, "sha", listed=lambda component: points[component]
    )
    wants = [Want(SourceSpec(source(name), Place()), FailureDomain.REGION, Target(isolated=False)) for name in ROWS]
    history = {
        (source(name), "bench", step): [(1 << 20, 1.0 + n) for n in range(HISTORY)]
        for name in ROWS
        for step in ("verify", *(f"step-{n}" for n in range(STEPS - 1)))
    }
    middle = points["cluster"][EACH // 2].as_of + timedelta(minutes=5)

    def whole() -> RestorePlan:
        plan = planner.plan("p", middle, wants, NEWEST + CADENCE)
        told = with_steps(plan, planner.items(plan), history)
        assert outlook(told).gains
        return told

    def unreachable() -> RestorePlan:
        return planner.plan("p", NEWEST - CADENCE * EACH * 2, wants, NEWEST + CADENCE)

    report("planning", {"points": EACH * len(ROWS), "goal_s": GOAL_S, **measured(whole, unreachable)})


def measured(whole: Callable[[], RestorePlan], unreachable: Callable[[], RestorePlan]) -> dict[str, object]:
    runs, gaps = [timed(whole) for _ in range(RUNS)], [timed(unreachable) for _ in range(RUNS)]
    assert all(len(plan.items) == len(ROWS) for *_, plan in runs)
    assert all(len(plan.gaps) == len(ROWS) for *_, plan in gaps)
    return {
        "plan_s": spread([took for took, _, _ in runs]),
        "plan_processor_s": spread([used for _, used, _ in runs]),
        "nothing_to_restore_s": spread([took for took, _, _ in gaps]),
    }


def _never(spec: SourceSpec) -> Source:
    raise AssertionError(f"{spec.id} has no living history to ask for")


if __name__ == "__main__":
    main()
