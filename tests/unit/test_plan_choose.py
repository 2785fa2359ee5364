"""From what to restore: the nearest origin that survives, or a gap that offers its neighbours."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dr.model.ids import Slot, SourceId
from dr.model.points import Coverage, Gap, PointSummary
from dr.model.strategy import FailureDomain
from dr.plan.choose import Chosen, choose

DB = SourceId("appdata", "firestore", "db")
NOW = datetime(2025, 5, 28, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ALL = tuple(FailureDomain)
LOCAL = (FailureDomain.LOGICAL, FailureDomain.SOURCE, FailureDomain.CLUSTER)


def point(minutes_ago: float, survives: tuple[FailureDomain, ...] = ALL, source: SourceId = DB) -> PointSummary:
    at = NOW - minutes_ago * MINUTE
    slot = Slot(source, at)
    kept = NOW + 90 * MINUTE
    return PointSummary(slot, "firestore-export", at, at, at + MINUTE, 1, survives, kept, f"p/{slot}", 1, "")


PITR = Coverage(DB, "firestore-pitr", NOW - 60 * MINUTE, NOW, MINUTE, (FailureDomain.LOGICAL,))


def pick(
    minutes_ago: float, domain: FailureDomain, points: list[PointSummary], live: list[Coverage] | None = None
) -> Chosen | Gap:
    return choose(NOW - minutes_ago * MINUTE, DB, domain, points, [PITR] if live is None else live, NOW)


def test_a_bad_write_is_answered_by_the_source_itself_to_the_minute() -> None:
    found = pick(5, FailureDomain.LOGICAL, [point(10)])
    assert isinstance(found, Chosen)
    assert (found.method, found.point) == ("firestore-pitr", None)
    assert found.instant == datetime(2025, 5, 28, 11, 55, tzinfo=UTC)
    assert found.behind == timedelta(seconds=30)
    assert found.reasons[-1] == "passed over 1 point further back"


def test_a_deleted_database_is_answered_by_the_newest_point_before_the_instant() -> None:
    found = pick(5, FailureDomain.SOURCE, [point(20), point(10), point(2)])
    assert isinstance(found, Chosen)
    assert found.instant == NOW - 10 * MINUTE
    assert found.reasons[1:] == (
        "passed over firestore-pitr history: it is lost with domain source",
        "passed over 1 point after the requested instant",
        "passed over 1 point further back",
    )


def test_points_that_do_not_survive_are_passed_over_and_counted() -> None:
    found = pick(0, FailureDomain.REGION, [point(20), point(10, LOCAL), point(5, LOCAL)])
    assert isinstance(found, Chosen)
    assert found.instant == NOW - 20 * MINUTE
    assert "passed over 2 points nearer: not surviving the loss of domain region" in found.reasons


def test_at_the_same_instant_the_living_history_comes_first() -> None:
    found = pick(0.5, FailureDomain.LOGICAL, [point(0.5)])
    assert isinstance(found, Chosen)
    assert found.point is None


def test_outside_the_window_a_point_answers() -> None:
    found = pick(90, FailureDomain.LOGICAL, [point(100)])
    assert isinstance(found, Chosen)
    assert found.point is not None
    assert "passed over firestore-pitr history: it begins at 2025-05-28T11:00:30Z" in found.reasons


def test_an_instant_before_the_first_point_is_a_gap_with_the_next() -> None:
    found = pick(200, FailureDomain.SOURCE, [point(100), point(50)])
    assert isinstance(found, Gap)
    assert (found.before, found.after) == (None, NOW - 100 * MINUTE)
    assert "before the first point" in found.reason


def test_before_the_window_the_first_whole_minute_of_it_is_offered() -> None:
    found = pick(61, FailureDomain.LOGICAL, [])
    assert isinstance(found, Gap)
    assert found.after == datetime(2025, 5, 28, 11, 1, tzinfo=UTC)


def test_a_future_instant_is_refused_and_the_newest_offered() -> None:
    found = pick(-1, FailureDomain.SOURCE, [point(10)])
    assert isinstance(found, Gap)
    assert "future" in found.reason
    assert (found.before, found.after) == (NOW - 10 * MINUTE, None)


def test_gaps_say_whether_anything_is_there_at_all() -> None:
    nothing = pick(1, FailureDomain.SOURCE, [point(5, source=SourceId("appdata", "firestore", "other"))], [])
    assert isinstance(nothing, Gap)
    assert nothing.reason == "nothing is captured yet"
    perished = pick(1, FailureDomain.PROJECT, [point(5, LOCAL)])
    assert isinstance(perished, Gap)
    assert perished.reason == "none of 1 points nor the live history survives the loss of domain project"


points_of = st.lists(
    st.builds(point, st.integers(0, 500), st.sampled_from([ALL, LOCAL, (FailureDomain.LOGICAL,)])), max_size=12
)


@given(points_of, st.integers(-10, 520), st.sampled_from(list(FailureDomain)), st.booleans())
def test_never_after_the_instant_never_perished_and_nothing_nearer_was_left(
    points: list[PointSummary], minutes_ago: int, domain: FailureDomain, live: bool
) -> None:
    requested = NOW - minutes_ago * MINUTE
    found = pick(minutes_ago, domain, points, [PITR] if live else [])
    usable = [p.as_of for p in points if domain in p.survives]
    if isinstance(found, Gap):
        assert requested > NOW or not any(at <= requested for at in usable)
        assert found.before is None or found.before <= requested
        assert found.after is None or found.after > requested
        return
    assert found.instant <= requested <= NOW
    assert found.point is None or domain in found.point.survives
    assert found.coverage is None or domain in found.coverage.survives
    assert all(at <= found.instant for at in usable if at <= requested)
