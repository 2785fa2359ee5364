"""What captures, verifications, rebuilds and restores came to: as items for JSON and as sheets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from dr.model.evidence import DrillReport
from dr.model.plans import PlannedRestore, RestorePlan
from dr.model.runs import StepOutcome
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


# --- restore ---------------------------------------------------------------------------------------------------------


def plan_sheet(plan: RestorePlan, now: datetime, *, wide: bool = False) -> Sheet:
    """What will be done: the point, its age, what is lost, what is created, predicted time and cost."""
    columns = columns_of("source", "from", "restored to", ">age", ">not restored", ">size", ">predicted", ">cost")
    rows = tuple(_plan_row(plan, item, now) for item in plan.items)
    return Sheet(columns, rows, tuple(_plan_notes(plan, wide)), empty="nothing to restore")


def _plan_row(plan: RestorePlan, item: PlannedRestore, now: datetime) -> tuple[Cell, ...]:
    lost = (plan.requested - item.instant).total_seconds()
    return (
        cell(item.source),
        cell(item.method),
        cell(format_instant(item.instant)),
        cell(words.span((now - item.instant).total_seconds())),
        cell(f"the last {words.span(lost)} before T" if lost else "nothing before T"),
        cell(words.size(item.size)),
        cell(words.span(item.predicted.total_seconds()) if item.predicted is not None else "not measured yet"),
        cell(f"{item.cost_usd:.4f} $"),
    )


def folded(entries: Sequence[str]) -> Sequence[str]:
    """A long list as its beginning and a count."""
    more = len(entries) - SHOWN
    return entries if more <= 1 else (*entries[:SHOWN], f"... and {more} more kinds of things (-o wide lists them)")


def recovery_notes(plan: RestorePlan, took: float) -> Iterable[str]:
    """What was declared, and the recovery time with it."""
    if plan.declared:
        steps = ", ".join(f"{step.name} {words.span(step.took.total_seconds())}" for step in plan.declared)
        whole = took + sum(step.took.total_seconds() for step in plan.declared)
        yield f"declared, not measured: {steps}; recovery time with it: {words.span(whole)}"


def _plan_notes(plan: RestorePlan, wide: bool) -> Iterable[str]:
    yield f"plan {plan.id}, requested {format_instant(plan.requested)}"
    for step in plan.declared:
        yield f"  before it, as declared: {step.name} {words.span(step.took.total_seconds())}"
    for item in plan.items:
        yield f"{item.source}:"
        yield from (f"  creates {entry}" for entry in (item.creates if wide else folded(item.creates)))
        yield from (f"  {reason}" for reason in item.reasons)
    over = dict.fromkeys(item.target.protected for item in plan.items if item.target.protected)
    written = f"live objects of {', '.join(over)} are written over, as named" if over else "the sources are not written"
    yield f"what is written after the restored instants is not in the restored copies; {written}"


def restored_item(source: str, domain: str, state: str, error: str, steps: Sequence[StepOutcome]) -> Item:
    return {
        "source": source,
        "domain": domain,
        "state": state,
        "error": error or None,
        "steps": [{"step": step.step, "seconds": round(step.seconds, 3)} for step in steps],
    }


def restored_sheet(items: Sequence[Mapping[str, object]], notes: Sequence[str]) -> Sheet:
    """One line a step."""
    rows: list[tuple[Cell, ...]] = []
    for item in items:
        steps = item["steps"]
        assert isinstance(steps, list)
        for step in steps:
            rows.append(
                (cell(item["source"]), cell(step["step"]), cell(words.span(step["seconds"])), cell("done", Tone.GOOD))
            )
        tone = Tone.GOOD if item["state"] == "done" else Tone.BAD
        total = sum(step["seconds"] for step in steps)
        rows.append((cell(item["source"]), cell("all"), cell(words.span(total)), cell(item["state"], tone)))
        if item["error"]:
            notes = (*notes, f"{item['source']}: {item['error']}")
    return Sheet(
        columns_of("source", "step", ">took", "state"), tuple(rows), tuple(notes), empty="nothing was restored"
    )


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
    }


def drills_sheet(items: Sequence[Item]) -> Sheet:
    rows = tuple(
        (
            cell(item["id"]),
            cell(item["scenario"]),
            cell(item["scope"]),
            cell(item["declared_at"]),
            cell(item["rows"]),
            cell("passed", Tone.GOOD) if item["passed"] else cell("FAILED", Tone.BAD),
        )
        for item in items
    )
    columns = columns_of("drill", "scenario", "scope", "declared at", ">rows drilled", "result")
    return Sheet(columns, rows, empty="no drill yet; run one with: dr drill run quarterly")


# --- restores that were begun ----------------------------------------------------------------------------------------


def begun_sheet(items: Sequence[Item], *, steps: bool) -> Sheet:
    """One line a restore; `steps`: and one for each of its journalled steps."""
    rows: list[tuple[Cell, ...]] = []
    for item in items:
        tone = Tone.GOOD if item["state"] == "committed" else Tone.WARN
        rows.append((cell(item["id"]), cell("all"), cell(item["since"]), cell(""), cell(item["state"], tone)))
        found = item["steps"] if steps else []
        assert isinstance(found, list)
        rows += [
            (
                cell(""),
                cell(step["step"]),
                cell(step["ended"]),
                cell(words.span(step["seconds"])),
                cell("done", Tone.GOOD),
            )
            for step in found
        ]
    return Sheet(columns_of("restore", "step", "at", ">took", "state"), tuple(rows), empty="no restore was begun yet")


def begun_item(name: str, state: str, since: datetime | None, message: str, steps: Sequence[StepOutcome]) -> Item:
    return {
        "id": name,
        "state": state,
        "since": when(since),
        "message": message or None,
        "steps": [{"step": s.step, "ended": when(s.ended.wall), "seconds": round(s.seconds, 3)} for s in steps],
    }
