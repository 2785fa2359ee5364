"""What reading a point back found."""

from __future__ import annotations

from dataclasses import dataclass

from dr.model.points import Check, PointSummary


@dataclass(frozen=True, slots=True)
class Verification:
    """One point, read back whole."""

    point: PointSummary
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)
