"""The one JSON envelope of the command line: durations in seconds, instants in RFC 3339 UTC, `items` [] when empty."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime

from dr.model.points import Check, PointSummary
from dr.model.timeline import format_instant
from dr.plan.proof import DrillMark
from dr.plan.rows import PlannedRow
from dr.plan.status import StatusRow

API_VERSION = "dr/v1"
Item = Mapping[str, object]


def envelope(kind: str, items: Iterable[Item], **more: object) -> dict[str, object]:
    """`more` stands beside the items: what is true of all of them."""
    return {"apiVersion": API_VERSION, "kind": kind, **more, "items": list(items)}


def render(kind: str, items: Iterable[Item], **more: object) -> str:
    """The envelope as indented JSON text. Raises ValueError on NaN or infinity, which are no JSON."""
    return dumps(envelope(kind, items, **more))


def dumps(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


def when(value: datetime | None) -> str | None:
    """RFC 3339, or null."""
    return None if value is None else format_instant(value)


def plan_item(row: PlannedRow) -> Item:
    """One row and domain of `dr plan`."""
    return {
        "component": row.component,
        "domain": str(row.domain),
        "sources": list(row.sources),
        "cadence_s": row.cadence.total_seconds() if row.cadence else None,
        "capture": {"duration_s": row.duration.total_seconds() if row.duration else None, "measured": row.measured},
        "rto": {"target_s": row.rto.total_seconds()},
        "rpo": {
            "target_s": row.rpo.total_seconds(),
            "worst_s": None if row.worst is None else row.worst.total_seconds(),
        },
        "continuous": row.continuous,
        "met": row.met,
        "declared": row.declared,
        "judged": row.judged,
        "month_usd": row.month_usd,
        "reasons": list(row.reasons),
    }


def status_item(row: StatusRow, now: datetime) -> Item:
    """One source and domain of `dr status`."""
    return {
        "component": row.component,
        "domain": str(row.domain),
        "source": row.source or None,
        "status": str(row.standing),
        "rpo": {"target_s": row.rpo.total_seconds(), "age_s": row.age.total_seconds() if row.age is not None else None},
        "newest": when(row.newest),
        "next_due": when(row.next_due),
        "points": row.points,
        "point": row.point or None,
        "verdict": str(row.verdict),
        "missed": row.verdict.miss,
        "late_at_s": row.limit.total_seconds(),
        "continuous": row.continuous,
        "retention": {
            "target_s": row.retention.total_seconds(),
            "reach_s": row.reach(now).total_seconds(),
            "reached": row.reaches_all(now),
            "oldest": when(row.oldest),
        },
        "held": row.held,
        "proven": _proven_item(row.proof.proven) if row.proof and row.proof.proven else None,
        "last_drill": _drilled_item(row.proof.last) if row.proof else None,
    }


def _proven_item(mark: DrillMark) -> Item:
    return {"instant": when(mark.instant), "drill": mark.drill, "at": when(mark.at)}


def _drilled_item(mark: DrillMark) -> Item:
    return {
        "id": mark.drill,
        "at": when(mark.at),
        "verdict": str(mark.verdict),
        "kept": mark.kept,
        "recovery_s": mark.recovery_s,
    }


def point_item(point: PointSummary) -> Item:
    """One recovery point of `dr points list`."""
    return {
        "name": point.name,
        "source": str(point.source),
        "slot": point.slot.id,
        "method": point.method,
        "as_of": when(point.as_of),
        "started": when(point.started),
        "committed": when(point.committed),
        "size_bytes": point.size,
        "survives": [str(domain) for domain in point.survives],
        "retain_until": when(point.retain_until),
        "generation": point.generation,
    }


def check_item(check: Check) -> Item:
    return {"name": check.name, "passed": check.passed, "detail": check.detail}
