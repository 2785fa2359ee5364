"""What recovery is expected to take at production's size, wired."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from dr import __version__
from dr.app.core import App
from dr.model.forecast import Forecast
from dr.model.ids import SourceId
from dr.model.plans import DeclaredStep
from dr.model.samples import Timings
from dr.model.strategy import FailureDomain
from dr.plan.forecast import TimeModels, forecasts
from dr.plan.samples import samples_of
from dr.record.timings import read_timings

NEW_CLUSTER = (FailureDomain.CLUSTER, FailureDomain.REGION, FailureDomain.PROJECT)
"""Losses after which declared steps count."""


def region_of(app: App, source: SourceId) -> str:
    """Where the vault and the source stand, as declared; empty where nothing is."""
    spec = app.spec(source)
    vault = app.settings.vault(source.component).place.location
    return f"{vault} to {spec.place.location}" if vault or spec.place.location else ""


def time_models(app: App, timings: Sequence[Timings] | None = None) -> TimeModels:
    """From the newest records of restores and drills, read unless they are at hand. `predict(source, method, step, size)` is
    what a plan asks."""
    samples = samples_of(read_timings(app.control) if timings is None else timings)
    return TimeModels(samples, __version__, app.settings.scope, lambda source: region_of(app, source))


def forecast(app: App, components: Sequence[str] = (), declared: Sequence[DeclaredStep] = ()) -> tuple[Forecast, ...]:
    """Each row, source and domain. Raises DrError UNKNOWN_COMPONENT, and as reading the control repository does."""
    wanted = {row.component for row in app.rows(components)}
    besides = sum((step.took for step in declared), timedelta(0))
    found = forecasts(time_models(app), app.strategy, dict.fromkeys(NEW_CLUSTER, besides))
    return tuple(one for one in found if one.component in wanted)
