"""A plan as a graph: what waits for what, the critical path, what a change could buy, and how much is left."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.model.graph import Estimate, PlannedStep, StepKind
from dr.model.ids import SourceId
from dr.model.plans import DeclaredStep, PlannedRestore, RestorePlan, Target
from dr.model.runs import Claim, RunEnd, RunRecord, RunState, Stamp, StepOutcome
from dr.model.strategy import FailureDomain
from dr.plan.graph import Chain, Circle, critical_path, ends_of, gains, graph_of, makespan
from dr.plan.outlook import Running, estimate, outlook, planned_graph, remaining
from dr.plan.standing import StepState, standing
from dr.ports import Progress
from dr.run.tracking import Tracker

T0 = datetime(2025, 5, 28, 10, tzinfo=UTC)


def step(name: str, seconds: float | None = None, *, beside: bool = False, after: tuple[str, ...] = ()) -> PlannedStep:
    one = timedelta(seconds=seconds or 0)
    found = Estimate(one, one / 2, one * 2, 3) if seconds else None
    return PlannedStep(name, StepKind.WRITE, beside, after, 0, found)


def planned(component: str, *steps: PlannedStep) -> PlannedRestore:
    return PlannedRestore(
        source=SourceId(component, "fake", "x"),
        domain=FailureDomain.LOGICAL,
        method="fake",
        point=None,
        instant=T0,
        target=Target(isolated=False),
        size=0,
        predicted=None,
        cost_usd=0.0,
        creates=(),
        reasons=(),
        steps=steps,
    )


def plan_of(*items: PlannedRestore) -> RestorePlan:
    return RestorePlan("plan-1", T0, T0, "sha", items)


CLUSTER = planned("cluster", step("stage", 10), step("restore", 100), step("rewire", 1, after=("appdata",)))
APPDATA = planned("appdata", step("create", 5), step("import", 200), step("serve", 1))
PLAN = plan_of(CLUSTER, APPDATA)


def short(key: str) -> str:
    return f"{key.partition('.')[0]}.{key.rpartition('.')[2]}"


def test_a_step_needs_the_one_before_it_and_whole_components() -> None:
    needs = {short(node.key): list(map(short, node.needs)) for node in planned_graph(PLAN).nodes}
    assert needs["cluster.stage"] == []
    assert needs["cluster.restore"] == ["cluster.stage"]
    assert needs["cluster.rewire"] == ["cluster.restore", "appdata.serve"]


def test_steps_beside_each_other_need_the_same_and_are_needed_together() -> None:
    chain = Chain("x", "x", (step("read"), step("make"), step("copy", beside=True), step("load")))
    needs = {node.key: node.needs for node in graph_of([chain]).nodes}
    assert needs == {"x.read": (), "x.make": ("x.read",), "x.copy": ("x.read",), "x.load": ("x.make", "x.copy")}


def test_a_first_step_beside_nothing_stands_alone() -> None:
    chain = Chain("x", "x", (step("make", beside=True), step("load")))
    assert [node.needs for node in graph_of([chain]).nodes] == [(), ("x.make",)]


def test_waiting_for_each_other_is_refused() -> None:
    one, other = Chain("a", "a", (step("x", after=("b",)),)), Chain("b", "b", (step("y", after=("a",)),))
    with pytest.raises(Circle, match="a and b wait for each other"):
        graph_of([one, other])


def test_the_critical_path_goes_through_what_is_waited_for() -> None:
    found = outlook(PLAN)
    assert [short(key) for key in found.path] == ["appdata.create", "appdata.import", "appdata.serve", "cluster.rewire"]
    assert found.median == timedelta(seconds=207)
    assert (found.quickest, found.slowest) == (timedelta(seconds=103.5), timedelta(seconds=414))
    assert found.unknown == ()


def test_a_change_buys_no_more_than_the_next_path_allows() -> None:
    """The import takes 200 s, but without it the cluster's own 110 s decide."""
    first = outlook(PLAN).gains[0]
    assert short(first.what) == "appdata.import"
    assert first.saves == timedelta(seconds=207 - 111)


def test_a_declared_step_comes_before_all_and_can_be_what_buys_the_most() -> None:
    found = outlook(replace(PLAN, declared=(DeclaredStep("new cluster", timedelta(minutes=25)),)))
    assert found.median == timedelta(seconds=1500 + 207)
    assert found.gains[0].what == "new cluster"


def test_what_was_never_measured_is_said_and_not_guessed() -> None:
    found = outlook(plan_of(planned("audit", step("build"), step("read-back", 2))))
    assert [short(key) for key in found.unknown] == ["audit.build"]
    assert found.median == timedelta(seconds=2)
    assert not outlook(plan_of(planned("audit", step("build")))).measured


@given(st.lists(st.lists(st.tuples(st.floats(0, 100), st.booleans()), min_size=1, max_size=6), min_size=1, max_size=4))
def test_no_schedule_is_shorter_than_its_path_and_no_gain_greater_than_its_step(
    recipes: list[list[tuple[float, bool]]],
) -> None:
    chains = [
        Chain(
            f"c{n}",
            f"c{n}",
            tuple(step(f"s{i}", took or None, beside=beside) for i, (took, beside) in enumerate(recipe)),
        )
        for n, recipe in enumerate(recipes)
    ]
    graph = graph_of(chains)

    def seconds(node: object) -> float:
        found = node.step.estimate  # type: ignore[attr-defined]
        return found.median.total_seconds() if found else 0.0

    ends = ends_of(graph, seconds)
    for node in graph.nodes:
        assert all(ends[need] <= ends[node.key] - seconds(node) + 1e-9 for need in node.needs)
    path = critical_path(graph, seconds)
    assert sum(map(seconds, path)) == pytest.approx(makespan(graph, seconds))
    assert all(0 < saved <= seconds(node) + 1e-9 for node, saved in gains(graph, seconds))


