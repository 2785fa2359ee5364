"""What can be restored of one source, drawn over its retention: SVG that takes its colours from the page around it.

The axis is the age, logarithmic: the last hour matters as much as the last year.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from dr.report.words import span

HEIGHT, TOP, BAND, LABEL_PX = 66, 18, 20, 58
_MARKS_S = (1, 10, 60, 600, 3600, 6 * 3600, 86400, 7 * 86400, 30 * 86400, 90 * 86400, 365 * 86400, 7 * 365 * 86400)

Interval = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Strip:
    """What is drawn. `limit`: the age at which the row is late."""

    now: datetime
    retention: timedelta
    limit: timedelta
    limit_words: str
    instants: tuple[datetime, ...]
    coverage: tuple[Interval, ...]
    proven: tuple[datetime, ...] = ()

    @property
    def continuous(self) -> bool:
        return bool(self.coverage)


def holes(strip: Strip) -> tuple[Interval, ...]:
    """Where more would be lost than the row allows: between neighbours, and from the newest to now."""
    restorable = sorted([*strip.coverage, *((at, at) for at in strip.instants)])
    if not restorable:
        return ()
    merged = list(_merged(restorable))
    gaps = [(before[1], after[0]) for before, after in pairwise(merged)]
    most = timedelta(0) if strip.continuous else strip.limit
    late = [(merged[-1][1], strip.now)] if strip.now - merged[-1][1] >= strip.limit else []
    return (*(gap for gap in gaps if gap[1] - gap[0] > most), *late)


def _merged(intervals: Sequence[Interval]) -> Iterator[Interval]:
    """Sorted by start; what touches is one."""
    start, end = intervals[0]
    for begins, ends in intervals[1:]:
        if begins > end:
            yield start, end
            start, end = begins, ends
        end = max(end, ends)
    yield start, end


@dataclass(frozen=True, slots=True)
class _Axis:
    """Pixels of ages in seconds; the youngest to the right."""

    least_s: float
    most_s: float
    width: int

    def x(self, age_s: float) -> float:
        share = math.log(min(max(age_s, self.least_s), self.most_s) / self.least_s)
        return round(self.width - 1 - (self.width - 2) * share / math.log(self.most_s / self.least_s), 1)

    def at(self, strip: Strip, instant: datetime) -> float:
        return self.x((strip.now - instant).total_seconds())


def strip_svg(strip: Strip, width: int) -> str:
    """`width` in pixels; the text keeps its size, so a page draws one picture for each width."""
    limit_s = max(1.0, strip.limit.total_seconds())
    axis = _Axis(limit_s / 6, max(strip.retention.total_seconds() * 1.2, limit_s * 2), width)
    parts = [
        f'<rect class="room" x="0" y="{TOP}" width="{width}" height="{BAND}"/>',
        *(_box("covered", axis, strip, interval) for interval in strip.coverage),
        *_ticks(axis, strip),
        *(_box("hole", axis, strip, hole) for hole in holes(strip)),
        *(_diamond(axis.at(strip, at)) for at in strip.proven),
        *_bounds(axis, strip, limit_s),
        *_labels(axis, strip, limit_s),
    ]
    head = f'<svg class="strip" viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{_words(strip)}">'
    return head + "".join(parts) + "</svg>"


def _words(strip: Strip) -> str:
    """The picture in words; holds nothing that came from outside."""
    found = f"{len(strip.instants)} recovery points"
    if strip.coverage:
        found += f", {len(strip.coverage)} intervals of continuous coverage"
    return f"{found}, {len(holes(strip))} holes, over {span(strip.retention.total_seconds())}"


def _box(kind: str, axis: _Axis, strip: Strip, interval: Interval) -> str:
    left, right = axis.at(strip, interval[0]), axis.at(strip, interval[1])
    return f'<rect class="{kind}" x="{left}" y="{TOP}" width="{max(1.0, round(right - left, 1))}" height="{BAND}"/>'


def _ticks(axis: _Axis, strip: Strip) -> Iterable[str]:
    """One for each pixel that has a point: ten thousand points are a few hundred lines."""
    pixels = sorted({round(axis.at(strip, at)) for at in strip.instants})
    if not pixels:
        return ()
    path = "".join(f"M{x} {TOP}v{BAND}" for x in pixels)
    return (f'<path class="point" d="{path}"/>',)


def _diamond(x: float) -> str:
    middle = TOP + BAND / 2
    return f'<path class="proven" d="M{x} {middle - 7}l5 7l-5 7l-5 -7z"/>'


def _bounds(axis: _Axis, strip: Strip, limit_s: float) -> Iterable[str]:
    retention_s = strip.retention.total_seconds()
    left, right = axis.x(retention_s), axis.x(limit_s)
    for x in (left, right):
        yield f'<path class="bound" d="M{x} {TOP - 4}v{BAND + 8}"/>'
    yield f'<text class="bound-label" x="{left + 4}" y="{TOP - 6}">kept {span(retention_s)}</text>'
    yield f'<text class="bound-label" x="{right - 4}" y="{TOP - 6}" text-anchor="end">{strip.limit_words}</text>'


def _labels(axis: _Axis, strip: Strip, limit_s: float) -> Iterable[str]:
    """Ages under the band, as many as fit."""
    y = TOP + BAND + 18
    yield f'<text x="{axis.width}" y="{y}" text-anchor="end">now</text>'
    free: float = axis.width - LABEL_PX
    for seconds in _MARKS_S:
        if not limit_s / 3 <= seconds <= strip.retention.total_seconds():
            continue
        x = axis.x(seconds)
        if LABEL_PX / 2 <= x <= free:
            yield f'<path class="notch" d="M{x} {TOP + BAND}v5"/>'
            yield f'<text x="{x}" y="{y}" text-anchor="middle">{span(seconds)}</text>'
            free = x - LABEL_PX
