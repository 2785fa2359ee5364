"""Declared steps: what recovery takes outside of `dr` is counted as said, and said to be not measured."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dr.cli.declared import declared_of
from dr.errors import USAGE, DrError
from dr.model.evidence import LostWrites, Verdict
from dr.model.plans import DeclaredStep, RestorePlan
from dr.model.runs import Stamp, StepOutcome
from dr.model.strategy import FailureDomain
from dr.record.codec import decode, encode
from dr.report.restore_json import restore_plan
from dr.report.restores import plan_sheet, recovery_notes
from dr.run.measured import encode_lost
from dr.run.verdicts import ItemResult, declared_steps, judged_rows
from tests.unit.fakes import T0, planned
from tests.unit.test_measured import order, strategy

STEPS = (DeclaredStep("cluster creation", timedelta(minutes=25)), DeclaredStep("DNS", timedelta(minutes=5)))


def test_steps_are_read_from_the_command_line() -> None:
    assert declared_of(["cluster creation=25m", "DNS = 5m"]) == STEPS


@pytest.mark.parametrize("text", ["cluster creation", "=25m", "cluster creation=soon", "x=-5m"])
def test_what_says_no_step_or_no_span_is_refused(text: str) -> None:
    with pytest.raises(DrError) as refused:
        declared_of([text])
    assert refused.value.kind is USAGE
    assert text in refused.value.message


def test_a_plan_shows_them_keeps_them_and_adds_them_up() -> None:
    plan = RestorePlan("p", T0, T0, "", (planned(),), declared=STEPS)
    assert decode(encode(plan), RestorePlan, "p") == plan
    assert any("cluster creation 25 min" in note for note in plan_sheet(plan, T0).notes)
    assert restore_plan(plan)["declared"] == [
        {"name": "cluster creation", "seconds": 1500.0},
        {"name": "DNS", "seconds": 300.0},
    ]
    (note,) = recovery_notes(plan, 60.0)
    assert note.startswith("declared, not measured")
    assert note.endswith("31 min")
    assert list(recovery_notes(replace(plan, declared=()), 60.0)) == []


def test_in_a_drill_they_come_first_and_only_where_a_cluster_is_lost() -> None:
    told = replace(order(), steps=STEPS)
    assert declared_steps(told, FailureDomain.LOGICAL) == ()
    assert declared_steps(told, FailureDomain.SOURCE) == ()
    first, second = declared_steps(told, FailureDomain.REGION)
    assert (first.start_s, first.end_s, second.start_s, second.end_s) == (0.0, 1500.0, 1500.0, 1800.0)
    assert first.detail == "declared, not measured"


def test_a_declared_step_can_make_a_row_miss_its_rto() -> None:
    """The same measured restore, whose RTO is one minute."""

    domains = (FailureDomain.REGION,)
    table = strategy()
    table = replace(table, objectives=tuple(replace(row, domains=domains) for row in table.objectives))
    item = replace(planned(), domain=FailureDomain.REGION)
    stamps = [Stamp(T0, 100.0, "b"), Stamp(T0 + timedelta(seconds=30), 130.0, "b")]
    lost = encode_lost(LostWrites(1, 0, None))
    data = {"lost": lost, "checks": [], "witnessed": 1}
    journalled = (StepOutcome("check", 1, 1, *stamps, data),)
    kept, missed = (
        judged_rows(replace(order(), steps=steps), table, [ItemResult(item, journalled)], ())[0]
        for steps in ((), STEPS)
    )
    assert kept.rto.measured_s == 30.0
    assert missed.rto.measured_s == 1830.0
    assert missed.verdict is Verdict.MISSED
