"""Rows that are captured as they change: what the plan promises, and how a drill judges a lucky zero."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dr.model.evidence import DrillReport, DrillRow, LostWrites, Recovery, Verdict
from dr.model.ids import SourceId
from dr.model.points import Check, Coverage
from dr.model.strategy import FailureDomain, Frequency, Objective, Place, SourceSpec, Strategy
from dr.plan.choose import Chosen, choose
from dr.plan.judge import judge, loss
from dr.plan.modes import KUBERNETES, MODES
from dr.plan.rows import PlannedRow, plan_table, schedules

T0 = datetime(2026, 5, 28, 10, tzinfo=UTC)
CONFIG = SourceId("config", "kubernetes", "prod")
AUDIT = SourceId("audit", "pubsub", "sink")
HERE, THERE = Place("p", "us-central1"), Place("backup", "us-east1")
DOMAINS = tuple(FailureDomain)


def table() -> Strategy:
    rows = [
        Objective(source.component, Frequency.ON_CHANGE, timedelta(days=365), timedelta(minutes=30), timedelta(0), DOMAINS,
                  (SourceSpec(source, HERE),))
        for source in (CONFIG, AUDIT)
    ]  # fmt: skip
    return Strategy("t", tuple(rows))


def planned(vault: Place) -> dict[tuple[str, FailureDomain], PlannedRow]:
    rows = plan_table(table(), {"config": vault, "audit": vault}, {}, {})
    return {(row.component, row.domain): row for row in rows}


def test_watching_declares_what_it_cannot_guarantee() -> None:
    row = planned(THERE)["config", FailureDomain.LOGICAL]
    assert (row.met, row.declared, row.worst, row.continuous) == (False, True, None, True)
    assert any("not guaranteed" in reason for reason in row.reasons)


def test_pulling_guarantees_zero_while_pubsub_stands() -> None:
    rows = planned(THERE)
    inside, outside = rows["audit", FailureDomain.CLUSTER], rows["audit", FailureDomain.PROJECT]
    assert (inside.met, inside.worst) == (True, timedelta(0))
    assert (outside.met, outside.declared) == (False, True)


def test_a_log_beside_its_source_promises_nothing_for_the_loss_of_both() -> None:
    rows = planned(HERE)
    lost = rows["audit", FailureDomain.PROJECT], rows["config", FailureDomain.REGION]
    assert [(row.met, row.declared) for row in lost] == [(False, False)] * 2


def test_packs_are_scheduled_daily_and_patient() -> None:
    plan = {entry.source: entry for entry in schedules(table(), {})}
    assert plan[CONFIG].cadence == timedelta(days=1)
    assert plan[AUDIT].rpo == timedelta(days=7)


def test_every_instant_of_a_log_is_a_point_for_a_domain_that_the_vault_survives() -> None:
    log = Coverage(CONFIG, "config-log", T0, T0 + timedelta(hours=2), timedelta(0), (FailureDomain.SOURCE,))
    at = T0 + timedelta(minutes=61, microseconds=7)
    found = choose(at, CONFIG, FailureDomain.SOURCE, (), (log,), T0 + timedelta(days=1))
    assert isinstance(found, Chosen)
    assert (found.instant, found.method, found.behind) == (at, "config-log", timedelta(0))


def row(promise: str) -> DrillRow:
    lost = LostWrites(10, 0, None)
    drilled = DrillRow(
        "config", FailureDomain.LOGICAL, str(CONFIG), Verdict.FAILED, Recovery(1800, 2, 0),
        loss(0, lost, guaranteed=False, promise=promise), T0, "config-log", 1, 1, (Check("count", True, "1"),),
    )  # fmt: skip
    return judge(drilled, lost, T0)


@pytest.mark.parametrize(("promise", "passed"), [(KUBERNETES.promise, True), ("", False)])
def test_a_lucky_zero_is_no_miss_only_in_a_declared_mode(promise: str, passed: bool) -> None:
    lucky = row(promise)
    assert lucky.verdict is Verdict.LUCKY
    report = DrillReport("d", "s", "lab", T0, T0, T0, T0, "", "", (lucky,), ())
    assert report.passed is passed
    assert not replace(report, rows=(replace(lucky, verdict=Verdict.NOT_DRILLED),)).passed


def test_every_mode_with_a_log_says_what_it_promises() -> None:
    assert all(mode.promise and mode.pack_option for mode in MODES.values() if mode.log)
