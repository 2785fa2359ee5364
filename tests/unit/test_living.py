"""Loss judged against the living source: a lower bound, never a lucky guess."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta

import pytest

from dr.model.evidence import LostWrites
from dr.model.ids import SourceId
from dr.model.plans import PlannedRestore, Target
from dr.model.strategy import FailureDomain
from dr.model.timeline import format_instant
from dr.plan.living import lost_against_living, lost_of_additions
from dr.ports import RestoredItem
from dr.run.measured import LivingSource

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


def test_what_is_deleted_while_the_source_is_read_is_named_and_no_loss() -> None:
    """The copy is of the very instant of the disaster: the deletion came after it."""
    lost = lost_against_living([], {"gone": "1"}, DISASTER, DISASTER)
    assert (lost.lost, lost.unexpected) == (0, ("gone",))


def test_without_change_times_a_difference_is_loss_no_younger_than_the_instant() -> None:
    lost = lost_against_living([item("a", "2", None)], {"a": "1"}, T0, DISASTER)
    assert (lost.lost, lost.oldest_lost_s) == (1, 300.0)


# --- with what the source remembers


def remembered(living: list[RestoredItem], restored: dict[str, str], then: dict[str, str]) -> LostWrites:
    """The source is asked for just the paths that it cannot tell as it is."""
    asked: list[frozenset[str]] = []

    def recall(_: str, paths: Collection[str], at: datetime) -> dict[str, str]:
        assert at == T0
        asked.append(frozenset(paths))
        return {path: sha for path, sha in then.items() if path in paths}

    future: Future[Sequence[RestoredItem]] = Future()
    future.set_result(living)
    planned_item = planned("firestore")
    judged = LivingSource({str(planned_item.source): future}, DISASTER, recall).judge(planned_item, restored)
    assert judged is not None
    assert all(asked)
    return judged


def test_wrong_content_that_was_overwritten_since_is_wrong() -> None:
    lost = remembered([item("a", "2", 3)], {"a": "tampered"}, {"a": "1"})
    assert (lost.lost, lost.wrong) == (0, ("a",))


def test_what_changed_since_and_is_as_it_was_is_a_loss() -> None:
    lost = remembered([item("a", "2", 3), item("new", "1", 4)], {"a": "1"}, {"a": "1"})
    assert (lost.lost, lost.oldest_lost_s, lost.wrong, lost.absent) == (2, 120.0, (), ("a", "new"))


def test_a_document_that_nobody_wrote_is_told_from_one_that_was_deleted_since() -> None:
    lost = remembered(
        [item("a", "1", -1)], {"a": "1", "deleted": "1", "forged": "1", "other": "x"}, {"deleted": "1", "other": "1"}
    )
    assert (lost.lost, lost.oldest_lost_s, lost.wrong) == (1, 300.0, ("forged", "other"))


def test_one_that_is_missing_in_the_copy_and_was_overwritten_since_is_wrong() -> None:
    assert remembered([item("a", "2", 3)], {}, {"a": "1"}).wrong == ("a",)


def test_a_change_after_the_disaster_hides_no_wrong_content() -> None:
    lost = remembered([item("a", "2", 9)], {"a": "tampered"}, {"a": "1"})
    assert (lost.lost, lost.wrong) == (0, ("a",))
    assert remembered([item("a", "2", 9)], {"a": "1"}, {"a": "1"}).wrong == ()


def test_nothing_is_asked_when_the_living_source_tells_all() -> None:
    future: Future[Sequence[RestoredItem]] = Future()
    future.set_result([item("a", "1", -3), item("same again", "1", 2), item("tampered", "1", -3)])

    def recall(*_: object) -> None:
        raise AssertionError("nothing was to be asked")

    planned_item = planned("firestore")
    restored = {"a": "1", "same again": "1", "tampered": "x"}
    judged = LivingSource({str(planned_item.source): future}, DISASTER, recall).judge(planned_item, restored)
    assert judged is not None
    assert (judged.lost, judged.wrong) == (0, ("tampered",))


def test_a_source_that_forgot_gives_the_lower_bound() -> None:
    lost = lost_against_living([item("a", "2", 3)], {"a": "tampered", "gone": "1"}, T0, DISASTER, None)
    assert (lost.lost, lost.wrong) == (2, ())


def added(living: list[RestoredItem], restored: dict[str, str]) -> LostWrites:
    return lost_of_additions(living, restored, T0, DISASTER)


def test_an_addition_that_was_not_restored_is_lost_however_old_it_is() -> None:
    lost = added([item("a", "1", 0), item("b", "1", 3), item("c", "1", 4)], {"c": "1"})
    assert (lost.acknowledged, lost.lost, lost.oldest_lost_s, lost.wrong) == (3, 2, 300.0, ())


def test_what_only_the_copy_has_is_aged_out_where_it_lived() -> None:
    lost = added([item("new", "1", 3)], {"new": "1", "aged": "1"})
    assert (lost.acknowledged, lost.lost, lost.wrong, lost.unexpected) == (1, 0, (), ())


def test_what_was_added_before_the_capture_began_or_after_the_disaster_is_not_judged() -> None:
    lost = added([item("before", "1", -1), item("after", "1", 6)], {})
    assert (lost.acknowledged, lost.lost) == (0, 0)


def test_an_addition_of_other_content_is_wrong() -> None:
    lost = added([item("a", "1", 2)], {"a": "2"})
    assert (lost.lost, lost.wrong, lost.at_least) == (0, ("a",), True)


def planned(kind: str, **details: object) -> PlannedRestore:
    source = SourceId("audit" if kind == "pubsub" else "cluster", kind, "x")
    target = Target(isolated=True)
    return PlannedRestore(source, FailureDomain.SOURCE, "m", None, T0, target, 0, None, 0.0, (), (), details)


@pytest.mark.parametrize(("kind", "lost"), [("pubsub", 0), ("velero", 1)])
def test_the_kind_of_source_decides_what_its_absence_means(kind: str, lost: int) -> None:
    future: Future[Sequence[RestoredItem]] = Future()
    future.set_result([item("old", "1", -3)])
    item_of = planned(kind, since=format_instant(T0))
    judged = LivingSource({str(item_of.source): future}, DISASTER).judge(item_of, {"gone there": "1"})
    assert judged is not None
    assert judged.lost == lost


def test_without_a_beginning_everything_that_lives_is_wanted() -> None:
    future: Future[Sequence[RestoredItem]] = Future()
    future.set_result([item("old", "1", -3)])
    judged = LivingSource({"audit/pubsub/x": future}, DISASTER).judge(planned("pubsub"), {})
    assert judged is not None
    assert judged.lost == 1
