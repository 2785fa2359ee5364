"""Instants and durations."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|y)")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?([Zz]|[+-]\d{2}:\d{2})")

_COMPACT = re.compile(r"\d{8}T\d{6}(\.\d{6})?Z", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """Read `15m`, `90d`, `7y`, `1h30m` or `0` (a year is 365 days). Raises ValueError with one sentence."""
    compact = text.strip().replace(" ", "")
    if compact == "0":
        return timedelta(0)
    if not compact or _PART.sub("", compact):
        raise ValueError(f"{text!r} is not a duration; write for example 15m, 24h, 90d or 7y")
    return sum((float(number) * _UNITS[unit] for number, unit in _PART.findall(compact)), timedelta(0))


def format_duration(value: timedelta) -> str:
    """Shortest exact form that `parse_duration` reads back; sub-second parts are kept to the millisecond."""
    millis = round(value.total_seconds() * 1000)
    if millis == 0:
        return "0s"
    sign, millis = ("-", -millis) if millis < 0 else ("", millis)
    parts: list[str] = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, millis = divmod(millis, size)
        if count:
            parts.append(f"{count}{unit}")
    return sign + "".join(parts)


def parse_instant(text: str) -> datetime:
    """Read an RFC 3339 instant with its offset; the result is UTC. Raises ValueError with one sentence."""
    trimmed = text.strip()
    if not _INSTANT.fullmatch(trimmed):
        raise ValueError(f"{text!r} is not an instant; write for example 2025-05-28T10:00:00Z")
    # datetime keeps microseconds: digits past the sixth are cut, never rounded up into the future
    shortened = re.sub(r"(\.\d{6})\d+", r"\1", trimmed.upper().replace("Z", "+00:00"))
    try:
        return datetime.fromisoformat(shortened).astimezone(UTC)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an instant: {error}") from None


def format_instant(value: datetime) -> str:
    """RFC 3339 in UTC; microseconds only when there are any. Raises ValueError on a naive datetime."""
    if value.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    utc = value.astimezone(UTC)
    return utc.isoformat(timespec="microseconds" if utc.microsecond else "seconds").replace("+00:00", "Z")


def compact_instant(value: datetime) -> str:
    """`20250528T100000Z` (with microseconds `20250528T100000.000123Z`): safe in names of objects and resources."""
    utc = value.astimezone(UTC)
    return utc.strftime("%Y%m%dT%H%M%S") + (f".{utc.microsecond:06d}" if utc.microsecond else "") + "Z"


def parse_compact(text: str) -> datetime:
    """Inverse of `compact_instant`. Raises ValueError. (`strptime` is ten times slower, and every listed point has one.)"""
    if not _COMPACT.fullmatch(text):
        raise ValueError(f"{text!r} is not a compact instant")
    return datetime.fromisoformat(text)


def floor_to(value: datetime, granularity: timedelta) -> datetime:
    """The last whole multiple of `granularity` since the epoch that is not after `value`."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (value - epoch) // granularity * granularity
