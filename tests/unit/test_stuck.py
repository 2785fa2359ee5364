"""Work that does not move gives way: a step that tells so fails, one that is silent loses its claim."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from dr.errors import LOCKED, TIMED_OUT, UNAVAILABLE, DrError
from dr.model.runs import RunState
from dr.ports import Json, Step, StepContext
from dr.record.journal import Journal
from dr.run.clock import SystemClock
from dr.run.engine import Engine, Parked, Retry
from dr.run.runner import Captured
from dr.stores.memory import MemoryStore
from tests.unit.record_fakes import SLOT, FakeClock
from tests.unit.test_runner import House, in_memory

PATIENCE = timedelta(minutes=3)


def telling(*figures: tuple[float, float]) -> Step:
    """Tells (seconds that pass, done so far), one after the other."""

    def run(context: StepContext) -> Json:
        for seconds, done in figures:
            context.clock.sleep(seconds)
            context.progress(done, None, "objects")
        return {}

    return Step("follow", run)


def run(step: Step) -> None:
    clock = FakeClock()
    journal = Journal(MemoryStore(), clock, lease=timedelta(hours=1))
    Engine(clock, renew_every=None, patience=PATIENCE).run(journal.claim(SLOT.id), [step])


def test_a_step_that_moves_may_take_any_time() -> None:
    run(telling(*((179, float(done)) for done in range(100))))


def test_a_step_that_does_not_move_is_given_up() -> None:
    with pytest.raises(DrError, match="made no progress for 3m") as caught:
        run(telling((100, 1), (100, 1), (81, 1)))
    assert caught.value.kind is TIMED_OUT


def test_each_try_is_movement() -> None:
    """A store that refuses now and then is not what patience is for: the number of tries is bounded already."""
    errors = [DrError(UNAVAILABLE, "busy")] * 3

    def attempt(context: StepContext) -> Json:
        context.clock.sleep(170)
        context.progress(0, None, "objects")
        if errors:
            raise errors.pop()
        return {}

    run(Step("write", attempt))


def test_a_stuck_capture_fails_and_the_next_attempt_has_names_of_its_own() -> None:
    """I11: patience doubles with each attempt, so what is only slow gets through."""
    house = in_memory()
    seen: list[int] = []

    def patient(epochs: int) -> timedelta:
        seen.append(epochs)
        return PATIENCE * 2**epochs

    def slow(context: StepContext) -> None:
        context.progress(0, None, "objects")
        house.clock.sleep(400)
        context.progress(0, None, "objects")

    house.source.before_write = slow
    results = [house.capture(patience=patient) for _ in range(3)]
    assert [result.captured for result in results] == [Captured.FAILED, Captured.FAILED, Captured.COMMITTED]
    assert seen == [0, 1, 2]
    house.assert_one_point(attempts=3)


def test_a_silent_step_that_hangs_is_no_longer_kept_alive() -> None:
    """Real time: its claim runs out although its process lives, and whoever looks takes over."""
    clock = SystemClock()
    house = House(MemoryStore, clock)
    journal = Journal(house.control, clock, lease=timedelta(seconds=0.3), dead=lambda _owner, _boot: False)
    engine = Engine(clock, retry=Retry(attempts=1), renew_every=timedelta(seconds=0.05))
    hanging, go_on = threading.Event(), threading.Event()

    def hang(_context: StepContext) -> None:
        if not hanging.is_set():
            hanging.set()
            go_on.wait(20)

    house.source.before_write = hang
    changes = {"journal": journal, "engine": engine, "patience": lambda _epochs: timedelta(seconds=0.6)}
    results: list[object] = []
    stuck = threading.Thread(target=lambda: results.append(house.capture(**changes)))
    stuck.start()
    assert hanging.wait(10)
    with pytest.raises(DrError) as caught:
        journal.claim(SLOT.id)
    assert caught.value.kind is LOCKED
    for _ in range(500):
        if journal.read(SLOT.id).newest.expires <= clock.now():  # type: ignore[union-attr]
            break
        threading.Event().wait(0.02)
    assert house.capture(**changes).captured is Captured.COMMITTED
    go_on.set()
    stuck.join(20)
    assert results[0].captured is Captured.LOCKED  # type: ignore[attr-defined]
    house.assert_one_point()


def test_a_stop_ends_the_pauses_between_tries() -> None:
    clock = FakeClock()
    journal = Journal(MemoryStore(), clock)
    asked: list[bool] = []

    def failing(_context: StepContext) -> Json:
        asked.append(True)
        raise DrError(UNAVAILABLE, "busy")

    engine = Engine(clock, retry=Retry(attempts=9, first_s=30, longest_s=30), renew_every=None)
    with pytest.raises(Parked, match="waited to be tried again"):
        engine.run(journal.claim(SLOT.id), [Step("write", failing)], stop=lambda: bool(asked))
    assert len(asked) == 1
    assert clock.slept == []


def test_a_claim_from_a_clock_that_was_days_ahead_blocks_nobody() -> None:
    """Its owner lives and is fenced; a claim of the present is respected."""
    store, clock, ahead = MemoryStore(), FakeClock(), FakeClock()
    ahead.advance(3 * 86_400)
    nobody_dead = {"dead": lambda _owner, _boot: False}
    wrong = Journal(store, ahead, **nobody_dead).claim(SLOT.id)  # type: ignore[arg-type]
    right = Journal(store, clock, **nobody_dead)  # type: ignore[arg-type]
    hold = right.claim(SLOT.id)
    assert hold.claim.epoch == 2
    with pytest.raises(DrError, match="taken over"):
        wrong.require_fence_open()
    with pytest.raises(DrError) as caught:
        right.claim(SLOT.id)
    assert caught.value.kind is LOCKED
    assert right.read(SLOT.id).record.state is RunState.CLAIMED
