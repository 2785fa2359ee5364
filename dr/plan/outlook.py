"""What the graph of a restore plan says about time: the whole, its spread, the critical path, and what would shorten it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from dr.model.graph import Estimate, PlannedStep, StepKind
from dr.model.plans import RestorePlan
from dr.plan.graph import Chain, Graph, Node, critical_path, gains, graph_of, makespan

Sample = tuple[int, float]
"""Bytes of what was restored, and the seconds that the step took."""
RECENT = 20
"""Older runs say little about today's speed."""


def estimate(samples: Sequence[Sample], size: int) -> Estimate | None:
    """From what was measured, oldest first. A step that grows with its size is reckoned to take as much longer as there is
    more to move; never less, for small things cost their overhead. None without a sample."""
    scaled = [seconds * _factor(measured, size) for measured, seconds in samples[-RECENT:]]
    if not scaled:
        return None
    return Estimate(_span(median(scaled)), _span(min(scaled)), _span(max(scaled)), len(scaled))


def _factor(measured: int, size: int) -> float:
    return max(1.0, size / measured) if size and measured else 1.0


def _span(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Gain:
    """One change, and the most that it can buy."""

    what: str
    """Key of the step, or the declared step's name."""
    saves: timedelta
    advice: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """How long a plan should take, with what was declared. Sums over the critical path; the spread takes every step at its
    quickest, or at its slowest, so it is wider than most runs will be."""

    median: timedelta
    quickest: timedelta
    slowest: timedelta
    path: tuple[str, ...]
    """Keys of the steps that decide it."""
    unknown: tuple[str, ...]
    """Steps that were never measured: they count as nothing, so the whole takes longer."""
    gains: tuple[Gain, ...]

    @property
    def measured(self) -> bool:
        """Whether anything at all is known."""
        return self.slowest > timedelta(0)


def planned_graph(plan: RestorePlan) -> Graph[PlannedStep]:
    """Raises Circle when components wait for each other."""
    return graph_of([Chain(item.key, item.source.component, item.steps) for item in plan.items])


def outlook(plan: RestorePlan) -> Outlook:
    """Of a plan as made."""
    graph = planned_graph(plan)
    before = sum((step.took for step in plan.declared), timedelta(0))
    declared = [
        Gain(step.name, step.took, "declared, not measured: prepare it, or keep it standing") for step in plan.declared
    ]
    found = [Gain(node.key, _span(saved), ADVICE[node.step.kind]) for node, saved in gains(graph, expected)]
    return Outlook(
        median=before + _span(makespan(graph, expected)),
        quickest=before + _span(makespan(graph, _quickest)),
        slowest=before + _span(makespan(graph, _slowest)),
        path=tuple(node.key for node in critical_path(graph, expected)),
        unknown=tuple(node.key for node in graph.nodes if node.step.estimate is None),
        gains=tuple(sorted((*declared, *found), key=lambda gain: -gain.saves)),
    )


def expected(node: Node[PlannedStep]) -> float:
    """The median, in seconds; 0 when nothing was measured."""
    return node.step.estimate.median.total_seconds() if node.step.estimate else 0.0


def _quickest(node: Node[PlannedStep]) -> float:
    return node.step.estimate.quickest.total_seconds() if node.step.estimate else 0.0


def _slowest(node: Node[PlannedStep]) -> float:
    return node.step.estimate.slowest.total_seconds() if node.step.estimate else 0.0


ADVICE: Mapping[StepKind, str] = {
    StepKind.VERIFY: "the point is read back first: keep its vault near to where you restore, or restore fewer bytes",
    StepKind.PREPARE: "making room: keep a prepared target standing",
    StepKind.COPY: "bytes are copied: keep the vault in the region and the kind of store that the target reads",
    StepKind.WRITE: "objects are written one by one: restore fewer of them, or allow the target more requests a second",
    StepKind.WAIT: "another system works: split the source, or take a method that moves less (a clone instead of an import)",
    StepKind.SERVE: "the application comes up: quicker probes, smaller images, images that are there already",
    StepKind.CHECK: "the copy is read back whole: compare fewer documents, or from nearer",
}
"""What could make a step of that kind quicker."""


# --- while it runs --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Running:
    """A step that has begun. `share`: how much of it is done, 0 to 1; None when it does not tell."""

    elapsed: float
    share: float | None = None


def remaining(
    graph: Graph[PlannedStep], done: Mapping[str, float], running: Mapping[str, Running], known: Iterable[str] = ()
) -> float | None:
    """Seconds until the end, from what was estimated, corrected by what really happened: steps that are still to come are taken
    to be as much slower or quicker than estimated as those were that are done. `known`: steps that an earlier process did.
    None when nothing is known of any step that is left."""
    finished = {*done, *known}
    left = [node for node in graph.nodes if node.key not in finished]
    if left and all(node.step.estimate is None and node.key not in running for node in left):
        return None
    pace = _pace(graph, done)
    return makespan(graph, lambda node: 0.0 if node.key in finished else _left(node, running.get(node.key), pace))


def _pace(graph: Graph[PlannedStep], done: Mapping[str, float]) -> float:
    """What steps took against what they were estimated to take, within reason."""
    known = [(done[node.key], expected(node)) for node in graph.nodes if node.key in done and node.step.estimate]
    planned = sum(expected_s for _, expected_s in known)
    return min(10.0, max(0.1, sum(took for took, _ in known) / planned)) if planned else 1.0


def _left(node: Node[PlannedStep], running: Running | None, pace: float) -> float:
    planned = expected(node) * pace
    if running is None:
        return planned
    if running.share:
        return running.elapsed * (1.0 - min(1.0, running.share)) / running.share
    return max(0.0, planned - running.elapsed)
