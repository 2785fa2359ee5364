"""Instants and durations as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.model.ids import Slot, SourceId
from dr.model.timeline import (
    compact_instant,
    floor_to,
    format_duration,
    format_instant,
    parse_compact,
    parse_duration,
    parse_instant,
)

NAIVE = (datetime(1990, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001 - hypothesis adds the zone
INSTANTS = st.datetimes(*NAIVE, timezones=st.just(UTC))


@given(INSTANTS)
def test_instants_come_back(instant: datetime) -> None:
    assert parse_instant(format_instant(instant)) == instant
    assert parse_compact(compact_instant(instant)) == instant


@given(st.integers(min_value=0, max_value=10**12))
def test_durations_come_back(millis: int) -> None:
    value = timedelta(milliseconds=millis)
    assert parse_duration(format_duration(value)) == value


def test_digits_past_microseconds_are_cut_not_rounded_into_the_future() -> None:
    assert parse_instant("2025-05-28T10:00:00.9999999Z").microsecond == 999_999


@pytest.mark.parametrize("text", ["", "15", "15x", "m", "-5m", "1h-3m", "h1"])
def test_what_is_not_a_duration_is_said_in_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text", ["yesterday", "2025-05-28", "2025-05-28T10:00:00", "2025-13-01T00:00:00Z", "1748426400"]
)
def test_an_instant_needs_date_time_and_offset(text: str) -> None:
    with pytest.raises(ValueError, match="is not an instant"):
        parse_instant(text)


@given(INSTANTS, st.integers(min_value=1, max_value=7200))
def test_floor_is_the_last_multiple_not_after(instant: datetime, seconds: int) -> None:
    step = timedelta(seconds=seconds)
    floored = floor_to(instant, step)
    assert floored <= instant < floored + step


@given(INSTANTS, st.sampled_from(["", "m1a2b3c4"]))
def test_slots_come_back_from_their_ids(due: datetime, tag: str) -> None:
    slot = Slot(SourceId("appdata", "firestore", "energent-metadata-production"), due, tag)
    assert Slot.parse(slot.id) == slot


@given(st.lists(INSTANTS.map(lambda i: i.replace(microsecond=0)), min_size=2, max_size=2))
def test_order_of_names_is_order_of_time(pair: list[datetime]) -> None:
    source = SourceId("cluster", "velero", "c")
    early, late = sorted(pair)
    assert Slot(source, early).id <= Slot(source, late).id
