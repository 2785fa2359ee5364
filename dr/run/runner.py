"""Capture one slot: claim, recipe, fresh inspection, locks, manifest, read back. Whatever dies where, one point comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from dr.errors import (
    BACKUP_FAILED,
    CONFLICT,
    DAMAGED,
    FENCED,
    LOCKED,
    RETENTION_REFUSED,
    VERIFICATION_FAILED,
    DrError,
)
from dr.model.ids import Slot
from dr.model.points import Artefact, PointManifest, PointSummary
from dr.model.runs import RunState
from dr.model.strategy import FailureDomain
from dr.ports import Clock, Draft, Inspection, Inspector, Json, ObjectStore, Progress, Source, Step
from dr.record.catalogue import ReadPoint, find_point
from dr.record.codec import encode, from_json, to_json
from dr.record.hold import Hold
from dr.record.journal import Journal
from dr.record.summary import metadata_of
from dr.record.verify import against_draft, failures
from dr.run.engine import Engine, Parked, never

INSPECT = "inspect"
LOCKERS = 16
"""Artefacts locked at the same time."""


class Captured(StrEnum):
    """What became of a slot."""

    COMMITTED = "committed"
    ALREADY = "already"
    FAILED = "failed"
    LOCKED = "locked"
    PARKED = "parked"


@dataclass(frozen=True, slots=True)
class CaptureResult:
    """`point` when there is one now; `error` when there is none because of a failure or of another owner."""

    slot: Slot
    captured: Captured
    point: PointSummary | None = None
    error: DrError | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.point is not None


@dataclass(frozen=True, slots=True)
class Terms:
    """What the strategy asks of a point: how long it is locked, and which losses it survives where it is stored."""

    retention: timedelta
    survives: tuple[FailureDomain, ...]


@dataclass(frozen=True, slots=True)
class CaptureRunner:
    """Captures slots of any source. `inspectors` by method; `tool_version` goes into the manifest."""

    journal: Journal
    clock: Clock
    engine: Engine
    inspectors: Mapping[str, Inspector]
    tool_version: str
    stop: Callable[[], bool] = field(default=never)
    patience: Callable[[int], timedelta] | None = None
    """After how long without movement an attempt is stuck, by how many epochs the slot has had."""

    def capture(self, source: Source, slot: Slot, vault: ObjectStore, terms: Terms) -> CaptureResult:
        """Never raises DrError: the result says what happened. Other exceptions are bugs; they end the run as failed first."""
        began = self.clock.stamp()
        try:
            captured, point = self._capture(source, slot, vault, terms)
            error = None
        except Parked:
            captured, point, error = Captured.PARKED, None, None
        except DrError as failure:
            captured = Captured.LOCKED if failure.kind in (LOCKED, FENCED) else Captured.FAILED
            point, error = None, failure
        seconds = self.clock.stamp().seconds_since(began)
        return CaptureResult(slot, captured, point.summary if point else None, error, seconds)

    def _capture(
        self, source: Source, slot: Slot, vault: ObjectStore, terms: Terms
    ) -> tuple[Captured, ReadPoint | None]:
        facts = self.journal.read(slot.id)
        if facts.record.state is RunState.COMMITTED and (point := committed_point(vault, slot)):
            return Captured.ALREADY, point
        hold = self.journal.claim(slot.id, facts)
        runner = replace(self, engine=self._patient(len(facts.record.claims)))
        with runner.engine.renewing(hold), ending(hold):
            point = committed_point(vault, slot) or runner._make(hold, source, slot, vault, terms)
            self._seal(vault, point)
            captured = Captured.COMMITTED if point.manifest.epoch == hold.claim.epoch else Captured.ALREADY
            hold.end(RunState.COMMITTED, f"{captured} {point.summary.name}", point=point.summary.name)
        return captured, point

    def close(self, slot: Slot, vault: ObjectStore) -> None:
        """End a slot that newer ones have passed over, and whose owner is gone: a manifest that it had committed gets the lock
        that it promises. Raises DrError, LOCKED while its owner lives."""
        hold = self.journal.claim(slot.id)
        with ending(hold):
            if point := committed_point(vault, slot):
                self._seal(vault, point)
                hold.end(RunState.COMMITTED, f"already {point.summary.name}", point=point.summary.name)
            else:
                hold.end(RunState.ABANDONED, "its owner died or fell silent, and a newer slot has its point")

    def _patient(self, epochs: int) -> Engine:
        return replace(self.engine, patience=self.patience(epochs)) if self.patience else self.engine

    def _make(self, hold: Hold, source: Source, slot: Slot, vault: ObjectStore, terms: Terms) -> ReadPoint:
        recipe = source.capture(slot, vault, self.clock.now())
        outcomes = self.engine.run(hold, recipe, stop=self.stop)
        draft = source.draft(outcomes)
        inspection = self._inspect(hold, len(recipe), vault, draft)
        manifest = self._manifest(hold, slot, draft, inspection, terms)
        self._lock(hold, vault, inspection.artefacts, manifest.retain_until)
        return self._commit(hold, vault, manifest)

    def _inspect(self, hold: Hold, after: int, vault: ObjectStore, draft: Draft) -> Inspection:
        """A fresh reader (I1). Journalled, so that its time is known and a takeover need not read all again."""
        inspector = self.inspectors.get(draft.method)
        if inspector is None:
            raise DrError(BACKUP_FAILED, f"nothing here can read back what the method {draft.method} wrote")

        def inspect(_context: object) -> Json:
            found = inspector.inspect(vault, draft.artefacts, draft.details)
            checks = against_draft(draft, found)
            if not all(check.passed for check in checks):
                raise DrError(VERIFICATION_FAILED, f"the backup cannot be read back as it was made: {failures(checks)}")
            return to_json(Inspection(found.artefacts, found.counts, checks))

        outcomes = self.engine.run(hold, [Step(INSPECT, inspect)], first=after + 1)
        return from_json(outcomes[INSPECT], Inspection, f"the journal of {hold.unit}")

    def _manifest(self, hold: Hold, slot: Slot, draft: Draft, found: Inspection, terms: Terms) -> PointManifest:
        now = self.clock.now()
        return PointManifest(
            slot=slot,
            epoch=hold.claim.epoch,
            method=draft.method,
            as_of=draft.as_of,
            started=hold.begun,
            committed=now,
            artefacts=found.artefacts,
            counts=found.counts,
            checks=found.checks,
            survives=terms.survives,
            retain_until=now + terms.retention,
            tool_version=self.tool_version,
            parents=draft.parents,
            details=draft.details,
        )

    def _lock(self, hold: Hold, vault: ObjectStore, artefacts: Sequence[Artefact], until: datetime) -> None:
        self._tell(hold, "lock", "started")
        with ThreadPoolExecutor(LOCKERS, thread_name_prefix="lock") as pool:
            list(pool.map(lambda artefact: retain(vault, artefact.name, artefact.generation, until), artefacts))
        self._tell(hold, "lock", "done")

    def _commit(self, hold: Hold, vault: ObjectStore, manifest: PointManifest) -> ReadPoint:
        """Last, create-only (I2, I3). Whoever finds the name taken takes what stands there as the slot's point."""
        hold.require_fence_open()
        data = encode(manifest)
        self._tell(hold, "commit", "started")
        try:
            vault.put(manifest.name, data, metadata=metadata_of(manifest))
        except DrError as error:
            if error.kind is not CONFLICT:
                raise
            return find_point(vault, manifest.name)
        point = find_point(vault, manifest.name)
        if encode(point.manifest) != data:
            raise DrError(DAMAGED, f"{vault.url}/{manifest.name} reads back differently from what was written")
        self._tell(hold, "commit", "done")
        return point

    def _seal(self, vault: ObjectStore, point: ReadPoint) -> None:
        """The manifest itself is locked as long as what it names; also when an earlier run died before it could."""
        retain(vault, point.ref.name, point.ref.generation, point.manifest.retain_until)

    def _tell(self, hold: Hold, step: str, state: str) -> None:
        self.engine.listener(Progress(hold.unit, step, state))


