"""What drills have proven: reduced from their reports to the newest word on each source and domain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dr.model.drills import DrillEnding
from dr.model.evidence import DrillReport, DrillRow, Verdict
from dr.model.strategy import FailureDomain

UNDRILLED = (Verdict.NOT_DRILLED, Verdict.NOT_CAPTURED)


@dataclass(frozen=True, slots=True)
class DrillMark:
    """What one drill says of one source and domain."""

    drill: str
    at: datetime
    """When it was declared."""
    component: str
    domain: FailureDomain
    source: str
    verdict: Verdict
    kept: bool
    """The verdict is all that was promised."""
    instant: datetime | None
    """What was restored to."""
    recovery_s: float | None

    @property
    def proves(self) -> bool:
        """The copy was restored and its checks passed, in time or not."""
        return self.instant is not None and self.verdict in (Verdict.MET, Verdict.LUCKY, Verdict.MISSED)


@dataclass(frozen=True, slots=True)
class Proof:
    """Of one source and domain: the last drill, and the one that restored the newest point whose checks passed."""

    last: DrillMark
    proven: DrillMark | None


@dataclass(frozen=True, slots=True)
class DrillLine:
    """One drill in a list."""

    id: str
    scenario: str
    scope: str
    at: datetime
    passed: bool
    rows: int
    """How many were drilled."""
    ended: str = ""
    """`skipped` or `aborted`: it left no report."""
    reason: str = ""
    """Why it left none."""
    by: str = ""
    """Who ordered it, or decided that it is not run."""

    @property
    def how(self) -> str:
        """`passed`, `failed`, `skipped` or `aborted`."""
        return self.ended or ("passed" if self.passed else "failed")


ProofKey = tuple[str, FailureDomain]
"""A source as text, and a domain."""


def drill_line(report: DrillReport) -> DrillLine:
    rows = sum(row.verdict not in UNDRILLED for row in report.rows)
    return DrillLine(report.id, report.scenario, report.scope, report.declared_at, report.passed, rows, by=report.by)


def ended_line(ending: DrillEnding) -> DrillLine:
    """Of a drill that left no report."""
    how = str(ending.how)
    return DrillLine(ending.id, ending.scenario, "", ending.at, False, 0, how, ending.reason, ending.by)


def remembered(lines: Iterable[DrillLine], count: int) -> tuple[DrillLine, ...]:
    """The newest ones, and of every scenario the newest of each outcome, however old: they say what is due."""
    ordered, kept, known = newest_first(lines), list[DrillLine](), set[tuple[str, str]]()
    for place, line in enumerate(ordered):
        if place < count or (line.scenario, line.how) not in known:
            kept.append(line)
        known.add((line.scenario, line.how))
    return tuple(kept)


def marks_of(report: DrillReport) -> tuple[DrillMark, ...]:
    """One for each row that was drilled."""
    return tuple(_mark(report, row) for row in report.rows if row.verdict not in UNDRILLED)


def _mark(report: DrillReport, row: DrillRow) -> DrillMark:
    return DrillMark(
        drill=report.id,
        at=report.declared_at,
        component=row.component,
        domain=row.domain,
        source=row.source,
        verdict=row.verdict,
        kept=row.kept,
        instant=row.instant,
        recovery_s=row.rto.measured_s,
    )


def with_marks(proofs: Iterable[Proof], marks: Iterable[DrillMark]) -> tuple[Proof, ...]:
    """The proofs with what more drills say, in whatever order they come."""
    found = by_key(proofs)
    for mark in marks:
        key = (mark.source, mark.domain)
        old = found.get(key)
        last = mark if old is None or mark.at >= old.last.at else old.last
        found[key] = Proof(last, _newer(old.proven if old else None, mark))
    return tuple(found[key] for key in sorted(found))


def _newer(proven: DrillMark | None, mark: DrillMark) -> DrillMark | None:
    if not mark.proves or mark.instant is None:
        return proven
    old = proven.instant if proven else None
    return mark if old is None or (mark.instant, mark.at) >= (old, proven.at if proven else mark.at) else proven


def by_key(proofs: Iterable[Proof]) -> dict[ProofKey, Proof]:
    return {(proof.last.source, proof.last.domain): proof for proof in proofs}


def newest_first(lines: Iterable[DrillLine]) -> Sequence[DrillLine]:
    return sorted(lines, key=lambda line: (line.at, line.id), reverse=True)


NO_PROOFS: Mapping[ProofKey, Proof] = {}
