"""Over living data by the safety rule: survey, fence the writers, take an undo point and verify it, apply, verify, keep what was
written since, let them write again.

A Restorer around the component's own, so that the steps are journalled, resumed and drilled like all others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dr.errors import RESTORE_FAILED, VERIFICATION_FAILED, DrError
from dr.model.graph import StepKind
from dr.model.ids import Slot
from dr.model.plans import PlannedRestore, Target
from dr.model.points import Coverage, PointManifest
from dr.model.strategy import FailureDomain, SourceSpec
from dr.model.timeline import format_instant, parse_instant
from dr.ports import Inspector, Json, LiveGuard, ObjectStore, Restorer, RestoreWork, Salvaged, Step, StepContext
from dr.record.catalogue import find_point
from dr.record.codec import dump
from dr.record.verify import failures, verify_manifest
from dr.run.measured import Wrapped, encode_checks
from dr.run.runner import CaptureResult

SURVEY, FENCE, UNDO, SALVAGE, PROVE, RELEASE = "survey", "fence", "undo-point", "salvage", "prove", "unfence"
UNDO_OF, ONLY_RELEASE = "undo_of", "only_release"
"""Details of an item that undoes another plan's: that plan's id; and that nothing but its fence was there to undo."""
NO_UNDO_POINT = "no_undo_point"
"""Detail: what is undone ended in the middle, so that there is no state worth going back to."""
_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class UndoPoints:
    """How undo points are made: by the identity that captures, with the component's own recipe."""

    capture: Callable[[Slot, Sequence[str]], CaptureResult]
    """(slot, the parts of the source that live, if it has parts)."""
    hold: Callable[[str, str], None]
    """(manifest name, reason): kept whatever its retention says, until a person releases it. May be repeated."""


def is_over_live(item: PlannedRestore) -> bool:
    """Whether a person named what it goes over."""
    return not item.target.isolated and item.target.protected == item.source.name


def undo_slot(work: RestoreWork, at: datetime) -> Slot:
    """One for each item of a plan, so that a second try finds the first one's point."""
    tag = hashlib.sha256(f"{work.plan_id} {work.item.domain}".encode()).hexdigest()[:8]
    return Slot(work.item.source, at.replace(microsecond=0), f"undo-{tag}")


