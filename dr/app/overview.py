"""What stands where: the plan, the catalogue, the status."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from dr.app.core import App
from dr.app.known import all_points, durations_of, next_due_of
from dr.app.watched import evidence_of, watched
from dr.app.watched import forget as forget_watched
from dr.errors import DrError
from dr.model.ids import SourceId
from dr.model.points import PointSummary
from dr.model.strategy import SourceSpec
from dr.plan.credit import at_risk
from dr.plan.exercises import exercises
from dr.plan.overview import Overview
from dr.plan.rows import PlannedRow, plan_table
from dr.plan.status import status_table
from dr.ports import SourceFacts
from dr.record.cache import Cached, load, save
from dr.record.watched import Watched

STILL_TRUE = timedelta(minutes=1)
"""A miss told from a cache younger than this needs no second look."""


def planned_rows(app: App, *, offline: bool = False) -> tuple[tuple[PlannedRow, ...], tuple[str, ...]]:
    """The plan's rows, and one sentence for each source or vault that could not be asked."""
    silent: list[str] = []
    facts = {} if offline else _observe(app, silent)
    try:
        points = all_points(app)
    except DrError as error:
        silent.append(f"recovery points: {error.message}")
        points = ()
    return plan_table(app.strategy, app.settings.places(), facts, durations_of(points)), tuple(silent)


def _observe(app: App, silent: list[str]) -> dict[SourceId, SourceFacts]:
    def ask(spec: SourceSpec) -> SourceFacts | str:
        try:
            return app.source(spec).observe()
        except DrError as error:
            return f"{spec.id}: {error.message}"

    specs = app.specs()
    with ThreadPoolExecutor(max(1, len(specs)), thread_name_prefix="observe") as pool:
        answers = list(pool.map(ask, specs))
    silent += [answer for answer in answers if isinstance(answer, str)]
    return {answer.source: answer for answer in answers if isinstance(answer, SourceFacts)}


def catalogue(app: App, *, fresh: bool) -> Cached:
    """Points of all vaults: as cached, unless `fresh` or nothing (or not everything) is cached."""
    path = app.settings.cache_dir / "catalogue.json"
    urls = {app.settings.vault(row.component).url for row in app.strategy.objectives if row.sources}
    cached = None if fresh else load(path)
    if cached is not None and urls <= set(cached.points):
        return Cached(cached.listed, {url: cached.points[url] for url in sorted(urls)})
    listed = app.clock.now()
    points: dict[str, list[PointSummary]] = {url: [] for url in sorted(urls)}
    for point in all_points(app):
        points[app.settings.vault(point.source.component).url].append(point)
    fetched = Cached(listed, {url: tuple(found) for url, found in points.items()})
    # a cache that cannot be written is slower, not wrong
    with suppress(OSError):
        save(path, fetched)
    return fetched


def forget(app: App) -> None:
    """Throw the cache away: what it says is no longer so."""
    forget_watched(app)
    with suppress(OSError):
        (app.settings.cache_dir / "catalogue.json").unlink(missing_ok=True)


def points_of(cached: Cached, components: Sequence[str] = ()) -> tuple[PointSummary, ...]:
    """Those of some components, or all, by instant of the data."""
    found = (point for points in cached.points.values() for point in points)
    return tuple(
        sorted((p for p in found if not components or p.source.component in components), key=lambda p: p.as_of)
    )


def overview(app: App, *, fresh: bool) -> Overview:
    """From the caches while they say that all is well; a miss that is told was looked for in the stores just now.

    When these do not answer, the caches are what is known: the silence is said in `trouble`. Raises DrError when there
    are none.
    """
    found = _overview(app, fresh=fresh)
    if fresh or not (found.missed and app.clock.now() - found.listed > STILL_TRUE):
        return found
    try:
        return _overview(app, fresh=True)
    except DrError as error:
        return replace(found, trouble=(*found.trouble, f"judged as last listed: {error.message}"))


def _overview(app: App, *, fresh: bool) -> Overview:
    return overview_of(app, catalogue(app, fresh=fresh), watched(app, fresh=fresh))


def overview_of(app: App, cached: Cached, known: Watched) -> Overview:
    """Judged at this instant."""
    now = app.clock.now()
    points = [point for found in cached.points.values() for point in found]
    rows = status_table(app.strategy, points, next_due_of(app, points, now), now, evidence_of(known))
    listed = min(cached.listed, known.read)
    return Overview(
        rows,
        listed,
        known.frozen,
        known.drills,
        known.coverage,
        exercises=exercises(app.strategy, known.drills, now),
        at_risk=at_risk(app.strategy.credits, rows),
        trouble=known.trouble,
    )
