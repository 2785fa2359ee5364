"""Restorers with more steps around them: the point is verified first, the copy is checked and measured last.

Both are Restorers themselves, so a drill and a real restore stay the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from dr.errors import VERIFICATION_FAILED, DrError
from dr.model.evidence import AcknowledgedWrite, LostWrites
from dr.model.graph import StepKind
from dr.model.plans import PlannedRestore, Target
from dr.model.points import Check, Coverage, PointManifest
from dr.model.review import Review
from dr.model.strategy import FailureDomain, SourceSpec
from dr.model.timeline import parse_instant
from dr.plan.judge import lost_writes
from dr.plan.living import doubtful, lost_against_living, lost_of_additions
from dr.plan.modes import MODES
from dr.ports import Guarded, Inspector, Json, RestoredItem, Restorer, RestoreWork, Reviewing, Step, StepContext
from dr.record.verify import failures, verify_manifest

VERIFY_STEP = "verify-point"
CHECK_STEP = "check"
NAMED = 20
"""Paths named in a finding; the rest is counted."""
SKEW = timedelta(seconds=5)
"""The clocks of a writer and of a source may differ so far before a lost write is called a hole."""


class Wrapped:
    """Passes everything on to the restorer inside."""

    def __init__(self, inner: Restorer) -> None:
        self.inner = inner

    @property
    def method(self) -> str:
        return self.inner.method

    def outline(
        self,
        spec: SourceSpec,
        origin: PointManifest | Coverage,
        requested: datetime,
        domain: FailureDomain,
        target: Target,
    ) -> PlannedRestore:
        return self.inner.outline(spec, origin, requested, domain, target)

    def steps(self, work: RestoreWork) -> Sequence[Step]:
        return self.inner.steps(work)

    def contents(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> Iterator[RestoredItem]:
        return self.inner.contents(work, outcomes)

    def checks(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        return self.inner.checks(work, outcomes)

    def teardown(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        return self.inner.teardown(work, outcomes)

    def reached(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        return self.inner.reached(work, outcomes) if isinstance(self.inner, Guarded) else ()

    def review(self, work: RestoreWork) -> Review:
        return self.inner.review(work) if isinstance(self.inner, Reviewing) else Review()


class Verified(Wrapped):
    """Reads the whole point back before anything is created (docs/adr/0003)."""

    def __init__(self, inner: Restorer, inspectors: Mapping[str, Inspector]) -> None:
        super().__init__(inner)
        self._inspectors = inspectors

    def steps(self, work: RestoreWork) -> Sequence[Step]:
        if work.manifest is None:
            return self.inner.steps(work)
        verify = Step(VERIFY_STEP, lambda _: self._verify(work), kind=StepKind.VERIFY, size=work.manifest.size)
        return (verify, *self.inner.steps(work))

    def _verify(self, work: RestoreWork) -> Json:
        assert work.manifest is not None
        checks = verify_manifest(work.manifest, self._inspectors[work.manifest.method], work.vault)
        if not all(check.passed for check in checks):
            raise DrError(
                VERIFICATION_FAILED, f"the recovery point {work.manifest.name} is damaged: {failures(checks)}"
            )
        return {"checks": encode_checks(checks), "bytes": work.manifest.size, "counts": dict(work.manifest.counts)}


@dataclass(frozen=True, slots=True)
class RecordWitness:
    """A writer's own record of what was acknowledged: exact."""

    writes: Callable[[str], Sequence[AcknowledgedWrite]]
    disaster_at: datetime

    def judge(self, item: PlannedRestore, restored: Mapping[str, str]) -> LostWrites:
        writes = self.writes(str(item.source))
        return lost_writes(writes, restored, self.disaster_at, whole_until=whole_until(item))


def whole_until(item: PlannedRestore) -> datetime | None:
    """A snapshot holds all that was acknowledged before it. A log says so of what it was handed: what was still on its way
    is a loss, whatever its time."""
    mode = MODES.get(item.source.kind)
    return None if mode is None or mode.log else item.instant - SKEW


