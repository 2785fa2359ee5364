"""Restore from an export in the vault: a new database, and an import into it (method `firestore-export`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from dr.components.appdata.access import EXPORT, TENANT_DOCUMENTS, FirestoreApi, FirestoreOptions, OpenStore
from dr.components.appdata.contents import database_items, export_items, same_contents
from dr.components.appdata.erasing import STEP as ERASE
from dr.components.appdata.erasing import Erasing, erased_checks, kept_by
from dr.components.appdata.following import followed, started_once
from dr.components.appdata.inspector import DOCUMENTS
from dr.components.appdata.reviewing import review_new_database
from dr.components.appdata.targets import NAME, NewDatabase, chosen
from dr.errors import CONFIGURATION, CONFLICT, DAMAGED, NOT_FOUND, RESTORE_FAILED, TARGET_EXISTS, DrError
from dr.model.graph import StepKind
from dr.model.plans import PlannedRestore, Target
from dr.model.points import Check, Coverage, PointManifest
from dr.model.review import Review
from dr.model.strategy import FailureDomain, SourceSpec
from dr.plan.cost import import_cost
from dr.plan.prices import Prices
from dr.ports import Clock, Json, RestoredItem, RestoreWork, Step, StepContext
from dr.vendors.firestore_operations import Operation


@dataclass(frozen=True, slots=True)
class ExportRestorer:
    """`ports.Restorer`. Needs nothing of the source: it may be gone."""

    api: FirestoreApi
    clock: Clock
    open_store: OpenStore
    method: str = EXPORT
    erasing: Erasing | None = None

    def outline(
        self,
        spec: SourceSpec,
        origin: PointManifest | Coverage,
        requested: datetime,
        domain: FailureDomain,
        target: Target,
    ) -> PlannedRestore:
        if not isinstance(origin, PointManifest):
            raise DrError(NOT_FOUND, f"{spec.id}: an import needs a recovery point, not the living history")
        options = FirestoreOptions.of(spec)
        named = chosen(self.api, options, target, origin.as_of)
        location = options.location or str(origin.details.get("location", ""))
        documents = origin.counts.get(DOCUMENTS, 0)
        cost = import_cost(documents, Prices())
        return PlannedRestore(
            source=spec.id,
            domain=domain,
            method=self.method,
            point=None,
            instant=origin.as_of,
            target=named,
            size=origin.size,
            predicted=None,
            cost_usd=cost.usd,
            creates=(f"database {named.names[NAME]} in {location}, with {documents:,} documents",),
            reasons=(f"imported from {origin.name}", f"cost: {cost.arithmetic}"),
            details={
                "project": options.project,
                TENANT_DOCUMENTS: str(spec.options.get(TENANT_DOCUMENTS) or ""),
                "database": options.database,
                "location": location,
                "staging": options.staging,
                "protect": options.protect and not target.isolated,
                "history": not target.isolated,
                "deadline_s": options.deadline.total_seconds(),
            },
        )

    def steps(self, work: RestoreWork) -> Sequence[Step]:
        database = NewDatabase.of(self.api, work.item)
        size = work.item.size
        staged = Step("stage", partial(self._stage, work), kind=StepKind.COPY, size=size, beside=True)
        return (
            Step("reserve", database.reserve, kind=StepKind.PREPARE),
            Step("create", partial(self._create, work, database), kind=StepKind.PREPARE),
            *(() if work.vault.url.startswith("gs://") else (staged,)),
            Step("import", partial(self._import, work, database)),
            Step("follow", partial(self._follow, work), kind=StepKind.WAIT, size=size),
            *self._erase(work, database),
            Step("serve", database.serve, kind=StepKind.SERVE),
        )

    def _create(self, work: RestoreWork, database: NewDatabase, context: StepContext) -> Json:
        """After `reserve`, a database under our name is ours: made before a crash or a lost answer."""
        asked = self._ask_for(work, database) if database.find() is None else None
        listed = self.api.operations(database.project, database.name) if asked is None else (asked,)
        for operation in listed:
            if operation.kind == "CreateDatabase":
                followed(self.api, operation.name, "making of the database", RESTORE_FAILED, _limit(work), context)
        return database.made()

    def _ask_for(self, work: RestoreWork, database: NewDatabase) -> Operation | None:
        """None when the answer was lost but the database is there."""
        details = work.item.details
        try:
            return self.api.create_database(
                database.project,
                database.name,
                location=str(details["location"]),
                protected=bool(details["protect"]),
                history=bool(details["history"]),
            )
        except DrError as error:
            if error.kind is CONFLICT:
                raise DrError(TARGET_EXISTS, error.message, hint=error.hint) from error
            if not error.temporary or database.find() is None:
                raise
            return None

    def _stage(self, work: RestoreWork, context: StepContext) -> Json:
        """Import reads Cloud Storage only: a copy of the export goes back to where it was staged."""
        manifest, staging = _manifest(work), str(work.item.details.get("staging", ""))
        if not staging:
            raise DrError(CONFIGURATION, f"an import needs gs://; set options.staging of {work.item.source}")
        place = self.open_store(staging)
        for done, artefact in enumerate(manifest.artefacts, 1):
            chunks = work.vault.stream(artefact.name, generation=artefact.generation)
            info = place.stat(artefact.name) or place.put_stream(artefact.name, chunks).info
            if (info.size, info.crc32c) != (artefact.size, artefact.crc32c):
                raise DrError(DAMAGED, f"{place.url}/{artefact.name} differs from the artefact in the vault")
            context.progress(done, len(manifest.artefacts), "files")
        return {"place": place.url}

    def _import(self, work: RestoreWork, database: NewDatabase, context: StepContext) -> Json:
        place = work.vault.url if work.vault.url.startswith("gs://") else str(context.outcome("stage")["place"])
        source = f"{place}/{_manifest(work).details['folder']}"

        def ours(one: Operation) -> bool:
            return one.kind == "ImportDocuments" and one.uri.rstrip("/") == source

        operation = started_once(
            lambda: self.api.operations(database.project, database.name),
            ours,
            lambda: self.api.load(database.project, database.name, source=source),
        )
        return {"operation": operation.name, "source": source}

    def _follow(self, work: RestoreWork, context: StepContext) -> Json:
        name = str(context.outcome("import")["operation"])
        ended = followed(self.api, name, "import", RESTORE_FAILED, _limit(work), context)
        return {DOCUMENTS: ended.documents, "bytes": ended.size}

    def _erase(self, work: RestoreWork, database: NewDatabase) -> Sequence[Step]:
        erasing = self.erasing
        return (Step(ERASE, partial(erasing.run, work, database)),) if erasing else ()

    def contents(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> Iterator[RestoredItem]:
        return restored_items(NewDatabase.of(self.api, work.item))

    def checks(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        """Every document of the new database against the export, and the count against the manifest's."""
        manifest, database = _manifest(work), NewDatabase.of(self.api, work.item)
        imported, promised = outcomes["follow"][DOCUMENTS], manifest.counts.get(DOCUMENTS)
        kept = kept_by(self.erasing, work)
        contents = same_contents(
            "documents equal the export's",
            lambda: filter(kept, export_items(work.vault, manifest.artefacts)),
            lambda: database_items(self.api, database.project, database.name),
        )
        return (
            Check("documents imported", imported == promised, f"{imported}, the point has {promised}"),
            contents,
            *erased_checks(self.erasing, work, database, outcomes),
        )

    def reached(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        return NewDatabase.of(self.api, work.item).reached(outcomes)

    def review(self, work: RestoreWork) -> Review:
        return review_new_database(self.api, work, cloned=False)

    def teardown(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        database = NewDatabase.of(self.api, work.item).teardown(outcomes, self.clock)
        return database + self._unstage(work, outcomes)

    def _unstage(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        """Copies that `stage` made stay where the capture staged them too: the staging bucket's lifecycle removes both."""
        if "stage" not in outcomes:
            return ()
        return (Check("staged copies", True, f"left to the lifecycle of {outcomes['stage']['place']}"),)


def restored_items(database: NewDatabase) -> Iterator[RestoredItem]:
    """What the new database holds. Its documents' own update times are those of the restore: not told."""
    for path, content in database_items(database.api, database.project, database.name):
        yield RestoredItem(path, content)


def _manifest(work: RestoreWork) -> PointManifest:
    if work.manifest is None:
        raise DrError(NOT_FOUND, f"plan {work.plan_id} names no recovery point for {work.item.source}")
    return work.manifest


def _limit(work: RestoreWork) -> timedelta:
    return timedelta(seconds=float(str(work.item.details["deadline_s"])))
