"""A Firestore database as a source: its own history, and exports into the vault at a whole granularity."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from dr.components.appdata.access import EXPORT, PITR, FirestoreApi, FirestoreOptions, OpenStore, living
from dr.components.appdata.exportfile import LISTING, OVERALL
from dr.components.appdata.following import followed, started_once
from dr.components.appdata.inspector import DOCUMENTS
from dr.errors import BACKUP_FAILED, CONFIGURATION, DAMAGED, REJECTED, DrError
from dr.model.ids import Slot
from dr.model.points import Artefact, Check, Coverage
from dr.model.strategy import FailureDomain, SourceSpec
from dr.model.timeline import floor_to, format_duration, format_instant, parse_instant
from dr.plan.cost import export_cost
from dr.plan.permissions import CAPTURE, RESTORE, Where, permissions
from dr.plan.prices import Prices
from dr.ports import Clock, Draft, Json, ObjectInfo, ObjectStore, SourceFacts, Step, StepContext
from dr.vendors.firestore_operations import Database, Operation

FOLDER = "export"
"""Of the export's files; Firestore names the overall metadata after its folder."""


@dataclass(frozen=True, slots=True)
class FirestoreSource:
    """`ports.Source` of kind `firestore`. `open_store` opens the staging place of a vault that is not on Cloud Storage."""

    spec: SourceSpec
    api: FirestoreApi
    clock: Clock
    open_store: OpenStore

    @property
    def options(self) -> FirestoreOptions:
        return FirestoreOptions.of(self.spec)

    # --- observing

    def observe(self) -> SourceFacts:
        database, now = living(self.api, self.options), self.clock.now()
        count = self._count()
        cost = export_cost(count or 0, Prices())
        details = self._details(database) | {DOCUMENTS: count}
        return SourceFacts(
            self.spec.id,
            now,
            coverage=self._coverage(database, now, details),
            items=count,
            capture_cost_usd=cost.usd,
            cost_arithmetic=cost.arithmetic if count is not None else "the number of documents is not known",
            details=details,
        )

    def _count(self) -> int | None:
        try:
            return self.api.count(self.options.project, self.options.database)
        except DrError as error:
            if error.kind is REJECTED:
                return None
            raise

    def _details(self, database: Database) -> dict[str, object]:
        options = self.options
        return {
            "project": options.project,
            "database": options.database,
            "uid": database.uid,
            "location": database.location,
        }

    def _coverage(self, database: Database, now: datetime, details: Json) -> Coverage | None:
        step = self.options.granularity
        if not database.history or database.earliest is None:
            return None
        start, end = _ceiling(database.earliest, step), floor_to(now, step)
        return (
            Coverage(self.spec.id, PITR, start, end, step, (FailureDomain.LOGICAL,), details) if start <= end else None
        )

    def check(self) -> tuple[Check, ...]:
        granted = self._permissions(CAPTURE)
        try:
            database = living(self.api, self.options)
        except DrError as error:
            return (granted, Check(f"database {self.options.database}", False, error.message))
        wanted = self.options.location
        return (
            granted,
            Check("point-in-time recovery", database.history, self._reach(database)),
            Check("delete protection", database.protected, "on" if database.protected else "off: one call deletes all"),
            Check("location", wanted in ("", database.location), f"{database.location}, declared {wanted or 'none'}"),
            self._readable(),
        )

    def ready(self) -> tuple[Check, ...]:
        """What a restore needs of Firestore: that it answers, and what it lets this identity do."""
        granted, name = self._permissions(RESTORE), "firestore"
        try:
            found = self.api.database(self.options.project, self.options.database)
        except DrError as error:
            return (granted, Check(name, False, error.message))
        words = "exists" if found else "does not exist: it can be restored from exports only"
        return (granted, Check(name, True, f"answers; {self.options.database} {words}"))

    def _reach(self, database: Database) -> str:
        if not database.history:
            return "off: there is no history"
        return f"on, back to {format_instant(database.earliest)}" if database.earliest else "on, with no history yet"

    def _permissions(self, identity: str) -> Check:
        """All that it needs, the export too, which nothing else could tell before it is made."""
        needed, name = permissions(identity, Where.DATABASE), f"permissions on project {self.options.project}"
        try:
            missing = self.api.missing_permissions(self.options.project, needed)
        except DrError as error:
            return Check(name, False, error.message)
        return Check(name, not missing, f"missing: {', '.join(missing)}" if missing else f"{len(needed)} held")

    def _readable(self) -> Check:
        try:
            count = self.api.count(self.options.project, self.options.database)
        except DrError as error:
            return Check("read documents", False, error.message)
        return Check("read documents", True, f"{count} documents")

    # --- capturing

    def capture(self, slot: Slot, vault: ObjectStore, now: datetime) -> Sequence[Step]:
        """Raises DrError CONFIGURATION when the vault is not on Cloud Storage and no staging place is declared."""
        direct = vault.url.startswith("gs://")
        if not direct and not self.options.staging:
            raise DrError(
                CONFIGURATION, f"{self.spec.id}: exports need gs://; set options.staging for the vault {vault.url}"
            )
        place = vault.url if direct else self.options.staging
        copy = () if direct else (Step("copy", partial(self._copy, slot, vault)),)
        return (
            Step("choose-snapshot", self._choose),
            Step("export", partial(self._export, slot, place)),
            Step("follow", self._follow),
            *copy,
            Step("inventory", partial(self._inventory, slot, vault)),
        )

    def _choose(self, context: StepContext) -> Json:
        """Journalled before the export is asked for: a takeover exports the same instant."""
        options, database = self.options, living(self.api, self.options)
        snapshot = floor_to(context.clock.now(), options.granularity)
        if database.earliest is not None and snapshot < database.earliest:
            since, step = format_instant(database.earliest), format_duration(options.granularity)
            raise DrError(
                BACKUP_FAILED,
                f"{options.database} keeps history since {since} only, and an export is of an instant at a whole {step}: "
                f"the first can be made at {format_instant(_ceiling(database.earliest, options.granularity))}",
            )
        return {**self._details(database), "snapshot": format_instant(snapshot)}

    def _export(self, slot: Slot, place: str, context: StepContext) -> Json:
        options, chosen = self.options, context.outcome("choose-snapshot")
        output = f"{place}/{folder_of(slot, context.attempt)}"
        snapshot = parse_instant(str(chosen["snapshot"]))

        def ours(one: Operation) -> bool:
            return one.kind == "ExportDocuments" and one.uri == output and one.snapshot == snapshot

        operation = started_once(
            lambda: self.api.operations(options.project, options.database),
            ours,
            lambda: self.api.export(options.project, options.database, output=output, snapshot=snapshot),
        )
        return {"operation": operation.name, "output": output}

    def _follow(self, context: StepContext) -> Json:
        asked = context.outcome("export")
        limit = self.options.deadline
        ended = followed(self.api, str(asked["operation"]), "export", BACKUP_FAILED, limit, context)
        if ended.uri.rstrip("/") != asked["output"]:
            raise DrError(BACKUP_FAILED, f"the export went to {ended.uri}, not to {asked['output']}")
        return {DOCUMENTS: ended.documents, "bytes": ended.size}

    def _copy(self, slot: Slot, vault: ObjectStore, context: StepContext) -> Json:
        folder = f"{folder_of(slot, context.attempt)}/"
        staging = self.open_store(self.options.staging)
        copied = 0
        for info in staging.list(folder):
            found = vault.stat(info.name)
            if found is None:
                found = vault.put_stream(info.name, staging.stream(info.name, generation=info.generation)).info
            if (found.size, found.crc32c) != (info.size, info.crc32c):
                raise DrError(DAMAGED, f"{vault.url}/{info.name} differs from its original in {staging.url}")
            copied += 1
            context.progress(copied, None, "files")
        return {"files": copied}

    def _inventory(self, slot: Slot, vault: ObjectStore, context: StepContext) -> Json:
        folder = folder_of(slot, context.attempt)
        files = [_entry(info) for info in vault.list(f"{folder}/")]
        if not files:
            raise DrError(BACKUP_FAILED, f"the export is done, but {vault.url}/{folder} is empty")
        return {"folder": folder, "files": files}

    def draft(self, outcomes: Mapping[str, Json]) -> Draft:
        chosen, inventory = outcomes["choose-snapshot"], outcomes["inventory"]
        files = inventory["files"]
        assert isinstance(files, Sequence)
        return Draft(
            method=EXPORT,
            as_of=parse_instant(str(chosen["snapshot"])),
            artefacts=tuple(map(_artefact, files)),
            counts={DOCUMENTS: int(str(outcomes["follow"][DOCUMENTS]))},
            details={
                **{name: value for name, value in chosen.items() if name != "snapshot"},
                "folder": inventory["folder"],
                "operation": outcomes["export"]["operation"],
                "output": outcomes["export"]["output"],
            },
        )


def _ceiling(instant: datetime, step: timedelta) -> datetime:
    floor = floor_to(instant, step)
    return floor if floor == instant else floor + step


def folder_of(slot: Slot, attempt: int) -> str:
    """Where an attempt's export stands in the vault."""
    return f"data/{slot.id}/{attempt}/{FOLDER}"


def _entry(info: ObjectInfo) -> dict[str, object]:
    return {"name": info.name, "size": info.size, "crc32c": info.crc32c, "generation": info.generation}


def _artefact(entry: Mapping[str, object]) -> Artefact:
    """Its SHA-256 and records are for the inspection to find: nobody of ours wrote the bytes."""
    name = str(entry["name"])
    size, generation = int(str(entry["size"])), int(str(entry["generation"]))
    return Artefact(name, _role(name), size, str(entry["crc32c"]), "", generation)


def _role(name: str) -> str:
    if name.endswith(OVERALL):
        return "firestore/overall-metadata"
    return "firestore/listing" if name.endswith(LISTING) else f"firestore/{posixpath.basename(name).partition('-')[0]}"
