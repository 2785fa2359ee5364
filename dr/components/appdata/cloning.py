"""Restore from the database's own history: a clone at an instant (method `firestore-pitr`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from dr.components.appdata.access import PITR, TENANT_DOCUMENTS, FirestoreApi, FirestoreOptions, living
from dr.components.appdata.contents import database_items, same_contents
from dr.components.appdata.erasing import STEP as ERASE
from dr.components.appdata.erasing import Erasing, erased_checks, kept_by
from dr.components.appdata.exporting import restored_items
from dr.components.appdata.following import followed, started_once
from dr.components.appdata.reviewing import review_new_database
from dr.components.appdata.targets import NAME, NewDatabase, chosen
from dr.errors import CONFLICT, INSTANT_UNREACHABLE, NOT_FOUND, RESTORE_FAILED, TARGET_EXISTS, DrError
from dr.model.graph import StepKind
from dr.model.plans import PlannedRestore, Target
from dr.model.points import Check, Coverage, PointManifest
from dr.model.review import Review
from dr.model.strategy import FailureDomain, SourceSpec
from dr.model.timeline import floor_to, format_instant
from dr.plan.cost import clone_cost
from dr.plan.prices import Prices
from dr.ports import Clock, Json, RestoredItem, RestoreWork, Step, StepContext
from dr.vendors.firestore import path_of
from dr.vendors.firestore_operations import Operation


@dataclass(frozen=True, slots=True)
class PitrRestorer:
    """`ports.Restorer`. The source must stand; it is read, never written."""

    api: FirestoreApi
    clock: Clock
    method: str = PITR
    erasing: Erasing | None = None

    def outline(
        self,
        spec: SourceSpec,
        origin: PointManifest | Coverage,
        requested: datetime,
        domain: FailureDomain,
        target: Target,
    ) -> PlannedRestore:
        """Also raises DrError INSTANT_UNREACHABLE outside the history, NOT_FOUND without the source."""
        if not isinstance(origin, Coverage):
            raise DrError(NOT_FOUND, f"{spec.id}: a clone needs the living history, not a recovery point")
        options = FirestoreOptions.of(spec)
        database = living(self.api, options)
        instant = floor_to(requested, options.granularity)
        if not origin.start <= instant <= origin.end:
            kept = f"{format_instant(origin.start)} to {format_instant(origin.end)}"
            raise DrError(INSTANT_UNREACHABLE, f"the history of {options.database} goes from {kept}")
        named = chosen(self.api, options, target, instant)
        documents, size = _number(origin, "documents"), _number(origin, "size")
        cost = clone_cost(size, Prices())
        sized = (
            f"cost: {cost.arithmetic}"
            if size
            else "cost: per GiB cloned; Firestore does not tell the size of a database"
        )
        return PlannedRestore(
            source=spec.id,
            domain=domain,
            method=self.method,
            point=None,
            instant=instant,
            target=named,
            size=size,
            predicted=None,
            cost_usd=cost.usd,
            creates=(f"database {named.names[NAME]} in {database.location}, about {documents:,} documents",),
            reasons=(f"cloned from {options.database} as of {format_instant(instant)}", sized),
            details={
                "project": options.project,
                TENANT_DOCUMENTS: str(spec.options.get(TENANT_DOCUMENTS) or ""),
                "database": options.database,
                "uid": database.uid,
                "deadline_s": options.deadline.total_seconds(),
            },
        )

    def steps(self, work: RestoreWork) -> Sequence[Step]:
        database = NewDatabase.of(self.api, work.item)
        return (
            Step("reserve", database.reserve, kind=StepKind.PREPARE),
            Step("clone", partial(self._clone, work, database)),
            Step("follow", partial(self._follow, work, database), kind=StepKind.WAIT, size=work.item.size),
            *self._erase(work, database),
            Step("serve", database.serve, kind=StepKind.SERVE),
        )

    def _clone(self, work: RestoreWork, database: NewDatabase, _context: StepContext) -> Json:
        source, instant = str(work.item.details["database"]), work.item.instant
        self._must_be_the_planned(work, source)

        def ours(one: Operation) -> bool:
            root = path_of(database.project, source)
            return (one.kind, one.source, one.snapshot) == ("CloneDatabase", root, instant)

        try:
            operation = started_once(
                lambda: self.api.operations(database.project, database.name),
                ours,
                lambda: self.api.clone(database.project, source, target=database.name, snapshot=instant),
            )
        except DrError as error:
            if error.kind is CONFLICT:
                raise DrError(TARGET_EXISTS, error.message, hint=error.hint) from error
            if "too old" in error.message:
                raise DrError(INSTANT_UNREACHABLE, error.message, hint="plan again from an export") from error
            raise
        return {"operation": operation.name}

    def _must_be_the_planned(self, work: RestoreWork, source: str) -> None:
        found = self.api.database(str(work.item.details["project"]), source)
        if found is None or found.uid != work.item.details["uid"]:
            what = "is gone" if found is None else "was deleted and made anew"
            raise DrError(INSTANT_UNREACHABLE, f"database {source} {what} since the plan: its history is lost")

    def _follow(self, work: RestoreWork, database: NewDatabase, context: StepContext) -> Json:
        limit = timedelta(seconds=float(str(work.item.details["deadline_s"])))
        name = str(context.outcome("clone")["operation"])
        followed(self.api, name, "clone", RESTORE_FAILED, limit, context)
        return database.made()

    def _erase(self, work: RestoreWork, database: NewDatabase) -> Sequence[Step]:
        erasing = self.erasing
        return (Step(ERASE, partial(erasing.run, work, database)),) if erasing else ()

    def contents(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> Iterator[RestoredItem]:
        return restored_items(NewDatabase.of(self.api, work.item))

    def checks(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        """Every document against the source as it was at the instant, while it stands."""
        database, title = NewDatabase.of(self.api, work.item), "documents equal the source's at the instant"
        source = str(work.item.details["database"])
        kept = kept_by(self.erasing, work)
        found = self.api.database(database.project, source)
        if found is None or found.uid != work.item.details["uid"]:
            return (Check(title, False, f"database {source} is gone: nothing to compare the clone with"),)
        return (
            same_contents(
                title,
                lambda: filter(kept, database_items(self.api, database.project, source, work.item.instant)),
                lambda: database_items(self.api, database.project, database.name),
            ),
            *erased_checks(self.erasing, work, database, outcomes),
        )

    def reached(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        return NewDatabase.of(self.api, work.item).reached(outcomes)

    def review(self, work: RestoreWork) -> Review:
        return review_new_database(self.api, work, cloned=True)

    def teardown(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        return NewDatabase.of(self.api, work.item).teardown(outcomes, self.clock)


def _number(origin: Coverage, name: str) -> int:
    value = origin.details.get(name)
    return value if isinstance(value, int) else 0
