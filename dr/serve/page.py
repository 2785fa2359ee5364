"""The status page: one HTML document, nothing is fetched by it, nothing runs in it, every value is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from dr import __version__
from dr.model.strategy import Objective, SourceSpec, Strategy
from dr.model.timeline import format_instant
from dr.plan.overview import Overview
from dr.plan.status import Standing, StatusRow, allowed_age
from dr.report import words
from dr.report.sheet import Tone
from dr.report.status import Line, folded, freeze_words, reach, tone
from dr.serve.strip import Strip, strip_svg

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

WIDE_PX, NARROW_PX = 1040, 330
STALE_S = 300
"""An overview older than this is said to be old, in words that stand out."""
_TONES = {Tone.GOOD: "good", Tone.WARN: "warn", Tone.BAD: "bad", Tone.DIM: "", Tone.PLAIN: ""}


@dataclass(frozen=True, slots=True)
class Service:
    """What the page says of the process that serves it: name, sentence, whether it is good."""

    name: str
    text: str
    good: bool = True


@dataclass(frozen=True, slots=True)
class _Drawn:
    """One source with its pictures."""

    objective: Objective
    spec: SourceSpec
    standing: str
    tone: str
    wide: Markup
    narrow: Markup
    legend: tuple[str, ...]


def status_page(
    strategy: Strategy, scope: str, overview: Overview | None, service: Sequence[Service], now: datetime
) -> str:
    """The page; before the first look at the stores it says just that."""
    age_s = (now - overview.listed).total_seconds() if overview else 0.0
    return (
        _templates()
        .get_template("status.html.j2")
        .render(
            strategy=strategy,
            scope=scope,
            version=__version__,
            overview=overview,
            now=_at(now),
            age=words.span(max(0.0, age_s)),
            stale=age_s > STALE_S,
            state=_state(overview),
            lines=folded(overview.rows) if overview else (),
            sources=list(_drawn(strategy, overview, now)) if overview else [],
            service=service,
            frozen=freeze_words(overview.frozen) if overview and overview.frozen else "",
            words=words,
            reach=lambda row: reach(row, now),
            at=_at,
            ago=lambda instant: words.span((now - instant).total_seconds()),
            due=lambda instant: _due(instant, now),
            tone=lambda verdict: _TONES[tone(verdict)],
            targets=_targets,
            domains=_domains,
        )
    )


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("dr.serve", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _state(overview: Overview | None) -> tuple[str, str]:
    """One short sentence and its tone."""
    if overview is None:
        return "The stores are being asked", ""
    missed = sum(line.row.verdict.miss for line in folded(overview.rows))
    if missed:
        return f"{missed} {'row is' if missed == 1 else 'rows are'} missed", "bad"
    captured = [row for row in overview.rows if row.standing is not Standing.NOT_CAPTURED]
    if not captured:
        return "Nothing is captured yet", "warn"
    if any(row.proven is None for row in captured):
        return "On time, not all of it proven", "warn"
    return "On time and proven", "good"


def _targets(objective: Objective) -> str:
    return (
        f"RPO {words.target(objective.rpo.total_seconds())}, RTO {words.target(objective.rto.total_seconds())}, "
        f"kept {words.span(objective.retention.total_seconds())}"
    )


def _at(instant: datetime | None) -> str:
    """`2025-05-28 10:00:12`; the page says once that all is UTC."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if instant else words.NOTHING


def _due(instant: datetime, now: datetime) -> str:
    seconds = (instant - now).total_seconds()
    return f"in {words.span(seconds)}" if seconds > 0 else "now"


def _domains(line: Line) -> str:
    return ", ".join(line.domains)


# --- pictures --------------------------------------------------------------------------------------------------------


def _drawn(strategy: Strategy, overview: Overview, now: datetime) -> Iterable[_Drawn]:
    for objective in strategy.objectives:
        for spec in objective.sources:
            rows = [row for row in overview.rows if row.source == str(spec.id)]
            if rows:
                yield _source(objective, spec, overview, rows, now)


def _source(
    objective: Objective, spec: SourceSpec, overview: Overview, rows: Sequence[StatusRow], now: datetime
) -> _Drawn:
    from markupsafe import Markup

    strip = _strip(objective, spec, overview, rows, now)
    worst = max(rows, key=lambda row: row.verdict.miss)
    # safe: the picture holds numbers and our own words
    wide, narrow = Markup(strip_svg(strip, WIDE_PX)), Markup(strip_svg(strip, NARROW_PX))
    return _Drawn(
        objective, spec, str(worst.verdict), _TONES[tone(worst.verdict)], wide, narrow, tuple(_legend(strip, worst))
    )


def _strip(
    objective: Objective, spec: SourceSpec, overview: Overview, rows: Sequence[StatusRow], now: datetime
) -> Strip:
    limit = allowed_age(objective, spec)
    limit_words = f"RPO {words.span(limit.total_seconds())}"
    if limit != objective.rpo:
        limit_words = f"silent for {words.span(limit.total_seconds())}"
    return Strip(
        now=now,
        retention=objective.retention,
        limit=limit,
        limit_words=limit_words,
        instants=overview.instants.get(spec.id, ()),
        coverage=tuple((c.start, c.end) for c in overview.coverage if c.source == spec.id),
        proven=tuple(sorted({row.proven for row in rows if row.proven})),
    )


def _legend(strip: Strip, row: StatusRow) -> Iterable[str]:
    if strip.instants:
        what = "pack" if row.continuous else "point"
        yield f"{len(strip.instants):,} {what}{'' if len(strip.instants) == 1 else 's'}"
    if row.oldest:
        yield f"oldest {format_instant(row.oldest)[:10]}"
    if row.held:
        yield f"{row.held:,} on hold"
    if row.next_due and not row.continuous:
        yield f"next due {_at(row.next_due)}"
