"""The audit log in the vault: searched and verified. The vault alone is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from dr.app.core import App
from dr.app.verification import verify_points
from dr.changelog import Entry, LogReader
from dr.changelog.entries import read_entry
from dr.changelog.reader import Survey
from dr.components.audit.entry import quarantined
from dr.components.audit.searching import Filter
from dr.errors import DAMAGED, NOT_FOUND, UNKNOWN_COMPONENT, USAGE, DrError
from dr.model.ids import SourceId
from dr.model.points import Check
from dr.model.strategy import SourceSpec
from dr.ports import ObjectStore
from dr.record.catalogue import list_points, read_point

COMPONENT = "audit"


@dataclass(frozen=True, slots=True)
class AuditVerification:
    """What the vault holds of one source, and everything that was looked at."""

    source: SourceId
    survey: Survey
    quarantined: int
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


def sources(app: App, name: str = "") -> tuple[SourceSpec, ...]:
    """The audit sources of the table, or the one asked for. Raises DrError UNKNOWN_COMPONENT, USAGE."""
    row = app.strategy.objective(COMPONENT)
    specs = row.sources if row else ()
    if not specs:
        raise DrError(UNKNOWN_COMPONENT, "the strategy declares no source of audit entries")
    chosen = tuple(spec for spec in specs if name in ("", spec.id.name, str(spec.id)))
    if not chosen:
        raise DrError(USAGE, f"--source: there is no {name!r}; declared: {', '.join(spec.id.name for spec in specs)}")
    return chosen


def search(
    app: App, spec: SourceSpec, since: datetime | None, until: datetime | None, wanted: Filter
) -> Iterator[Entry]:
    """Streamed from the vault, in the order in which entries arrived; only days that can hold some are read. Raises DrError
    DAMAGED naming the object."""
    reader = LogReader(app.vault(COMPONENT), spec.id)
    for where, line in reader.entry_lines(since=since, until=until):
        entry = read_entry(line, where)
        inside = (since is None or entry.at >= since) and (until is None or entry.at <= until)
        if inside and wanted.wants(line, entry):
            yield entry


def verify(app: App, spec: SourceSpec) -> AuditVerification:
    """Every byte of every pack and segment, every hash and link, every quarantined message, every lock."""
    vault = app.vault(COMPONENT)
    points = [point for point in list_points(vault) if point.source == spec.id]
    verified = verify_points(app, points)
    kept = _Kept()
    survey = LogReader(vault, spec.id).survey(packs=False, each=kept.note)
    packed = sum(read_point(vault, point).manifest.counts.get("quarantined", 0) for point in points)
    failed = [check for result in verified for check in result.checks if not check.passed]
    good = Check("packs", True, f"{len(points)} read back against their manifests")
    checks = (*failed, *(() if failed or not points else (good,)), *survey.checks(), kept.check(vault))
    return AuditVerification(spec.id, survey, packed + len(kept.promised), checks)


@dataclass
class _Kept:
    """Quarantined messages that no pack holds yet; noted on several threads."""

    promised: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, where: str, line: bytes) -> None:
        if told := quarantined(where, line):
            with self._lock:
                self.promised[str(told["object"])] = str(told["sha256"])

    def check(self, vault: ObjectStore) -> Check:
        wrong = [name for name, digest in sorted(self.promised.items()) if not _is(vault, name, digest)]
        words = (
            f"missing or different: {', '.join(wrong)}"
            if wrong
            else f"{len(self.promised)} not packed yet, each as told"
        )
        return Check("quarantined messages", not wrong, words)


def _is(vault: ObjectStore, name: str, digest: str) -> bool:
    try:
        return sha256(vault.get(name)).hexdigest() == digest
    except DrError as error:
        if error.kind not in (DAMAGED, NOT_FOUND):
            raise
        return False


def item_of(result: AuditVerification) -> Mapping[str, object]:
    """For JSON."""
    from dr.report.envelope import check_item, when

    survey = result.survey
    end = survey.last.watermark if survey.last else None
    return {
        "source": str(result.source),
        "passed": result.passed,
        "entries": survey.entries,
        "quarantined": result.quarantined,
        "packs": survey.packs,
        "segments": survey.segments,
        "first_seq": survey.first.first_seq if survey.first else None,
        "last_seq": survey.last.last_seq if survey.last else None,
        "oldest": when(survey.oldest),
        "newest": when(survey.newest),
        "complete_until": when(end),
        "checks": [check_item(check) for check in result.checks],
    }