class ending:
    """Whatever ends the block is in the journal before it leaves the process, as far as the journal can be reached."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        # FENCED alone does not say that this unit was lost: a step may have lost the race for something else, a change log
        if error is None or self._hold.fenced:
            return
        state, message, code = _end_of(error)
        try:
            self._hold.end(state, message, error_code=code)
        except DrError as unwritten:
            # the first error is the one to report; without an end the claim runs out and the next run continues
            error.add_note(f"the journal could not be told: {unwritten.message}")


def _end_of(error: BaseException) -> tuple[RunState, str, str]:
    if isinstance(error, DrError):
        return RunState.FAILED, error.message, error.kind.code
    if isinstance(error, Parked | KeyboardInterrupt | SystemExit):
        return RunState.ABANDONED, str(error) or "interrupted", ""
    return RunState.FAILED, f"{type(error).__name__}: {error}", "internal"


def committed_point(vault: ObjectStore, slot: Slot) -> ReadPoint | None:
    """The slot's point if it stands already: after a lost reply or a crash the vault is asked first (I4)."""
    name = _name(slot)
    return find_point(vault, name) if vault.stat(name) is not None else None


def _name(slot: Slot) -> str:
    return f"points/{slot.due:%Y/%m/%d}/{slot.id}.json"


def retain(vault: ObjectStore, name: str, generation: int, until: datetime) -> None:
    """Lock at least until then. A longer lock that stands already is as good."""
    try:
        vault.retain(name, generation=generation, until=until)
    except DrError as error:
        stored = vault.stat(name) if error.kind is RETENTION_REFUSED else None
        if stored is None or stored.retain_until is None or stored.retain_until < until:
            raise
