"""The shipped scenarios, as items for JSON and as a sheet."""

from __future__ import annotations

from collections.abc import Sequence

from dr.model.drills import Scenario
from dr.plan.quarters import DrillStanding
from dr.report import words
from dr.report.envelope import Item, when
from dr.report.sheet import Sheet, Tone, cell, columns_of


def scenario_item(scenario: Scenario, standing: DrillStanding) -> Item:
    return {
        "name": scenario.name,
        "why": scenario.why,
        "rows": [{"component": key.component, "domain": str(key.domain)} for key in scenario.rows],
        "points": str(scenario.choice),
        "checks": [check.name for check in scenario.checks],
        "disaster": scenario.disaster or None,
        "every": scenario.every or None,
        "due": standing.due,
        "next_due": when(standing.next),
        "standing": standing.why,
    }


def scenarios_sheet(items: Sequence[Item], *, wide: bool = False) -> Sheet:
    """`wide`: why each of them is drilled."""
    columns = columns_of("scenario", "rows", "points", ">checks", "every", "standing", *(["why"] if wide else []))
    rows = tuple(
        (
            cell(item["name"]),
            cell(_rows(item["rows"])),
            cell(item["points"]),
            cell(len(_list(item["checks"]))),
            cell(item["every"] or words.NOTHING),
            cell(item["standing"], Tone.WARN if item["due"] else Tone.PLAIN) if item["every"] else cell(words.NOTHING),
            *([cell(item["why"])] if wide else []),
        )
        for item in items
    )
    return Sheet(columns, rows, empty="no scenario is shipped")


def _list(value: object) -> Sequence[dict[str, object]]:
    return value if isinstance(value, list) else []


def _rows(value: object) -> str:
    """`appdata/logical,source cluster/source`."""
    found: dict[str, list[str]] = {}
    for row in _list(value):
        found.setdefault(str(row["component"]), []).append(str(row["domain"]))
    return " ".join(f"{component}/{','.join(domains)}" for component, domains in found.items())