@dataclass(frozen=True, slots=True)
class LivingSource:
    """The living source as it was at the disaster, read beside the restore so that reading costs no recovery time. What changed
    since the restored instant is asked for again, as it was then, where the source remembers."""

    living: Mapping[str, Future[Sequence[RestoredItem]]]
    disaster_at: datetime
    recall: Callable[[str, Collection[str], datetime], Mapping[str, str] | None] = lambda _source, _paths, _at: None
    """(source, paths, instant), as `ports.Remembering`."""

    def judge(self, item: PlannedRestore, restored: Mapping[str, str]) -> LostWrites | None:
        """None when this source cannot be asked for its own contents."""
        future = self.living.get(str(item.source))
        if future is None:
            return None
        living, mode = future.result(), MODES.get(item.source.kind)
        if mode and mode.only_added:
            return lost_of_additions(living, restored, _since(item), self.disaster_at)
        doubts = doubtful(living, restored, item.instant)
        history = self.recall(str(item.source), doubts, item.instant) if doubts else None
        return lost_against_living(living, restored, item.instant, self.disaster_at, history)


def _since(item: PlannedRestore) -> datetime:
    """From when on the source was captured, as the outline tells; else always."""
    told = item.details.get("since")
    return parse_instant(told) if isinstance(told, str) else datetime.min.replace(tzinfo=UTC)


Witness = RecordWitness | LivingSource


def witness_at(witness: Witness, disaster_at: datetime) -> Witness:
    """The same witness, asked for another instant than the drill's own disaster."""
    return replace(witness, disaster_at=disaster_at)


class Measured(Wrapped):
    """The last step checks the copy, as its restorer and as the scenario does, and counts, with the witness, what it lost."""

    def __init__(
        self,
        inner: Restorer,
        witness: Witness,
        look: Callable[[PlannedRestore], tuple[Check, ...]] = lambda _item: (),
    ) -> None:
        super().__init__(inner)
        self._witness, self._look = witness, look

    def steps(self, work: RestoreWork) -> Sequence[Step]:
        steps = self.inner.steps(work)
        names = tuple(step.name for step in steps)
        check = Step(CHECK_STEP, lambda ctx: self._check(work, ctx, names), kind=StepKind.CHECK, size=work.item.size)
        return (*steps, check)

    def _check(self, work: RestoreWork, ctx: StepContext, names: Sequence[str]) -> Json:
        outcomes = {name: ctx.outcome(name) for name in names}
        checks = (*self.inner.checks(work, outcomes), *self._look(work.item))
        restored = {item.path: item.sha256 for item in self.inner.contents(work, outcomes)}
        lost = self._witness.judge(work.item, restored)
        return {
            "checks": encode_checks(checks),
            "witnessed": len(restored),
            "lost": encode_lost(lost) if lost else None,
        }


def encode_checks(checks: Sequence[Check]) -> list[Json]:
    """For the journal."""
    return [{"name": check.name, "passed": check.passed, "detail": check.detail} for check in checks]


def decode_checks(value: object) -> tuple[Check, ...]:
    """Inverse of `encode_checks`."""
    assert isinstance(value, list)
    return tuple(Check(entry["name"], entry["passed"], entry["detail"]) for entry in value)


def encode_lost(lost: LostWrites) -> Json:
    """For the journal; long lists of paths are cut, their counts are not."""
    return {
        "acknowledged": lost.acknowledged,
        "lost": lost.lost,
        "oldest_lost_s": lost.oldest_lost_s,
        "wrong": list(lost.wrong[:NAMED]),
        "wrong_count": len(lost.wrong),
        "unexpected": list(lost.unexpected[:NAMED]),
        "unexpected_count": len(lost.unexpected),
        "at_least": lost.at_least,
        "absent": list(lost.absent[:NAMED]),
        "absent_count": len(lost.absent),
        "holes": list(lost.holes[:NAMED]),
        "holes_count": len(lost.holes),
    }


def decode_lost(value: object) -> LostWrites | None:
    """Inverse of `encode_lost`; paths beyond the named ones are summed up in a last entry. None: not measured."""
    if value is None:
        return None
    assert isinstance(value, Mapping)
    return LostWrites(
        acknowledged=value["acknowledged"],
        lost=value["lost"],
        oldest_lost_s=value["oldest_lost_s"],
        wrong=_named(value["wrong"], value["wrong_count"]),
        unexpected=_named(value["unexpected"], value["unexpected_count"]),
        at_least=value["at_least"],
        absent=_named(value.get("absent", ()), value.get("absent_count", 0)),
        holes=_named(value.get("holes", ()), value.get("holes_count", 0)),
    )


def _named(paths: Sequence[str], count: int) -> tuple[str, ...]:
    more = count - len(paths)
    return (*paths, *([f"... and {more} more"] if more else []))
