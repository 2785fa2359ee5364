"""The soak's judge can say no: misses, excuses, doubles, locks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from lab.soak_verdict import Disturbance, Made, doubles, excused, kept_too_short, stretches

T0 = datetime(2026, 5, 28, 10, tzinfo=UTC)
RPO = timedelta(minutes=3)


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def made(as_of: float, committed: float, slot: str = "", keep: float = 60) -> Made:
    return Made(slot or f"s{as_of}", at(as_of), at(committed), at(committed + keep))


def missed(points: list[Made], disturbances: list[Disturbance], end: float) -> list[bool]:
    return [entry.missed(RPO) for entry in stretches(points, disturbances, at(end), timedelta(minutes=1))]


def test_a_hole_is_a_miss_and_the_last_stretch_counts_too() -> None:
    assert missed([made(0, 0.5), made(2, 2.5), made(6, 6.5)], [], 7) == [False, True, False]
    assert missed([made(0, 0.5)], [], 3) == [True]


def test_only_what_was_disturbed_is_excused() -> None:
    killed = Disturbance("dr", at(3), at(3.5))
    assert missed([made(2, 2.5), made(6, 6.4)], [killed], 7) == [False, False]
    assert missed([made(2, 2.5), made(8, 8.4)], [killed], 9) == [True, False]


def test_overlapping_disturbances_excuse_once() -> None:
    both = [Disturbance("dr", at(1), at(2)), Disturbance("velero", at(1.5), at(2))]
    assert excused(both, at(0), at(10), timedelta(minutes=1)) == timedelta(minutes=2)


def test_a_point_that_commits_late_with_older_data_does_not_make_the_newest_older() -> None:
    assert missed([made(4, 4.5), made(1, 5)], [], 6) == [False, False]


def test_doubles_and_short_locks_are_named() -> None:
    points = [made(0, 1, "a"), made(1, 2, "a"), made(2, 3, "b", keep=1)]
    assert doubles(points) == ["a"]
    assert kept_too_short(points, timedelta(minutes=30)) == ["b"]
