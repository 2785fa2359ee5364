"""What each command shows, as sheets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from dr.model.evidence import DrillReport, DrillRow, Verdict
from dr.model.points import Check, PointSummary
from dr.model.strategy import FailureDomain, Strategy
from dr.model.timeline import format_instant
from dr.plan.rows import PlannedRow
from dr.report import words
from dr.report.drill_beside import beside_notes, tried_words
from dr.report.folding import folded
from dr.report.sheet import Cell, Sheet, Tone, cell, columns_of

VERDICT_TONES = {
    Verdict.MET: Tone.GOOD,
    Verdict.LUCKY: Tone.WARN,
    Verdict.MISSED: Tone.BAD,
    Verdict.FAILED: Tone.BAD,
    Verdict.NOT_CAPTURED: Tone.DIM,
    Verdict.NOT_DRILLED: Tone.DIM,
}


def plan_sheet(rows: Sequence[PlannedRow], *, wide: bool = False) -> Sheet:
    """`dr plan`. The notes carry the arithmetic once for each row; `wide` shows the domains that nobody judges too."""
    shown = [row for row in rows if wide or row.judged]
    columns = columns_of("component", "domain", ">cadence", ">RTO", ">RPO", ">worst case", "verdict")
    return Sheet(columns, tuple(map(_plan_row, shown)), tuple(_plan_notes(shown)), empty="the strategy has no row")


def _plan_row(row: PlannedRow) -> tuple[Cell, ...]:
    verdict = cell("can be met", Tone.GOOD) if row.met else _unmet(row)
    return (
        cell(row.component),
        cell(row.domain),
        cell(
            "continuous"
            if row.continuous
            else words.span(row.cadence.total_seconds())
            if row.cadence
            else words.NOTHING
        ),
        cell(words.target(row.rto.total_seconds())),
        cell(words.target(row.rpo.total_seconds())),
        cell(words.NOTHING if row.worst is None else words.span(row.worst.total_seconds())),
        verdict,
    )


def _unmet(row: PlannedRow) -> Cell:
    if row.reasons and row.reasons[0].startswith(Verdict.NOT_CAPTURED):
        return cell(Verdict.NOT_CAPTURED, Tone.DIM)
    if row.declared:
        return cell(Verdict.LUCKY, Tone.WARN)
    return cell("cannot be met", Tone.BAD)


def _plan_notes(rows: Sequence[PlannedRow]) -> Iterable[str]:
    """Each reason once under its component; rows of one component share most of them."""
    for component in dict.fromkeys(row.component for row in rows):
        yield f"{component}:"
        reasons = dict.fromkeys(reason for row in rows if row.component == component for reason in row.reasons)
        # the arithmetic, which all domains share, before what each domain adds
        yield from (f"  {reason}" for reason in sorted(reasons, key=_of_one_domain))


def _of_one_domain(reason: str) -> bool:
    return reason.partition(" ")[0] in set(FailureDomain)


def points_sheet(
    points: Sequence[PointSummary],
    now: datetime,
    *,
    wide: bool = False,
    kept: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> Sheet:
    """`dr points list`. `kept`: by manifest name, what else speaks for a point or against it."""
    titles = ["source", "as of", ">age", "method", ">size", "survives", "kept until"]
    columns = columns_of(*titles, *(["committed", "name"] if wide else []))
    rows = tuple(_point_row(point, now, wide, (kept or {}).get(point.name, "")) for point in points)
    return Sheet(columns, rows, tuple(notes), empty="no recovery point yet; make one with: dr backup")


def _point_row(point: PointSummary, now: datetime, wide: bool, kept: str) -> tuple[Cell, ...]:
    row = (
        cell(point.source),
        cell(format_instant(point.as_of)),
        cell(words.span((now - point.as_of).total_seconds())),
        cell(point.method),
        cell(words.size(point.size)),
        cell(" ".join(point.survives)),
        cell(f"{format_instant(point.retain_until)[:10]} {kept}".rstrip(), Tone.WARN if kept else Tone.PLAIN),
    )
    return (*row, cell(format_instant(point.committed)), cell(point.name)) if wide else row


def checks_sheet(checks: Sequence[Check]) -> Sheet:
    """What was looked at, failures in colour."""
    rows = tuple(
        (cell("ok", Tone.GOOD) if check.passed else cell("FAILED", Tone.BAD), cell(check.name), cell(check.detail))
        for check in checks
    )
    return Sheet(columns_of("result", "check", "detail"), rows, empty="nothing was checked")


def verified_sheet(items: Sequence[Mapping[str, object]], *, wide: bool = False) -> Sheet:
    """`dr drill verify`: one line a file; below it what differs, or with `wide` all that was looked at."""
    rows = tuple(
        (
            cell("ok", Tone.GOOD) if item["passed"] else cell("CHANGED", Tone.BAD),
            cell(item["file"]),
            cell(item["drill"] or words.NOTHING),
        )
        for item in items
    )
    notes: list[str] = []
    for item in items:
        checks = item["checks"]
        assert isinstance(checks, list)
        shown = [check for check in checks if wide or not check["passed"] or check["name"] in ("signature", "chain")]
        notes += [
            f"{item['file']}: {'ok' if check['passed'] else 'FAILED'}: {check['name']}: {check['detail']}"
            for check in shown
        ]
    return Sheet(columns_of("result", "file", "drill"), rows, tuple(notes), empty="no file was given")


def drill_sheet(report: DrillReport, *, wide: bool = False) -> Sheet:
    """The closing table: one line for each component and domain that was drilled; below it what failed, each naming its
    artefact. `wide`: a line for each domain that was not, too."""
    columns = columns_of(
        "component", "domain", ">RTO target", ">measured", ">RPO target", "measured", ">bytes", ">objects", ">rate", "scope",
        "verdict",
    )  # fmt: skip
    rows = tuple(_drill_row(report, row, domains) for row, domains in (_as_they_are if wide else folded)(report.rows))
    return Sheet(columns, rows, tuple(drill_notes(report, wide=wide)), empty="the drill covered no row")


def _as_they_are(rows: Sequence[DrillRow]) -> Iterable[tuple[DrillRow, str]]:
    return ((row, str(row.domain)) for row in rows)


def _drill_row(report: DrillReport, row: DrillRow, domains: str) -> tuple[Cell, ...]:
    done = words.measured(row)
    return (
        cell(row.component),
        cell(domains),
        cell(words.target(row.rto.target_s)),
        cell(words.span(row.rto.measured_s)),
        cell(words.target(row.rpo.target_s)),
        cell(words.lost(row.rpo)),
        # a clone's size is not told by Firestore: unknown is not nothing
        cell(words.size(row.size) if done and row.size else words.NOTHING),
        cell(f"{row.objects:,}" if done else words.NOTHING),
        cell(words.rate(row.rate_bytes_s) if done and row.size else words.NOTHING),
        cell(report.scope),
        cell(row.verdict, VERDICT_TONES[row.verdict]),
    )


def drill_notes(report: DrillReport, *, wide: bool = False) -> Iterable[str]:
    """Findings, what was reached outside, what a search tried, then what the teardown left. `wide`: clocks and instants too."""
    for row in report.rows:
        yield from (str(cell(f"{row.component}/{row.domain} {row.verdict}: {text}").text) for text in row.findings)
    yield from (
        cell(f"reached outside: {check.name}: {check.detail}").text for check in report.tripwire if not check.passed
    )
    beside = beside_notes(report) if wide else (tried_words(one) for row in report.rows for one in row.tried)
    yield from (str(cell(text).text) for text in beside)
    yield from (
        cell(f"left behind: {check.name}: {check.detail}").text for check in report.teardown if not check.passed
    )


def strategy_sheet(strategy: Strategy) -> Sheet:
    """The strategy table itself."""
    columns = columns_of("component", "frequency", "retention", "RTO", "RPO")
    rows = tuple(
        (
            cell(f"`{row.component}`"),
            cell(row.frequency.replace("-", " ")),
            cell(words.span(row.retention.total_seconds())),
            cell(words.target(row.rto.total_seconds())),
            cell(words.target(row.rpo.total_seconds())),
        )
        for row in strategy.objectives
    )
    return Sheet(columns, rows)
