"""Drills that left no report: skipped, stopped with a reason, or dead without one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from dr.model.drills import DrillEnd, DrillEnding
from dr.model.timeline import parse_instant
from dr.ports import ObjectStore
from dr.record.codec import decode
from dr.run.drill import BASE, ENDED

LONGEST = timedelta(days=2)
"""A drill that was declared so long ago and came to no end is dead."""
DIED = "it came to no end: its process died"


def ended_without_report(control: ObjectStore, now: datetime) -> tuple[str, ...]:
    """Ids of drills that ended, or must be dead, and have no report. One listing."""
    names, created = dict[str, set[str]](), dict[str, datetime]()
    for info in control.list(f"{BASE}/"):
        parts = info.name.split("/")
        if len(parts) == 3:
            names.setdefault(parts[1], set()).add(parts[2])
            created[parts[1]] = info.created
    return tuple(
        drill
        for drill, found in sorted(names.items())
        if "report.json" not in found and (ENDED in found or ("order.json" in found and now - created[drill] > LONGEST))
    )


def read_ending(control: ObjectStore, drill: str) -> DrillEnding:
    """As recorded, or as the order of a dead drill tells. Raises DrError DAMAGED, NEWER_FORMAT."""
    name = f"{BASE}/{drill}/{ENDED}"
    if control.stat(name) is not None:
        return decode(control.get(name), DrillEnding, f"{control.url}/{name}")
    scenario, at = _from_id(drill)
    return DrillEnding(drill, scenario, DrillEnd.ABORTED, at, "", DIED)


def _from_id(drill: str) -> tuple[str, datetime]:
    """Scenario and instant of declaration, which a drill's id is made of."""
    scenario, compact, _ = drill.rsplit("-", 2)
    day, clock = compact.rstrip("Z").split("T")
    return scenario, parse_instant(f"{day[:4]}-{day[4:6]}-{day[6:8]}T{clock[:2]}:{clock[2:4]}:{clock[4:6]}Z")


def read_endings(control: ObjectStore, now: datetime) -> Iterator[DrillEnding]:
    """Of all of them."""
    return (read_ending(control, drill) for drill in ended_without_report(control, now))
