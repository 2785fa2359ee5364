"""A plan's items run side by side, wait for each other where told, fail alone, and are resumed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dr.errors import LOCKED, REJECTED, RESTORE_FAILED, DrError
from dr.model.ids import SourceId
from dr.model.plans import PlannedRestore, RestorePlan, Target
from dr.model.runs import RunState
from dr.model.strategy import FailureDomain
from dr.ports import Json, Step, StepContext
from dr.record.journal import Journal
from dr.run.engine import Engine, Retry
from dr.run.restore import Restored, RestoreItem, RestoreRunner, chains_of
from dr.run.walking import recipe_graph
from dr.stores.memory import MemoryStore
from tests.unit.record_fakes import NOON, FakeClock, FakeRestorer


class World:
    """A control repository and two components: the cluster's second step comes after the whole of appdata."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.control = MemoryStore("control")
        self.created = MemoryStore("created")
        self.appdata = FakeRestorer(self.created)
        self.cluster = FakeRestorer(self.created, {"create": (), "rewire": ("appdata",), "release": ()})
        self.cluster.seen = self.appdata.seen

    @property
    def plan(self) -> RestorePlan:
        items = (
            planned("cluster", {"energent-ai": "drill-energent-ai"}),
            planned("appdata", {"database": "drill-db"}),
        )
        return RestorePlan("plan-1", NOON, NOON, "sha", items)

    def items(self) -> list[RestoreItem]:
        restorers = (self.cluster, self.appdata)
        vault = MemoryStore()
        return [
            RestoreItem(item, restorer, vault, None) for item, restorer in zip(self.plan.items, restorers, strict=True)
        ]

    def runner(self, **changes: object) -> RestoreRunner:
        journal = Journal(self.control, self.clock, "restores", continues=True, dead=lambda _owner, _boot: False)
        engine = Engine(self.clock, retry=Retry(attempts=1), renew_every=None)
        return replace(RestoreRunner(journal, self.clock, engine), **changes)  # type: ignore[arg-type]

    @property
    def state(self) -> RunState:
        return Journal(self.control, self.clock, "restores").read("plan-1").record.state


def planned(component: str, names: dict[str, str]) -> PlannedRestore:
    return PlannedRestore(
        source=SourceId(component, "fake", "x"),
        domain=FailureDomain.LOGICAL,
        method="fake",
        point=None,
        instant=NOON,
        target=Target(isolated=True, prefix="drill-", names=names),
        size=0,
        predicted=None,
        cost_usd=0.0,
        creates=(),
        reasons=(),
    )


@pytest.fixture
def world() -> World:
    return World()


def test_all_items_are_restored_and_siblings_are_known(world: World) -> None:
    result = world.runner().apply(world.plan, world.items())
    assert result.ok
    cluster, appdata = result.items
    assert cluster.outcomes["rewire"]["siblings"] == {"appdata.database": "drill-db"}
    assert appdata.outcomes["load"]["siblings"] == {"cluster.energent-ai": "drill-energent-ai"}
    assert [step.step for step in appdata.steps] == ["appdata.fake.x.logical.create", "appdata.fake.x.logical.load"]
    assert world.appdata.seen.index("appdata.load") < world.appdata.seen.index("cluster.rewire")
    assert world.state is RunState.COMMITTED


def test_items_run_side_by_side(world: World) -> None:
    """Each waits for the other to have begun: one after the other would never end."""
    meeting = threading.Barrier(2)

    def meet(_context: StepContext) -> Json:
        meeting.wait(timeout=10)
        return {}

    for restorer in (world.cluster, world.appdata):
        restorer.steps = lambda _work: [Step("meet", meet)]  # type: ignore[method-assign]
    assert world.runner().apply(world.plan, world.items()).ok


def test_a_failure_stops_those_that_wait_for_it_only(world: World) -> None:
    world.appdata.fail["load"] = DrError(REJECTED, "no quota")
    cluster, appdata = world.runner().apply(world.plan, world.items()).items
    assert (cluster.restored, appdata.restored) == (Restored.FAILED, Restored.FAILED)
    assert appdata.error is not None
    assert appdata.error.message == "no quota"
    assert cluster.error is not None
    assert cluster.error.kind is RESTORE_FAILED
    assert "needs appdata" in cluster.error.message
    assert list(cluster.outcomes) == ["create"]
    assert world.state is RunState.FAILED


def test_others_finish_when_one_fails(world: World) -> None:
    world.cluster.fail["create"] = DrError(REJECTED, "quota")
    cluster, appdata = world.runner().apply(world.plan, world.items()).items
    assert (cluster.restored, appdata.restored) == (Restored.FAILED, Restored.DONE)


