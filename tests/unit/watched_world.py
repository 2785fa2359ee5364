"""A deployment as it is watched: four rows of which one is late, two drills, a freeze if wanted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from dr.model.evidence import DrillReport, DrillRow, Loss, Recovery, StepTiming, Verdict
from dr.model.ids import Slot, SourceId
from dr.model.points import Check, Coverage, PointSummary
from dr.model.retention import FreezeRecord
from dr.model.strategy import FailureDomain, Frequency, Objective, Place, SourceSpec, Strategy
from dr.plan.overview import Overview
from dr.plan.proof import by_key, drill_line, marks_of, newest_first, with_marks
from dr.plan.status import Evidence, status_table

NOW = datetime(2025, 5, 28, 10, 0, 12, tzinfo=UTC)
S, H, D = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
DOMAINS = tuple(FailureDomain)
CLUSTER = SourceId("cluster", "velero", "energent-production")
DATABASE = SourceId("appdata", "firestore", "energent-metadata-production")
CONFIG = SourceId("config", "kubernetes", "energent-production")
AUDIT = SourceId("audit", "pubsub", "energent-security-sink")


def _row(source: SourceId, frequency: Frequency, retention: timedelta, rto: timedelta, rpo: timedelta) -> Objective:
    spec = SourceSpec(source, Place(), {"heartbeat": "10s"})
    return Objective(source.component, frequency, retention, rto, rpo, DOMAINS, (spec,))


STRATEGY = Strategy(
    "energent-platform",
    (
        _row(CLUSTER, Frequency.DAILY, 30 * D, 4 * H, 24 * H),
        _row(DATABASE, Frequency.REAL_TIME, 90 * D, H, 15 * 60 * S),
        _row(CONFIG, Frequency.ON_CHANGE, 365 * D, H / 2, timedelta(0)),
        _row(AUDIT, Frequency.REAL_TIME, 7 * 365 * D, 24 * H, timedelta(0)),
    ),
)


def point(source: SourceId, at: datetime, survives: Sequence[FailureDomain] = DOMAINS) -> PointSummary:
    slot = Slot(source, at)
    return PointSummary(slot, "m", at, at, at + 40 * S, 1 << 30, tuple(survives), at + 90 * D, f"points/{slot}", 1, "")


def points(now: datetime = NOW, *, appdata_age: timedelta = 300 * S) -> list[PointSummary]:
    """The database misses six hours, three days ago; the cluster's copies do not leave their project."""
    there = [now - appdata_age - i * 600 * S for i in range(12000)]
    database = [point(DATABASE, at) for at in there if not 3 * D < now - at < 3.25 * D]
    cluster = [point(CLUSTER, now - 7 * H - i * 12 * H, DOMAINS[:4]) for i in range(60)]
    packs = [point(CONFIG, now - 5 * H - i * D) for i in range(40)] + [point(AUDIT, now - 5 * H)]
    return database + cluster + packs


def coverage(now: datetime = NOW) -> tuple[Coverage, ...]:
    """Configuration stood still for two hours, five days ago."""
    return (
        Coverage(CONFIG, "config-log", now - 40 * D, now - 5 * D, timedelta(0), DOMAINS),
        Coverage(CONFIG, "config-log", now - 5 * D + 2 * H, now - 4 * S, timedelta(0), DOMAINS),
        Coverage(AUDIT, "audit-log", now - 2 * D, now - 3 * S, timedelta(0), DOMAINS),
    )


def report(drill: str, at: datetime, *verdicts: tuple[SourceId, FailureDomain, Verdict]) -> DrillReport:
    rows = tuple(_drilled(at, *entry) for entry in verdicts)
    return DrillReport(drill, "quarterly", "lab", at, at, at, at + H / 4, "s" * 64, "0.2.0", rows, ())


def _drilled(at: datetime, source: SourceId, domain: FailureDomain, verdict: Verdict) -> DrillRow:
    promise = "mode watch follows each write" if source == CONFIG else ""
    return DrillRow(
        component=source.component,
        domain=domain,
        source=str(source),
        verdict=verdict,
        rto=Recovery(3600.0, 412.0, 3.0, (StepTiming("verify-point", 0.0, 31.0), StepTiming("clone", 31.0, 402.0))),
        rpo=Loss(900.0, 3, 210.0, 1200, promise=promise),
        instant=at - 300 * S,
        point="points/p.json",
        objects=1200,
        size=1 << 28,
        checks=(Check("counts", verdict is not Verdict.FAILED, "1,200 of 1,200"),),
        findings=("the target is < 1h",) if verdict is Verdict.MISSED else (),
    )


def reports(now: datetime = NOW) -> tuple[DrillReport, ...]:
    met, source, logical = Verdict.MET, FailureDomain.SOURCE, FailureDomain.LOGICAL
    every = [(DATABASE, domain, met) for domain in DOMAINS] + [(CLUSTER, domain, met) for domain in DOMAINS[:4]]
    return (
        report("quarterly-20250301T020000Z-1c3e", now - 88 * D, *every),
        report("quarterly-20250527T020000Z-9f02", now - 1.3 * D, (CONFIG, logical, Verdict.LUCKY), (DATABASE, logical, met),
               (CLUSTER, source, Verdict.MISSED)),
    )  # fmt: skip


FREEZE = FreezeRecord(3, True, NOW - 2 * H, "ann@energent.example", "ransom note found in tenant-042")


def overview(
    now: datetime = NOW,
    *,
    given: Sequence[PointSummary] | None = None,
    covered: Sequence[Coverage] | None = None,
    frozen: FreezeRecord | None = None,
    drilled: Sequence[DrillReport] | None = None,
    listed: datetime | None = None,
) -> Overview:
    """Judged at `now`."""
    found, logs = given if given is not None else points(now), coverage(now) if covered is None else covered
    drills = reports(now) if drilled is None else drilled
    proofs = with_marks((), [mark for one in drills for mark in marks_of(one)])
    due = {CLUSTER: now + 5 * H, DATABASE: now + 288 * S}
    rows = status_table(STRATEGY, found, due, now, Evidence(logs, by_key(proofs), {CONFIG: 2}))
    instants: dict[SourceId, list[datetime]] = {}
    for one in found:
        instants.setdefault(one.source, []).append(one.as_of)
    return Overview(
        rows,
        listed or now - 4 * S,
        frozen,
        tuple(newest_first(map(drill_line, drills))),
        tuple(logs),
        {source: tuple(at) for source, at in instants.items()},
    )
