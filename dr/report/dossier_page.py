"""What the page of a sealed drill shows beside the figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dr.model.dossier import Addendum, Committed, Dossier, DrillFinding, Past, Said, Severity
from dr.model.evidence import DrillReport, DrillRow, Verdict
from dr.model.timeline import format_instant
from dr.report import words
from dr.report.sealed_file import Seal, seal_block
from dr.report.trend import Mark, trend_svg

if TYPE_CHECKING:
    from markupsafe import Markup

UNKNOWN = "unknown"
TONES = {Verdict.MET: "good", Verdict.LUCKY: "warn", Verdict.MISSED: "bad", Verdict.FAILED: "bad"}
SEVERITIES = {Severity.CRITICAL: "bad", Severity.MAJOR: "bad", Severity.MINOR: "warn"}


@dataclass(frozen=True, slots=True)
class Dressed:
    """A report's dossier, its seal and what was appended, ready to be shown."""

    dossier: Dossier
    seal: Seal
    addenda: tuple[Addendum, ...] = ()

    @property
    def signed_by(self) -> tuple[str, ...]:
        return tuple(one.keyid for one in self.seal.envelope.signatures)

    @property
    def sha256(self) -> str:
        return self.seal.envelope.sha256

    @property
    def block(self) -> Markup:
        from markupsafe import Markup

        # safe: nothing but base64, hexadecimal and fixed words
        return Markup(seal_block(self.seal))

    @property
    def signed_off(self) -> tuple[Addendum, ...]:
        return tuple(one for one in self.addenda if one.said is Said.SIGNED_OFF)

    @property
    def notes(self) -> tuple[Addendum, ...]:
        """Those that came after the seal; earlier ones stand among the interventions."""
        return tuple(one for one in self.addenda[len(self.dossier.notes) :] if one.said is Said.NOTE)

    @property
    def findings(self) -> tuple[tuple[DrillFinding, Addendum | None], ...]:
        """Each with its newest assignment."""
        newest = {one.finding: one for one in self.addenda if one.said is Said.ASSIGNED}
        return tuple((one, newest.get(one.id)) for one in self.dossier.findings)


@dataclass(frozen=True, slots=True)
class TrendRow:
    """One row with its earlier drills, this one last."""

    row: DrillRow
    pasts: tuple[Past, ...]
    picture: Markup


def trends(report: DrillReport, dossier: Dossier) -> Iterator[TrendRow]:
    """Of rows that were drilled before."""
    from markupsafe import Markup

    for row in report.rows:
        pasts = tuple(past for past in dossier.trend if (past.source, past.domain) == (row.source, row.domain))
        if pasts:
            picture = trend_svg(_marks(report, row, pasts), row.rto.target_s, _label(row, pasts))
            yield TrendRow(row, pasts, Markup(picture))


def _marks(report: DrillReport, row: DrillRow, pasts: Sequence[Past]) -> list[Mark]:
    marks = [Mark(past.recovery_s, TONES.get(past.verdict, ""), _day(past)) for past in pasts]
    return [*marks, Mark(row.rto.measured_s, TONES.get(row.verdict, ""), f"{report.declared_at:%Y-%m-%d}")]


def _day(past: Past) -> str:
    return f"{past.at:%Y-%m-%d}"


def _label(row: DrillRow, pasts: Sequence[Past]) -> str:
    times = ", ".join(words.span(past.recovery_s) for past in pasts)
    return f"Recovery times of {row.component}, {row.domain}: before {times}; now {words.span(row.rto.measured_s)}"


def stored(one: Committed, event: str) -> str:
    """When it was committed, and whether that was before what it must come before."""
    if one.stored is None:
        return "when it was stored is unknown"
    text = f"stored {format_instant(one.stored)}"
    if one.before is None:
        return text
    return f"{text}, {'before' if one.in_time else 'AFTER'} {event} ({format_instant(one.before)})"


def said(text: str) -> str:
    """What was not given is unknown, and says so."""
    return text or UNKNOWN
