"""A drill report as one HTML file: nothing is fetched, nothing runs, every value is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from dr.model.evidence import DrillReport, DrillRow, Loss, StepTiming, Verdict
from dr.model.forecast import Outlook
from dr.model.points import Check
from dr.model.strategy import FailureDomain
from dr.report import words
from dr.report.dossier_page import SEVERITIES, TONES, Dressed, said, stored, trends
from dr.report.drill_beside import clock_words, instant_words, tried_words
from dr.report.folding import folded

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

WIDE_PX, NARROW_PX = 1080, 340
_EVENTS = {
    FailureDomain.LOGICAL: "a bad write or delete",
    FailureDomain.SOURCE: "the loss of the source",
    FailureDomain.CLUSTER: "the loss of the cluster",
    FailureDomain.REGION: "the loss of the region",
    FailureDomain.PROJECT: "the loss of the project",
}


@dataclass(frozen=True, slots=True)
class _Detail:
    """One row that was drilled, with its pictures."""

    row: DrillRow
    wide: Markup | None
    narrow: Markup | None
    behind: float | None
    """Seconds from the restored instant to the disaster."""
    failed: int


def drill_html(report: DrillReport, dressed: Dressed | None = None) -> str:
    """The page; with what an auditor asks besides, when the drill is sealed. The same values always give the same bytes. Costs
    a second or two: the timelines are drawn by altair and vl-convert."""
    environment = _templates()
    checks = environment.get_template("checks.html.j2")

    def checks_table(entries: Sequence[Check]) -> Markup:
        from markupsafe import Markup

        return Markup(checks.render(checks=entries))

    return environment.get_template("drill.html.j2").render(
        report=report,
        outcome="Passed" if report.passed else "Failed",
        summary=_summary(report.rows),
        lines=list(folded(report.rows)),
        findings=list(_findings(report)),
        detection=(report.declared_at - report.disaster_at).total_seconds(),
        details=[_detail(report, row, f"t{i}") for i, row in enumerate(report.rows) if words.measured(row)],
        environment=sorted((str(name), str(value)) for name, value in report.environment.items() if name != "dr"),
        words=words,
        clock_words=clock_words,
        instant_words=instant_words,
        tried_words=tried_words,
        measured=words.measured,
        lost_count=_lost_count,
        heading=_heading,
        tone=lambda verdict: TONES.get(verdict, ""),
        checks_table=checks_table,
        dressed=dressed,
        trend_rows=list(trends(report, dressed.dossier)) if dressed else [],
        severities=SEVERITIES,
        forecast_tones={Outlook.WITHIN: "good", Outlook.BEYOND: "bad", Outlook.INSUFFICIENT: "warn"},
        said=said,
        stored=stored,
    )


def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("dr.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _summary(rows: Sequence[DrillRow]) -> str:
    """`4 of 6 rows drilled: 2 met, 1 failed, 1 missed.`"""
    drilled = [row for row in rows if words.measured(row)]
    counts = [(verdict, sum(row.verdict is verdict for row in drilled)) for verdict in Verdict]
    parts = [
        f"{count} {verdict}" if verdict is not Verdict.LUCKY else f"{count} lucky ({verdict})"
        for verdict, count in counts
        if count
    ]
    return f"{len(drilled)} of {len(rows)} rows drilled{': ' if parts else ''}{', '.join(parts)}."


def _findings(report: DrillReport) -> Iterable[tuple[str, str]]:
    for row in report.rows:
        yield from ((_heading(row), text) for text in row.findings)
    yield from ((f"Reached outside: {check.name}", check.detail) for check in report.tripwire if not check.passed)
    yield from ((f"Left behind: {check.name}", check.detail) for check in report.teardown if not check.passed)


def _heading(row: DrillRow) -> str:
    return f"{row.component} after {_EVENTS[row.domain]}"


def _lost_count(loss: Loss) -> str:
    return words.NOTHING if loss.writes_lost is None else f"{'≥ ' if loss.at_least else ''}{loss.writes_lost:,}"


def _detail(report: DrillReport, row: DrillRow, name: str) -> _Detail:
    return _Detail(
        row=row,
        wide=_plot(row.rto.steps, WIDE_PX, f"{name}w"),
        narrow=_plot(row.rto.steps, NARROW_PX, f"{name}n"),
        behind=(_disaster(report, row) - row.instant).total_seconds() if row.instant else None,
        failed=sum(not check.passed for check in row.checks),
    )


def _disaster(report: DrillReport, row: DrillRow) -> datetime:
    """Of a row that is restored to an instant by lot it is reckoned to be at that instant."""
    lots = (one.requested for one in report.drawn if (one.source, one.domain) == (row.source, row.domain))
    return next(lots, report.disaster_at)


def _plot(steps: Sequence[StepTiming], width: int, name: str) -> Markup | None:
    if not steps:
        return None
    from markupsafe import Markup

    from dr.report.timeline import timeline_svg

    # safe: vl-convert escapes the text of the marks, and the rest of the picture is ours
    return Markup(timeline_svg(steps, width, name))
