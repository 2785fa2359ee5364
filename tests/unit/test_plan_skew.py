"""One instant over everything: what each source really gets, how far apart they are, and what would be nearer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dr.errors import SKEW_TOO_GREAT, DrError
from dr.model.ids import Slot, SourceId
from dr.model.plans import Offer, PlannedRestore, RestorePlan, Target
from dr.model.points import Coverage, Nearest, PointSummary
from dr.model.strategy import FailureDomain
from dr.plan.choose import nearest_by_domain
from dr.plan.skew import Instants, skew_of, tightest
from dr.run.planning import refuse_skew

T0 = datetime(2025, 5, 28, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
DATABASE = SourceId("appdata", "firestore", "db")


def at(hours: float) -> datetime:
    return T0 + hours * HOUR


def test_skew_is_between_the_oldest_and_the_newest() -> None:
    skew = skew_of([("appdata", at(10)), ("cluster", at(1)), ("audit", at(9))])
    assert skew is not None
    assert (skew.span, skew.oldest_source, skew.newest_source) == (9 * HOUR, "cluster", "appdata")
    assert skew_of([]) is None


def continuous_and_daily(instant: datetime) -> Instants | None:
    """Two rows that have every instant since 02:00, and one that has midnight and midday only."""
    points = [point for point in (at(0), at(12)) if point <= instant]
    if not points:
        return None
    return [("appdata", instant), ("audit", instant), ("cluster", max(points))]


def test_the_instant_of_the_daily_point_is_offered() -> None:
    now = continuous_and_daily(at(20))
    assert now is not None
    assert tightest(now, continuous_and_daily) == (at(12), timedelta(0))


def test_of_instants_that_are_as_good_the_newest_is_offered() -> None:
    def whole_hours(instant: datetime) -> Instants | None:
        daily = at(12) if instant >= at(12) else at(0)
        return [
            ("appdata", instant),
            ("audit", min(instant, at(13))),
            ("cluster", daily if instant > at(13) else instant),
        ]

    now = whole_hours(at(20))
    assert now is not None
    assert tightest(now, whole_hours) == (at(13), timedelta(0))


def test_nothing_is_offered_where_nothing_is_nearer() -> None:
    now = continuous_and_daily(at(12))
    assert now is not None
    assert tightest(now, continuous_and_daily) is None


def test_an_instant_that_some_source_does_not_have_is_not_offered() -> None:
    def only_now(instant: datetime) -> Instants | None:
        return continuous_and_daily(instant) if instant > at(12) else None

    now = continuous_and_daily(at(20))
    assert now is not None
    assert tightest(now, only_now) is None


def plan(*instants: datetime, max_skew: timedelta | None, offer: Offer | None = None) -> RestorePlan:
    items = tuple(
        PlannedRestore(
            SourceId(f"row{index}", "fake", "x"),
            FailureDomain.LOGICAL,
            "fake",
            None,
            instant,
            Target(False),
            0,
            None,
            0.0,
            (),
            (),
        )
        for index, instant in enumerate(instants)
    )
    return RestorePlan("p", at(20), at(20), "sha", items, max_skew=max_skew, offer=offer)


def test_more_than_was_allowed_is_refused_and_the_nearer_instant_named() -> None:
    made = plan(at(20), at(12), max_skew=HOUR, offer=Offer(at(12), timedelta(0)))
    with pytest.raises(DrError, match=r"8h apart; --max-skew allows 1h") as caught:
        refuse_skew(made)
    assert caught.value.kind is SKEW_TOO_GREAT
    assert "2025-05-28T12:00:00Z" in caught.value.hint


def test_what_is_allowed_passes() -> None:
    refuse_skew(plan(at(20), at(12), max_skew=8 * HOUR))
    refuse_skew(plan(at(20), at(12), max_skew=None))
    refuse_skew(replace(plan(max_skew=HOUR), items=()))


def point(hours: float, *survives: FailureDomain) -> PointSummary:
    when = at(hours)
    return PointSummary(
        Slot(DATABASE, when), "firestore-export", when, when, when, 1, survives, at(9999), f"points/{hours}", 1, "crc"
    )


def test_each_loss_has_its_own_nearest_instants() -> None:
    every = tuple(FailureDomain)
    live = Coverage(DATABASE, "firestore-pitr", at(19), at(20), MINUTE, (FailureDomain.LOGICAL,))
    points = [point(2, *every), point(14, FailureDomain.LOGICAL, FailureDomain.SOURCE)]
    found = {one.domain: one for one in nearest_by_domain(at(13), DATABASE, points, [live], at(20))}
    assert found[FailureDomain.LOGICAL] == Nearest(FailureDomain.LOGICAL, at(2), at(14))
    assert found[FailureDomain.REGION] == Nearest(FailureDomain.REGION, at(2), None)
    before = {one.domain: one for one in nearest_by_domain(at(1), DATABASE, points, [live], at(20))}
    assert before[FailureDomain.PROJECT] == Nearest(FailureDomain.PROJECT, None, at(2))
