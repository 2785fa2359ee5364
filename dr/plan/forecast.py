"""What a step, and a row's whole recovery, will take at a given size: a median with 95 % bounds, or why nobody can say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dr.model import graph
from dr.model.forecast import Forecast, Outlook, StepForecast
from dr.model.ids import SourceId
from dr.model.plans import PlannedRestore
from dr.model.strategy import FailureDomain, Objective, SourceSpec, Strategy
from dr.model.timeline import format_duration
from dr.plan.growth import Bounds, Observation, project
from dr.plan.modes import MODES
from dr.plan.predict import rounded
from dr.plan.samples import WHOLE, Conditions, Sample, Size, present, set_aside

LEAST = 5
"""Drills below which nothing is promised."""
REACH = 10.0
"""How many times the largest drilled size a projection may go: what `benchmarks/forecast.py` checks."""
NEWEST = 200
"""Samples of one step that count."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds. `low_s` and `high_s` are one-sided 95 % prediction bounds of the next run; None: fewer than two samples, or three of
    different sizes."""

    median_s: float
    low_s: float | None
    high_s: float | None
    samples: int
    censored: int
    distribution_free: bool = False


def estimate(samples: Sequence[Sample], size: Size) -> Estimate | None:
    """From samples of one step under one set of conditions. Bytes and objects grow together, so which of them a step's time
    follows cannot be told apart: the slower answer counts. None when none ever ended."""
    newest = samples[-NEWEST:]
    found = [bounds for xs, x in _drivers(newest, size) if (bounds := project(_observed(newest, xs), x))]
    if not found:
        return None
    worst = max(found, key=lambda bounds: bounds.high if bounds.high is not None else bounds.median)
    return _estimate(worst, newest)


def _estimate(bounds: Bounds, samples: Sequence[Sample]) -> Estimate:
    ended = sum(sample.ended for sample in samples)
    cut = len(samples) - ended
    return Estimate(bounds.median, bounds.low, bounds.high, ended, cut, bounds.distribution_free)


def _observed(samples: Sequence[Sample], xs: Sequence[int]) -> list[Observation]:
    return [Observation(x, sample.seconds, sample.ended) for x, sample in zip(xs, samples, strict=True)]


def _drivers(samples: Sequence[Sample], size: Size) -> Iterator[tuple[Sequence[int], int]]:
    """Measures of size that are known of the target and of every sample; where there is none, sizes are taken to be alike."""
    both = [([one.size.bytes for one in samples], size.bytes), ([one.size.objects for one in samples], size.objects)]
    known = [(xs, x) for xs, x in both if x and all(xs)]
    yield from known or [([1] * len(samples), 1)]


@dataclass(frozen=True, slots=True)
class TimeModels:
    """All that was measured, and the conditions of now. `region` of a source: where its vault and it stand."""

    samples: tuple[Sample, ...]
    version: str
    scope: str
    region: Callable[[SourceId], str]

    def now(self, source: SourceId, method: str) -> Conditions:
        return Conditions(self.version, method, self.region(source), self.scope)

    def of(self, source: SourceId, method: str) -> tuple[Sample, ...]:
        """Under the present conditions, of every step."""
        mine = [sample for sample in self.samples if sample.source == source]
        return present(mine, self.now(source, method))

    def predict(self, source: SourceId, method: str, step: str, size: Size) -> Estimate | None:
        """Of one step of the next restore; `WHOLE` for all of a drill. None when it never ended under the present conditions."""
        return estimate([sample for sample in self.of(source, method) if sample.step == step], size)

    def steps(self, source: SourceId, method: str) -> tuple[str, ...]:
        """Names of the steps of the newest run, in its order."""
        mine = [sample for sample in self.of(source, method) if sample.step != WHOLE]
        newest = mine[-1].run if mine else ""
        return tuple(dict.fromkeys(sample.step for sample in mine if sample.run == newest))


def planned_step(models: TimeModels, item: PlannedRestore, step: str) -> graph.Estimate | None:
    """As a restore plan carries it: the median, and the 95 % bounds as quickest and slowest. None below five samples."""
    found = models.predict(item.source, item.method, step, Size(bytes=item.size))
    if found is None or found.low_s is None or found.high_s is None or found.samples < LEAST:
        return None
    median, low, high = (timedelta(seconds=value) for value in (found.median_s, found.low_s, found.high_s))
    return graph.Estimate(median, low, high, found.samples)


# --- a row against its RTO -------------------------------------------------------------------------------------------


def forecasts(
    models: TimeModels, strategy: Strategy, declared: Mapping[FailureDomain, timedelta] | None = None
) -> tuple[Forecast, ...]:
    """Every row, source and domain of the table, in its order. `declared`: what recovery takes besides, by domain."""
    return tuple(
        _forecast(models, row, spec, domain, (declared or {}).get(domain, timedelta(0)))
        for row in strategy.objectives
        for domain in row.domains
        for spec in row.sources
    )


@dataclass(frozen=True, slots=True)
class _Case:
    """One source and domain with its evidence."""

    row: Objective
    spec: SourceSpec
    domain: FailureDomain
    method: str
    wholes: tuple[Sample, ...]
    aside: tuple[str, ...]

    @property
    def ended(self) -> int:
        return sum(sample.ended for sample in self.wholes)

    @property
    def declared(self) -> Size:
        found = self.spec.size
        return Size(found.bytes, found.objects) if found else Size()

    @property
    def size(self) -> Size:
        """To project to: as declared, else that of the newest drill."""
        newest = self.wholes[-1].size if self.wholes else Size()
        return self.declared or newest

    @property
    def largest(self) -> Size:
        sizes = [sample.size for sample in self.wholes if sample.ended]
        return Size(max((one.bytes for one in sizes), default=0), max((one.objects for one in sizes), default=0))

    def missing(self) -> tuple[str, ...]:
        """What keeps the evidence from being enough."""
        if self.ended < LEAST:
            cut = len(self.wholes) - self.ended
            words = f"{self.ended} of at least {LEAST} drills came to their end under the present conditions"
            return (words + (f", {cut} cut off" if cut else ""),)
        return (*self._unknown(), *self._too_far())

    def _unknown(self) -> Iterator[str]:
        comparable = (self.size.bytes and self.largest.bytes) or (self.size.objects and self.largest.objects)
        if not comparable:
            yield "the size of what was drilled is not known, so nothing can be projected"

    def _too_far(self) -> Iterator[str]:
        for name, wanted, drilled in (
            ("bytes", self.size.bytes, self.largest.bytes),
            ("objects", self.size.objects, self.largest.objects),
        ):
            if drilled and wanted > REACH * drilled:
                times = f"{wanted / drilled:.3g} times"
                yield f"{wanted:,} {name} are {times} the largest drilled {drilled:,}; a projection reaches {REACH:g} times"


def _forecast(
    models: TimeModels, row: Objective, spec: SourceSpec, domain: FailureDomain, besides: timedelta
) -> Forecast:
    method = _method(models, spec, domain)
    mine = models.of(spec.id, method)
    near = [
        one
        for one in models.samples
        if one.source == spec.id and (one.domain is domain or one.conditions.method == method)
    ]
    wholes = tuple(sample for sample in mine if sample.step == WHOLE)
    case = _Case(row, spec, domain, method, wholes, set_aside(near, models.now(spec.id, method)))
    missing = case.missing()
    found = None if missing else estimate(case.wholes, case.size)
    return _judged(case, found, missing, _steps(models, case), besides.total_seconds())


def _judged(
    case: _Case, found: Estimate | None, missing: Sequence[str], steps: tuple[StepForecast, ...], besides_s: float
) -> Forecast:
    target = case.row.rto.total_seconds()
    bound = found.high_s + besides_s if found and found.high_s is not None else None
    return Forecast(
        component=case.row.component,
        domain=case.domain,
        source=str(case.spec.id),
        method=case.method,
        outlook=outlook_of(bound, target),
        reasons=tuple(missing) or tuple(_words(case, found, bound, target, besides_s)),
        target_s=target,
        size=case.size.bytes,
        objects=case.size.objects,
        declared=bool(case.declared),
        drills=case.ended,
        censored=len(case.wholes) - case.ended,
        set_aside=case.aside,
        median_s=found.median_s + besides_s if found else None,
        low_s=found.low_s + besides_s if found and found.low_s is not None else None,
        bound_s=bound,
        basis=_basis(found),
        steps=steps,
    )


def outlook_of(bound: float | None, target: float) -> Outlook:
    """Strict, as every bound of the table."""
    if bound is None:
        return Outlook.INSUFFICIENT
    return Outlook.WITHIN if bound < target else Outlook.BEYOND


def _basis(found: Estimate | None) -> str:
    if found is None or found.high_s is None:
        return ""
    return "distribution-free" if found.distribution_free else "lognormal"


def _words(case: _Case, found: Estimate | None, bound: float | None, target: float, besides_s: float) -> Iterator[str]:
    if found is None or bound is None:
        yield "the drills say nothing of their time"
        return
    cut = f", {found.censored} cut off" if found.censored else ""
    yield (
        f"19 of 20 recoveries are expected within {_span(bound)} (median {_span(found.median_s + besides_s)}), the target is "
        f"< {format_duration(timedelta(seconds=target))}; from {found.samples} drills{cut}"
    )
    if besides_s:
        yield f"{_span(besides_s)} of it is declared, not measured"
    if not case.declared:
        yield "at the size of the newest drill: the strategy declares none (declaredSize)"


def _span(seconds: float) -> str:
    return rounded(timedelta(seconds=seconds))


def _steps(models: TimeModels, case: _Case) -> tuple[StepForecast, ...]:
    found = {
        step: models.predict(case.spec.id, case.method, step, case.size)
        for step in models.steps(case.spec.id, case.method)
    }
    return tuple(
        StepForecast(step, one.median_s, one.low_s, one.high_s, one.samples, one.censored)
        for step, one in found.items()
        if one
    )


def _method(models: TimeModels, spec: SourceSpec, domain: FailureDomain) -> str:
    """That of the newest drill or restore for this loss; before the first one what the kind would use."""
    mine = [one for one in models.samples if one.source == spec.id and one.domain is domain]
    mode = MODES.get(spec.id.kind)
    if mine:
        return mine[-1].conditions.method
    return (mode.log or mode.point) if mode else ""
