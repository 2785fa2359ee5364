"""What was lost, and the verdict: from the data and a witness alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.model.evidence import AcknowledgedWrite, DrillRow, LostWrites, Recovery, Verdict
from dr.model.points import Check
from dr.model.strategy import FailureDomain, Frequency, Objective
from dr.plan.judge import judge, loss, lost_writes, undrilled, witness_check

DISASTER = datetime(2025, 5, 28, 10, 0, tzinfo=UTC)


def ack(before_s: float, path: str, sha256: str, seq: int = 0) -> AcknowledgedWrite:
    return AcknowledgedWrite(DISASTER - timedelta(seconds=before_s), "appdata/firestore/db", path, seq, sha256)


def lost_of(acks: Sequence[AcknowledgedWrite], restored: Mapping[str, str]) -> tuple[int, float | None]:
    found = lost_writes(acks, restored, DISASTER)
    assert found.wrong == ()
    return found.lost, found.oldest_lost_s


HISTORY = [ack(40, "a", "A1"), ack(30, "a", "A2"), ack(20, "a", "A3"), ack(10, "a", "A4")]


@pytest.mark.parametrize(
    ("restored", "expected"),
    [
        ({"a": "A4"}, (0, None)),
        ({"a": "A3"}, (1, 10)),
        ({"a": "A1"}, (3, 30)),
        ({}, (4, 40)),
    ],
)
def test_every_version_after_the_restored_one_is_lost(restored: dict[str, str], expected: tuple[int, float]) -> None:
    assert lost_of(HISTORY, restored) == expected


def test_overwritten_versions_are_not_lost() -> None:
    assert lost_writes(HISTORY, {"a": "A4"}, DISASTER).acknowledged == 4
    assert lost_of(HISTORY, {"a": "A4"})[0] == 0


def test_a_missing_path_equals_its_newest_deletion() -> None:
    deleted = [*HISTORY, ack(5, "a", "")]
    assert lost_of(deleted, {}) == (0, None)
    assert lost_of([*deleted, ack(2, "a", "A6")], {}) == (1, 2)
    assert lost_of(deleted, {"a": "A4"}) == (1, 5), "a deletion that was undone is a lost write"


def test_a_recreated_path_with_the_same_content_is_the_newest_of_its_kind() -> None:
    again = [ack(30, "a", "A"), ack(20, "a", ""), ack(10, "a", "A")]
    assert lost_of(again, {"a": "A"}) == (0, None)
    assert lost_of(again, {}) == (1, 10)


def test_content_that_nobody_wrote_is_wrong_not_lost() -> None:
    found = lost_writes(HISTORY, {"a": "??"}, DISASTER)
    assert (found.lost, found.wrong) == (0, ("a",))
    assert not witness_check(found).passed
    assert "a" in witness_check(found).detail


def test_a_restored_path_that_no_witness_knows_is_named() -> None:
    assert lost_writes(HISTORY, {"a": "A4", "kube-root-ca": "x"}, DISASTER).unexpected == ("kube-root-ca",)


def test_writes_acknowledged_after_the_disaster_do_not_count() -> None:
    acks = [*HISTORY, ack(-1, "a", "A5"), ack(-1, "b", "B1")]
    assert lost_of(acks, {"a": "A4"}) == (0, None)
    assert lost_writes(acks, {}, DISASTER).acknowledged == 4


def test_a_write_in_flight_at_the_disaster_is_known_content() -> None:
    assert lost_of([*HISTORY, ack(-1, "a", "A5")], {"a": "A5"}) == (0, None)


def test_a_delete_after_the_disaster_hides_no_loss() -> None:
    assert lost_of([ack(10, "a", "A"), ack(-5, "a", "")], {}) == (1, 10)


def test_a_lost_write_that_the_copy_claims_to_hold_is_a_hole_and_named() -> None:
    found = lost_writes(HISTORY, {}, DISASTER, whole_until=DISASTER)
    assert (found.lost, found.holes, found.absent) == (4, ("a",), ("a",))
    check = witness_check(found)
    assert not check.passed
    assert "older than the copy and not in it: a" in check.detail
    before = DISASTER - timedelta(days=1)
    assert lost_writes(HISTORY, {}, DISASTER, whole_until=before).holes == ()
    assert witness_check(lost_writes(HISTORY, {}, DISASTER, whole_until=before)).passed


def test_the_same_line_twice_counts_once() -> None:
    assert lost_writes([HISTORY[0], HISTORY[0]], {}, DISASTER) == LostWrites(1, 1, 40, absent=("a",))


paths = st.sampled_from("abc")
hashes = st.sampled_from(["", "1", "2", "3"])
acks_of = st.lists(st.tuples(st.integers(-5, 30), paths, hashes), max_size=25).map(
    lambda rows: [ack(float(before), path, sha, seq) for seq, (before, path, sha) in enumerate(rows)]
)
restored_of = st.dictionaries(paths, st.sampled_from(["1", "2", "3"]))


def oracle(acks: Sequence[AcknowledgedWrite], restored: Mapping[str, str]) -> tuple[int, float | None, set[str]]:
    """The definition, path by path, without any cleverness."""
    ages: list[float] = []
    wrong: set[str] = set()
    for path in {entry.path for entry in acks}:
        every = sorted((e for e in acks if e.path == path), key=lambda e: (e.acked_at, e.seq))
        before = [e for e in every if e.acked_at <= DISASTER]
        content = restored.get(path, "")
        if content and content not in {e.sha256 for e in every}:
            wrong.add(path)
            continue
        matches = [i for i, e in enumerate(before) if e.sha256 == content]
        if content and not matches:
            continue
        start = matches[-1] + 1 if matches else 0
        ages += [(DISASTER - e.acked_at).total_seconds() for e in before[start:]]
    return len(ages), max(ages, default=None), wrong


@given(acks_of, restored_of, st.randoms(use_true_random=False))
def test_one_pass_in_any_order_equals_the_definition(
    acks: list[AcknowledgedWrite], restored: dict[str, str], random: object
) -> None:
    random.shuffle(acks)  # type: ignore[attr-defined]
    found = lost_writes(iter(acks), restored, DISASTER)
    assert (found.lost, found.oldest_lost_s, set(found.wrong)) == oracle(acks, restored)
    assert found.acknowledged == sum(entry.acked_at <= DISASTER for entry in acks)


@given(acks_of, st.integers(0, 30))
def test_a_faithful_copy_of_an_instant_loses_exactly_what_came_later(acks: list[AcknowledgedWrite], age: int) -> None:
    instant = DISASTER - timedelta(seconds=age)
    # contents made unique, as a writer that carries a sequence number makes them
    unique = [replace(e, sha256=f"{e.sha256}-{e.seq}" if e.sha256 else "") for e in acks]
    state: dict[str, str] = {}
    for entry in sorted(unique, key=lambda e: (e.acked_at, e.seq)):
        if entry.acked_at <= instant:
            state[entry.path] = entry.sha256
    copy = {path: sha for path, sha in state.items() if sha}
    found = lost_writes(unique, copy, DISASTER)
    assert found.wrong == ()
    assert found.oldest_lost_s is None or found.oldest_lost_s < age
    later = [e for e in unique if instant < e.acked_at <= DISASTER]
    # only a path that is gone both in the copy and at its last deletion can hide anything, and then nothing is missing
    assert found.lost <= len(later)
    if all(entry.sha256 for entry in unique):
        assert found.lost == len(later)


# --- verdicts -------------------------------------------------------------------------------------------------------

PASSED = (Check("documents", True, "12"),)


def row(
    *,
    rto_s: float | None = 10,
    rto_target: float = 60,
    rpo_target: float = 900,
    lost: LostWrites | None = None,
    guaranteed: bool = False,
    checks: tuple[Check, ...] = PASSED,
    behind: float | None = 60,
    findings: tuple[str, ...] = (),
) -> DrillRow:
    instant = None if behind is None else DISASTER - timedelta(seconds=behind)
    figures = loss(rpo_target, lost, guaranteed=guaranteed)
    recovery = Recovery(rto_target, rto_s, 1.0)
    before = DrillRow(
        "appdata",
        FailureDomain.SOURCE,
        "db",
        Verdict.FAILED,
        recovery,
        figures,
        instant,
        "p",
        12,
        100,
        checks,
        findings,
    )
    return judge(before, lost, DISASTER)


NOTHING_LOST = LostWrites(100, 0, None)


def test_met_needs_both_strictly_under_target() -> None:
    assert row(lost=LostWrites(100, 3, 899.9)).verdict is Verdict.MET
    assert row(lost=LostWrites(100, 3, 900)).verdict is Verdict.MISSED
    assert row(rto_s=59.9, lost=NOTHING_LOST).verdict is Verdict.MET
    assert row(rto_s=60, lost=NOTHING_LOST).verdict is Verdict.MISSED


def test_a_miss_says_by_how_much() -> None:
    assert row(lost=LostWrites(100, 3, 900)).findings == (
        "db: 3 writes lost, the oldest lost write was 15m old, the target is < 15m",
    )


def test_rpo_zero_needs_a_guarantee_as_well_as_no_loss() -> None:
    assert row(rpo_target=0, lost=NOTHING_LOST, guaranteed=True).verdict is Verdict.MET
    assert row(rpo_target=0, lost=NOTHING_LOST).verdict is Verdict.LUCKY
    assert row(rpo_target=0, lost=LostWrites(100, 1, 0.001), guaranteed=True).verdict is Verdict.MISSED


@pytest.mark.parametrize(
    ("judged", "word"),
    [
        (row(rto_s=None, lost=NOTHING_LOST), "recovery time was not measured"),
        (row(rto_s=-1, lost=NOTHING_LOST), "broken clock"),
        (row(lost=None), "lost writes were not measured"),
        (row(lost=LostWrites(0, 0, None)), "acknowledged no write"),
        (row(lost=LostWrites(5, 1, None)), "age of the oldest"),
        (row(lost=NOTHING_LOST, checks=()), "no check was made"),
        (row(lost=NOTHING_LOST, checks=(Check("output-0", False, "short"),)), "output-0: short"),
        (row(lost=NOTHING_LOST, behind=None), "instant is not known"),
        (row(lost=NOTHING_LOST, behind=-1), "after the disaster"),
        (row(lost=LostWrites(5, 0, None, wrong=("tenants/x",))), "tenants/x"),
        (row(lost=NOTHING_LOST, findings=("teardown left db-2",)), "teardown left db-2"),
    ],
)
def test_what_is_wrong_or_was_not_measured_fails_and_says_why(judged: DrillRow, word: str) -> None:
    assert judged.verdict is Verdict.FAILED
    assert any(word in finding for finding in judged.findings)


def test_a_coalescing_witness_is_judged_by_the_restored_instant() -> None:
    coalesced = LostWrites(100, 1, 5, at_least=True)
    assert row(lost=coalesced, behind=899).verdict is Verdict.MET
    assert row(lost=coalesced, behind=900).verdict is Verdict.MISSED


def test_rows_that_were_not_drilled_carry_their_targets_and_no_figures() -> None:
    objective = Objective(
        "config",
        Frequency.ON_CHANGE,
        timedelta(days=365),
        timedelta(minutes=30),
        timedelta(0),
        (FailureDomain.LOGICAL,),
    )
    bare = undrilled(objective, FailureDomain.LOGICAL, Verdict.NOT_CAPTURED)
    assert (bare.rto.target_s, bare.rto.measured_s, bare.rpo.writes_lost) == (1800, None, None)
