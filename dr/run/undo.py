"""What one item of a restore over living data did, as an item that brings back what was before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from dr.errors import REJECTED, DrError
from dr.model.plans import PlannedRestore, PointRef, Target
from dr.model.points import PointManifest
from dr.model.timeline import format_instant
from dr.ports import Json
from dr.record.catalogue import ReadPoint
from dr.run.overlive import NO_UNDO_POINT, ONLY_RELEASE, PROVE, SURVEY, UNDO, UNDO_OF

CUT_BACK = "firestore-cut-back"
_BACK_OUT = "back-out"
_EVERYTHING = ("secret:*", "newer")
"""An undo brings back what was there, rotated Secrets too, and removes what the restore made."""


@dataclass(frozen=True, slots=True)
class Undone:
    """An item and what its journal has of it, under the restorer's own step names."""

    plan_id: str
    item: PlannedRestore
    outcomes: Mapping[str, Json]


Outline = Callable[[PointManifest, Target], PlannedRestore]
"""As the restorer of the point's method says it."""


def undo_item(undone: Undone, point: Callable[[str], ReadPoint], outline: Outline) -> PlannedRestore | None:
    """None when nothing of it is left to undo. Raises DrError REJECTED for what undid a cut-over itself."""
    item, outcomes = undone.item, undone.outcomes
    whole_database = item.source.component == "appdata" and not item.details.get("tenant")
    if whole_database:
        if item.method == CUT_BACK:
            text = f"{undone.plan_id} went back from a cut-over; to go forward again, restore again"
            raise DrError(REJECTED, text, hint="dr restore --point-in-time T --over NAME")
        if item.details.get("cutover_elsewhere"):
            return _to_release(undone)  # what the cluster's own undo brings back names the database of before
        if outcomes.get(_BACK_OUT, {}).get("backed_out"):
            return None
        return _cut_back(undone)
    name = str(outcomes.get(UNDO, {}).get("point", ""))
    return _to_point(undone, point(name), outline) if name else _to_release(undone)


def _marks(undone: Undone) -> dict[str, object]:
    """What the undo must know of what it undoes. A tenant's database lives and is whole: what is there now can be kept."""
    ended = PROVE in undone.outcomes or "verify" in undone.outcomes
    kept = ended or "tenant" in undone.item.details
    return {UNDO_OF: undone.plan_id, **({} if kept else {NO_UNDO_POINT: True})}


def without_needless(items: Sequence[PlannedRestore]) -> tuple[PlannedRestore, ...]:
    """Where a cluster goes back, it lets the writers write when it is done, and nothing else may before."""
    cluster = any(item.source.component == "cluster" and not item.details.get(ONLY_RELEASE) for item in items)
    return tuple(item for item in items if not (cluster and item.details.get(ONLY_RELEASE)))


def _base(undone: Undone, reason: str, **details: object) -> PlannedRestore:
    return replace(
        undone.item,
        point=None,
        predicted=None,
        cost_usd=0.0,
        creates=(),
        steps=(),
        review=None,
        reasons=(f"undoes {undone.plan_id}: {reason}",),
        details={**undone.item.details, **_marks(undone), **details},
    )


def _to_release(undone: Undone) -> PlannedRestore:
    return _base(undone, "nothing was changed but the fence; the writers may write again", **{ONLY_RELEASE: True})


def _cut_back(undone: Undone) -> PlannedRestore:
    source = str(undone.item.details["database"])
    words = f"the application is cut over to {source}, which was not touched; the restored database stays"
    healthy = undone.outcomes[SURVEY].get("healthy", True)
    base = _base(undone, words, **{NO_UNDO_POINT: True, "was_healthy": healthy})
    return replace(base, method=CUT_BACK, size=0)


def _to_point(undone: Undone, point: ReadPoint, outline: Outline) -> PlannedRestore:
    """The undo point, over the same part of the same source."""
    names = {name: there for name, there in undone.item.target.names.items() if name != "database"}
    target = replace(undone.item.target, named=_EVERYTHING, names=names)
    outlined = outline(point.manifest, target)
    made = undone.outcomes.get("restore", {}).get("restore", "")
    more = _marks(undone) | {"restores": [made] if made else []}
    if kinds := undone.outcomes[SURVEY].get("kinds"):
        more["kinds"] = kinds
    words = f"undoes {undone.plan_id}: back to the undo point, as of {format_instant(point.manifest.as_of)}"
    return replace(
        outlined,
        point=PointRef(point.ref.name, point.ref.generation, point.ref.sha256),
        instant=point.manifest.as_of,
        reasons=(words, *outlined.reasons),
        details={**outlined.details, **more},
    )