def test_a_resume_does_only_what_is_left(world: World) -> None:
    """I6: also after a failure, under the same names."""
    world.appdata.fail["load"] = DrError(REJECTED, "no quota")
    world.runner().apply(world.plan, world.items())
    world.appdata.fail.clear()
    world.appdata.seen.clear()
    result = world.runner().apply(world.plan, world.items())
    assert result.ok
    assert world.appdata.seen == ["appdata.load", "cluster.rewire", "cluster.release"]
    assert all(info.name.endswith("/1") for info in world.created.list())
    assert set(result.items[0].outcomes) == {"create", "rewire", "release"}


def test_a_stop_parks_and_is_resumed(world: World) -> None:
    result = world.runner(stop=lambda: bool(world.appdata.seen)).apply(world.plan, world.items())
    assert Restored.PARKED in {item.restored for item in result.items}
    assert world.state in (RunState.ABANDONED, RunState.FAILED)
    assert world.runner().apply(world.plan, world.items()).ok


def test_what_waits_for_a_parked_component_is_parked_and_has_not_failed(world: World) -> None:
    """Asked to stop once the cluster waits for appdata, whose next step is not begun any more."""
    result = world.runner(stop=lambda: len(world.appdata.seen) >= 2).apply(world.plan, world.items())
    assert [item.restored for item in result.items] == [Restored.PARKED, Restored.PARKED]
    assert world.state is RunState.ABANDONED
    assert world.runner().apply(world.plan, world.items()).ok


def test_steps_beside_each_other_run_side_by_side_within_an_item(world: World) -> None:
    """Each waits for the other to have begun; what comes after both sees both."""
    meeting, done = threading.Barrier(2), list[str]()

    def meet(name: str) -> Json:
        meeting.wait(timeout=10)
        done.append(name)
        return {}

    make, copy = Step("make", lambda _: meet("make")), Step("copy", lambda _: meet("copy"), beside=True)
    load = Step("load", lambda _: {"seen": sorted(done)})
    world.appdata.steps = lambda _work: [make, copy, load]  # type: ignore[method-assign]
    result = world.runner().apply(world.plan, world.items())
    assert result.ok
    assert result.items[1].outcomes["load"] == {"seen": ["copy", "make"]}


def test_one_process_applies_a_plan(world: World) -> None:
    world.runner().journal.claim("plan-1")
    with pytest.raises(DrError) as caught:
        world.runner().apply(world.plan, world.items())
    assert caught.value.kind is LOCKED
    assert list(world.created.list()) == []


def test_what_was_reviewed_is_applied_or_nothing(world: World) -> None:
    world.runner().apply(world.plan, world.items())
    with pytest.raises(DrError, match="another content") as caught:
        world.runner().apply(replace(world.plan, strategy_sha256="other"), world.items())
    assert caught.value.kind is REJECTED


def test_a_bug_in_one_item_leaves_nobody_waiting(world: World) -> None:
    def bug(_context: StepContext) -> Json:
        raise ZeroDivisionError("a bug")

    world.appdata.steps = lambda _work: [Step("bug", bug)]  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        world.runner().apply(world.plan, world.items())
    assert world.state is RunState.FAILED


@pytest.fixture
def heeding_interrupts() -> Iterator[None]:
    """Python's own handling of Ctrl-C, also where the tests were started in the background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding_interrupts")
def test_an_interrupt_parks_every_item_soon(world: World) -> None:
    def interrupted(context: StepContext) -> Json:
        os.kill(os.getpid(), signal.SIGINT)
        for number in range(1000):
            context.progress(number, 1000, "looks")
            threading.Event().wait(0.01)
        return {}

    world.appdata.steps = lambda _work: [Step("long", interrupted), Step("never", interrupted)]  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        world.runner().apply(world.plan, world.items())
    assert world.state is RunState.ABANDONED
    assert not world.runner().journal.read("plan-1").record.outcomes[1:], "only the cluster's first step was done"


def test_circles_are_refused_before_anything_is_done(world: World) -> None:
    world.appdata.recipe = {"create": ("cluster",)}
    with pytest.raises(DrError, match="appdata and cluster wait for each other"):
        world.runner().apply(world.plan, world.items())
    assert not any(info.name.endswith(".json") and "claim" in info.name for info in world.control.list())


def test_waiting_for_what_the_plan_lacks_is_no_circle(world: World) -> None:
    (cluster, _) = world.items()
    recipe = [Step("rewire", lambda _: {}, after=("appdata",))]
    assert [node.needs for node in recipe_graph(chains_of([cluster], [recipe])).nodes] == [()]
