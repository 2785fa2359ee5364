"""What follows from a drill's report for its dossier. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dr.model.dossier import (
    Committed,
    CriticalStep,
    DrillFinding,
    Exclusion,
    Past,
    SealedPoint,
    Segregation,
    Severity,
)
from dr.model.evidence import DrillReport, DrillRow, People, StepTiming, Verdict
from dr.plan.proof import UNDRILLED

TREND = 12
"""Earlier drills of a row that are shown."""
_SEVERITIES = {Verdict.FAILED: Severity.CRITICAL, Verdict.MISSED: Severity.MAJOR, Verdict.LUCKY: Severity.MINOR}


def same_person(one: str, other: str) -> bool:
    """`Ann Lee`, `ann  lee` and `ann lee@laptop as restore` are one. In doubt it is the same person: an approval is refused
    sooner than given by the one who did the work."""
    mine, theirs = _bare(one), _bare(other)
    return bool(mine) and (mine == theirs or _account(mine) == _account(theirs))


def _bare(name: str) -> str:
    return " ".join(name.partition(" as ")[0].casefold().split())


def _account(name: str) -> str:
    return name.partition("@")[0]


# --- findings -------------------------------------------------------------------------------------------------------


def findings_of(report: DrillReport) -> tuple[DrillFinding, ...]:
    """Everything that fell short, worst first, numbered F1, F2..."""
    found = sorted((*_rows(report.rows), *_left(report)), key=lambda entry: list(Severity).index(entry[0]))
    return tuple(DrillFinding(f"F{i}", *entry) for i, entry in enumerate(found, 1))


def _rows(rows: Iterable[DrillRow]) -> Iterable[tuple[Severity, str, str]]:
    for row in rows:
        where = f"{row.component}/{row.domain}"
        if row.verdict in UNDRILLED or row.kept:
            continue
        severity = _SEVERITIES.get(row.verdict, Severity.CRITICAL)
        texts = row.findings or tuple(f"{c.name}: {c.detail}" for c in row.checks if not c.passed)
        for text in texts or (str(row.verdict),):
            yield severity, where, text


def _left(report: DrillReport) -> Iterable[tuple[Severity, str, str]]:
    for where, checks in (("containment", report.tripwire), ("teardown", report.teardown)):
        for check in checks:
            if not check.passed:
                yield Severity.CRITICAL, where, f"{check.name}: {check.detail}"


# --- scope ----------------------------------------------------------------------------------------------------------


def covered_of(report: DrillReport) -> tuple[str, ...]:
    """`appdata/source (appdata/firestore/db)`."""
    return tuple(
        f"{row.component}/{row.domain}" + (f" ({row.source})" if row.source else "")
        for row in report.rows
        if row.verdict not in UNDRILLED
    )


def exclusions_of(report: DrillReport) -> tuple[Exclusion, ...]:
    """Rows of the table that this drill says nothing about, and why."""
    return tuple(_exclusion(report, row) for row in report.rows if row.verdict in UNDRILLED)


def _exclusion(report: DrillReport, row: DrillRow) -> Exclusion:
    captured = row.verdict is not Verdict.NOT_CAPTURED
    reason = f"outside the scenario {report.scenario}" if captured else "not captured yet: there is nothing to restore"
    return Exclusion(row.component, row.domain, reason)


# --- the critical path ----------------------------------------------------------------------------------------------


def critical_path(rows: Sequence[DrillRow]) -> tuple[CriticalStep, ...]:
    """The steps of the row whose last check passed last: they decide when everything is recovered. Time between two of them
    is waiting, for another row or for a free worker."""
    measured = [row for row in rows if row.rto.measured_s is not None and row.rto.steps]
    last = max(measured, key=lambda row: row.rto.measured_s or 0.0, default=None)
    return _linked(last, sorted(last.rto.steps, key=lambda step: step.start_s)) if last else ()


def _linked(row: DrillRow, steps: Sequence[StepTiming]) -> tuple[CriticalStep, ...]:
    found: list[CriticalStep] = []
    end = 0.0
    for step in steps:
        waited = max(0.0, step.start_s - end)
        found.append(CriticalStep(row.component, row.domain, step.step, step.start_s, step.end_s, waited))
        end = max(end, step.end_s)
    return tuple(found)


# --- the trend ------------------------------------------------------------------------------------------------------


def trend_of(report: DrillReport, earlier: Iterable[DrillReport]) -> tuple[Past, ...]:
    """Figures of earlier drills in the same scope, oldest first, for each row drilled now; not more than `TREND` a row."""
    drills = sorted((one for one in earlier if _comparable(one, report)), key=lambda one: one.declared_at)
    found: list[Past] = []
    for row in report.rows:
        if row.verdict not in UNDRILLED:
            mine = [past for one in drills for past in _pasts(one, row)]
            found += mine[-TREND:]
    return tuple(found)


def _comparable(one: DrillReport, report: DrillReport) -> bool:
    return one.id != report.id and one.scope == report.scope and one.declared_at < report.declared_at


def _pasts(one: DrillReport, row: DrillRow) -> Iterable[Past]:
    for old in one.rows:
        if (old.source, old.domain) == (row.source, row.domain) and old.verdict not in UNDRILLED:
            yield Past(
                one.id,
                one.declared_at,
                old.component,
                old.domain,
                old.source,
                old.verdict,
                old.rto.measured_s,
                old.rpo.oldest_lost_s,
                old.size,
            )


# --- what nobody knows ----------------------------------------------------------------------------------------------


def unknown_of(
    people: People,
    order: Committed,
    table: Committed,
    unapproved: Sequence[str],
    points: Sequence[SealedPoint],
    targets: Sequence[Segregation],
    runbook: str,
    report: DrillReport,
    signer: str,
) -> tuple[str, ...]:
    """One sentence for each thing that an auditor may ask and the record cannot answer."""
    named = {
        "approver": people.approver,
        "witness (a person)": people.witness,
        "ticket": people.ticket,
        "runbook that people worked by": runbook,
    }
    found = [f"{name}: not given" for name, value in named.items() if not value]
    found += [f"objectives of {name}: the strategy does not say who approved them" for name in unapproved]
    found += [
        f"the {what}: {text}" for what, text in (("order", _late(order)), ("strategy table", _late(table))) if text
    ]
    found += [f"{point.source} ({point.domain}): {point.note}" for point in points if point.note]
    found += [
        f"where {one.source} lives: the strategy does not declare its place" for one in targets if not one.source_place
    ]
    found += [f"size of {row.source}: not told by its service" for row in _sizeless(report)]
    found += [] if signer else ["who sealed this record: no key is configured (keys.evidence), it is unsigned"]
    return tuple(dict.fromkeys(found))


def _late(one: Committed) -> str:
    if one.in_time is None:
        return "when it was stored is not known"
    return "" if one.in_time else "it was stored later than what it should have come before"


def _sizeless(report: DrillReport) -> Iterable[DrillRow]:
    return (row for row in report.rows if row.rto.measured_s is not None and not row.size)
