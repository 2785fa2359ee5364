"""A row that cannot keep its promise is captured all the same: as often as can be."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from dr.model.ids import SourceId
from dr.model.strategy import FailureDomain, Frequency, Objective, Place, SourceSpec, Strategy
from dr.plan.cadence import best_effort, derive_cadence
from dr.plan.predict import predict
from dr.plan.rows import schedules

MINUTE = timedelta(minutes=1)
DATABASE = SourceId("appdata", "firestore", "db")
ROW = Objective(
    "appdata",
    Frequency.REAL_TIME,
    timedelta(days=90),
    timedelta(hours=1),
    15 * MINUTE,
    (FailureDomain.SOURCE,),
    (SourceSpec(DATABASE, Place()),),
)


def test_one_slow_capture_does_not_end_the_capture_of_the_row() -> None:
    """It took eleven minutes once: no cadence keeps the RPO with that, but the usual one takes half a minute."""
    durations = [*[MINUTE / 2] * 19, 11 * MINUTE]
    assert derive_cadence(15 * MINUTE, predict(durations), 0.2, MINUTE).every is None
    (schedule,) = schedules(Strategy("one row", (ROW,)), {DATABASE: durations})
    assert schedule.cadence == 10 * MINUTE
    assert schedule.duration == 11 * MINUTE


def test_captures_that_are_always_too_long_follow_one_another() -> None:
    (schedule,) = schedules(Strategy("one row", (ROW,)), {DATABASE: [25 * MINUTE] * 20})
    assert schedule.cadence == 30 * MINUTE


def test_an_rpo_of_0_is_not_kept_by_slots() -> None:
    assert best_effort(timedelta(0), predict([MINUTE]), 0.2) is None


@given(st.integers(1, 10_000), st.lists(st.integers(1, 200_000), max_size=20), st.floats(0, 0.99))
def test_there_is_always_a_cadence_and_captures_do_not_overlap(rpo: int, seconds: list[int], margin: float) -> None:
    prediction = predict(timedelta(seconds=s) for s in seconds)
    every = best_effort(timedelta(seconds=rpo), prediction, margin)
    assert every is not None
    assert every > timedelta(0)
    if prediction:
        assert every >= prediction.median or every >= timedelta(days=1)
