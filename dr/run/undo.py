"""What one item of a restore over living data did, as an item that brings back what was before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from dr.model.plans import PlannedRestore, PointRef
from dr.model.timeline import format_instant, parse_instant
from dr.ports import Json
from dr.record.catalogue import ReadPoint
from dr.run.overlive import NO_UNDO_POINT, ONLY_RELEASE, PROVE, SURVEY, UNDO, UNDO_OF

CUT_BACK = "firestore-cut-back"
_CUT_OVER, _BACK_OUT = "cut-over", "back-out"
_EVERYTHING = ("secret:*", "newer")
"""An undo brings back what was there, rotated Secrets too, and removes what the restore made."""


@dataclass(frozen=True, slots=True)
class Undone:
    """An item and what its journal has of it, under the restorer's own step names."""

    plan_id: str
    item: PlannedRestore
    outcomes: Mapping[str, Json]


def undo_item(undone: Undone, point: Callable[[str], ReadPoint]) -> PlannedRestore | None:
    """None when nothing of it is left to undo."""
    item, outcomes = undone.item, undone.outcomes
    whole_database = item.source.component == "appdata" and not item.details.get("tenant")
    if whole_database:
        if item.details.get("cutover_elsewhere"):
            return _to_release(undone) if _CUT_OVER not in outcomes else None
        if outcomes.get(_BACK_OUT, {}).get("backed_out"):
            return None
        return _cut_back(undone)
    name = str(outcomes.get(UNDO, {}).get("point", ""))
    return _to_point(undone, point(name)) if name else _to_release(undone)


def _base(undone: Undone, *reasons: str, **details: object) -> PlannedRestore:
    item = undone.item
    ended = {} if PROVE in undone.outcomes or "verify" in undone.outcomes else {NO_UNDO_POINT: True}
    kept = {**item.details, **details, UNDO_OF: undone.plan_id}
    if "tenant" not in item.details:
        kept.update(ended)  # a tenant's database lives and is whole: what is there now can be kept
    return replace(
        item,
        predicted=None if not item.predicted else timedelta(seconds=item.predicted.total_seconds()),
        creates=(),
        reasons=(f"undoes {undone.plan_id}", *reasons),
        details=kept,
    )


def _to_release(undone: Undone) -> PlannedRestore:
    base = _base(undone, "nothing was changed but the fence: the writers may write again", **{ONLY_RELEASE: True})
    return replace(base, point=None)


def _cut_back(undone: Undone) -> PlannedRestore:
    source = str(undone.item.details["database"])
    words = f"the application is cut over to {source}, which was not touched; the restored database stays"
    return replace(_base(undone, words, **{NO_UNDO_POINT: True}), method=CUT_BACK, point=None, cost_usd=0.0, size=0)


def _to_point(undone: Undone, point: ReadPoint) -> PlannedRestore:
    """The undo point, over the same part of the same source."""
    manifest, made = point.manifest, undone.outcomes.get("restore", {}).get("restore", "")
    at = parse_instant(str(undone.outcomes[UNDO]["as_of"]))
    words = f"back to the undo point {point.ref.name}, as of {format_instant(at)}"
    kinds = undone.outcomes[SURVEY].get("kinds") or undone.item.details.get("kinds", [])
    base = _base(undone, words, restores=[made] if made else [], kinds=kinds)
    target = replace(
        base.target, named=_EVERYTHING, names=_names(undone.item, manifest.as_of.strftime("%Y%m%dt%H%M%Sz"))
    )
    return replace(
        base,
        method=manifest.method,
        point=PointRef(point.ref.name, point.ref.generation, point.ref.sha256),
        instant=manifest.as_of,
        target=target,
        size=manifest.size,
        details={**base.details, "folder": manifest.details.get("folder", "")},
    )


def _names(item: PlannedRestore, stamp: str) -> Mapping[str, str]:
    """A database made by the undo has a name of its own."""
    if "database" not in item.target.names:
        return item.target.names
    return {**item.target.names, "database": f"{str(item.details['database'])[:40].rstrip('-')}-undo-{stamp}"}
