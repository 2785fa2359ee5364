"""Segments, data of dead runs, quarantine: what positively may go, and that everything else stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.plan.leftovers import (
    LONG_AGO,
    SEGMENT_LOCK,
    Attempt,
    Loose,
    Pack,
    RunFacts,
    Segment,
    decide_attempt,
    decide_quarantine,
    decide_segments,
)

NOW = datetime(2026, 3, 4, tzinfo=UTC)
DAY = timedelta(days=1)
OLD = NOW - 30 * DAY


def segment(seq: int, lock: datetime | None = NOW - DAY, *, held: bool = False, created: datetime = OLD) -> Segment:
    return Segment(Loose(f"log/pubsub.a/{seq:012d}.zst", created, lock, held), seq, f"sha{seq}")


def pack(first: int, last: int, flaw: str = "") -> Pack:
    return Pack(f"points/{first}.json", first, last, f"sha{last}", flaw)


def going(segments: Sequence[Segment], packs: Sequence[Pack]) -> list[int]:
    fates = decide_segments(segments, packs, NOW)
    assert all(fate.reason for fate in fates)
    return [int(fate.name[-16:-4]) for fate in fates if not fate.keep]


def test_segments_go_when_a_pack_holds_them_and_the_log_went_on() -> None:
    segments = [segment(seq) for seq in range(1, 9)]
    assert going(segments, [pack(1, 3), pack(4, 6)]) == [1, 2, 3, 4, 5, 6]


def test_without_a_pack_nothing_goes() -> None:
    assert going([segment(seq) for seq in range(1, 9)], []) == []


def test_a_hole_between_packs_keeps_what_lies_in_it() -> None:
    assert going([segment(seq) for seq in range(1, 9)], [pack(1, 2), pack(5, 6)]) == [1, 2, 5, 6]


def test_a_pack_with_a_flaw_counts_for_nothing() -> None:
    assert going([segment(seq) for seq in range(1, 9)], [pack(1, 3, "not locked"), pack(4, 6)]) == [4, 5, 6]


def test_a_pack_of_another_chain_counts_for_nothing() -> None:
    other = replace(pack(1, 3), last_sha256="another")
    assert going([segment(seq) for seq in range(1, 9)], [other, pack(4, 6)]) == [4, 5, 6]


def test_the_end_of_the_log_stays() -> None:
    assert going([segment(seq) for seq in (1, 2, 3)], [pack(1, 3)]) == [1, 2]


@pytest.mark.parametrize(
    "locked",
    [
        segment(2, NOW + timedelta(seconds=1)),
        segment(2, None, held=True),
        segment(2, None, created=NOW - SEGMENT_LOCK + timedelta(seconds=1)),
    ],
    ids=["locked", "held", "never locked and young"],
)
def test_a_segment_waits_for_its_own_lock(locked: Segment) -> None:
    assert going([segment(1), locked, segment(3), segment(9)], [pack(1, 8)]) == [1, 3]


def test_a_segment_whose_lock_never_came_goes_when_it_would_be_over() -> None:
    assert going([segment(1, None, created=NOW - SEGMENT_LOCK), segment(9)], [pack(1, 8)]) == [1]


@given(
    st.lists(st.integers(1, 40), unique=True, min_size=1),
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9), st.booleans()), max_size=5),
)
def test_whatever_goes_is_in_a_good_pack_and_is_not_the_end(
    numbers: list[int], spans: list[tuple[int, int, bool]]
) -> None:
    packs = [pack(first, first + more, "" if good else "flaw") for first, more, good in spans]
    gone = going([segment(seq) for seq in numbers], packs)
    for seq in gone:
        assert any(one.first_seq <= seq <= one.last_seq and not one.flaw for one in packs)
        assert seq < max(numbers)


def attempt(**changes: object) -> Attempt:
    over = NOW - LONG_AGO
    base = Attempt("data/s/1/", [Loose("data/s/1/a", over)], RunFacts(True, over, "failed"), referred=False)
    return replace(base, **changes)  # type: ignore[arg-type]


def test_data_of_a_run_that_is_long_over_may_go() -> None:
    fate = decide_attempt(attempt(), NOW)
    assert not fate.keep
    assert "failed" in fate.reason


@pytest.mark.parametrize(
    "changes",
    [
        {"referred": True},
        {"run": RunFacts(False)},
        {"run": RunFacts(True, None)},
        {"run": RunFacts(True, NOW - LONG_AGO + timedelta(seconds=1), "failed")},
        {"objects": [Loose("data/s/1/a", NOW - DAY)]},
        {"objects": [Loose("data/s/1/a", OLD, NOW + DAY)]},
        {"objects": [Loose("data/s/1/a", OLD), Loose("data/s/1/b", OLD, None, True)]},
    ],
    ids=["referred", "unknown run", "alive", "young end", "young object", "locked", "held"],
)
def test_anything_less_certain_stays(changes: dict[str, object]) -> None:
    assert decide_attempt(attempt(**changes), NOW).keep


@pytest.mark.parametrize(
    ("found", "retention", "keep"),
    [
        (Loose("quarantine/x", NOW - 10 * DAY), 3 * DAY, False),
        (Loose("quarantine/x", NOW - 10 * DAY + timedelta(seconds=1)), 3 * DAY, True),
        (Loose("quarantine/x", NOW - 10 * DAY, NOW + DAY), DAY, True),
        (Loose("quarantine/x", NOW - 10 * DAY, None, True), DAY, True),
        (Loose("quarantine/x", NOW - 10 * DAY), None, True),
    ],
    ids=["over", "not over", "locked", "held", "no row"],
)
def test_quarantine(found: Loose, retention: timedelta | None, keep: bool) -> None:
    assert decide_quarantine(found, retention, NOW).keep is keep
