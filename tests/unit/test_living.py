"""Loss judged against the living source: a lower bound, never a lucky guess."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dr.plan.living import lost_against_living
from dr.ports import RestoredItem

T0 = datetime(2025, 5, 28, 10, tzinfo=UTC)
DISASTER = T0 + timedelta(minutes=5)


def item(path: str, sha: str, minutes: float | None) -> RestoredItem:
    return RestoredItem(path, sha, None if minutes is None else T0 + timedelta(minutes=minutes))


def test_a_change_after_the_instant_is_loss_with_its_age_at_the_disaster() -> None:
    lost = lost_against_living([item("a", "2", 3), item("b", "1", -9)], {"a": "1", "b": "1"}, T0, DISASTER)
    assert (lost.lost, lost.oldest_lost_s, lost.wrong, lost.at_least) == (1, 120.0, (), True)


def test_a_difference_without_a_change_is_wrong_content_not_loss() -> None:
    lost = lost_against_living([item("a", "1", -3)], {"a": "tampered"}, T0, DISASTER)
    assert (lost.lost, lost.wrong) == (0, ("a",))


def test_a_missing_old_document_is_wrong_and_a_missing_new_one_is_lost() -> None:
    lost = lost_against_living([item("old", "1", -3), item("new", "1", 1)], {}, T0, DISASTER)
    assert (lost.wrong, lost.lost) == (("old",), 1)


def test_a_change_after_the_disaster_is_no_loss() -> None:
    lost = lost_against_living([item("a", "2", 9)], {"a": "1"}, T0, DISASTER)
    assert (lost.lost, lost.wrong) == (0, ())


def test_a_deletion_after_the_instant_counts() -> None:
    lost = lost_against_living([], {"gone": "1"}, T0, DISASTER)
    assert (lost.lost, lost.oldest_lost_s) == (1, 300.0)


def test_without_change_times_a_difference_is_loss_no_younger_than_the_instant() -> None:
    lost = lost_against_living([item("a", "2", None)], {"a": "1"}, T0, DISASTER)
    assert (lost.lost, lost.oldest_lost_s) == (1, 300.0)
