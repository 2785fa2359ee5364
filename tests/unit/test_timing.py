"""Every try of a restore or drill leaves what it took; what did not end took at least so long."""

from __future__ import annotations

from dataclasses import replace

from dr.errors import TIMED_OUT, DrError
from dr.model.samples import RunKind, StepTime, Timings
from dr.ports import Json, Step, StepContext
from dr.record.timings import read_timings
from dr.run.restore import RestoreRunner
from dr.run.timing import TimedRunner
from tests.unit.test_restore_run import World


def timed(world: World, **changes: object) -> TimedRunner:
    plain = world.runner()
    runner = TimedRunner(plain.journal, plain.clock, plain.engine, region=lambda _: "us to us", tool_version="0.3.0")
    return replace(runner, **changes)  # type: ignore[arg-type]


def slow(world: World, seconds: float) -> None:
    """Each step of appdata takes so long."""
    steps = world.appdata.steps

    def slowed(step: Step) -> Step:
        def run(context: StepContext) -> Json:
            world.clock.advance(seconds)
            return step.run(context)

        return replace(step, run=run)

    world.appdata.steps = lambda work: [slowed(step) for step in steps(work)]  # type: ignore[method-assign]


def last(world: World) -> Timings:
    return read_timings(world.control)[-1]


def times(record: Timings, component: str) -> dict[str, StepTime]:
    (item,) = [item for item in record.items if item.source.component == component]
    return {step.step: step for step in item.steps}


def test_each_step_is_kept_with_its_time() -> None:
    world = World()
    slow(world, 4.0)
    assert timed(world, what=RunKind.DRILL, scope="lab").apply(world.plan, world.items()).ok
    record = last(world)
    assert (record.run, record.what, record.scope, record.tool_version) == ("plan-1", RunKind.DRILL, "lab", "0.3.0")
    found = times(record, "appdata")
    assert list(found) == ["create", "load"]
    assert all(step.ended and step.seconds >= 4.0 for step in found.values())
    assert all(item.ended and item.whole_s >= 8.0 and item.region == "us to us" for item in record.items)


def test_a_step_that_timed_out_took_at_least_so_long() -> None:
    world = World()
    slow(world, 30.0)
    world.appdata.fail["load"] = DrError(TIMED_OUT, "import did not end")
    assert not timed(world).apply(world.plan, world.items()).ok
    found = times(last(world), "appdata")
    assert found["create"].ended
    assert not found["load"].ended
    assert found["load"].seconds >= 30.0
    assert not any(item.ended for item in last(world).items), "the cluster waited for it"


def test_a_step_that_another_process_had_begun_took_at_least_so_long() -> None:
    """I6: a resumed step may find a part of its work done."""
    world = World()
    slow(world, 30.0)
    world.appdata.fail["load"] = DrError(TIMED_OUT, "import did not end")
    timed(world).apply(world.plan, world.items())
    world.appdata.fail.clear()
    assert timed(world).apply(world.plan, world.items()).ok
    found = times(last(world), "appdata")
    assert (found["create"].ended, found["load"].ended) == (True, False)
    assert len(read_timings(world.control)) == 2


def test_reading_a_finished_restore_again_is_no_sample() -> None:
    world = World()
    timed(world).apply(world.plan, world.items())
    world.clock.advance(60)
    timed(world).apply(world.plan, world.items())
    assert len(read_timings(world.control)) == 1


def test_a_drill_counts_from_its_declaration() -> None:
    world = World()
    declared = world.clock.stamp()
    world.clock.advance(100)
    timed(world, since=declared).apply(world.plan, world.items())
    assert all(item.whole_s >= 100 for item in last(world).items)


def test_a_restore_stays_done_when_its_times_cannot_be_kept() -> None:
    world = World()
    world.control.put("timings/20250528T120000Z-plan-1.json", b"taken by somebody else")
    world.clock.ticks = 0
    result = timed(world).apply(world.plan, world.items())
    assert result.ok
    assert isinstance(timed(world), RestoreRunner)
