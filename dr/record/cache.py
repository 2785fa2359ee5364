"""The catalogue in one local file, so that `dr status` need not list buckets. Thrown away at will; its age is shown.

No shape checks and no general parsing here: ten thousand rows must load in some 50 ms.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dr.model.ids import Slot, SourceId
from dr.model.points import PointSummary
from dr.model.strategy import FailureDomain
from dr.plan.collecting import without_collection

_FORMAT = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Cached:
    """The points of each vault (by URL) as they were listed at `listed`."""

    listed: datetime
    points: Mapping[str, tuple[PointSummary, ...]]


def save(path: Path, cached: Cached) -> None:
    """Whole or not at all. Raises OSError."""
    body = {
        "format": _FORMAT,
        "listed": _micros(cached.listed),
        "vaults": {url: _table(points) for url, points in cached.points.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(body, separators=(",", ":")))
    temporary.replace(path)


def load(path: Path) -> Cached | None:
    """None when there is no file, or not one that can be read: then list the buckets."""
    try:
        body = json.loads(path.read_bytes())
        if body["format"] != _FORMAT:
            return None
        with without_collection():
            vaults = {url: _points(table) for url, table in body["vaults"].items()}
        return Cached(_instant(body["listed"]), vaults)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def _micros(value: datetime) -> int:
    return (value - _EPOCH) // _MICROSECOND


def _instant(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _table(points: Sequence[PointSummary]) -> dict[str, Any]:
    """Rows of numbers; what repeats (sources, methods, domains) is written once."""
    sources = sorted({point.slot.source for point in points})
    kinds = sorted({(point.method, point.survives) for point in points})
    source_index = {source: index for index, source in enumerate(sources)}
    kind_index = {kind: index for index, kind in enumerate(kinds)}
    rows = [
        (
            source_index[point.slot.source],
            _micros(point.slot.due),
            point.slot.tag,
            kind_index[point.method, point.survives],
            _micros(point.as_of),
            _micros(point.started),
            _micros(point.committed),
            point.size,
            _micros(point.retain_until),
            point.name,
            point.generation,
            point.crc32c,
        )
        for point in points
    ]
    return {"sources": [str(source) for source in sources], "kinds": kinds, "rows": rows}


def _points(table: Mapping[str, Any]) -> tuple[PointSummary, ...]:
    sources = [SourceId.parse(source) for source in table["sources"]]
    kinds = [(method, tuple(map(FailureDomain, survives))) for method, survives in table["kinds"]]
    after, since = timedelta, _EPOCH  # local names and positional arguments: this runs five times for each row
    return tuple(
        PointSummary(
            Slot(sources[source], since + after(0, 0, due), tag),
            kinds[kind][0],
            since + after(0, 0, as_of),
            since + after(0, 0, started),
            since + after(0, 0, committed),
            size,
            kinds[kind][1],
            since + after(0, 0, retain_until),
            name,
            generation,
            crc,
        )
        for source, due, tag, kind, as_of, started, committed, size, retain_until, name, generation, crc in table[
            "rows"
        ]
    )
