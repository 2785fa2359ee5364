"""The undoing of a cut-over: the database of before is in use again (method `firestore-cut-back`). Nothing is copied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dr.components.appdata.access import FirestoreApi
from dr.components.appdata.contents import database_items
from dr.components.appdata.guarding import CUT_BACK
from dr.errors import NOT_FOUND, DrError
from dr.model.graph import StepKind
from dr.model.plans import PlannedRestore, Target
from dr.model.points import Check, Coverage, PointManifest
from dr.model.strategy import FailureDomain, SourceSpec
from dr.ports import Json, RestoredItem, RestoreWork, Step, StepContext


@dataclass(frozen=True, slots=True)
class CutBack:
    """`ports.Restorer`. Planned by `dr restore undo` alone."""

    api: FirestoreApi
    method: str = CUT_BACK

    def outline(
        self,
        spec: SourceSpec,
        origin: PointManifest | Coverage,
        requested: object,
        domain: FailureDomain,
        target: Target,
    ) -> PlannedRestore:
        raise DrError(NOT_FOUND, f"{spec.id}: a cut-over is undone by `dr restore undo`, not planned from a point")

    def steps(self, work: RestoreWork) -> Sequence[Step]:
        return (Step("reach", lambda ctx: self._reach(work, ctx), kind=StepKind.PREPARE),)

    def _reach(self, work: RestoreWork, _context: StepContext) -> Json:
        """Raises DrError NOT_FOUND when there is nothing to go back to."""
        name = _source(work)
        found = self.api.database(_project(work), name)
        if found is None:
            raise DrError(NOT_FOUND, f"database {name} is gone: the cut-over cannot be undone")
        return {"database": found.id, "uid": found.uid}

    def contents(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> Iterator[RestoredItem]:
        found = database_items(self.api, _project(work), _source(work))
        return (RestoredItem(path, content) for path, content in found)

    def checks(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        there = self.api.database(_project(work), _source(work)) is not None
        return (Check(f"database {_source(work)}", there, "is there" if there else "is gone"),)

    def teardown(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        return ()


def _project(work: RestoreWork) -> str:
    return str(work.item.details["project"])


def _source(work: RestoreWork) -> str:
    return str(work.item.details["database"])
