"""The last clean copy is found with few restores, the ends are looked at first, and what does not fit is named."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr.model.bisecting import Answer, Finding
from dr.model.ids import Slot
from dr.model.points import Coverage, PointSummary
from dr.model.strategy import FailureDomain
from dr.plan.bisecting import Conclusion, candidates, contradictions, most_guesses, next_guess
from dr.plan.choose import Chosen
from tests.unit.fakes import ALL_DOMAINS, CLUSTER, DATABASE, T0

CLEAN, BAD, UNKNOWN = Answer.CLEAN, Answer.BAD, Answer.UNKNOWN


def search(count: int, truth: Callable[[int], Answer], confirm: int = 0) -> tuple[Conclusion, dict[int, Answer]]:
    """Ask until there is an answer; the order of asking is that of the dict."""
    answers: dict[int, Answer] = {}
    while isinstance(number := next_guess(count, answers, confirm), int):
        assert number not in answers, "nothing is restored twice"
        answers[number] = truth(number)
        assert len(answers) <= count
    return number, answers


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8, 9, 16, 17, 33, 100, 1000])
def test_the_boundary_is_found_wherever_it_is(count: int) -> None:
    for first_bad in range(1, count) if count < 40 else range(1, count, 7):
        found, answers = search(count, lambda number, first=first_bad: BAD if number >= first else CLEAN)
        assert found == Conclusion(Finding.FOUND, first_bad - 1, first_bad)
        assert len(answers) <= math.ceil(math.log2(count)) + 2
        assert list(answers)[:2] == [count - 1, 0], "the ends come first"
        assert most_guesses(count) == math.ceil(math.log2(count)) + 2


def test_ends_that_are_not_as_they_must_be_end_the_search_at_once() -> None:
    assert search(50, lambda _: CLEAN) == (Conclusion(Finding.NOTHING_BAD, last_clean=49), {49: CLEAN})
    found, answers = search(50, lambda _: BAD)
    assert (found, list(answers)) == (Conclusion(Finding.NOTHING_CLEAN, first_bad=0), [49, 0])
    assert search(1, lambda _: BAD)[0] == Conclusion(Finding.NOTHING_CLEAN, first_bad=0)
    assert search(1, lambda _: CLEAN)[0].finding is Finding.NOTHING_BAD
    assert search(5, lambda _: UNKNOWN)[0].finding is Finding.UNDECIDED
    assert search(5, lambda number: BAD if number == 4 else UNKNOWN)[0].finding is Finding.UNDECIDED


@settings(max_examples=200)
@given(st.data())
def test_what_cannot_be_told_is_gone_around(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 60))
    first_bad = data.draw(st.integers(1, count - 1))
    dumb = data.draw(st.sets(st.integers(0, count - 1), max_size=count // 2))
    found, answers = search(count, lambda number: UNKNOWN if number in dumb else BAD if number >= first_bad else CLEAN)
    told = [number for number in range(count) if number not in dumb]
    clean = [number for number in told if number < first_bad]
    bad = [number for number in told if number >= first_bad]
    if clean and bad:
        assert found == Conclusion(Finding.FOUND, clean[-1], bad[0])
    untold = sum(answer is UNKNOWN for answer in answers.values())
    assert len(answers) - untold <= math.ceil(math.log2(count)) + 2


@settings(max_examples=200)
@given(st.lists(st.sampled_from([CLEAN, BAD]), min_size=2, max_size=40), st.integers(0, 12))
def test_whatever_is_true_the_search_ends_and_the_answer_was_seen(truth: list[Answer], confirm: int) -> None:
    """Also when what is bad does not stay bad: the two that are named are neighbours and were looked at."""
    found, answers = search(len(truth), truth.__getitem__, confirm)
    if found.finding is not Finding.FOUND:
        return
    assert found.last_clean is not None
    assert found.first_bad is not None
    assert (truth[found.last_clean], truth[found.first_bad]) == (CLEAN, BAD)
    assert found.first_bad == found.last_clean + 1
    seen_bad_before = [number for number in answers if number < found.first_bad and answers[number] is BAD]
    assert seen_bad_before == []


def test_looking_further_finds_what_did_not_stay_bad() -> None:
    """Bad for a while in the middle, and bad again at the end: halving alone may miss it, more looks do not."""
    truth = [CLEAN] * 10 + [BAD] * 6 + [CLEAN] * 10 + [BAD] * 6
    found, answers = search(len(truth), truth.__getitem__, confirm=12)
    told = list(contradictions(answers, str))
    assert (found.last_clean, found.first_bad) == (9, 10)
    assert told
    assert "although 10 before it is bad" in told[0]
    assert list(contradictions({0: CLEAN, 1: CLEAN, 2: BAD, 5: BAD}, str)) == []


def test_confirming_costs_what_was_asked_for() -> None:
    for confirm in (0, 1, 3):
        _, answers = search(64, lambda number: BAD if number >= 20 else CLEAN, confirm)
        plain = search(64, lambda number: BAD if number >= 20 else CLEAN)[1]
        assert len(answers) == len(plain) + confirm


# --- candidates ------------------------------------------------------------------------------------------------------


def point(minutes: float, survives: tuple[FailureDomain, ...] = ALL_DOMAINS) -> PointSummary:
    as_of = T0 + timedelta(minutes=minutes)
    slot = Slot(DATABASE, as_of)
    return PointSummary(slot, "fake", as_of, as_of, as_of, 9, survives, T0, f"points/{slot.id}.json", 1, "")


def at(*minutes: float) -> tuple[object, ...]:
    return tuple(T0 + timedelta(minutes=one) for one in minutes)


SOURCE_LOST = FailureDomain.SOURCE


def test_points_that_survive_the_loss_are_candidates_within_the_range() -> None:
    points = [point(0), point(10), point(20), point(30), point(15, survives=(FailureDomain.LOGICAL,))]
    assert candidates([DATABASE], points, [], SOURCE_LOST, None, T0 + timedelta(minutes=60)) == at(0, 10, 20, 30)
    first, last = T0 + timedelta(minutes=5), T0 + timedelta(minutes=20)
    assert candidates([DATABASE], points, [], SOURCE_LOST, first, last) == at(10, 20)
    assert candidates([CLUSTER], points, [], SOURCE_LOST, first, last) == ()


def test_a_history_offers_its_ends_or_an_instant_every_so_often() -> None:
    history = Coverage(DATABASE, "config-log", T0, T0 + timedelta(minutes=10), timedelta(0), (SOURCE_LOST,))
    late = T0 + timedelta(days=1)
    assert candidates([DATABASE], [], [history], SOURCE_LOST, None, late) == at(0, 10)
    found = candidates([DATABASE], [point(4)], [history], SOURCE_LOST, None, late, timedelta(minutes=3))
    assert found == at(0, 3, 4, 6, 9, 10)
    whole = replace(history, start=T0 + timedelta(seconds=20), granularity=timedelta(minutes=1))
    assert candidates([DATABASE], [], [whole], SOURCE_LOST, None, late, timedelta(minutes=4)) == at(4, 8, 10)
    with pytest.raises(ValueError, match="more than 100,000 instants"):
        candidates([DATABASE], [], [history], SOURCE_LOST, None, late, timedelta(microseconds=10))
    assert candidates([DATABASE], [], [history], SOURCE_LOST, late, late) == ()


def test_choosing_an_instant_gives_just_that_candidate() -> None:
    from dr.plan.choose import choose

    points = [point(0), point(10), point(20)]
    for wanted in candidates([DATABASE], points, [], SOURCE_LOST, None, T0 + timedelta(hours=1)):
        chosen = choose(wanted, DATABASE, SOURCE_LOST, points, [], T0 + timedelta(hours=2))
        assert isinstance(chosen, Chosen)
        assert chosen.instant == wanted
