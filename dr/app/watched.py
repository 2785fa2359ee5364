"""What is watched besides the points: change logs, drills, holds, a freeze. From the stores, or as last read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dr.app.core import App
from dr.errors import DrError
from dr.model.evidence import DrillReport
from dr.model.ids import SourceId
from dr.model.retention import FreezeRecord, HoldKind
from dr.model.strategy import SourceSpec
from dr.model.timeline import format_instant
from dr.plan.modes import MODES
from dr.plan.proof import by_key, drill_line, ended_line, marks_of, remembered, with_marks
from dr.plan.status import Evidence
from dr.record.layout import point_slot
from dr.record.told import ledger_file, load_ledger
from dr.record.watched import Watched, load, save

if TYPE_CHECKING:
    from dr.app.tails import Reach

READERS = 8
LISTED = 30
"""Drills that are remembered one by one; of older ones only what they have proven."""


def watched(app: App, *, fresh: bool) -> Watched:
    """As cached, unless `fresh` or nothing is cached."""
    known = load(_file(app))
    return known if known and not fresh else read_watched(app, known)


def read_watched(app: App, before: Watched | None) -> Watched:
    """Asked anew, and kept. What cannot be asked is said in `trouble`, and the last answer to it is kept."""
    now = app.clock.now()
    known = before or Watched(now)
    trouble: list[str] = []
    found = _with_drills(app, with_coverage(app, known, trouble), trouble)
    holds, frozen = _holds(app, known, trouble), _frozen(app, known, trouble)
    whole = replace(found, holds=holds, frozen=frozen, trouble=tuple(trouble))
    # a cache that cannot be written is slower, not wrong
    with suppress(OSError):
        save(_file(app), whole)
    return whole


def evidence_of(known: Watched) -> Evidence:
    """As the status table takes it."""
    holds = {SourceId.parse(source): count for source, count in known.holds.items()}
    return Evidence(known.coverage, by_key(known.proofs), holds)


def forget(app: App) -> None:
    """Throw the cache away: what it says is no longer so."""
    with suppress(OSError):
        _file(app).unlink(missing_ok=True)


def _file(app: App) -> Path:
    return app.settings.cache_dir / "watched.json"


def undelivered(app: App) -> tuple[str, ...]:
    """One sentence for each receiver that takes no messages, where the service keeps its cache here too."""
    found = []
    for path in sorted(app.settings.cache_dir.glob(ledger_file(Path(), "*").name)):
        failure = load_ledger(path).failure
        if failure:
            channel = path.stem.partition("-")[2]
            found.append(f"{channel} takes no messages since {format_instant(failure.since)}: {failure.message}")
    return tuple(found)


# --- change logs -----------------------------------------------------------------------------------------------------


def with_coverage(app: App, known: Watched, trouble: list[str]) -> Watched:
    """The change logs as they are now; one that does not answer, as it was known."""
    # what a log is made of costs more to import than all of a status from the cache
    from dr.app.tails import reach_of

    specs = [spec for spec in app.specs() if spec.id.kind in MODES and MODES[spec.id.kind].log]

    def ask(spec: SourceSpec) -> Reach:
        try:
            return reach_of(app, spec, known)
        except DrError as error:
            trouble.append(f"change log of {spec.id}: {error.message}")
            mine = tuple(interval for interval in known.coverage if interval.source == spec.id)
            return mine, next((tail for tail in known.tails if tail.source == spec.id), None)

    with ThreadPoolExecutor(max(1, len(specs)), thread_name_prefix="coverage") as pool:
        answers = list(pool.map(ask, specs))
    coverage = tuple(interval for found, _ in answers for interval in found)
    return replace(known, read=app.clock.now(), coverage=coverage, tails=tuple(tail for _, tail in answers if tail))


# --- drills ----------------------------------------------------------------------------------------------------------


def _with_drills(app: App, known: Watched, trouble: list[str]) -> Watched:
    from dr.run.drill import list_drills
    from dr.run.drillends import ended_without_report, read_ending

    try:
        fresh = sorted(set(list_drills(app.control)) - set(known.seen))
        ended = sorted(set(ended_without_report(app.control, app.clock.now())) - set(known.seen))
        endings = [read_ending(app.control, drill) for drill in ended]
    except DrError as error:
        trouble.append(f"drills: {error.message}")
        return known
    reports = list(_reports(app, fresh, trouble))
    marks = [mark for report in reports for mark in marks_of(report)]
    lines = remembered([*known.drills, *map(drill_line, reports), *map(ended_line, endings)], LISTED)
    seen = (*known.seen, *(report.id for report in reports), *ended)
    return replace(known, proofs=with_marks(known.proofs, marks), drills=lines, seen=seen)


def _reports(app: App, drills: Iterable[str], trouble: list[str]) -> Iterable[DrillReport]:
    from dr.run.drill import load_report

    def read(drill: str) -> DrillReport | str:
        try:
            return load_report(app.control, drill)
        except DrError as error:
            return f"drill {drill}: {error.message}"

    with ThreadPoolExecutor(READERS, thread_name_prefix="drills") as pool:
        answers = list(pool.map(read, drills))
    trouble += [answer for answer in answers if isinstance(answer, str)]
    return (answer for answer in answers if isinstance(answer, DrillReport))


# --- what people decided -----------------------------------------------------------------------------------------------


def _holds(app: App, known: Watched, trouble: list[str]) -> Mapping[str, int]:
    """Points that people hold, by source; what a running restore holds meanwhile is nobody's decision."""
    from dr.record.holds import active_holds

    try:
        held = active_holds(app.control, app.clock.now())
    except DrError as error:
        trouble.append(f"holds: {error.message}")
        return known.holds
    names = [name for name, records in held.items() if any(one.mode is not HoldKind.LEASE for one in records)]
    return Counter(str(slot.source) for slot in map(point_slot, names) if slot)


def _frozen(app: App, known: Watched, trouble: list[str]) -> FreezeRecord | None:
    from dr.record.freeze import frozen

    try:
        return frozen(app.control)
    except DrError as error:
        trouble.append(f"freeze: {error.message}")
        return known.frozen
