"""What was lost, and whether the row kept its promise. The figures come from the data and a witness, never from a job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from dr.model.evidence import AcknowledgedWrite, DrillRow, Loss, LostWrites, Recovery, Verdict
from dr.model.points import Check
from dr.model.strategy import FailureDomain, Objective
from dr.model.timeline import format_duration, format_instant

SHOWN = 5
"""Paths named in one sentence; the rest is counted."""

Order = tuple[datetime, int]
"""Instant of acknowledgement and sequence number: the order of acknowledged versions of one path."""


@dataclass(slots=True)
class _Path:
    """One path while the witness streams by. Only versions newer than the one restored are kept."""

    restored: str
    """Hash in the restored copy; empty: not there. A deletion is acknowledged with the same empty hash."""
    known: bool = False
    """Some acknowledged version has the restored content."""
    matched: Order | None = None
    """The newest version before the disaster that is what was restored."""
    lost: list[Order] = field(default_factory=list)
    last: tuple[Order, str] | None = None

    def take(self, order: Order, sha256: str, before: bool) -> bool:
        """One acknowledged version. False if it repeats the line before."""
        if self.last == (order, sha256):
            return False
        self.last = (order, sha256)
        if sha256 == self.restored:
            self.known = True
            if before:
                self._match(order)
        elif before and (self.matched is None or order > self.matched):
            self.lost.append(order)
        return True

    def _match(self, order: Order) -> None:
        if self.matched is None or order > self.matched:
            self.matched = order
            # older versions were overwritten by the one restored: they are in it, not lost
            self.lost = [entry for entry in self.lost if entry > order] if self.lost else []


def lost_writes(
    acks: Iterable[AcknowledgedWrite],
    restored: Mapping[str, str],
    disaster_at: datetime,
    *,
    at_least: bool = False,
    whole_until: datetime | None = None,
) -> LostWrites:
    """Of the writes acknowledged until `disaster_at`, those absent from `restored` (path -> sha256 of canonical content).

    The restored content names the newest acknowledged version it equals; every later one of that path is lost. A path
    that is missing equals its newest deletion. A path that equals a version acknowledged only after the disaster was in
    flight: nothing of it is lost. Any order of `acks` gives the same answer, in one pass; kept in memory are one record
    for each path and, until its restored version has passed by, the instants of the versions before it. `whole_until`: what
    was acknowledged until then must be in the copy.
    """
    paths: dict[str, _Path] = {}
    acknowledged = 0
    for ack in acks:
        state = paths.get(ack.path)
        if state is None:
            state = paths[ack.path] = _Path(restored.get(ack.path, ""))
        before = ack.acked_at <= disaster_at
        fresh = state.take((ack.acked_at, ack.seq), ack.sha256, before)
        acknowledged += fresh and before
    found = _total(paths, restored, disaster_at, acknowledged, at_least)
    return replace(found, holes=_holes(paths, found.absent, whole_until)) if whole_until else found


def _total(
    paths: Mapping[str, _Path], restored: Mapping[str, str], disaster_at: datetime, acknowledged: int, at_least: bool
) -> LostWrites:
    lost, ages, wrong, absent = 0, [], [], []
    for path, state in paths.items():
        if state.restored and not state.known:
            wrong.append(path)
        elif state.lost and (state.matched is not None or not state.restored):
            lost += len(state.lost)
            absent.append(path)
            ages.append((disaster_at - min(state.lost)[0]).total_seconds())
    unexpected = tuple(sorted(path for path in restored if path not in paths))
    age = max(ages, default=None)
    return LostWrites(acknowledged, lost, age, tuple(sorted(wrong)), unexpected, at_least, tuple(sorted(absent)))


def _holes(paths: Mapping[str, _Path], absent: Iterable[str], whole_until: datetime) -> tuple[str, ...]:
    """Lost although the copy says that it is newer."""
    return tuple(path for path in absent if min(paths[path].lost)[0] <= whole_until)


def loss(target_s: float, lost: LostWrites | None, *, guaranteed: bool, witness: str = "", promise: str = "") -> Loss:
    """The row's RPO figures; all None when nothing could be measured."""
    if lost is None:
        return Loss(target_s, None, None, None, guaranteed=guaranteed, witness=witness, promise=promise)
    return Loss(target_s, lost.lost, lost.oldest_lost_s, lost.acknowledged, lost.at_least, guaranteed, witness, promise)


def witness_check(lost: LostWrites) -> Check:
    """The comparison of the restored contents with the witness, as one check. Fails on wrong content, not on loss."""
    words = f"{lost.acknowledged:,} writes acknowledged, {'at least ' if lost.at_least else ''}{lost.lost:,} lost"
    if lost.wrong:
        words += f"; wrong content: {_some(lost.wrong)}"
    if lost.holes:
        words += f"; older than the copy and not in it: {_some(lost.holes)}"
    if lost.unexpected:
        words += f"; unknown to the witness: {_some(lost.unexpected)}"
    return Check("contents against the witness", not lost.wrong and not lost.holes, words)


