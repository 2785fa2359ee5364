"""How long the next capture or restore will take, from those that were measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from dr.model.timeline import format_duration

RECENT = 20
"""Older runs say little about today's size."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """From `samples` measured durations; `slowest` is what a plan should reckon with."""

    median: timedelta
    quickest: timedelta
    slowest: timedelta
    samples: int

    @property
    def spread(self) -> timedelta:
        return self.slowest - self.quickest

    def __str__(self) -> str:
        runs = "one run" if self.samples == 1 else f"{self.samples} runs"
        return f"slowest of {runs} (median {rounded(self.median)})"


def predict(durations: Iterable[timedelta]) -> Prediction | None:
    """From durations, oldest first; only the newest 20 count. None when nothing was measured."""
    recent = [duration.total_seconds() for duration in durations][-RECENT:]
    if not recent:
        return None
    return Prediction(
        timedelta(seconds=median(recent)),
        timedelta(seconds=min(recent)),
        timedelta(seconds=max(recent)),
        len(recent),
    )


def rounded(value: timedelta) -> str:
    """A duration as people read it: whole seconds from ten seconds up, else tenths; `24h`, not `1d`."""
    seconds = value.total_seconds()
    whole = timedelta(seconds=round(seconds, 1 if abs(seconds) < 10 else 0))
    if timedelta(days=1) <= whole < timedelta(days=2):
        hours, rest = divmod(whole, timedelta(hours=1))
        return f"{hours}h" + (format_duration(rest) if rest else "")
    return format_duration(whole)
