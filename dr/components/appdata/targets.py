"""The database that a restore makes: named in the plan, never an existing one, removed only when it is provably ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dr.components.appdata.access import FirestoreApi, FirestoreOptions, isolated_id, restored_id
from dr.components.cluster.scoping import tenant_of
from dr.errors import RESTORE_FAILED, TARGET_EXISTS, TARGET_PROTECTED, DrError
from dr.model.evidence import TRIPWIRE
from dr.model.plans import PlannedRestore, Target
from dr.model.points import Check
from dr.model.timeline import format_instant, parse_instant
from dr.ports import Clock, Json, StepContext
from dr.vendors.firestore_operations import Database

NAME = "database"
"""Key of the new database's id in `Target.names`."""
_IMPORT = "ImportDocuments"
_GONE_S, _ASK_AGAIN_S = 300.0, 1.0


def chosen(api: FirestoreApi, options: FirestoreOptions, target: Target, instant: datetime) -> Target:
    """The target with its database named. Raises DrError TARGET_PROTECTED for the source itself, TARGET_EXISTS for any other."""
    tenant = tenant_of(target.scope)
    base = f"{options.database}-{tenant}" if tenant else options.database
    made = isolated_id(target.prefix, options.database) if target.isolated else restored_id(base, instant)
    name = target.names.get(NAME) or made
    if name == options.database:
        raise DrError(TARGET_PROTECTED, f"{name} is the source itself: a restore goes into a new database only")
    if target.isolated and not (target.prefix and name.startswith(target.prefix)):
        raise DrError(
            TARGET_PROTECTED, f"{name} does not begin with the prefix {target.prefix!r} of an isolated restore"
        )
    if api.database(options.project, name) is not None:
        raise DrError(
            TARGET_EXISTS,
            f"database {name} exists already in project {options.project}; a restore goes into a new one",
            hint="name another, or remove it if it is left from an earlier restore",
        )
    return replace(target, names={**target.names, NAME: name})


@dataclass(frozen=True, slots=True)
class NewDatabase:
    """The database of one planned restore."""

    api: FirestoreApi
    project: str
    name: str
    isolated: bool
    prefix: str
    source: str = ""
    """The protected database."""

    @classmethod
    def of(cls, api: FirestoreApi, item: PlannedRestore) -> NewDatabase:
        project, source = str(item.details["project"]), str(item.details.get("database", ""))
        return cls(api, project, item.target.names[NAME], item.target.isolated, item.target.prefix, source)

    def find(self) -> Database | None:
        return self.api.database(self.project, self.name)

    def reserve(self, context: StepContext) -> Json:
        """Journal that it did not exist: what stands under its name later was made after this. Raises DrError TARGET_EXISTS."""
        if self.find() is not None:
            raise DrError(TARGET_EXISTS, f"database {self.name} exists already, and is not of this restore")
        return {"database": self.name, "absent": format_instant(context.clock.now()), "source": self._source()}

    def _source(self) -> Json:
        """What a restore that went astray would change: which database it is, and what was imported into it."""
        found = self.api.database(self.project, self.source) if self.source and self.isolated else None
        if found is None:
            return {}
        ended = self.api.operations(self.project, self.source)
        return {"uid": found.uid, "imports": sorted(one.name for one in ended if one.kind == _IMPORT)}

    def reached(self, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        """Whether the protected database is the same one, with nothing imported into it since."""
        before = mapping_of(outcomes.get("reserve", {}).get("source"))
        if not self.isolated or not before:
            return ()
        now, title = mapping_of(self._source()), f"{TRIPWIRE}database {self.source}"
        if now.get("uid") != before["uid"]:
            return (Check(title, False, "is gone, or was made anew"),)
        imported = sorted(set(now["imports"]) - set(before["imports"]))
        words = f"imported into meanwhile: {', '.join(imported)}" if imported else "nothing was imported into it"
        return (Check(title, not imported, words),)

    def made(self) -> Json:
        """What the restore made, for the journal. Raises DrError RESTORE_FAILED when it is not there."""
        found = self.find()
        if found is None:
            raise DrError(RESTORE_FAILED, f"database {self.name} is not there after it was made")
        return {"database": found.id, "uid": found.uid, "created": format_instant(found.created)}

    def serve(self, _context: StepContext) -> Json:
        """It answers a query: reading its first document is enough. Raises DrError."""
        first = next(iter(self.api.documents(self.project, self.name)), None)
        return {"first": first[0] if first else ""}

    def teardown(self, outcomes: Mapping[str, Json], clock: Clock) -> tuple[Check, ...]:
        """Delete it if this restore's journal proves it ours; a real restore's database stays."""
        title, found = f"database {self.name}", self.find()
        if found is None:
            return (Check(title, True, "gone"),)
        if not self.isolated:
            return (Check(title, True, "kept: it was made by a real restore"),)
        doubt = self._doubt(found, outcomes)
        if doubt:
            return (Check(title, False, f"left alone: {doubt}"),)
        try:
            self.api.delete_database(self.project, self.name, etag=found.etag)
            gone = self._gone(clock)
        except DrError as error:  # a failed teardown is a verdict (I9), not a crash
            return (Check(title, False, error.message),)
        return (Check(title, gone, "deleted, and gone" if gone else "still there after it was deleted"),)

    def _doubt(self, found: Database, outcomes: Mapping[str, Json]) -> str:
        """Why it may not be ours; empty when it is."""
        if not self.prefix or not self.name.startswith(self.prefix):
            return f"its name does not begin with {self.prefix!r}"
        uid = next((str(data["uid"]) for data in outcomes.values() if "uid" in data), "")
        if uid:
            return "" if uid == found.uid else f"its uid {found.uid} is not {uid}, which was made"
        reserved = outcomes.get("reserve")
        if reserved is None:
            return "the journal does not say that this restore made it"
        made = parse_instant(str(reserved["absent"])) <= found.created
        return "" if made else "it is older than this restore"

    def _gone(self, clock: Clock) -> bool:
        began = clock.stamp()
        while self.find() is not None:
            if clock.stamp().seconds_since(began) > _GONE_S:
                return False
            clock.sleep(_ASK_AGAIN_S)
        return True


def mapping_of(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
