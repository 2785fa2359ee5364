"""The SLA credit at risk, by what drills measured; and drills by the calendar beside the status."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dr.model.evidence import Verdict
from dr.model.strategy import CREDITS, Credit, FailureDomain
from dr.plan.credit import at_risk, owed_for
from dr.plan.exercises import QUARTERLY, exercises, next_drill, nightly
from dr.plan.overview import Overview
from dr.plan.proof import DrillLine, DrillMark, Proof, remembered
from dr.plan.status import RowVerdict, Standing, StatusRow
from dr.plan.tell import conditions
from dr.report.exercises import exercise_notes, risk_words
from dr.scenarios import load_scenario, shipped
from dr.strategy import load_strategy, parse_strategy
from tests.unit.watched_world import NOW, STRATEGY, D, H

HOUR = 3600.0


def row(component: str, took: float | None, *, drilled: bool = True) -> StatusRow:
    mark = DrillMark("d", NOW, component, FailureDomain.SOURCE, "s", Verdict.MET, True, NOW, took)
    verdict = RowVerdict.MET
    return StatusRow(
        component, FailureDomain.SOURCE, "s", Standing.OK, H, NOW, H, None, 1, "p", verdict,
        proof=Proof(mark, mark) if drilled else None,
    )  # fmt: skip


@pytest.mark.parametrize(("took", "percent"), [(4 * HOUR - 1, 0.0), (4 * HOUR, 25.0), (9 * HOUR, 25.0), (None, 25.0)])
def test_four_hours_exactly_cost_a_quarter_of_the_month(took: float | None, percent: float) -> None:
    assert owed_for(CREDITS, took) == percent


def test_a_row_that_nobody_timed_is_at_risk() -> None:
    fast, never, lost = row("cluster", 60.0), row("audit", None, drilled=False), row("config", None)
    assert at_risk(CREDITS, [fast]).percent == 0
    assert at_risk(CREDITS, [fast, never]) == at_risk(CREDITS, [never, fast])
    risk = at_risk(CREDITS, [fast, never, lost, row("appdata", 5 * HOUR)])
    assert risk.percent == 25
    assert risk.slow == ("config/source was not recovered by its last drill", "appdata/source took 5h")
    assert risk.unknown == ("audit/source",)
    assert risk_words(risk).startswith("SLA credit at risk: 25 % of the month: config/source was not recovered")


def test_without_an_agreement_nothing_is_owed() -> None:
    assert at_risk((), [row("audit", None, drilled=False)]).percent == 0


def test_the_rule_stands_in_the_strategy_with_its_default() -> None:
    assert load_strategy(None).credits == (Credit(timedelta(hours=4), 25.0),)
    row_ = "{component: audit, frequency: daily, retention: 7y, rto: 1h, rpo: 1h}"
    text = f"apiVersion: dr/v1\nkind: Strategy\nname: x\n%sobjectives:\n  - {row_}\n"
    assert parse_strategy("s", (text % "").encode()).credits == CREDITS
    assert parse_strategy("s", (text % "credits: []\n").encode()).credits == ()
    own = "credits:\n  - {rtoAtLeast: 1h, percent: 10}\n  - {rtoAtLeast: 1d, percent: 50}\n"
    credits = parse_strategy("s", (text % own).encode()).credits
    assert [owed_for(credits, took) for took in (60, HOUR, 24 * HOUR)] == [0, 10, 50]


# --- the calendar


def line(scenario: str, age: timedelta, passed: bool = True, ended: str = "") -> DrillLine:
    return DrillLine(f"{scenario}-{age}", scenario, "lab", NOW - age, passed, 1, ended)


def test_the_calendars_drills_are_those_that_are_shipped() -> None:
    wanted = {one.scenario: one.every for one in exercises(STRATEGY, (), NOW)}
    assert wanted == {name: scenario.every for name in shipped() if (scenario := load_scenario(name)).every}


def test_each_row_knows_its_next_drill() -> None:
    lines = [line(QUARTERLY, 20 * D), line(nightly("appdata"), H), line(nightly("audit"), 30 * H)]
    found = exercises(STRATEGY, lines, NOW)
    assert next_drill(found, "appdata") == NOW - H + 20 * H
    assert next_drill(found, "audit") == NOW - 10 * H
    assert next_drill(found, "nothing") is None


def test_what_is_due_and_what_it_would_cost_stand_below_the_status() -> None:
    found = exercises(STRATEGY, [line(QUARTERLY, 100 * D)], NOW)
    risk = at_risk(CREDITS, [row("audit", 60.0)])
    notes = list(exercise_notes(Overview((), NOW, exercises=found, at_risk=risk), NOW))
    assert notes[0] == "drill quarterly: due now (2025 Q2: not drilled yet); run it: dr drill run quarterly"
    assert notes[1] == "drills due tonight: nightly-cluster, nightly-appdata, nightly-config, nightly-audit"
    assert notes[2] == "SLA credit at risk: none, by the last drill of every row"


def test_a_drill_that_the_calendar_wanted_long_ago_is_told() -> None:
    late = NOW.replace(month=6, day=20)
    overview = Overview((), late, exercises=exercises(STRATEGY, (), late))
    (told,) = conditions(overview, {}, late, late)
    assert told.text == "The drill quarterly is late: 2025 Q2: not drilled yet."
    early = NOW.replace(month=4, day=2)
    assert not conditions(Overview((), early, exercises=exercises(STRATEGY, (), early)), {}, early, early)


def test_many_nightly_drills_do_not_make_the_quarters_forgotten() -> None:
    lines = [line("nightly-appdata", i * D) for i in range(60)] + [line(QUARTERLY, 80 * D), line(QUARTERLY, 90 * D)]
    kept = remembered(lines, 30)
    assert len(kept) == 31
    assert kept[-1].scenario == QUARTERLY
    assert kept[-1].at == NOW - 80 * D
