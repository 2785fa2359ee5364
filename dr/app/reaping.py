"""The reaper, wired: what dead drills left goes."""

from __future__ import annotations

from collections.abc import Sequence

from dr.app.core import App
from dr.app.restores import planner
from dr.app.who import who
from dr.components.cluster.layout import label_value
from dr.report.envelope import Item
from dr.report.sheet import Sheet, Tone, cell, columns_of
from dr.run.reaper import Reaper, Swept

BASES = ("drills", "bisects")
"""Journals of what restores into sandboxes."""


def reap(app: App, drill: str = "") -> tuple[Swept, ...]:
    """All that expired, or one drill's leftovers at once. Raises DrError NOT_FOUND, LOCKED."""
    opened = planner(app)
    sweeps = [kit.sweep for kit in app.kits.values() if kit.sweep]
    journals = [app.journal(base) for base in BASES]
    return tuple(Reaper(journals, opened.items, sweeps, app.clock, who(app), label_value).run(drill))


def reaped_items(found: Sequence[Swept]) -> list[Item]:
    """One for each thing that was removed, or left."""
    return [
        {"drill": swept.unit, "what": check.name, "gone": check.passed, "detail": check.detail}
        for swept in found
        for check in swept.checks
    ]


def reaped_sheet(items: Sequence[Item]) -> Sheet:
    rows = tuple(
        (
            cell(str(item["drill"]) or "by its labels"),
            cell(str(item["what"])),
            cell("gone" if item["gone"] else "left", Tone.GOOD if item["gone"] else Tone.BAD),
            cell(str(item["detail"])),
        )
        for item in items
    )
    return Sheet(columns_of("drill", "what", "state", "detail"), rows, empty="no dead drill left anything")
