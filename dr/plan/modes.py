"""How each kind of source is captured, as far as planning needs to know. A kind that is missing here is not captured yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from dr.model.strategy import SourceSpec
from dr.model.timeline import parse_duration


@dataclass(frozen=True, slots=True)
class CaptureMode:
    """What a capture of this kind makes, and how old its data can be when it starts."""

    kind: str
    point: str
    """Method of its recovery points."""
    noun: str
    """What people call one capture."""
    granularity: timedelta = timedelta(0)
    granularity_option: str = ""
    """Option of the source that sets another granularity."""
    live: str = ""
    """Method of the history that the source keeps itself, if any."""

    def granularity_of(self, spec: SourceSpec) -> timedelta:
        """As the source's options set it, else the kind's own."""
        value = spec.options.get(self.granularity_option) if self.granularity_option else None
        return parse_duration(value) if isinstance(value, str) else self.granularity


VELERO = CaptureMode("velero", "velero", "Velero backup")
FIRESTORE = CaptureMode(
    "firestore",
    "firestore-export",
    "export",
    # a snapshot time is a whole minute
    granularity=timedelta(minutes=1),
    granularity_option="snapshotGranularity",
    live="firestore-pitr",
)
MODES: Mapping[str, CaptureMode] = {mode.kind: mode for mode in (VELERO, FIRESTORE)}
