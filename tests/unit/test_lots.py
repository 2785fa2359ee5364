"""Old points by lot; the worst RPO over all that was captured; the search for the newest clean point. All pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.model.ids import Slot, SourceId
from dr.model.points import Coverage, PointSummary
from dr.model.strategy import FailureDomain
from dr.plan.lots import draw
from dr.plan.search import found, next_try
from dr.plan.worst import worst_rpo
from tests.unit.fakes import ALL_DOMAINS, DATABASE, T0

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SOURCE, LOGICAL = FailureDomain.SOURCE, FailureDomain.LOGICAL
CONFIG = SourceId("config", "kubernetes", "x")


def point(
    age: timedelta, took: timedelta = timedelta(0), survives: Sequence[FailureDomain] = ALL_DOMAINS
) -> PointSummary:
    at = T0 - age
    return PointSummary(Slot(DATABASE, at), "m", at, at, at + took, 9, tuple(survives), T0, f"points/{at}", 1, "")


def log(start: timedelta, end: timedelta) -> Coverage:
    return Coverage(CONFIG, "log", T0 - start, T0 - end, timedelta(0), ALL_DOMAINS)


# --- lots


def test_the_same_seed_draws_the_same_instant_and_another_seed_another() -> None:
    points = [point(DAY * i) for i in range(90)]
    one, same, other = (draw(seed, DATABASE, SOURCE, points, (), T0 - 90 * DAY) for seed in ("a", "a", "b"))
    assert one == same
    assert one
    assert other
    assert one.requested != other.requested
    assert (one.first, one.last) == (T0 - 89 * DAY, T0)


def test_each_row_and_domain_has_its_own_lot() -> None:
    points = [point(DAY * i) for i in range(90)]
    found_ = {draw("a", DATABASE, domain, points, (), T0 - 90 * DAY) for domain in ALL_DOMAINS}
    assert len({one.requested for one in found_ if one}) == len(ALL_DOMAINS)


@given(st.text(max_size=8))
def test_a_lot_lies_where_a_point_survives_the_loss(seed: str) -> None:
    points = [point(DAY * i, survives=(LOGICAL,) if i < 10 else ALL_DOMAINS) for i in range(40)]
    drawn = draw(seed, DATABASE, SOURCE, points, (), T0 - 30 * DAY)
    assert drawn
    assert T0 - 30 * DAY <= drawn.requested <= T0 - 10 * DAY


def test_a_lot_covers_the_whole_retention_evenly() -> None:
    """The days of the last week are few of ninety, though most points are of them."""
    points = [point(HOUR * i) for i in range(24 * 7)] + [point(DAY * i) for i in range(90)]
    drawn = [draw(str(seed), DATABASE, SOURCE, points, (), T0 - 90 * DAY) for seed in range(400)]
    ages = [(T0 - one.requested) / DAY for one in drawn if one]
    assert len(ages) == 400
    assert sum(age > 45 for age in ages) == pytest.approx(200, abs=50)
    assert sum(age <= 7 for age in ages) < 70


def test_a_log_may_be_drawn_at_any_instant_that_the_retention_still_keeps() -> None:
    drawn = draw("x", CONFIG, SOURCE, (), (log(400 * DAY, timedelta(0)),), T0 - 365 * DAY)
    assert drawn
    assert drawn.first == T0 - 365 * DAY


def test_nothing_to_draw_is_no_instant() -> None:
    assert draw("x", DATABASE, SOURCE, (), (), T0) is None
    assert draw("x", DATABASE, SOURCE, [point(DAY, survives=(LOGICAL,))], (), T0 - 9 * DAY) is None


# --- the worst RPO


def test_the_worst_loss_is_just_before_the_next_point_is_committed() -> None:
    points = [point(10 * HOUR), point(7 * HOUR, took=HOUR), point(HOUR), point(timedelta(0))]
    worst = worst_rpo(DATABASE, SOURCE, points, (), T0)
    assert worst
    # data of 7 h ago was the newest until the point of 1 h ago
    assert worst.seconds == 6 * 3600
    assert worst.points == 4
    assert worst.since == T0 - 10 * HOUR


def test_silence_until_now_counts_and_what_was_committed_later_does_not() -> None:
    points = [point(9 * HOUR), point(8 * HOUR), point(-HOUR)]
    worst = worst_rpo(DATABASE, SOURCE, points, (), T0)
    assert worst
    assert (worst.seconds, worst.points) == (8 * 3600, 2)


def test_points_that_do_not_survive_the_loss_do_not_count() -> None:
    points = [point(9 * HOUR), point(HOUR, survives=(LOGICAL,))]
    found_ = [worst_rpo(DATABASE, domain, points, (), T0) for domain in (SOURCE, LOGICAL)]
    assert [worst.seconds for worst in found_ if worst] == [9 * 3600, 8 * 3600]
    assert worst_rpo(DATABASE, SOURCE, (), (), T0) is None


def test_of_a_log_the_gaps_count() -> None:
    worst = worst_rpo(CONFIG, SOURCE, (), (log(9 * HOUR, 6 * HOUR), log(4 * HOUR, timedelta(seconds=3))), T0)
    assert worst
    assert (worst.seconds, worst.points) == (2 * 3600, 2)


# --- the newest clean point


@given(st.integers(1, 3000), st.integers(0, 3000))
def test_the_search_finds_the_newest_clean_point_in_few_restores(count: int, bad: int) -> None:
    tried: dict[int, bool] = {}
    while (index := next_try(count, tried)) is not None:
        assert index not in tried
        tried[index] = index >= bad
    assert found(tried) == (bad if bad < count else None)
    assert len(tried) <= 2 * max(1, min(bad, count)).bit_length() + 2
    if bad:
        assert tried[0] is False, "the newest is restored too, and shown to be bad"


def test_without_points_there_is_nothing_to_try() -> None:
    assert next_try(0, {}) is None
