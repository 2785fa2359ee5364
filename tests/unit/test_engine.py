"""The one loop: skip what is journalled, retry what is temporary, stop where told."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from dr.errors import REJECTED, UNAVAILABLE, DrError
from dr.ports import Json, Progress, Step, StepContext
from dr.record.journal import LEASE, Journal
from dr.run.clock import SystemClock
from dr.run.engine import Engine, Parked, Retry
from dr.stores.memory import MemoryStore
from tests.unit.record_fakes import SLOT, FakeClock


class Recipe:
    """Steps that count their runs; `errors` are raised first."""

    def __init__(self, errors: dict[str, list[DrError]] | None = None) -> None:
        self.ran: list[str] = []
        self.errors = errors or {}

    def step(self, name: str) -> Step:
        def run(context: StepContext) -> Json:
            self.ran.append(name)
            if self.errors.get(name):
                raise self.errors[name].pop(0)
            context.progress(1, 2, "things")
            return {"step": name, "before": [dict(context.outcome(x)) for x in set(self.ran) - {name}]}

        return Step(name, run)

    def steps(self, *names: str) -> list[Step]:
        return [self.step(name) for name in names]


def made(clock: FakeClock, **changes: object) -> tuple[Engine, Journal, list[Progress]]:
    events: list[Progress] = []
    engine = Engine(clock, events.append, renew_every=None, **changes)  # type: ignore[arg-type]
    return engine, Journal(MemoryStore(), clock), events


def test_steps_run_in_order_and_see_earlier_outcomes() -> None:
    engine, journal, events = made(FakeClock())
    recipe = Recipe()
    outcomes = engine.run(journal.claim(SLOT.id), recipe.steps("a", "b"))
    assert recipe.ran == ["a", "b"]
    assert [entry["step"] for entry in outcomes["b"]["before"]] == ["a"]  # type: ignore[attr-defined]
    assert [(event.step, event.state) for event in events] == [
        (step, state) for step in "ab" for state in ("started", "advanced", "done")
    ]


def test_journalled_steps_are_not_run_again() -> None:
    clock = FakeClock()
    engine, journal, _ = made(clock)
    recipe = Recipe({"b": [DrError(REJECTED, "no")]})
    with pytest.raises(DrError, match="no"):
        engine.run(journal.claim(SLOT.id), recipe.steps("a", "b"))
    clock.advance(LEASE.total_seconds())
    outcomes = engine.run(journal.claim(SLOT.id), recipe.steps("a", "b"))
    assert recipe.ran == ["a", "b", "b"]
    assert outcomes["a"]["step"] == "a"


def test_temporary_errors_are_tried_again_with_growing_pauses() -> None:
    clock = FakeClock()
    engine, journal, _ = made(clock, retry=Retry(attempts=4, first_s=0.1, longest_s=0.3))
    recipe = Recipe({"a": [DrError(UNAVAILABLE, "busy")] * 3})
    engine.run(journal.claim(SLOT.id), recipe.steps("a"))
    assert len(recipe.ran) == 4
    assert [0.5 * top <= pause <= top for pause, top in zip(clock.slept, (0.1, 0.2, 0.3), strict=True)] == [True] * 3


def test_retries_end() -> None:
    engine, journal, events = made(FakeClock(), retry=Retry(attempts=3))
    recipe = Recipe({"a": [DrError(UNAVAILABLE, "busy")] * 9})
    with pytest.raises(DrError, match="busy"):
        engine.run(journal.claim(SLOT.id), recipe.steps("a"))
    assert len(recipe.ran) == 3
    assert events[-1].state == "failed"


def test_a_stop_is_obeyed_between_steps() -> None:
    engine, journal, _ = made(FakeClock())
    recipe = Recipe()
    with pytest.raises(Parked, match="before b"):
        engine.run(journal.claim(SLOT.id), recipe.steps("a", "b"), stop=lambda: bool(recipe.ran))
    assert recipe.ran == ["a"]


def test_an_outcome_that_is_no_json_is_a_bug() -> None:
    engine, journal, _ = made(FakeClock())
    with pytest.raises(ValueError, match="is not JSON"):
        engine.run(journal.claim(SLOT.id), [Step("a", lambda _: {"x": object()})])


def test_the_claim_is_renewed_while_a_step_says_nothing() -> None:
    """Real time: the lease is short, and the step ends as soon as it sees a sign of life."""
    store = MemoryStore()
    journal = Journal(store, SystemClock(), lease=timedelta(seconds=0.3))
    engine = Engine(SystemClock(), renew_every=timedelta(seconds=0.02))
    seen = threading.Event()

    def wait(_context: StepContext) -> Json:
        for _ in range(500):
            if any("alive-" in info.name for info in store.list()):
                seen.set()
                break
            seen.wait(0.02)
        return {}

    hold = journal.claim(SLOT.id)
    with engine.renewing(hold):
        engine.run(hold, [Step("long", wait)])
    assert seen.is_set()
    assert not any(thread.name == "renewer" for thread in threading.enumerate())
