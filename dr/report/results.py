"""What captures, verifications, rebuilds and restores came to: as items for JSON and as sheets."""

from __future__ import annotations

from collections.abc import Sequence

from dr.model.drills import DrillEnding
from dr.model.evidence import DrillReport
from dr.model.timeline import format_instant
from dr.model.verification import Verification
from dr.report import words
from dr.report.envelope import Item, check_item, when
from dr.report.sheet import Cell, Sheet, Tone, cell, columns_of

SHOWN = 4
"""Things named before the rest is counted."""


# --- verification and rebuild ----------------------------------------------------------------------------------------


def verification_item(result: Verification) -> Item:
    return {
        "name": result.point.name,
        "source": str(result.point.source),
        "as_of": when(result.point.as_of),
        "passed": result.passed,
        "checks": [check_item(check) for check in result.checks],
    }


def verifications_sheet(results: Sequence[Verification], *, wide: bool = False) -> Sheet:
    """One line a point; what failed stands below, each naming its artefact. `wide`: every check."""
    rows = tuple(
        (
            cell("ok", Tone.GOOD) if result.passed else cell("DAMAGED", Tone.BAD),
            cell(result.point.source),
            cell(format_instant(result.point.as_of)),
            cell(words.size(result.point.size)),
            cell(len(result.checks)),
            cell(result.point.slot.id),
        )
        for result in results
    )
    notes = tuple(
        f"{result.point.slot.id}: {'ok' if check.passed else 'FAILED'}: {check.name}: {check.detail}"
        for result in results
        for check in result.checks
        if wide or not check.passed
    )
    return Sheet(
        columns_of("result", "source", "as of", ">size", ">checks", "slot"), rows, notes, empty="no point to verify"
    )


def rebuilt_item(url: str, points: int, differences: Sequence[str], damaged: Sequence[str]) -> Item:
    return {"vault": url, "points": points, "differences": list(differences), "damaged": list(damaged)}


def rebuilt_sheet(items: Sequence[Item]) -> Sheet:
    """One line a vault, and every disagreement below."""
    rows = tuple(
        (cell(item["vault"]), cell(item["points"]), cell(_count(item["differences"])), cell(_count(item["damaged"])))
        for item in items
    )
    notes = tuple(f"{text}" for item in items for key in ("differences", "damaged") for text in _texts(item[key]))
    return Sheet(
        columns_of("vault", ">points", ">differences", ">damaged"), rows, notes, empty="the strategy has no vault"
    )


def _texts(value: object) -> Sequence[str]:
    return value if isinstance(value, list) else []


def _count(value: object) -> int:
    return len(_texts(value))


# --- drills ----------------------------------------------------------------------------------------------------------


def drill_item(report: DrillReport) -> Item:
    """One line of `dr drill list`."""
    return {
        "id": report.id,
        "scenario": report.scenario,
        "scope": report.scope,
        "declared_at": when(report.declared_at),
        "passed": report.passed,
        "rows": len([row for row in report.rows if row.rto.steps]),
        "ended": "passed" if report.passed else "failed",
        "reason": None,
        "by": report.by or None,
    }


def ended_item(ending: DrillEnding) -> Item:
    """One line of `dr drill list`, of a drill that left no report."""
    return {
        "id": ending.id,
        "scenario": ending.scenario,
        "scope": None,
        "declared_at": when(ending.at),
        "passed": False,
        "rows": 0,
        "ended": str(ending.how),
        "reason": ending.reason,
        "by": ending.by or None,
    }


def ended_sheet(items: Sequence[Item]) -> Sheet:
    """What was put on record of a drill that is not run."""
    rows = tuple(tuple(cell(item[key]) for key in ("id", "ended", "by", "reason")) for item in items)
    return Sheet(columns_of("drill", "ended", "by", "reason"), rows)


def _drill_result(item: Item) -> Cell:
    if item["passed"]:
        return cell("passed", Tone.GOOD)
    return cell("FAILED", Tone.BAD) if item["ended"] == "failed" else cell(item["ended"], Tone.WARN)


def drills_sheet(items: Sequence[Item]) -> Sheet:
    rows = tuple(
        (
            cell(item["id"]),
            cell(item["scenario"]),
            cell(item["scope"] or words.NOTHING),
            cell(item["declared_at"]),
            cell(item["rows"]),
            _drill_result(item),
        )
        for item in items
    )
    columns = columns_of("drill", "scenario", "scope", "declared at", ">rows drilled", "result")
    notes = tuple(f"{item['id']} {item['ended']} by {item['by']}: {item['reason']}" for item in items if item["reason"])
    return Sheet(columns, rows, notes, empty="no drill yet; run one with: dr drill run quarterly")
