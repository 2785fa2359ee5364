"""The service's own look at where everything stands, again and again. What does not answer keeps its last answer, and is said."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from dr.app.core import App
from dr.app.known import all_points
from dr.app.overview import overview_of
from dr.app.watched import read_watched, with_coverage
from dr.errors import DrError
from dr.model.ids import SourceId
from dr.model.points import PointSummary
from dr.plan.overview import Overview
from dr.record.cache import Cached
from dr.record.watched import Watched

POINTS_EVERY = timedelta(minutes=1)
"""Listing ten thousand points is ten requests; the ends of change logs are looked at each time."""


@dataclass(slots=True)
class Looking:
    """Used by one thread; `overview` is the last answer."""

    app: App
    _points: dict[str, tuple[PointSummary, ...]] = field(default_factory=dict)
    _listed: dict[str, datetime] = field(default_factory=dict)
    """By component: when its vault last answered."""
    _due: datetime | None = None
    _known: Watched | None = None

    def listing_is_due(self) -> None:
        """Something was captured: the next look lists the vaults."""
        self._due = None

    def knows_drill(self, drill: str) -> bool:
        """It left a report that was read."""
        return self._known is not None and drill in self._known.seen

    def look(self) -> tuple[Overview | None, tuple[str, ...]]:
        """Where everything stands, None before every vault has answered once; and what did not answer."""
        now = self.app.clock.now()
        trouble: list[str] = []
        if self._due is None or now >= self._due:
            self._due = now + POINTS_EVERY
            self._list(trouble)
            known = read_watched(self.app, self._known)
        else:
            known = with_coverage(self.app, self._known or Watched(now), trouble)
        self._known = known
        silent = tuple(dict.fromkeys([*trouble, *known.trouble]))
        components = self._components()
        if not all(component in self._listed for component in components):
            return None, silent
        listed = min((self._listed[component] for component in components), default=now)
        urls = {self.app.settings.vault(component).url: self._points[component] for component in components}
        found = overview_of(self.app, Cached(listed, urls), known)
        return replace(found, instants=self._instants(), trouble=silent), silent

    def _components(self) -> list[str]:
        return [row.component for row in self.app.strategy.objectives if row.sources]

    def _list(self, trouble: list[str]) -> None:
        def one(component: str) -> None:
            try:
                points = all_points(self.app, (component,))
            except DrError as error:
                trouble.append(f"vault of {component}: {error.message}")
                return
            self._points[component] = points
            self._listed[component] = self.app.clock.now()

        components = self._components()
        with ThreadPoolExecutor(max(1, len(components)), thread_name_prefix="look") as pool:
            list(pool.map(one, components))

    def _instants(self) -> dict[SourceId, tuple[datetime, ...]]:
        found: dict[SourceId, list[datetime]] = {}
        for points in self._points.values():
            for point in points:
                found.setdefault(point.slot.source, []).append(point.as_of)
        return {source: tuple(instants) for source, instants in found.items()}
