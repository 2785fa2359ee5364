"""Cadence from RPO, duration and margin; survival from places; prices and predictions."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.model.strategy import FailureDomain, Frequency, Place
from dr.plan.cadence import derive_cadence
from dr.plan.cost import clone_cost, dollars, export_cost, import_cost, month_of_captures
from dr.plan.predict import predict, rounded
from dr.plan.prices import Prices, prices_from
from dr.plan.survive import survival, survived

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def test_daily_alone_misses_24_hours_by_its_own_duration() -> None:
    cadence = derive_cadence(DAY, predict([10 * MINUTE]), 0.2, frequency=Frequency.DAILY)
    assert cadence.reasons[0] == '"daily" alone: 24h + capture 10m = 24h10m, which misses RPO < 24h'
    assert cadence.every == 12 * HOUR
    assert cadence.worst == 12 * HOUR + 10 * MINUTE


def test_a_snapshot_of_whole_minutes_counts_in_the_worst_case() -> None:
    cadence = derive_cadence(15 * MINUTE, predict([20 * timedelta(seconds=1)]), 0.2, MINUTE)
    assert cadence.every == 10 * MINUTE
    assert cadence.reasons[-1] == "every 10m: worst case 10m + 20s + 1m = 11m20s < 15m"


def test_nothing_measured_reserves_the_margin_once_more_and_says_so() -> None:
    cadence = derive_cadence(15 * MINUTE, None, 0.2, MINUTE)
    assert (cadence.every, cadence.measured, cadence.duration) == (8 * MINUTE, False, 3 * MINUTE)
    assert any("nothing measured yet" in reason for reason in cadence.reasons)


def test_rpo_zero_has_no_cadence() -> None:
    cadence = derive_cadence(timedelta(0), None, 0.2)
    assert cadence.every is None
    assert "write waits" in cadence.reasons[0]


def test_a_capture_longer_than_its_cadence_cannot_keep_the_rpo() -> None:
    cadence = derive_cadence(15 * MINUTE, predict([9 * MINUTE]), 0.2)
    assert (cadence.every, cadence.worst) == (None, None)
    assert "do not overlap" in cadence.reasons[-1]


def test_a_capture_longer_than_the_rpo_cannot_keep_it() -> None:
    cadence = derive_cadence(15 * MINUTE, predict([HOUR]), 0.2)
    assert cadence.every is None
    assert "leaves no room" in cadence.reasons[-1]


def test_a_small_change_of_duration_keeps_the_slots_where_they_are() -> None:
    found = {derive_cadence(DAY, predict([timedelta(seconds=s)]), 0.2).every for s in range(60, 900, 7)}
    assert found == {12 * HOUR}


spans = st.integers(1, 90 * 86400).map(lambda seconds: timedelta(seconds=seconds))


@given(spans, st.integers(0, 7200), st.floats(0, 0.99), st.sampled_from([0, 1, 60]))
def test_a_cadence_always_keeps_its_rpo_strictly_and_stays_even(
    rpo: timedelta, duration_s: int, margin: float, granularity_s: int
) -> None:
    duration, granularity = timedelta(seconds=duration_s), timedelta(seconds=granularity_s)
    cadence = derive_cadence(rpo, predict([duration]), margin, granularity)
    if cadence.every is None:
        assert cadence.worst is None
        return
    assert cadence.worst == cadence.every + duration + granularity < rpo
    assert cadence.every >= duration
    assert not DAY % cadence.every or not cadence.every % DAY
    assert not granularity or not cadence.every % granularity


def test_prediction_is_the_slowest_of_the_recent_runs() -> None:
    seconds = [timedelta(seconds=s) for s in (500, *[10] * 18, 30, 20)]
    found = predict(seconds)
    assert found is not None
    assert (found.median, found.slowest, found.samples) == (seconds[1], timedelta(seconds=30), 20)
    assert found.spread == timedelta(seconds=20)
    assert predict([]) is None


def test_durations_read_as_the_table_writes_them() -> None:
    assert [rounded(v) for v in (DAY, 25 * HOUR, 2 * DAY, timedelta(seconds=1.234), timedelta(seconds=61.7))] == [
        "24h",
        "25h",
        "2d",
        "1s200ms",
        "1m2s",
    ]


# --- survival -------------------------------------------------------------------------------------------------------

SOURCE = Place("energent", "us-central1")


def domains(copy: Place, source: Place = SOURCE) -> set[FailureDomain]:
    return set(survived(source, copy))


BASE = {FailureDomain.LOGICAL, FailureDomain.SOURCE, FailureDomain.CLUSTER}


@pytest.mark.parametrize(
    ("location", "survives"),
    [
        ("us-east1", True),
        ("us-central1", False),
        ("US-CENTRAL1-A", False),
        ("us", True),
        ("nam4", True),
        ("us-central1+us-east1", True),
        ("us-central1+us-central1", False),
        ("", False),
        ("moon", False),
    ],
)
def test_a_copy_survives_its_region_only_from_elsewhere(location: str, survives: bool) -> None:
    assert (FailureDomain.REGION in domains(Place("vault", location))) is survives


def test_a_multi_region_source_is_lost_together_with_a_copy_in_one_of_its_regions() -> None:
    source = Place("energent", "nam5")
    assert FailureDomain.REGION not in domains(Place("vault", "us-central1"), source)
    assert FailureDomain.REGION in domains(Place("vault", "us-west1"), source)


def test_a_project_is_survived_only_when_both_are_declared_and_differ() -> None:
    assert FailureDomain.PROJECT in domains(Place("vault", ""))
    assert domains(Place("energent", "us-central1")) == BASE
    assert domains(Place()) == BASE
    assert all(entry.reason for entry in survival(SOURCE, Place()))


def test_a_history_inside_the_source_survives_a_bad_write_only() -> None:
    assert survived(SOURCE, Place("vault", "us-east1"), inside_source=True) == (FailureDomain.LOGICAL,)


# --- cost -----------------------------------------------------------------------------------------------------------


def test_costs_show_their_arithmetic_and_whose_price_it_is() -> None:
    once = export_cost(10_000_000, Prices())
    assert once.usd == pytest.approx(3.0)
    assert once.arithmetic == "10,000,000 documents x 0.3 $/M reads (list price)"
    ours = prices_from({"firestore_read_million": 0.1})
    assert export_cost(10_000_000, ours).arithmetic.endswith("(the strategy's price)")
    assert month_of_captures(once, DAY).usd == pytest.approx(3.0 * 730 / 24)
    assert clone_cost(1024**3, Prices()).usd == pytest.approx(0.2)
    assert import_cost(1_000_000, Prices()).usd == pytest.approx(0.9)


def test_a_cost_never_reads_as_nothing() -> None:
    assert [dollars(v) for v in (0, 1234.5, 0.00123, 0.0000001)] == ["$0.00", "$1,234.50", "$0.0012", "< $0.0001"]


def test_unknown_or_negative_prices_are_refused() -> None:
    with pytest.raises(ValueError, match="not a price"):
        prices_from({"reads": 1})
    with pytest.raises(ValueError, match="negative"):
        prices_from({"storage_gib_month": -1})
