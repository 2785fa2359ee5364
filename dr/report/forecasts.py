"""Forecasts: as items for JSON and back, and as a sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from dr.model.forecast import Forecast, Outlook, StepForecast
from dr.model.strategy import FailureDomain
from dr.report import words
from dr.report.envelope import Item
from dr.report.sheet import Cell, Sheet, Tone, cell, columns_of

_TONES = {Outlook.WITHIN: Tone.GOOD, Outlook.BEYOND: Tone.BAD, Outlook.INSUFFICIENT: Tone.WARN}


def forecast_item(one: Forecast) -> Item:
    """One row, source and domain."""
    return {
        "component": one.component,
        "domain": str(one.domain),
        "source": one.source,
        "method": one.method,
        "outlook": str(one.outlook),
        "reasons": list(one.reasons),
        "rto": {"target_s": one.target_s, "median_s": one.median_s, "low_s": one.low_s, "bound_s": one.bound_s},
        "basis": one.basis,
        "projected": {"size_bytes": one.size, "objects": one.objects, "declared": one.declared},
        "drills": one.drills,
        "censored": one.censored,
        "set_aside": list(one.set_aside),
        "steps": [_step_item(step) for step in one.steps],
    }


def _step_item(one: StepForecast) -> Item:
    return {
        "step": one.step,
        "median_s": one.median_s,
        "low_s": one.low_s,
        "high_s": one.high_s,
        "samples": one.samples,
        "censored": one.censored,
    }


class Fields(Protocol):
    """Typed access to one JSON object, as a report is read with."""

    def inner(self, name: str) -> Fields: ...

    def several(self, name: str) -> Sequence[Fields]: ...

    def entries(self, name: str) -> list[object]: ...

    def text(self, name: str) -> str: ...

    def flag(self, name: str) -> bool: ...

    def number(self, name: str) -> float: ...

    def optional_number(self, name: str) -> float | None: ...

    def count(self, name: str) -> int: ...


def read_forecast(item: Fields) -> Forecast:
    """Inverse of `forecast_item`. Raises ValueError for an unknown outlook or domain."""
    rto, projected = item.inner("rto"), item.inner("projected")
    return Forecast(
        component=item.text("component"),
        domain=FailureDomain(item.text("domain")),
        source=item.text("source"),
        method=item.text("method"),
        outlook=Outlook(item.text("outlook")),
        reasons=tuple(map(str, item.entries("reasons"))),
        target_s=rto.number("target_s"),
        size=projected.count("size_bytes"),
        objects=projected.count("objects"),
        declared=projected.flag("declared"),
        drills=item.count("drills"),
        censored=item.count("censored"),
        set_aside=tuple(map(str, item.entries("set_aside"))),
        median_s=rto.optional_number("median_s"),
        low_s=rto.optional_number("low_s"),
        bound_s=rto.optional_number("bound_s"),
        basis=item.text("basis"),
        steps=tuple(map(_read_step, item.several("steps"))),
    )


def _read_step(item: Fields) -> StepForecast:
    return StepForecast(
        item.text("step"),
        item.number("median_s"),
        item.optional_number("low_s"),
        item.optional_number("high_s"),
        item.count("samples"),
        item.count("censored"),
    )


# --- for people ------------------------------------------------------------------------------------------------------


def forecasts_sheet(found: Sequence[Forecast], *, wide: bool = False) -> Sheet:
    """A line for each row, source and domain; why, below. `wide`: every step too."""
    columns = columns_of(
        "row", "domain", "method", ">drills", ">size", ">objects", ">median", ">95 % bound", ">rto", "verdict"
    )
    return Sheet(
        columns,
        tuple(map(_row, found)),
        tuple(_notes(found, wide)),
        empty="the strategy declares no source to forecast",
    )


def _row(one: Forecast) -> tuple[Cell, ...]:
    return (
        cell(one.component),
        cell(one.domain),
        cell(one.method),
        cell(f"{one.drills} + {one.censored} cut off" if one.censored else one.drills),
        cell(words.size(one.size) if one.size else words.NOTHING),
        cell(f"{one.objects:,}" if one.objects else words.NOTHING),
        cell(words.span(one.median_s)),
        cell(words.span(one.bound_s)),
        cell(words.target(one.target_s)),
        cell(one.outlook, _TONES[one.outlook]),
    )


def _notes(found: Sequence[Forecast], wide: bool) -> Iterator[str]:
    said: dict[str, list[str]] = {}
    for one in found:
        for reason in (*one.reasons, *one.set_aside):
            said.setdefault(f"{one.source}: {reason}", []).append(str(one.domain))
    yield from (f"{text} ({', '.join(domains)})" for text, domains in said.items())
    for one in found if wide else ():
        for step in one.steps:
            high = (
                f"{words.span(step.low_s)} to {words.span(step.high_s)}" if step.high_s is not None else "no bounds yet"
            )
            yield f"{one.source} {one.domain} {step.step}: {words.span(step.median_s)}, {high}, {step.samples} samples"