class OverLive(Wrapped):
    """Passes everything on, unless a person named what lives."""

    def __init__(
        self,
        inner: Restorer,
        guard: LiveGuard,
        undo: Callable[[], UndoPoints],
        control: Callable[[], ObjectStore],
        inspectors: Callable[[], Mapping[str, Inspector]],
    ) -> None:
        super().__init__(inner)
        self._guard, self._undo, self._control, self._inspectors = guard, undo, control, inspectors

    def outline(
        self,
        spec: SourceSpec,
        origin: PointManifest | Coverage,
        requested: datetime,
        domain: FailureDomain,
        target: Target,
    ) -> PlannedRestore:
        """Also raises what the component's guard refuses."""
        planned = self.inner.outline(spec, origin, requested, domain, target)
        if not is_over_live(planned):
            return planned
        details, words = self._guard.prepare(spec, planned)
        return replace(planned, details={**planned.details, **details}, reasons=(*planned.reasons, *words))

    def steps(self, work: RestoreWork) -> Sequence[Step]:
        if not is_over_live(work.item):
            return self.inner.steps(work)
        release = Step(RELEASE, lambda ctx: self._guard.release(work, ctx), kind=StepKind.SERVE)
        if work.item.details.get(ONLY_RELEASE):
            return (release,)
        first, *rest = self.inner.steps(work)
        apply = (replace(first, beside=False), *rest)  # nothing of it may begin before the undo point stands
        keep = Step(SALVAGE, lambda ctx: self._keep(work, ctx))
        prove = Step(PROVE, lambda ctx: self._prove(work, ctx, [step.name for step in apply]), kind=StepKind.CHECK)
        return (
            Step(SURVEY, lambda _: self._guard.survey(work), kind=StepKind.PREPARE),
            Step(FENCE, lambda ctx: self._fence(work, ctx), kind=StepKind.PREPARE),
            Step(UNDO, lambda ctx: self._undo_point(work, ctx), kind=StepKind.COPY, size=work.item.size),
            *self._guard.around(work, apply, keep, prove),
            release,
        )

    def _fence(self, work: RestoreWork, context: StepContext) -> Json:
        return {**self._guard.fence(work, context), "at": format_instant(context.clock.now())}

    # --- the undo point

    def _undo_point(self, work: RestoreWork, context: StepContext) -> Json:
        """Raises DrError RESTORE_FAILED, VERIFICATION_FAILED: then nothing was changed but the fence."""
        if not context.outcome(SURVEY)["living"]:
            return {"point": "", "why": "nothing lives there: there is nothing to go back to"}
        if work.item.details.get(NO_UNDO_POINT):
            return {"point": "", "why": "the restore that is undone ended in the middle"}
        fenced = parse_instant(str(context.outcome(FENCE)["at"]))
        at = self._guard.settled(work, fenced)
        while (left := (at - context.clock.now()).total_seconds()) > 0:
            context.progress(0, None, "waiting")
            context.clock.sleep(min(left, _WAIT_S))
        point = self._captured(work, undo_slot(work, at), context, fenced)
        self._undo().hold(point.name, f"undo point of {work.plan_id}")
        return point.journalled()

    def _captured(self, work: RestoreWork, slot: Slot, context: StepContext, fenced: datetime) -> _Point:
        living = context.outcome(SURVEY)["living"]
        result = self._undo().capture(slot, [str(name) for name in living] if isinstance(living, list | tuple) else [])
        if result.point is None:
            why = result.error.message if result.error else str(result.captured)
            hint = f"nothing was changed but the fence: resume, or `dr restore undo {work.plan_id}`"
            raise DrError(RESTORE_FAILED, f"no undo point of {work.item.source} could be made: {why}", hint=hint)
        read = find_point(work.vault, result.point.name)
        if read.manifest.as_of < fenced:
            behind = f"{format_instant(read.manifest.as_of)}, before the writers stopped at {format_instant(fenced)}"
            raise DrError(RESTORE_FAILED, f"the undo point {read.ref.name} is of {behind}")
        checks = verify_manifest(read.manifest, self._inspectors()[read.manifest.method], work.vault)
        if not all(check.passed for check in checks):
            text = f"the undo point {read.ref.name} cannot be read back: {failures(checks)}"
            raise DrError(VERIFICATION_FAILED, text)
        return _Point(read.ref.name, read.ref.generation, read.ref.sha256, read.manifest)

    # --- what was written since

    def _keep(self, work: RestoreWork, context: StepContext) -> Json:
        """A list in the control repository; the contents are in the undo point."""
        undo = str(context.outcome(UNDO).get("point", ""))
        name = salvage_name(work)
        control = self._control()
        if control.stat(name) is None:
            manifest = find_point(work.vault, undo).manifest if undo else None
            control.put_stream(name, self._lines(work, undo, manifest))
        lines = sum(chunk.count(b"\n") for chunk in control.stream(name))
        return {"object": name, "kept": lines - 1, "undo": undo}

    def _lines(self, work: RestoreWork, undo: str, manifest: PointManifest | None) -> Iterator[bytes]:
        item = work.item
        head: dict[str, object] = {"format": 1, "kind": "salvage", "restore": work.plan_id, "source": str(item.source)}
        yield dump({**head, "instant": format_instant(item.instant), "undo": undo})
        yield from _dumped(self._guard.salvage(work, manifest))

    # --- the result

    def _prove(self, work: RestoreWork, context: StepContext, names: Sequence[str]) -> Json:
        """Raises DrError RESTORE_FAILED naming what is not as it should be."""
        checks = self.inner.checks(work, {name: context.outcome(name) for name in names})
        if not all(check.passed for check in checks):
            hint = f"resume looks again; `dr restore undo {work.plan_id}` goes back"
            raise DrError(RESTORE_FAILED, f"{work.item.source} is not as it was: {failures(checks)}", hint=hint)
        return {"checks": encode_checks(checks)}


@dataclass(frozen=True, slots=True)
class _Point:
    name: str
    generation: int
    sha256: str
    manifest: PointManifest

    def journalled(self) -> Json:
        """All that `dr restore undo` needs to pin it."""
        manifest = self.manifest
        return {
            "point": self.name,
            "generation": self.generation,
            "sha256": self.sha256,
            "method": manifest.method,
            "as_of": format_instant(manifest.as_of),
            "bytes": manifest.size,
        }


def salvage_name(work: RestoreWork) -> str:
    """Of the list of what one item replaced."""
    return f"restores/{work.plan_id}/salvage/{work.item.source.slug}.{work.item.domain}.jsonl"


def _dumped(found: Iterable[Salvaged]) -> Iterator[bytes]:
    return (dump({"path": one.path, "why": one.why, "sha256": one.sha256}) for one in found)
