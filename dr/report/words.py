"""Figures as people read them. What was not measured reads `-`, never 0."""

from __future__ import annotations

from datetime import datetime

from dr.model.evidence import DrillRow, Loss
from dr.model.timeline import format_instant

NOTHING = "-"
_UNITS = (("y", 365 * 86400), ("d", 86400), ("h", 3600), ("min", 60))


def span(seconds: float | None) -> str:
    """`7 y`, `4 h 12 min`, `38 s`, `1.27 s`, `85 ms`: at most two units, rounded to the smaller."""
    if seconds is None:
        return NOTHING
    if seconds < 0:
        return f"-{span(-seconds)}"
    if seconds < 59.5:
        return _short(seconds)
    whole = round(seconds)
    for position, (unit, size) in enumerate(_UNITS):
        # up to two days in hours: the table says 24 h, not 1 d
        if whole >= (2 * size if unit == "d" else size):
            smaller, small_size = _UNITS[position + 1] if position + 1 < len(_UNITS) else ("s", 1)
            count, rest = divmod(round(whole / small_size) * small_size, size)
            return f"{count} {unit}" + (f" {rest // small_size} {smaller}" if rest else "")
    return f"{whole} s"


def _short(seconds: float) -> str:
    if seconds == 0:
        return "0"
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s"


def target(seconds: float) -> str:
    """A strict bound: `< 4 h`, or `0`."""
    return f"< {span(seconds)}" if seconds > 0 else "0"


def size(count: float | None) -> str:
    """Bytes in binary units: `1.43 MiB`."""
    if count is None:
        return NOTHING
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1023.5 or unit == "TiB":
            return f"{value:.0f} B" if unit == "B" else f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"
        value /= 1024
    return NOTHING


def rate(bytes_s: float | None) -> str:
    """`12.4 MiB/s`."""
    return NOTHING if bytes_s is None else f"{size(bytes_s)}/s"


def instant(value: datetime | None) -> str:
    """RFC 3339 UTC."""
    return NOTHING if value is None else format_instant(value)


def lost(loss: Loss) -> str:
    """`3 lost, oldest 42 s`, `0 lost`, `at least 3 lost, ...`, or `-` when not measured."""
    if loss.writes_lost is None:
        return NOTHING
    text = f"{'at least ' if loss.at_least and loss.writes_lost else ''}{loss.writes_lost:,} lost"
    return text if loss.oldest_lost_s is None else f"{text}, oldest {span(loss.oldest_lost_s)}"


def measured(row: DrillRow) -> bool:
    """The row was drilled: it has figures or a reason why not."""
    return row.rto.measured_s is not None or row.rpo.writes_lost is not None or bool(row.findings or row.checks)
