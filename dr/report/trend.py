"""A row's recovery times over its drills, against the target: SVG that takes its colours from the page around it.

The axis is logarithmic: a drill of seconds and a target of hours fit on one picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dr.report.words import span

WIDTH, HEIGHT = 336, 118
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 24, 20


@dataclass(frozen=True, slots=True)
class Mark:
    """One drill. `recovery_s` None: it never recovered; drawn at the top."""

    recovery_s: float | None
    tone: str
    day: str


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float

    def y(self, seconds: float) -> float:
        share = (math.log10(seconds) - self.low) / (self.high - self.low)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _BOTTOM - _TOP)


def trend_svg(marks: Sequence[Mark], target_s: float, label: str) -> str:
    """Oldest left. `label` is for who cannot see it; everything drawn is made of figures and fixed words, but the label."""
    scale = _scale([mark.recovery_s for mark in marks if mark.recovery_s], target_s)
    body = "".join([*_target(scale, target_s), *_line(marks, scale), *_dots(marks, scale)])
    return f'<svg class="trend" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_escaped(label)}">{body}</svg>'


def _scale(times: Sequence[float], target_s: float) -> _Scale:
    values = [math.log10(max(value, 1e-3)) for value in (*times, target_s) if value > 0] or [0.0]
    low, high = min(values), max(values)
    room = max(0.3, (high - low) * 0.12)
    return _Scale(low - room, high + room)


def _target(scale: _Scale, target_s: float) -> Iterator[str]:
    if target_s > 0:
        y = scale.y(target_s)
        yield f'<path class="limit" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>'


def _x(index: int, count: int) -> float:
    inside = WIDTH - _LEFT - _RIGHT - 16
    return _LEFT + 8 + (inside * index / (count - 1) if count > 1 else inside)


def _line(marks: Sequence[Mark], scale: _Scale) -> Iterator[str]:
    places = [(_x(i, len(marks)), scale.y(m.recovery_s)) for i, m in enumerate(marks) if m.recovery_s]
    if len(places) > 1:
        yield f'<path class="run" d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y in places)}"/>'


def _dots(marks: Sequence[Mark], scale: _Scale) -> Iterator[str]:
    last = len(marks) - 1
    for index, mark in enumerate(marks):
        x, y = _x(index, len(marks)), scale.y(mark.recovery_s) if mark.recovery_s else _TOP - 8
        yield f'<circle class="{mark.tone}" cx="{x:.1f}" cy="{y:.1f}" r="{4 if index == last else 3}"/>'
        if index in (0, last):
            anchor = "end" if index == last and last else "start" if index == 0 and last else "end"
            words = span(mark.recovery_s) if mark.recovery_s else "not recovered"
            at = x + (6 if anchor == "end" else -6)
            yield f'<text class="value" x="{at:.1f}" y="{y - 8 if y > _TOP + 6 else y + 16:.1f}" text-anchor="{anchor}">{words}</text>'
            yield f'<text x="{at:.1f}" y="{HEIGHT - 5}" text-anchor="{anchor}">{_escaped(mark.day)}</text>'


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
