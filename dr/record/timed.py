"""Format 1 of timings and forecasts. A timing is `timings/<instant>-<run>.json`, one for each try of a run."""

from __future__ import annotations

from dr.model.forecast import Forecast, Outlook, StepForecast
from dr.model.samples import ItemTimes, RunKind, StepTime, Timings
from dr.record.nouns import domain, source_id
from dr.record.shapes import boolean, enumeration, instant, integer, many, number, optional, record, text

TIMINGS = "timings/"

step_time = record(StepTime, step=text, seconds=number, ended=boolean)
item_times = record(
    ItemTimes,
    source=source_id,
    domain=domain,
    method=text,
    region=text,
    size=integer,
    objects=integer,
    steps=many(step_time),
    whole_s=number,
    ended=boolean,
)
timings = record(
    Timings, run=text, what=enumeration(RunKind), at=instant, tool_version=text, scope=text, items=many(item_times)
)

step_forecast = record(
    StepForecast,
    step=text,
    median_s=number,
    low_s=optional(number),
    high_s=optional(number),
    samples=integer,
    censored=integer,
)
forecast = record(
    Forecast,
    component=text,
    domain=domain,
    source=text,
    method=text,
    outlook=enumeration(Outlook),
    reasons=many(text),
    target_s=number,
    size=integer,
    objects=integer,
    declared=boolean,
    drills=integer,
    censored=integer,
    set_aside=many(text),
    median_s=optional(number),
    low_s=optional(number),
    bound_s=optional(number),
    basis=text,
    steps=many(step_forecast),
)
