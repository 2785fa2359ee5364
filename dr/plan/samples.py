"""From recorded timings to samples that may be compared: those made under the present conditions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dr.model.ids import SourceId
from dr.model.samples import ItemTimes, RunKind, StepTime, Timings
from dr.model.strategy import FailureDomain

WHOLE = "recovery"
"""The pseudo-step of a whole drill: declaration to the last check passed."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of what is restored. 0: not known."""

    bytes: int = 0
    objects: int = 0

    def __bool__(self) -> bool:
        return bool(self.bytes or self.objects)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must be the same for times to be compared."""

    version: str
    method: str
    region: str
    scope: str

    def differ(self, now: Conditions) -> str:
        """In words, or empty."""
        pairs = (
            ("dr", self.version, now.version),
            ("method", self.method, now.method),
            ("region", self.region, now.region),
            ("scope", self.scope, now.scope),
        )
        return ", ".join(
            f"{name} {was or 'not said'} (now {is_ or 'not said'})" for name, was, is_ in pairs if was != is_
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """One step of one run."""

    run: str
    at: datetime
    source: SourceId
    domain: FailureDomain
    conditions: Conditions
    step: str
    size: Size
    seconds: float
    ended: bool


def samples_of(timings: Iterable[Timings]) -> tuple[Sample, ...]:
    """Every step, and for drills the whole too, oldest first. Of a run that was resumed its newest record counts: a step that was
    cut off before took at least as long as both tries."""
    runs: dict[str, Timings] = {}
    for record in sorted(timings, key=lambda one: one.at):
        before = runs.get(record.run)
        runs[record.run] = _continued(before, record) if before else record
    ordered = sorted(runs.values(), key=lambda one: one.at)
    return tuple(sample for record in ordered for item in record.items for sample in _of_item(record, item))


def _of_item(record: Timings, item: ItemTimes) -> Iterable[Sample]:
    whole = (StepTime(WHOLE, item.whole_s, item.ended),) if record.what is RunKind.DRILL else ()
    conditions = Conditions(record.tool_version, item.method, item.region, record.scope)
    size = Size(item.size, item.objects)
    for step in (*item.steps, *whole):
        yield Sample(
            record.run, record.at, item.source, item.domain, conditions, step.step, size, step.seconds, step.ended
        )


def _continued(before: Timings, after: Timings) -> Timings:
    cut = {
        (item.source, item.domain, step.step): step.seconds
        for item in before.items
        for step in item.steps
        if not step.ended
    }
    return replace(after, items=tuple(_longer(item, cut) for item in after.items))


def _longer(item: ItemTimes, cut: Mapping[tuple[SourceId, FailureDomain, str], float]) -> ItemTimes:
    steps = tuple(
        StepTime(step.step, step.seconds + cut[key], False)
        if (key := (item.source, item.domain, step.step)) in cut
        else step
        for step in item.steps
    )
    return replace(item, steps=steps)


def present(samples: Sequence[Sample], now: Conditions) -> tuple[Sample, ...]:
    """Those made under the present conditions."""
    return tuple(sample for sample in samples if sample.conditions == now)


def set_aside(samples: Sequence[Sample], now: Conditions) -> tuple[str, ...]:
    """Runs by the other way in which their conditions differ, counted. Runs by another method are not of this forecast at all."""
    others = {(one.run, words) for one in samples if (words := one.conditions.differ(now))}
    counts = Counter(words for _, words in others)
    return tuple(
        f"{count} {'run' if count == 1 else 'runs'} set aside: {words}" for words, count in sorted(counts.items())
    )
