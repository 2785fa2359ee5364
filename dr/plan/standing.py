"""How far a restore is, from its plan and its journal. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dr.model.graph import PlannedStep
from dr.model.plans import PlannedRestore, RestorePlan
from dr.model.runs import Claim, RunEnd, RunRecord, RunState, StepOutcome
from dr.plan.graph import Graph, Node
from dr.plan.outlook import Running, planned_graph, remaining


class StepState(StrEnum):
    """Of one step. FAILED: it was begun, and the process that did it ended without it."""

    DONE = "done"
    RUNNING = "running"
    FAILED = "failed"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class StepStanding:
    """One step of the plan; `outcome` once it is done."""

    key: str
    state: StepState
    expected_s: float | None
    outcome: StepOutcome | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """One restore."""

    plan: RestorePlan
    state: RunState
    begun: datetime | None
    owner: str
    """Who works on it, or did last."""
    alive: bool
    """Somebody works on it now."""
    tries: int
    message: str
    """How the last try ended."""
    steps: tuple[StepStanding, ...]
    remaining_s: float | None
    """None: not known, or nothing is left."""

    @property
    def whole(self) -> bool:
        return self.state is RunState.COMMITTED

    @property
    def done(self) -> int:
        return sum(step.state is StepState.DONE for step in self.steps)


def standing(plan: RestorePlan, record: RunRecord, now: datetime) -> Standing:
    """From what is journalled, and nothing else."""
    newest = max(record.claims, key=lambda claim: claim.epoch, default=None)
    ended = next((end for end in record.ends if newest and end.epoch == newest.epoch), None)
    alive = newest is not None and ended is None and newest.expires > now
    steps = _steps(plan, record, alive, _failed(plan, ended))
    return Standing(
        plan=plan,
        state=record.state,
        begun=min((claim.taken.wall for claim in record.claims), default=None),
        owner=newest.owner if newest else "",
        alive=alive,
        tries=len(record.claims),
        message=ended.message if ended else "",
        steps=steps,
        remaining_s=None if record.state is RunState.COMMITTED else _remaining(plan, steps, newest, now),
    )


def _failed(plan: RestorePlan, ended: RunEnd | None) -> frozenset[str]:
    """Items that the end of the last try names."""
    if ended is None or ended.state is not RunState.FAILED:
        return frozenset()
    return frozenset(item.key for item in plan.items if f"{item.key}: " in ended.message)


def _steps(plan: RestorePlan, record: RunRecord, alive: bool, failed: frozenset[str]) -> tuple[StepStanding, ...]:
    outcomes = {outcome.step: outcome for outcome in record.outcomes}
    if not all(item.steps for item in plan.items):
        return tuple(StepStanding(outcome.step, StepState.DONE, None, outcome) for outcome in record.outcomes)
    graph = planned_graph(plan)
    order = {item.key: index for index, item in enumerate(plan.items)}
    nodes = sorted(graph.nodes, key=lambda node: (order[node.item], node.index))
    return tuple(
        _step(node, outcomes.get(node.key), _ready(node, outcomes), alive, node.item in failed) for node in nodes
    )


def _ready(node: Node[PlannedStep], outcomes: dict[str, StepOutcome]) -> bool:
    return all(need in outcomes for need in node.needs)


def _step(node: Node[PlannedStep], outcome: StepOutcome | None, ready: bool, alive: bool, failed: bool) -> StepStanding:
    expected = node.step.estimate.median.total_seconds() if node.step.estimate else None
    if outcome is not None:
        return StepStanding(node.key, StepState.DONE, expected, outcome)
    state = StepState.RUNNING if ready and alive else StepState.FAILED if ready and failed else StepState.WAITING
    return StepStanding(node.key, state, expected)


def _remaining(plan: RestorePlan, steps: tuple[StepStanding, ...], newest: Claim | None, now: datetime) -> float | None:
    done = {step.key: step.outcome.seconds for step in steps if step.outcome}
    since = max(
        (step.outcome.ended.wall for step in steps if step.outcome), default=newest.taken.wall if newest else now
    )
    elapsed = max(0.0, (now - since).total_seconds())
    running = {step.key: Running(elapsed) for step in steps if step.state is StepState.RUNNING}
    graph: Graph[PlannedStep] = planned_graph(plan)
    known = graph.nodes and any(node.step.estimate for node in graph.nodes)
    return remaining(graph, done, running) if known else None


def item_of(plan: RestorePlan, key: str) -> PlannedRestore | None:
    """The item that a step belongs to."""
    return next((item for item in plan.items if key.startswith(f"{item.key}.")), None)
