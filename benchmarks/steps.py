"""What the step engine costs beside the steps themselves (goal < 2 %): a restore of four rows whose steps take as long as those of
a lab's restore took, against the shortest time in which its graph could be done.

Both come from the same run: each step times itself, and the ideal is the critical path over these times. The journal is a local
store that syncs every write.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import report, spread
from dr.model.ids import SourceId
from dr.model.plans import PlannedRestore, RestorePlan, Target
from dr.model.points import Check, Coverage, PointManifest
from dr.model.strategy import FailureDomain, SourceSpec
from dr.plan.graph import makespan
from dr.ports import Json, RestoredItem, RestoreWork, Step, StepContext
from dr.record.journal import Journal
from dr.run.clock import SystemClock
from dr.run.engine import Engine
from dr.run.restore import RestoreItem, RestoreRunner, chains_of
from dr.run.walking import recipe_graph
from dr.stores.local import LocalStore
from dr.stores.memory import MemoryStore

RUNS = 5
GOAL = 0.02
LAB: Mapping[str, tuple[float, ...]] = {
    "cluster": (0.1, 0.5, 0.5, 0.4, 0.2, 5.0, 0.4, 0.1, 5.0),
    "appdata": (0.1, 0.3, 0.1, 0.1, 2.0, 0.1),
    "config": (0.3, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1),
    "audit": (0.2, 0.1),
}
"""Seconds of each step, in order, as a small lab's restore of four rows took them."""


@dataclass
class Sleeper:
    """A restorer whose steps take as long as they are told to, and say how long it really was."""

    took: dict[str, float] = field(default_factory=dict)
    method: str = "bench"

    def steps(self, work: RestoreWork) -> Sequence[Step]:
        component = work.item.source.component
        last = len(LAB[component]) - 2
        return [
            Step(
                f"s{n}",
                self._step(f"{work.item.key}.s{n}", seconds),
                ("appdata",) if (component, n) == ("cluster", last) else (),
            )
            for n, seconds in enumerate(LAB[component])
        ]

    def _step(self, key: str, seconds: float) -> Callable[[StepContext], Json]:
        def run(context: StepContext) -> Json:
            began = time.perf_counter()
            threading.Event().wait(seconds)
            context.progress(1, 1, "things")
            self.took[key] = time.perf_counter() - began
            return {"seconds": seconds}

        return run

    def outline(
        self,
        spec: SourceSpec,
        origin: PointManifest | Coverage,
        requested: datetime,
        domain: FailureDomain,
        target: Target,
    ) -> PlannedRestore:
        raise AssertionError("nothing is planned here")

    def contents(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> Iterator[RestoredItem]:
        return iter(())

    def checks(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        return ()

    def teardown(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        return ()


def planned(component: str) -> PlannedRestore:
    now = datetime.now(UTC)
    source = SourceId(component, "bench", "x")
    return PlannedRestore(source, FailureDomain.LOGICAL, "bench", None, now, Target(True), 0, None, 0.0, (), ())


def once(folder: Path, number: int) -> tuple[float, float]:
    """(wall seconds of the whole restore, shortest possible with the same steps)."""
    sleeper, clock = Sleeper(), SystemClock()
    items = [RestoreItem(planned(name), sleeper, MemoryStore(), None) for name in LAB]
    plan = RestorePlan(
        f"bench-{number}", datetime.now(UTC), datetime.now(UTC), "sha", tuple(item.planned for item in items)
    )
    runner = RestoreRunner(Journal(LocalStore(folder), clock, "restores", continues=True), clock, Engine(clock))
    began = time.perf_counter()
    result = runner.apply(plan, items)
    wall = time.perf_counter() - began
    assert result.ok
    graph = recipe_graph(chains_of(items, [sleeper.steps(one.work) for one in result.items]))
    return wall, makespan(graph, lambda node: sleeper.took[node.key])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = [once(Path(folder), number) for number in range(RUNS)]
    steps = sum(map(len, LAB.values()))
    report(
        "steps",
        {
            "steps": steps,
            "steps_own_s": spread([ideal for _, ideal in runs]),
            "wall_s": spread([wall for wall, _ in runs]),
            "overhead_share": spread([wall / ideal - 1 for wall, ideal in runs]),
            "overhead_share_goal": GOAL,
            "overhead_ms_a_step": spread([(wall - ideal) * 1000 / steps for wall, ideal in runs]),
        },
    )


if __name__ == "__main__":
    main()
