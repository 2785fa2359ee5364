"""What a row's recovery is expected to take: enough evidence, the present conditions, not too far."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dr.model.forecast import Forecast, Outlook
from dr.model.samples import ItemTimes, RunKind, StepTime, Timings
from dr.model.strategy import DeclaredSize, FailureDomain, Frequency, Objective, Place, SourceSpec, Strategy
from dr.plan.forecast import TimeModels, forecasts, outlook_of, planned_step
from dr.plan.samples import WHOLE, Size, samples_of
from dr.report.drill_json import _Reader
from dr.report.forecasts import forecast_item, forecasts_sheet, read_forecast
from dr.report.sheet import plain
from tests.unit.fakes import DATABASE, T0, planned

SOURCE_LOST = FailureDomain.SOURCE
NOISE = (1.0, 1.1, 0.92, 1.04, 0.97, 1.02, 0.9, 1.08)


def timings(number: int, **changes: object) -> Timings:
    """The drill of that number: 100 to 300 documents, 10 s and 10 ms a document."""
    objects = 100 + 100 * (number % 3)
    seconds = (10 + objects / 100) * NOISE[number % len(NOISE)]
    steps = (StepTime("verify-point", 0.2 * seconds), StepTime("import", 0.8 * seconds))
    item = ItemTimes(
        DATABASE, SOURCE_LOST, "firestore-export", "us to us", objects * 50, objects, steps, seconds, ended=True
    )
    base = Timings(f"d-{number}", RunKind.DRILL, T0 + timedelta(days=number), "0.3.0", "lab", (item,))
    return replace(base, **changes)  # type: ignore[arg-type]


def cut(record: Timings, seconds: float) -> Timings:
    """The same drill, given up in its import after so long."""
    steps = (StepTime("verify-point", 2.0), StepTime("import", seconds - 2, ended=False))
    return replace(record, items=(replace(record.items[0], steps=steps, whole_s=seconds, ended=False),))


def models(*records: Timings, version: str = "0.3.0", region: str = "us to us") -> TimeModels:
    return TimeModels(samples_of(records), version, "lab", lambda _: region)


def strategy(size: DeclaredSize | None = None, rto: float = 60) -> Strategy:
    spec = SourceSpec(DATABASE, Place(), {}, size)
    row = Objective(
        "appdata",
        Frequency.REAL_TIME,
        timedelta(days=90),
        timedelta(seconds=rto),
        timedelta(minutes=15),
        (SOURCE_LOST,),
        (spec,),
    )
    return Strategy("test", (row,))


def only(models: TimeModels, table: Strategy) -> Forecast:
    (found,) = forecasts(models, table)
    return found


ENOUGH = tuple(timings(number) for number in range(8))


def test_a_bound_under_the_target_is_within_and_one_over_it_is_not() -> None:
    declared = DeclaredSize(objects=1000)
    found = only(models(*ENOUGH), strategy(declared))
    assert found.outlook is Outlook.WITHIN
    assert found.drills == 8
    assert found.bound_s is not None
    assert found.median_s is not None
    assert 15 < found.median_s < 25 < found.bound_s < 60
    assert only(models(*ENOUGH), strategy(declared, rto=found.bound_s - 0.1)).outlook is Outlook.BEYOND


def test_a_bound_that_is_just_the_target_is_a_miss() -> None:
    assert outlook_of(60.0, 60.0) is Outlook.BEYOND
    assert outlook_of(59.999, 60.0) is Outlook.WITHIN
    assert outlook_of(None, 60.0) is Outlook.INSUFFICIENT


def test_below_five_drills_nothing_is_promised() -> None:
    found = only(models(*ENOUGH[:4]), strategy(DeclaredSize(objects=300)))
    assert found.outlook is Outlook.INSUFFICIENT
    assert found.bound_s is None
    assert "4 of at least 5 drills" in found.reasons[0]
    assert only(models(), strategy()).outlook is Outlook.INSUFFICIENT
    assert only(models(*ENOUGH[:5]), strategy(DeclaredSize(objects=300))).outlook is Outlook.WITHIN


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (DeclaredSize(objects=3001), "3,001 objects are 10 times the largest drilled 300"),
        (DeclaredSize(bytes=150_001, objects=3000), "150,001 bytes"),
        (DeclaredSize(bytes=10**9), "bytes are 6.67e+04 times"),
    ],
)
def test_what_is_too_far_is_named(size: DeclaredSize, says: str) -> None:
    found = only(models(*ENOUGH), strategy(size))
    assert found.outlook is Outlook.INSUFFICIENT
    assert says in found.reasons[0]
    assert "reaches 10 times" in found.reasons[0]


def test_ten_times_is_not_too_far() -> None:
    assert only(models(*ENOUGH), strategy(DeclaredSize(bytes=150_000, objects=3000))).bound_s is not None


def test_without_a_declared_size_it_is_that_of_the_newest_drill() -> None:
    found = only(models(*ENOUGH), strategy())
    assert (found.objects, found.declared) == (200, False)
    assert any("declaredSize" in reason for reason in found.reasons)


@pytest.mark.parametrize(
    ("version", "region", "says"),
    [("0.4.0", "us to us", "dr 0.3.0 (now 0.4.0)"), ("0.3.0", "us to eu", "region us to us (now us to eu)")],
)
def test_a_change_of_version_or_region_begins_anew(version: str, region: str, says: str) -> None:
    found = only(models(*ENOUGH, version=version, region=region), strategy())
    assert found.outlook is Outlook.INSUFFICIENT
    assert found.set_aside == (f"8 runs set aside: {says}",)
    assert found.steps == ()


def test_a_change_of_method_begins_anew() -> None:
    other = timings(9)
    other = replace(other, items=(replace(other.items[0], method="firestore-pitr"),))
    found = only(models(*ENOUGH, other), strategy())
    assert (found.method, found.drills) == ("firestore-pitr", 1)
    assert found.set_aside == ("8 runs set aside: method firestore-export (now firestore-pitr)",)


def test_a_timed_out_drill_counts_as_at_least_so_long() -> None:
    late = [cut(timings(number), 40.0) for number in (8, 9)]
    without, found = only(models(*ENOUGH), strategy()), only(models(*ENOUGH, *late), strategy())
    assert (found.drills, found.censored) == (8, 2)
    assert found.bound_s is not None
    assert without.bound_s is not None
    assert found.bound_s > 40 > without.bound_s
    assert found.steps[-1].censored == 2


def test_restores_tell_of_steps_and_not_of_drills() -> None:
    restores = [replace(timings(number, what=RunKind.RESTORE), run=f"r-{number}") for number in range(10)]
    found = only(models(*restores), strategy())
    assert (found.drills, found.outlook) == (0, Outlook.INSUFFICIENT)
    assert [step.step for step in found.steps] == ["verify-point", "import"]
    assert found.steps[1].samples == 10
    assert found.steps[1].high_s is not None


def test_a_plan_asks_for_one_step_at_one_size() -> None:
    one = models(*ENOUGH).predict(DATABASE, "firestore-export", "import", Size(objects=1000))
    assert one is not None
    assert one.low_s is not None
    assert one.high_s is not None
    assert one.low_s < one.median_s < one.high_s
    assert models(*ENOUGH).predict(DATABASE, "firestore-export", "unheard-of", Size(1, 1)) is None
    assert models().predict(DATABASE, "firestore-export", WHOLE, Size(1, 1)) is None


def test_a_plan_gets_bounds_from_five_samples_on() -> None:
    item = replace(planned(DATABASE), method="firestore-export", size=10_000)
    found = planned_step(models(*ENOUGH), item, "import")
    assert found is not None
    assert found.quickest < found.median < found.slowest
    assert found.samples == 8
    assert planned_step(models(*ENOUGH[:4]), item, "import") is None


def test_what_is_declared_to_take_besides_is_added() -> None:
    (plain_one,) = forecasts(models(*ENOUGH), strategy())
    (found,) = forecasts(models(*ENOUGH), strategy(), {SOURCE_LOST: timedelta(minutes=25)})
    assert plain_one.bound_s is not None
    assert found.bound_s == pytest.approx(plain_one.bound_s + 1500)
    assert found.outlook is Outlook.BEYOND


def test_a_run_that_was_resumed_is_one_run_that_took_at_least_both() -> None:
    first = cut(timings(1), 30.0)
    again = replace(timings(1), at=first.at + timedelta(hours=1))
    found = {sample.step: sample for sample in samples_of([again, first])}
    assert len(found) == 3
    assert not found["import"].ended
    assert found["import"].seconds == pytest.approx(28.0 + again.items[0].steps[1].seconds)
    assert found["verify-point"].ended


def test_a_forecast_is_read_back_as_it_was_written() -> None:
    for table in (strategy(DeclaredSize(objects=900)), strategy(DeclaredSize(objects=90_000))):
        found = only(models(*ENOUGH, timings(8, tool_version="0.2.0")), table)
        assert read_forecast(_Reader(forecast_item(found), "")) == found
        said = plain(forecasts_sheet([found], wide=True))
        assert str(found.outlook) in said
        assert "1 run set aside: dr 0.2.0 (now 0.3.0)" in said


def test_the_page_of_a_drill_shows_it() -> None:
    from dr.report.drill_html import drill_html
    from tests.unit.test_report import FULL

    found = only(models(*ENOUGH), strategy(DeclaredSize(objects=90_000)))
    page = drill_html(replace(FULL, forecasts=(found,)))
    assert "Forecast at production&#39;s size" in page or "Forecast at production's size" in page
    assert "insufficient evidence" in page
    assert "90,000 objects are 300 times the largest drilled 300" in page
    assert "Forecast at" not in drill_html(FULL)
