"""What a restore into a new database does to the world: it makes one, and leaves the protected one alone."""

from __future__ import annotations

from dr.components.appdata.access import FirestoreApi
from dr.components.appdata.inspector import DOCUMENTS
from dr.components.appdata.targets import NAME
from dr.model.review import ABSENT, Review
from dr.model.timeline import format_instant
from dr.ports import RestoreWork

_NOT_EXPORTED = "indexes, TTL policies and security rules are in no export: they are set anew"


def review_new_database(api: FirestoreApi, work: RestoreWork, *, cloned: bool) -> Review:
    """Reads the target's name and, of a clone, whether the source is still the one that was looked at."""
    item = work.item
    details, name = item.details, item.target.names[NAME]
    project, source = str(details["project"]), str(details.get("database", item.source.name))
    documents = work.manifest.counts.get(DOCUMENTS, 0) if work.manifest else 0
    return Review(
        creates={"database": 1, **({"document": documents} if documents else {})},
        lost=(f"what was written to {source} after {format_instant(item.instant)} is not in {name}",),
        skipped=() if cloned else (_NOT_EXPORTED,),
        world={
            f"database {name}": version(api, project, name),
            **({f"database {source}": version(api, project, source)} if cloned else {}),
        },
    )


def version(api: FirestoreApi, project: str, name: str) -> str:
    """A database that was deleted and made anew is another one."""
    found = api.database(project, name)
    return found.uid if found else ABSENT
