"""The plan table: one row for each component and domain, with its reasons."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dr.model.ids import Slot
from dr.model.points import Coverage, PointSummary
from dr.model.strategy import FailureDomain, Place, Strategy
from dr.plan.rows import PlannedRow, plan_table, schedules
from dr.plan.status import Standing, status_table
from dr.ports import SourceFacts
from dr.strategy import load_strategy

NOW = datetime(2025, 5, 28, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SHIPPED = load_strategy(None)
CAPTURED = ("cluster", "appdata")
"""The others are rows without a source here: not captured yet."""
STRATEGY = replace(
    SHIPPED,
    objectives=tuple(row if row.component in CAPTURED else replace(row, sources=()) for row in SHIPPED.objectives),
)
CLUSTER, DATABASE = (spec.id for spec in STRATEGY.sources())
VAULTS = {"cluster": Place("energent-backup", "us-east1"), "appdata": Place("energent-backup", "us-east1")}
COVERAGE = Coverage(DATABASE, "firestore-pitr", NOW - timedelta(days=7), NOW, MINUTE, (FailureDomain.LOGICAL,))
FACTS = {DATABASE: SourceFacts(DATABASE, NOW, COVERAGE, 1 << 30, 10**6, 0.3, "1,000,000 documents x 0.3 $/M reads")}
MEASURED = {CLUSTER: [4 * MINUTE], DATABASE: [20 * timedelta(seconds=1)]}


def table(
    vaults: dict[str, Place] | None = None,
    facts: dict[object, SourceFacts] | None = None,
    strategy: Strategy = STRATEGY,
) -> dict[tuple[str, str], PlannedRow]:
    rows = plan_table(strategy, VAULTS if vaults is None else vaults, FACTS if facts is None else facts, MEASURED)  # type: ignore[arg-type]
    return {(row.component, str(row.domain)): row for row in rows}


def test_every_component_has_a_row_for_each_of_the_five_domains() -> None:
    rows = table()
    assert list(rows) == [(c, str(d)) for c in ("cluster", "appdata", "config", "audit") for d in FailureDomain]


def test_a_bad_write_to_the_database_loses_a_minute_at_most_and_any_other_loss_an_export() -> None:
    rows = table()
    assert rows["appdata", "logical"].worst == MINUTE
    assert rows["appdata", "source"].worst == 11 * MINUTE + timedelta(seconds=20)
    assert "kept inside the source" in rows["appdata", "source"].reasons[0]
    assert rows["appdata", "source"].met


def test_daily_alone_is_shown_to_miss_24_hours() -> None:
    row = table()["cluster", "cluster"]
    assert row.cadence == timedelta(hours=12)
    assert any('"daily" alone' in reason and "misses RPO < 24h" in reason for reason in row.reasons)


def test_a_vault_whose_place_is_not_declared_does_not_survive_region_or_project() -> None:
    rows = table(vaults={})
    for domain in ("region", "project"):
        assert (rows["cluster", domain].met, rows["cluster", domain].worst) == (False, None)
        assert any("not declared" in reason for reason in rows["cluster", domain].reasons)
    assert rows["cluster", "cluster"].met


def test_rows_without_capture_say_not_captured_yet() -> None:
    row = table()["config", "logical"]
    assert (row.cadence, row.worst, row.met) == (None, None, False)
    assert row.reasons == ("not captured yet: the row declares no source",)


def test_an_unobserved_source_falls_back_to_its_points_and_says_so() -> None:
    row = table(facts={})["appdata", "logical"]
    assert row.worst == 11 * MINUTE + timedelta(seconds=20)
    assert "not observed" in row.reasons[0]


def test_history_that_is_off_is_named() -> None:
    off = {DATABASE: replace(FACTS[DATABASE], coverage=None)}
    assert "firestore-pitr is off" in table(facts=off)["appdata", "logical"].reasons[0]


def test_the_cost_of_exports_at_the_cadence_is_shown_with_its_arithmetic() -> None:
    row = table()["appdata", "source"]
    assert row.month_usd is not None
    assert 1314 < row.month_usd < 1315
    assert "4,380 captures a month x $0.30 (1,000,000 documents x 0.3 $/M reads)" in row.reasons[-1]


def test_a_kind_that_nobody_captures_makes_its_row_incomplete() -> None:
    rows = plan_table(STRATEGY, VAULTS, FACTS, MEASURED, modes={})
    assert all(row.worst is None and row.reasons[0].startswith("not captured yet") for row in rows)


def test_the_scheduler_gets_the_cadence_that_the_plan_shows() -> None:
    rows = table()
    found = {schedule.source: schedule.cadence for schedule in schedules(STRATEGY, MEASURED)}
    assert found == {CLUSTER: rows["cluster", "source"].cadence, DATABASE: rows["appdata", "source"].cadence}


def test_snapshot_granularity_is_a_setting_of_the_source() -> None:
    appdata = STRATEGY.objectives[1]
    spec = replace(appdata.sources[0], options={**appdata.sources[0].options, "snapshotGranularity": "1s"})
    fine = replace(STRATEGY, objectives=(replace(appdata, sources=(spec,)),))
    assert table(strategy=fine)["appdata", "source"].worst == 10 * MINUTE + timedelta(seconds=21)


def point(minutes_ago: int, *survives: FailureDomain) -> PointSummary:
    at = NOW - minutes_ago * MINUTE
    slot = Slot(DATABASE, at)
    return PointSummary(slot, "firestore-export", at, at, at, 9, survives, NOW + 90 * MINUTE, f"points/{slot}", 1, "")


def test_status_counts_only_points_that_survive_the_domain() -> None:
    local = (FailureDomain.LOGICAL, FailureDomain.SOURCE)
    points = [point(20, *FailureDomain), point(5, *local)]
    rows = {(r.component, str(r.domain)): r for r in status_table(STRATEGY, points, {DATABASE: NOW}, NOW)}
    source, region = rows["appdata", "source"], rows["appdata", "region"]
    assert (source.standing, source.age, source.points) == (Standing.OK, 5 * MINUTE, 2)
    assert (region.standing, region.age, region.points) == (Standing.LATE, 20 * MINUTE, 1)
    assert rows["cluster", "source"].standing is Standing.NO_POINT
    assert rows["audit", "source"].standing is Standing.NOT_CAPTURED


def test_a_point_exactly_as_old_as_the_rpo_is_late() -> None:
    rows = status_table(STRATEGY, [point(15, *FailureDomain)], {}, NOW)
    assert {r.standing for r in rows if r.component == "appdata"} == {Standing.LATE}


def test_a_history_as_coarse_as_the_rpo_does_not_meet_it() -> None:
    coarse = {DATABASE: replace(FACTS[DATABASE], coverage=replace(COVERAGE, granularity=15 * MINUTE))}
    slow = {DATABASE: [60 * MINUTE]}
    rows = {(r.component, r.domain): r for r in plan_table(STRATEGY, VAULTS, coarse, slow)}
    row = rows["appdata", FailureDomain.LOGICAL]
    assert (row.worst, row.met) == (15 * MINUTE, False)
