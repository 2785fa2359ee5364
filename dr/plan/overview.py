"""Where everything stands at one instant: what `dr status`, the metrics, the status page and the notifications show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from dr.model.ids import SourceId
from dr.model.points import Coverage
from dr.model.retention import FreezeRecord
from dr.plan.credit import AtRisk
from dr.plan.exercises import Exercise
from dr.plan.proof import DrillLine
from dr.plan.status import StatusRow


@dataclass(frozen=True, slots=True)
class Overview:
    """Every row and domain, judged from what the stores said at `listed` (of its parts the oldest)."""

    rows: tuple[StatusRow, ...]
    listed: datetime
    frozen: FreezeRecord | None = None
    drills: tuple[DrillLine, ...] = ()
    """The newest, newest first."""
    coverage: tuple[Coverage, ...] = ()
    instants: Mapping[SourceId, tuple[datetime, ...]] = field(default_factory=dict)
    """Instants of the points of each source; only where somebody draws them."""
    exercises: tuple[Exercise, ...] = ()
    """Drills by the calendar, and where each stands."""
    at_risk: AtRisk | None = None
    """Of the service level agreement; None where nobody asked."""
    trouble: tuple[str, ...] = ()
    """One sentence for each thing that could not be asked."""

    @property
    def missed(self) -> bool:
        return any(row.verdict.miss for row in self.rows)