# --- estimates ------------------------------------------------------------------------------------------------------


def test_an_estimate_grows_with_the_size_and_never_shrinks_below_what_was_measured() -> None:
    samples = [(100, 10.0), (100, 20.0), (200, 30.0)]
    found = estimate(samples, 400)
    assert found == Estimate(timedelta(seconds=60), timedelta(seconds=40), timedelta(seconds=80), 3)
    assert estimate(samples, 10) == Estimate(timedelta(seconds=20), timedelta(seconds=10), timedelta(seconds=30), 3)
    assert estimate(samples, 0) == estimate(samples, 10), "a step that does not grow takes what it took"
    assert estimate([], 10) is None


# --- while it runs --------------------------------------------------------------------------------------------------


def key(name: str) -> str:
    component, _, short_name = name.partition(".")
    return f"{component}.fake.x.logical.{short_name}"


def test_what_is_left_is_the_longest_path_that_is_left() -> None:
    graph = planned_graph(PLAN)
    assert remaining(graph, {}, {}) == 207
    assert remaining(graph, {key("appdata.create"): 5.0}, {}) == 202


def test_steps_that_were_slower_make_those_to_come_slower() -> None:
    left = remaining(planned_graph(PLAN), {key("appdata.create"): 10.0}, {})
    assert left == pytest.approx(404), "twice as slow as estimated so far"


def test_a_step_that_tells_its_share_corrects_its_own_estimate() -> None:
    done = {key("appdata.create"): 5.0, key("cluster.stage"): 10.0, key("cluster.restore"): 100.0}
    left = remaining(planned_graph(PLAN), done, {key("appdata.import"): Running(30.0, 0.1)})
    assert left == pytest.approx(30 * 9 + 2)
    silent = remaining(planned_graph(PLAN), done, {key("appdata.import"): Running(30.0)})
    assert silent == pytest.approx(170 + 2)


def test_nothing_is_said_of_what_nothing_is_known() -> None:
    graph = planned_graph(plan_of(planned("audit", step("build"))))
    assert remaining(graph, {}, {}) is None
    assert remaining(graph, {key("audit.build"): 3.0}, {}) == 0


def test_a_tracker_hears_the_events_of_a_run() -> None:
    tracker = Tracker(PLAN, {key("appdata.create"): 5.0})
    event = Progress("plan-1", key("appdata.import"), "advanced", 50, 100, "files", timedelta(seconds=40))
    assert tracker.note(event) == pytest.approx(111), "the import has 40 s left, the cluster more"
    assert tracker.note(replace(event, state="done", elapsed=timedelta(seconds=80))) == pytest.approx(111 * 85 / 205)


# --- how far it is --------------------------------------------------------------------------------------------------


def stamp(seconds: float) -> Stamp:
    return Stamp(T0 + timedelta(seconds=seconds), seconds, "boot")


def record(done: dict[str, float], *, ended: RunEnd | None = None) -> RunRecord:
    claim = Claim("plan-1", 1, "host/1/boot", stamp(0), T0 + timedelta(minutes=5))
    outcomes = [StepOutcome(key(name), 1, 1, stamp(0), stamp(took)) for name, took in done.items()]
    return RunRecord("plan-1", (claim,), tuple(outcomes), (ended,) if ended else ())


def test_standing_tells_done_running_and_waiting() -> None:
    found = standing(PLAN, record({"appdata.create": 5.0}), T0 + timedelta(seconds=25))
    states = {short(step.key): step.state for step in found.steps}
    assert found.alive
    assert states["appdata.create"] is StepState.DONE
    assert states["appdata.import"] is states["cluster.stage"] is StepState.RUNNING
    assert states["cluster.rewire"] is StepState.WAITING
    assert found.remaining_s == pytest.approx(180 + 2)


def test_standing_of_a_dead_owner_runs_nothing() -> None:
    found = standing(PLAN, record({"appdata.create": 5.0}), T0 + timedelta(hours=1))
    assert not found.alive
    assert {step.state for step in found.steps} == {StepState.DONE, StepState.WAITING}
    assert found.remaining_s is not None


def test_standing_names_the_step_that_failed() -> None:
    message = f"{APPDATA.key}: no quota"
    end = RunEnd("plan-1", 1, RunState.FAILED, stamp(9), message)
    found = standing(PLAN, record({"appdata.create": 5.0}, ended=end), T0 + timedelta(seconds=10))
    assert [short(step.key) for step in found.steps if step.state is StepState.FAILED] == ["appdata.import"]
    assert found.message == message


def test_standing_of_a_whole_restore_has_nothing_left() -> None:
    end = RunEnd("plan-1", 1, RunState.COMMITTED, stamp(9), "2 restored")
    found = standing(PLAN, record({"appdata.create": 5.0}, ended=end), T0)
    assert found.whole
    assert found.remaining_s is None


def test_a_plan_of_an_older_version_still_tells_what_is_journalled() -> None:
    old = plan_of(replace(CLUSTER, steps=()), replace(APPDATA, steps=()))
    found = standing(old, record({"appdata.create": 5.0}), T0)
    assert [short(step.key) for step in found.steps] == ["appdata.create"]
    assert found.remaining_s is None
