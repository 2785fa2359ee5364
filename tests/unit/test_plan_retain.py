"""What is kept and why: each reason alone, then all of them against a naive reading of the rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr.model.ids import Slot, SourceId
from dr.model.points import PointSummary
from dr.model.retention import HoldKind, HoldRecord
from dr.model.strategy import FailureDomain, Keep
from dr.plan.retain import SKEW, Facts, Known, Rule, Unreadable, Why, decide
from tests.unit.fakes import CLUSTER, DATABASE

NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)  # a Wednesday
DAY = timedelta(days=1)
MONTH = Rule(30 * DAY)
ALL = tuple(FailureDomain)


def point(
    age: timedelta,
    source: SourceId = DATABASE,
    *,
    retain: timedelta = timedelta(0),
    survives: tuple[FailureDomain, ...] = ALL,
    parents: tuple[str, ...] | None = (),
    tag: str = "",
) -> PointSummary:
    """`age` before NOW, committed a minute later, promised to be kept until `retain` after NOW."""
    as_of = NOW - age
    slot = Slot(source, as_of, tag)
    name = f"points/{as_of:%Y/%m/%d}/{slot.id}.json"
    until = NOW + retain
    commit = as_of + timedelta(minutes=1)
    return PointSummary(slot, "fake", as_of, as_of, commit, 10, survives, until, name, 1, "crc", parents)


def decided(
    points: Sequence[PointSummary | Known], rule: Rule | None = MONTH, now: datetime = NOW, **more: object
) -> dict[str, list[Why]]:
    """Name -> reasons to keep; an empty list for what may go."""
    known = [one if isinstance(one, Known) else Known(one) for one in points]
    rules = {DATABASE: rule, CLUSTER: rule} if rule else {}
    decisions = decide(Facts(known, rules, **more), now)  # type: ignore[arg-type]
    assert all(decision.reasons for decision in decisions), "every decision has a reason"
    assert all(decision.keep or [reason.why for reason in decision.reasons] == [Why.EXPIRED] for decision in decisions)
    return {d.name: [reason.why for reason in d.reasons] if d.keep else [] for d in decisions}


def days(*ages: float, **more: object) -> list[PointSummary]:
    return [point(age * DAY, **more) for age in ages]  # type: ignore[arg-type]


def test_the_table_keeps_points_and_lets_them_go() -> None:
    young, border, reach, old = days(1, 29.9, 31, 32)
    found = decided([young, border, reach, old])
    assert found[young.name] == [Why.RETENTION, Why.NEWEST]
    assert found[border.name] == [Why.RETENTION]
    assert found[reach.name] == [Why.REACH], "to restore an instant 30 days ago, the point before it is needed"
    assert found[old.name] == []


def test_retention_counts_from_the_commit_and_ends_at_its_instant() -> None:
    edge = replace(point(31 * DAY), committed=NOW - 30 * DAY)
    late = replace(edge, committed=NOW - 30 * DAY + timedelta(microseconds=1))
    newer = point(30.5 * DAY)
    assert decided([point(DAY), newer, edge])[edge.name] == []
    assert decided([point(DAY), newer, late])[late.name] == [Why.RETENTION]


def test_i5_the_newest_point_stays_however_old() -> None:
    (only,) = points = days(4000)
    assert decided(points)[only.name] == [Why.NEWEST, Why.REACH]


def test_i5_the_newest_proven_point_stays_however_old() -> None:
    new, reach, proven, older = points = days(1, 40, 500, 600)
    found = decided(points, proven=frozenset({proven.name, older.name}))
    assert found[proven.name] == [Why.PROVEN]
    assert found[older.name] == []
    assert found[new.name] == [Why.RETENTION, Why.NEWEST]
    assert found[reach.name] == [Why.REACH]


def test_i5_a_point_that_survives_less_is_no_substitute() -> None:
    near = days(1, 35, survives=(FailureDomain.LOGICAL,))
    far = days(100, 200)
    found = decided([*near, *far])
    assert found[far[0].name] == [Why.NEWEST, Why.REACH]
    assert found[far[1].name] == []


def test_sources_do_not_count_for_each_other() -> None:
    one, other = point(100 * DAY), point(DAY, CLUSTER)
    assert decided([one, other])[one.name] == [Why.NEWEST, Why.REACH]


def test_the_strategy_may_lengthen_what_a_point_was_committed_with_and_cannot_shorten_it() -> None:
    points = days(1, 50, 60, retain=timedelta(0))
    assert decided(points, Rule(365 * DAY))[points[2].name] == [Why.RETENTION]
    promised = point(60 * DAY, retain=10 * DAY)
    assert decided([*points, promised], Rule(DAY))[promised.name] == [Why.COMMITTED_FOR]


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (Known(point(60 * DAY), locked_until=NOW + timedelta(seconds=1)), Why.LOCKED),
        (Known(point(60 * DAY), held=True), Why.STORE_HOLD),
        (Known(point(60 * DAY), locked_until=NOW), None),
    ],
    ids=["locked", "held", "lock just over"],
)
def test_what_the_store_keeps_is_kept(known: Known, why: Why | None) -> None:
    found = decided([point(DAY), point(40 * DAY), known])
    assert found[known.point.name] == ([why] if why else [])


def hold(name: str, until: datetime | None = None, mode: HoldKind = HoldKind.HOLD) -> HoldRecord:
    return HoldRecord("h1", mode, name, NOW - DAY, "alice", "lawsuit", until)


@pytest.mark.parametrize(
    ("until", "kept"), [(None, True), (NOW + timedelta(seconds=1), True), (NOW, False), (NOW - DAY, False)]
)
def test_i5_a_hold_always_wins_while_it_lasts(until: datetime | None, kept: bool) -> None:
    points = days(1, 40, 60)
    name = points[2].name
    assert decided(points, holds={name: (hold(name, until),)})[name] == ([Why.HOLD] if kept else [])


def test_i5_what_a_kept_point_needs_stays_and_what_that_needs() -> None:
    base = point(90 * DAY)
    middle = point(80 * DAY, parents=(base.name,))
    top = point(70 * DAY, parents=(middle.name,))
    others = days(1, 40, 95)
    held = {top.name: (hold(top.name),)}
    found = decided([base, middle, top, *others], holds=held)
    assert found[top.name] == [Why.HOLD]
    assert found[middle.name] == [Why.NEEDED]
    assert found[base.name] == [Why.NEEDED]
    assert found[others[2].name] == []
    free = decided([base, middle, top, *others])
    assert free[top.name] == free[middle.name] == free[base.name] == []


def test_a_chain_that_bites_its_tail_ends() -> None:
    one, two = point(70 * DAY, tag="a"), point(80 * DAY, tag="b")
    one, two = replace(one, parents=(two.name,)), replace(two, parents=(one.name, "points/gone.json"))
    assert decided([one, two, *days(1, 40)]) == {
        one.name: [],
        two.name: [],
        **decided(days(1, 40)),
    }


def test_what_is_dated_in_the_future_is_kept_and_takes_nobodys_place() -> None:
    future = point(-DAY)
    real = point(60 * DAY)
    found = decided([future, real])
    assert Why.FUTURE in found[future.name]
    assert Why.NEWEST in found[real.name]
    near = replace(point(-SKEW), committed=NOW + SKEW)
    assert Why.FUTURE not in decided([near])[near.name]


def test_a_source_that_is_no_longer_in_the_table_is_kept() -> None:
    points = days(60, 70)
    assert decided(points, None) == {points[0].name: [Why.NO_ROW, Why.NEWEST], points[1].name: [Why.NO_ROW]}


def test_a_manifest_that_cannot_be_read_is_kept_with_all_that_it_may_need() -> None:
    new, reach, before, after = points = days(1, 40, 90, 50)
    broken = Unreadable("points/broken.json", DATABASE, NOW - 60 * DAY, "it is damaged")
    found = decided(points, unreadable=(broken,))
    assert found["points/broken.json"] == [Why.UNREADABLE]
    assert found[before.name] == [Why.MAY_BE_NEEDED]
    assert found[after.name] == []
    told = replace(broken, needs=(after.name,))
    found = decided(points, unreadable=(told,))
    assert found[before.name] == []
    assert found[after.name] == [Why.NEEDED]
    assert found[new.name] == [Why.RETENTION, Why.NEWEST]
    assert found[reach.name] == [Why.REACH]


def test_a_point_of_which_nobody_read_what_it_needs_keeps_all_before_it() -> None:
    points = [*days(1, 40), point(50 * DAY, parents=None), point(60 * DAY)]
    assert decided(points)[points[3].name] == [Why.MAY_BE_NEEDED]
    assert decided(points)[points[2].name] == []


def test_what_must_go_first_keeps_a_point() -> None:
    points = days(1, 40, 60)
    found = decided(points, pinned={points[2].name: "3 segments that it holds are still in the log"})
    assert found[points[2].name] == [Why.PINNED]


def test_grandfather_father_son_keep_the_newest_of_each_period_that_has_one() -> None:
    rule = Rule(DAY, Keep(daily=3, weekly=2, monthly=2, yearly=2))
    # Wed 4 March 2026; ages in days: today (two), Tuesday, nothing Monday, Sunday 1 March, February, 2025 (two)
    today, early, tuesday, sunday, february, december, november = points = days(0.1, 0.15, 1.1, 3, 10, 70, 110)
    found = decided([replace(one, committed=one.as_of) for one in points], rule)
    assert found[today.name] == [Why.RETENTION, Why.NEWEST, Why.DAILY, Why.WEEKLY, Why.MONTHLY, Why.YEARLY]
    assert found[early.name] == [Why.RETENTION]
    assert found[tuesday.name] == [Why.REACH, Why.DAILY]
    assert found[sunday.name] == [Why.DAILY, Why.WEEKLY]
    assert found[february.name] == [Why.MONTHLY]
    assert found[december.name] == [Why.YEARLY]
    assert found[november.name] == []


def test_reasons_read_as_sentences() -> None:
    held = point(60 * DAY)
    known = Known(held, locked_until=datetime(2026, 5, 1, tzinfo=UTC))
    facts = Facts([Known(point(DAY)), known], {DATABASE: MONTH}, {held.name: (hold(held.name),)})
    words = "; ".join(map(str, decide(facts, NOW)[1].reasons))
    assert "the store locks it until 2026-05-01T00:00:00Z" in words
    assert "held by alice: lawsuit" in words


# --- against a naive reading ------------------------------------------------------------------------------------------

ages = st.integers(-3, 400).map(lambda hours: timedelta(hours=6 * hours))
keeps = st.builds(Keep, *[st.integers(0, 4)] * 4)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Facts, datetime]:
    names: list[str] = []
    known: list[Known] = []
    for index in range(draw(st.integers(1, 14))):
        parents = tuple(draw(st.lists(st.sampled_from(names), max_size=2, unique=True))) if names else ()
        one = point(
            draw(ages),
            draw(st.sampled_from([DATABASE, CLUSTER])),
            retain=draw(st.sampled_from([-DAY, timedelta(0), DAY])),
            survives=draw(st.sampled_from([ALL, ALL[:1]])),
            parents=draw(st.sampled_from([parents, parents, parents, None])),
            tag=f"t{index}",
        )
        names.append(one.name)
        lock = draw(st.sampled_from([None, None, None, NOW - DAY, NOW + DAY]))
        known.append(Known(one, lock, draw(st.sampled_from([False, False, False, True]))))
    some = st.sets(st.sampled_from(names), max_size=2)
    rules = {source: Rule(draw(st.integers(1, 60)) * DAY, draw(keeps)) for source in (DATABASE, CLUSTER)}
    if draw(st.integers(0, 9)) == 0:
        del rules[CLUSTER]
    until = st.sampled_from([None, NOW, NOW + DAY])
    holds = {name: (hold(name, draw(until)),) for name in draw(some)}
    broken = []
    if draw(st.booleans()):
        needs = draw(st.none() | some.map(tuple))
        broken.append(Unreadable("points/broken.json", DATABASE, NOW - draw(ages), "?", needs))
    pinned = dict.fromkeys(draw(some), "wait")
    return Facts(known, rules, holds, frozenset(draw(some)), pinned, broken), NOW


def naive(facts: Facts, now: datetime) -> set[str]:
    """Names that stay, by the rules one after the other, each over all points."""
    points = [known.point for known in facts.points]
    by_name = {one.name: one for one in points}
    kept = set()
    for known in facts.points:
        one, rule = known.point, facts.rules.get(known.point.source)
        kept |= {one.name} if rule is None or one.committed + rule.retention > now else set()
        kept |= {one.name} if one.retain_until > now or known.held or one.name in facts.pinned else set()
        kept |= {one.name} if known.locked_until and known.locked_until > now else set()
        kept |= {one.name} if max(one.as_of, one.committed) > now + SKEW else set()
        kept |= {one.name} if any(h.until is None or h.until > now for h in facts.holds.get(one.name, ())) else set()
        past = [p for p in points if p.source == one.source and p.as_of <= now + SKEW]
        alike = [p for p in past if p.survives == one.survives]
        for group in (
            alike,
            [p for p in alike if p.name in facts.proven],
            [p for p in alike if rule and p.as_of <= now - rule.retention],
        ):
            if one in group and one == max(group, key=lambda p: (p.as_of, p.name)):
                kept.add(one.name)
        if rule and one in past:
            for count, form in (
                (rule.keep.daily, "%Y%m%d"),
                (rule.keep.weekly, "%G%V"),
                (rule.keep.monthly, "%Y%m"),
                (rule.keep.yearly, "%Y"),
            ):
                periods = sorted({p.as_of.strftime(form) for p in past}, reverse=True)[:count]
                mine = [p for p in past if p.as_of.strftime(form) == one.as_of.strftime(form)]
                if one.as_of.strftime(form) in periods and one == max(mine, key=lambda p: (p.as_of, p.name)):
                    kept.add(one.name)
    for broken in facts.unreadable:
        kept |= set(broken.needs or ()) & by_name.keys()
        if broken.needs is None:
            kept |= {p.name for p in points if p.source == broken.source and p.slot.due <= broken.due}
    for one in points:
        if one.parents is None:
            older = {p.name for p in points if p.source == one.source and p.slot.due <= one.slot.due}
            kept |= older - {one.name}
    while True:
        needed = {parent for name in kept for parent in by_name[name].parents or ()} & by_name.keys()
        if needed <= kept:
            return kept | {broken.name for broken in facts.unreadable}
        kept |= needed


@settings(max_examples=250)
@given(worlds())
def test_decisions_are_those_of_a_naive_reading(world: tuple[Facts, datetime]) -> None:
    facts, now = world
    found = {decision.name for decision in decide(facts, now) if decision.keep}
    assert found == naive(facts, now)


@settings(max_examples=60)
@given(worlds(), st.sampled_from(["daily", "weekly", "monthly", "yearly"]), st.integers(1, 5))
def test_keeping_by_period_only_ever_adds(world: tuple[Facts, datetime], field: str, more: int) -> None:
    facts, now = world
    longer = {
        source: Rule(rule.retention, replace(rule.keep, **{field: getattr(rule.keep, field) + more}))
        for source, rule in facts.rules.items()
    }
    before = {decision.name for decision in decide(facts, now) if decision.keep}
    after = {decision.name for decision in decide(replace(facts, rules=longer), now) if decision.keep}
    assert before <= after
