"""Every restore and every drill leaves what it took, step by step: what forecasts are made from.

A step that ended is timed by its journal. One that did not (a timeout, a failure, a stop) took at least as long as it was at
work; so did one that another process had begun, because that one may have done a part of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from dr.errors import DrError
from dr.model.ids import SourceId
from dr.model.plans import RestorePlan
from dr.model.runs import Stamp, StepOutcome
from dr.model.samples import ItemTimes, RunKind, StepTime, Timings
from dr.ports import Clock, Json, RestoreWork, Step, StepContext
from dr.record.timings import keep_timings
from dr.run.measured import CHECK_STEP, Wrapped
from dr.run.restore import ItemResult, Restored, RestoreItem, RestoreResult, RestoreRunner


class Stopwatch:
    """Steps that began and did not end, with the seconds that they were at work. Thread-safe: items run side by side."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._cut: dict[str, list[StepTime]] = {}

    def timed(self, item: str, step: Step) -> Step:
        return replace(step, run=partial(self._run, item, step))

    def _run(self, item: str, step: Step, context: StepContext) -> Json:
        began = self._clock.stamp()
        try:
            return step.run(context)
        except BaseException:
            self._note(item, StepTime(step.name, self._clock.stamp().seconds_since(began), False))
            raise

    def _note(self, item: str, time: StepTime) -> None:
        with self._lock:
            self._cut.setdefault(item, []).append(time)

    def cut(self, item: str, ended: Iterable[str]) -> tuple[StepTime, ...]:
        """Of each step that did not end, all tries together."""
        total: dict[str, float] = {}
        for time in self._cut.get(item, ()):
            total[time.step] = total.get(time.step, 0.0) + time.seconds
        done = frozenset(ended)
        return tuple(StepTime(step, seconds, False) for step, seconds in total.items() if step not in done)


class Timed(Wrapped):
    """A restorer whose steps are timed also when they do not end."""

    def __init__(self, item: RestoreItem, watch: Stopwatch) -> None:
        super().__init__(item.restorer)
        self._key, self._watch = item.key, watch

    def steps(self, work: RestoreWork) -> Sequence[Step]:
        return tuple(self._watch.timed(self._key, step) for step in self.inner.steps(work))


@dataclass(frozen=True, slots=True)
class TimedRunner(RestoreRunner):
    """Leaves a record of each try. `since`: when the recovery was declared, if that was before the plan is applied."""

    what: RunKind = RunKind.RESTORE
    region: Callable[[SourceId], str] = lambda _source: ""
    scope: str = ""
    tool_version: str = ""
    since: Stamp | None = None

    def apply(self, plan: RestorePlan, items: Sequence[RestoreItem]) -> RestoreResult:
        watch = Stopwatch(self.clock)
        timed = [replace(item, restorer=Timed(item, watch)) for item in items]
        result = RestoreRunner.apply(self, plan, timed)
        self._record(result, watch)
        return result

    def _record(self, result: RestoreResult, watch: Stopwatch) -> None:
        """A restore that is done stays done when its times cannot be kept; a repetition without work says nothing new."""
        began = self.since or result.started
        found = tuple(item_times(one, watch, began, result.ended, self.region) for one in result.items)
        if any(_worked(one, began) for one in result.items):
            record = Timings(result.plan.id, self.what, result.ended.wall, self.tool_version, self.scope, found)
            with suppress(DrError):
                keep_timings(self.journal.store, record)


def _worked(result: ItemResult, since: Stamp) -> bool:
    """Something was done in this try, not only read from the journal of an earlier one."""
    fresh = (outcome.ended.seconds_since(since) >= 0 for outcome in result.steps)
    return result.restored is not Restored.DONE or any(fresh)


def item_times(
    result: ItemResult, watch: Stopwatch, began: Stamp, ended: Stamp, region: Callable[[SourceId], str]
) -> ItemTimes:
    """What one item took. A drill's last step is the check; without it the drill did not come to its end."""
    planned = result.item.planned
    done = tuple(_step_time(outcome, result.own_steps) for outcome in result.own_steps)
    cut = watch.cut(result.item.key, [time.step for time in done])
    whole = result.restored is Restored.DONE and all(time.ended for time in done)
    last = max((step.ended for step in result.steps), key=lambda at: at.wall) if whole and result.steps else ended
    return ItemTimes(
        source=planned.source,
        domain=planned.domain,
        method=planned.method,
        region=region(planned.source),
        size=planned.size,
        objects=objects_of(result),
        steps=(*done, *cut),
        whole_s=last.seconds_since(began),
        ended=whole,
    )


def _step_time(outcome: StepOutcome, steps: Sequence[StepOutcome]) -> StepTime:
    """Of a later epoch, what was started before anything ended may have been begun in an earlier one."""
    first_end = min(step.ended.wall for step in steps if step.epoch == outcome.epoch)
    return StepTime(outcome.step, outcome.seconds, ended=outcome.epoch == 1 or outcome.started.wall >= first_end)


def objects_of(result: ItemResult) -> int:
    """Of the point's manifest; for live coverage, which has none, what the check read back."""
    if result.item.manifest is not None:
        return max(result.item.manifest.counts.values(), default=0)
    checked: Mapping[str, object] = result.outcomes.get(CHECK_STEP, {})
    witnessed = checked.get("witnessed", 0)
    return witnessed if isinstance(witnessed, int) else 0
