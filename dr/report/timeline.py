"""The steps of a recovery plotted over time, as SVG that takes its colours from the page around it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dr.model.evidence import StepTiming
from dr.report.words import span

# stand-ins that no theme uses: replaced by the page's own variables, so that one picture fits light and dark
_BAR, _INK, _FAINT = "#0a0b01", "#0a0b02", "#0a0b03"
_VARIABLES = {_BAR: "var(--bar)", _INK: "var(--ink)", _FAINT: "var(--line)"}
_ROW_PX = 26
_LABEL_SHARE = 0.32
_CHARACTER_PX = 6.6


def timeline_svg(steps: Sequence[StepTiming], width: int, name: str) -> str:
    """Bars from start to end of each step, seconds since the declaration. `name` keeps ids apart on one page."""
    # altair and vl-convert cost a second and more: only a report pays for them
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(_chart(steps, width))
    return _at_home(svg, name)


def _chart(steps: Sequence[StepTiming], width: int) -> dict[str, object]:
    import altair as alt

    longest = max((len(step.step) for step in steps), default=0)
    label_px = min(int(width * _LABEL_SHARE), int((longest + 2) * _CHARACTER_PX))
    data = alt.Data(values=[_values(i, step, int(label_px / _CHARACTER_PX) - 1) for i, step in enumerate(steps)])
    end = max((step.end_s for step in steps), default=1.0) or 1.0
    lanes = alt.Y("order:O", axis=None, scale=alt.Scale(paddingInner=0.45, paddingOuter=0.3))
    seconds = alt.Axis(title=None, tickCount=max(3, width // 130), labelExpr=_axis_labels(end), format="")
    x = alt.X("start:Q", axis=seconds, scale=alt.Scale(domain=[0, end * 1.16], nice=False))
    base = alt.Chart(data)
    bars = base.mark_bar(color=_BAR, cornerRadius=2, minBandSize=2).encode(x=x, x2="end:Q", y=lanes)
    took = base.mark_text(align="left", dx=5, color=_INK).encode(x=alt.X("end:Q"), y=lanes, text="took:N")
    names = base.mark_text(align="left", color=_INK).encode(x=alt.value(-label_px), y=lanes, text="step:N")
    size = {"width": width - label_px - 14, "height": _ROW_PX * max(1, len(steps))}
    # autosize none: the margins are ours, so that the bars of all rows of a page begin at one place
    plot = (
        alt.layer(bars, took, names)
        .properties(**size, padding={"left": label_px, "right": 14, "top": 2, "bottom": 24}, background="transparent")
        .configure(font="sans-serif", autosize=alt.AutoSizeParams(type="none"))
        .configure_view(stroke=None)
        .configure_text(fontSize=12)
        .configure_axis(labelColor=_INK, tickColor=_FAINT, domainColor=_FAINT, gridColor=_FAINT, labelFontSize=11)
    )
    spec: dict[str, object] = plot.to_dict()
    return spec


def _values(order: int, step: StepTiming, room: int) -> dict[str, object]:
    text = step.step if len(step.step) <= room else step.step[: room - 1] + "…"
    took = span(step.end_s - step.start_s)
    return {"order": order, "step": text, "start": step.start_s, "end": step.end_s, "took": took}


def _axis_labels(end: float) -> str:
    """A Vega expression over the tick's value; holds no text from outside."""
    if end < 120:
        return "datum.value + ' s'"
    if end < 7200:
        return "format(datum.value / 60, '~g') + ' min'"
    return "format(datum.value / 3600, '~g') + ' h'"


def _at_home(svg: str, name: str) -> str:
    """Fit the picture to this page: its variables for colours, ids of its own, no fixed size."""
    for stand_in, variable in _VARIABLES.items():
        svg = svg.replace(stand_in, variable)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    return re.sub(r'^<svg([^>]*?) width="[^"]*" height="[^"]*"', r"<svg\1", svg, count=1)
