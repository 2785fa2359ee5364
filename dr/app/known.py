"""What the catalogue alone tells: points, measured durations, when each source is due. Light to import: `dr status` is."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from heapq import nlargest
from pathlib import Path

from dr.app.core import App
from dr.errors import LISTING_SHRANK, DrError
from dr.model.ids import SourceId
from dr.model.points import PointSummary
from dr.model.strategy import Objective
from dr.model.timeline import format_instant
from dr.plan.due import SourceState, next_due
from dr.plan.predict import RECENT
from dr.plan.rows import Durations, schedules


def durations_of(points: Sequence[PointSummary]) -> Durations:
    """The newest measured captures by source, start to commit, oldest first; older ones are not reckoned with."""
    groups: dict[SourceId, list[PointSummary]] = {}
    for point in points:
        groups.setdefault(point.slot.source, []).append(point)
    newest = {source: nlargest(RECENT, group, key=_committed) for source, group in groups.items()}
    return {source: [p.committed - p.started for p in reversed(group)] for source, group in newest.items()}


def _committed(point: PointSummary) -> datetime:
    return point.committed


def all_points(app: App, components: Sequence[str] = ()) -> tuple[PointSummary, ...]:
    """A fresh listing of the vaults of all rows with sources. Raises DrError LISTING_SHRANK when one that had points lists
    none: an empty list is an error, not an empty vault (I5)."""
    from dr.record.catalogue import list_points

    names = [row.component for row in app.rows(components) if row.sources]
    with ThreadPoolExecutor(max(1, len(names)), thread_name_prefix="points") as pool:
        listed = dict(zip(names, pool.map(lambda name: list_points(app.vault(name)), names), strict=True))
    for name in names:
        if not listed[name]:
            refuse_emptied(app, name)
    return tuple(point for name in names for point in listed[name])


def known_before(app: App, component: str) -> tuple[int, datetime | None]:
    """How many points of a row's vault the last listing of this machine had, and when that was."""
    from dr.record.cache import load

    cached = load(catalogue_file(app))
    points = cached.points.get(app.settings.vault(component).url, ()) if cached else ()
    return len(points), cached.listed if cached else None


def refuse_emptied(app: App, component: str) -> None:
    """For a vault that just listed no point. Raises DrError LISTING_SHRANK when it had some."""
    count, listed = known_before(app, component)
    if count and listed:
        url = app.settings.vault(component).url
        text = f"{url} lists no recovery point, but {count} were there at {format_instant(listed)}"
        raise DrError(
            LISTING_SHRANK,
            text,
            hint="is it the right vault? `dr points rebuild` reads it anew and forgets what was known",
        )


def catalogue_file(app: App) -> Path:
    """What the last listing said, on this machine."""
    return app.settings.cache_dir / "catalogue.json"


def recent_points(app: App, components: Sequence[str] = ()) -> tuple[PointSummary, ...]:
    """What decides the next capture: the newest points of each row. A service asks this four times a minute for years, so
    only the days of the last RECENT captures are listed, and everything where those have none."""
    from dr.record.catalogue import list_points

    now = app.clock.now()

    def newest(row: Objective) -> tuple[PointSummary, ...]:
        vault, span = app.vault(row.component), max(timedelta(days=1), row.rpo * RECENT)
        found = list_points(vault, since=now - span)
        complete = {point.source for point in found} >= {spec.id for spec in row.sources}
        return found if complete else list_points(vault)

    rows = [row for row in app.rows(components) if row.sources]
    with ThreadPoolExecutor(max(1, len(rows)), thread_name_prefix="points") as pool:
        return tuple(point for found in pool.map(newest, rows) for point in found)


def next_due_of(app: App, points: Sequence[PointSummary], now: datetime) -> dict[SourceId, datetime]:
    """When each scheduled source is due next, from the points alone (no journal is read)."""
    newest: dict[SourceId, datetime] = {}
    for point in points:
        if not point.slot.tag:
            newest[point.slot.source] = max(point.slot.due, newest.get(point.slot.source, point.slot.due))
    plan = schedules(app.strategy, durations_of(points))
    return {
        s.source: max(now, newest[s.source] + s.cadence) if s.source in newest else next_due(s, SourceState(), now)
        for s in plan
    }
