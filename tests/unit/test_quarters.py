"""Drills are due by calendar quarter or by night, whatever the clock's zone; what was skipped is answered for, what died is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from dr.plan.quarters import NIGHT, QUARTER, Past, drill_standing, quarter_name, quarter_of

MAY = datetime(2025, 5, 28, 10, tzinfo=UTC)
APRIL, JULY = datetime(2025, 4, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "name", "start", "end"),
    [
        (MAY, "2025 Q2", (2025, 4), (2025, 7)),
        (datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC), "2025 Q4", (2025, 10), (2026, 1)),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026 Q1", (2026, 1), (2026, 4)),
        (datetime(2024, 9, 30, tzinfo=UTC), "2024 Q3", (2024, 7), (2024, 10)),
        (datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2025 Q4", (2025, 10), (2026, 1)),
    ],
)
def test_a_quarter_is_that_of_the_calendar_in_utc(
    at: datetime, name: str, start: tuple[int, int], end: tuple[int, int]
) -> None:
    assert quarter_name(at) == name
    assert quarter_of(at) == (datetime(*start, 1, tzinfo=UTC), datetime(*end, 1, tzinfo=UTC))


def test_a_quarter_without_a_drill_is_due_from_its_first_instant() -> None:
    before = [Past(APRIL - timedelta(seconds=1), "passed")]
    found = drill_standing(QUARTER, before, APRIL)
    assert (found.due, found.next, found.late) == (True, APRIL, False)
    assert drill_standing(QUARTER, before, JULY - timedelta(days=20)).late


@pytest.mark.parametrize(
    ("how", "due", "next_due"),
    [
        ("passed", False, JULY),
        ("skipped", False, JULY),
        ("failed", False, MAY + timedelta(days=6)),
        ("aborted", True, MAY),
    ],
)
def test_what_became_of_the_quarters_drill_decides(how: str, due: bool, next_due: datetime) -> None:
    found = drill_standing(QUARTER, [Past(MAY - timedelta(days=1), how)], MAY)
    assert (found.due, found.next) == (due, next_due)
    assert how in found.why


def test_a_failed_drill_is_due_again_after_a_week_and_a_later_pass_settles_it() -> None:
    failed = Past(MAY - timedelta(days=8), "failed")
    assert drill_standing(QUARTER, [failed], MAY).due
    assert not drill_standing(QUARTER, [failed, Past(MAY - timedelta(days=1), "passed")], MAY).due


def test_a_failure_at_the_quarters_end_is_not_carried_into_the_next() -> None:
    failed = [Past(JULY - timedelta(days=1), "failed")]
    assert drill_standing(QUARTER, failed, JULY - timedelta(hours=1)).next == JULY
    assert drill_standing(QUARTER, failed, JULY).due


def test_nightly_drills_follow_each_other_whatever_became_of_the_last() -> None:
    assert drill_standing(NIGHT, [], MAY).due
    for how in ("passed", "failed", "aborted", "skipped"):
        assert not drill_standing(NIGHT, [Past(MAY - timedelta(hours=19), how)], MAY).due
        assert drill_standing(NIGHT, [Past(MAY - timedelta(hours=23, minutes=50), how)], MAY).due
    assert drill_standing(NIGHT, [Past(MAY - timedelta(days=3), "passed")], MAY).late


def test_a_drill_of_the_future_does_not_silence_the_calendar() -> None:
    ahead = [Past(MAY + timedelta(days=3), "passed")]
    assert drill_standing(QUARTER, ahead, MAY).due
    assert drill_standing(NIGHT, ahead, MAY).due


def test_what_people_run_is_never_due() -> None:
    assert not drill_standing("", [], MAY).due