def _some(paths: tuple[str, ...]) -> str:
    more = f" and {len(paths) - SHOWN:,} more" if len(paths) > SHOWN else ""
    return ", ".join(paths[:SHOWN]) + more


def judge(row: DrillRow, lost: LostWrites | None, disaster_at: datetime) -> DrillRow:
    """`row` with its verdict, and everything that speaks against it among its findings.

    FAILED: something is wrong or was not measured. MISSED: measured, and not strictly under its target. LUCKY: nothing
    lost where 0 is promised, by a capture mode that does not guarantee it. Findings already in the row fail it.
    """
    failures = (*row.findings, *_failures(row, lost, disaster_at))
    if failures:
        return replace(row, verdict=Verdict.FAILED, findings=_unique(failures))
    misses = (*_rto_misses(row), *_rpo_misses(row, disaster_at))
    if misses and lost and lost.absent:
        misses = (*misses, f"{row.source}: not in the copy: {_some(lost.absent)}")
    if misses:
        return replace(row, verdict=Verdict.MISSED, findings=misses)
    lucky = row.rpo.target_s <= 0 and not row.rpo.guaranteed
    return replace(row, verdict=Verdict.LUCKY if lucky else Verdict.MET)


def undrilled(objective: Objective, domain: FailureDomain, verdict: Verdict, source: str = "") -> DrillRow:
    """A row that the drill's report must not leave out: not drilled, or not captured yet."""
    return DrillRow(
        component=objective.component,
        domain=domain,
        source=source,
        verdict=verdict,
        rto=Recovery(objective.rto.total_seconds(), None, None),
        rpo=loss(objective.rpo.total_seconds(), None, guaranteed=False),
        instant=None,
        point="",
        objects=0,
        size=0,
        checks=(),
    )


def _unique(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _failures(row: DrillRow, lost: LostWrites | None, disaster_at: datetime) -> tuple[str, ...]:
    found = [f"{check.name}: {check.detail}" for check in row.checks if not check.passed]
    if not row.checks:
        found.append(f"{row.source}: no check was made")
    if row.rto.measured_s is None:
        found.append(f"{row.source}: recovery time was not measured")
    elif row.rto.measured_s < 0:
        found.append(f"{row.source}: a recovery time of {row.rto.measured_s:g} s is a broken clock")
    found += _unmeasured_loss(row)
    if row.instant is None:
        found.append(f"{row.source}: the restored instant is not known")
    elif row.instant > disaster_at:
        found.append(f"{row.source}: restored to {format_instant(row.instant)}, after the disaster")
    if lost and lost.wrong:
        found.append(f"{row.source}: content that nobody wrote: {_some(lost.wrong)}")
    if lost and lost.holes:
        found.append(f"{row.source}: older than the restored instant, and not there: {_some(lost.holes)}")
    return tuple(found)


def _unmeasured_loss(row: DrillRow) -> tuple[str, ...]:
    if row.rpo.bound_s is not None:
        return ()
    if row.rpo.writes_lost is None or row.rpo.acknowledged is None:
        return (f"{row.source}: lost writes were not measured",)
    if not row.rpo.acknowledged:
        return (f"{row.source}: the witness acknowledged no write before the disaster, so nothing was measured",)
    if row.rpo.writes_lost and row.rpo.oldest_lost_s is None:
        return (f"{row.source}: the age of the oldest lost write was not measured",)
    return ()


def _rto_misses(row: DrillRow) -> tuple[str, ...]:
    measured = row.rto.measured_s or 0.0
    if measured < row.rto.target_s:
        return ()
    return (f"{row.source}: recovered in {_span(measured)}, the target is < {_span(row.rto.target_s)}",)


def _rpo_misses(row: DrillRow, disaster_at: datetime) -> tuple[str, ...]:
    if row.rpo.bound_s is not None:
        return _bound_misses(row, row.rpo.bound_s)
    lost, target = row.rpo.writes_lost or 0, row.rpo.target_s
    if not lost:
        return ()
    if target <= 0:
        return (f"{row.source}: {lost:,} writes lost, the target is 0",)
    age, what = row.rpo.oldest_lost_s or 0.0, "the oldest lost write was"
    if row.rpo.at_least and row.instant is not None:
        # a witness that coalesces may hide an older write behind a newer one; none is older than what was restored
        age, what = max(age, (disaster_at - row.instant).total_seconds()), "lost writes may have been"
    if age < target:
        return ()
    return (f"{row.source}: {lost:,} writes lost, {what} {_span(age)} old, the target is < {_span(target)}",)


def _bound_misses(row: DrillRow, bound: float) -> tuple[str, ...]:
    """No witness remembers the writes of that time: what lies between the restored and the requested instant counts as lost."""
    if bound < row.rpo.target_s or not bound:
        return ()
    what = f"restored {_span(bound)} before the requested instant"
    return (f"{row.source}: {what}, the target is {'0' if row.rpo.target_s <= 0 else f'< {_span(row.rpo.target_s)}'}",)


def _span(seconds: float) -> str:
    return format_duration(timedelta(seconds=seconds))
