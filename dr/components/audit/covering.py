"""What the change log in the vault covers, for the planner."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from dr.changelog import LogReader
from dr.changelog.units import Unit, intervals
from dr.components.audit.access import LOG
from dr.model.points import Coverage
from dr.model.strategy import FailureDomain, SourceSpec
from dr.model.timeline import format_instant
from dr.ports import ObjectStore


def coverage_of(spec: SourceSpec, vault: ObjectStore, survives: tuple[FailureDomain, ...]) -> tuple[Coverage, ...]:
    """Every instant of an interval is a recovery point. The details tell what lies in the log beyond the watermark too."""
    tally = _Tally()
    spans = intervals(tally.passing(LogReader(vault, spec.id).units()))
    return tuple(Coverage(spec.id, LOG, start, end, timedelta(0), survives, tally.details()) for start, end in spans)


class _Tally:
    """Sums over the units while they pass by."""

    def __init__(self) -> None:
        self.size = self.entries = self.last_seq = 0
        self.arrived: datetime | None = None

    def passing(self, units: Iterator[Unit]) -> Iterator[Unit]:
        for unit in units:
            self.size += unit.stored.size
            self.entries += unit.entries
            self.last_seq = unit.last_seq
            self.arrived = max(filter(None, (self.arrived, unit.last)), default=None)
            yield unit

    def details(self) -> dict[str, object]:
        """`arrived`: the latest entry, which can be later than the watermark while a backlog is worked off."""
        arrived = {"arrived": format_instant(self.arrived)} if self.arrived else {}
        return {"size": self.size, "entries": self.entries, "last_seq": self.last_seq, **arrived}
