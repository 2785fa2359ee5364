"""How each kind of source is captured, as far as planning needs to know. A kind that is missing here is not captured yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from dr.model.strategy import FailureDomain, SourceSpec
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
    log: str = ""
    """Method of restoring from the change log that a continuous capture keeps in the vault; empty: captured in slots only.
    The slots of a continuous source roll the log's segments into packs."""
    pack_option: str = ""
    guaranteed: frozenset[FailureDomain] = frozenset()
    """Losses after which this mode guarantees that nothing acknowledged is missing, however the capture is interrupted."""
    witnessed: bool = True
    """The living source can tell what it held at an instant; otherwise a drill needs a writer's record."""
    witness_option: str = ""
    """Option of the source without which it cannot tell."""
    only_added: bool = False
    """What was written never changes, and is forgotten by the living source some day: what only the copy has is no miss."""
    promise: str = ""
    """What the mode promises of an RPO of 0, for people."""

    def granularity_of(self, spec: SourceSpec) -> timedelta:
        """As the source's options set it, else the kind's own."""
        value = spec.options.get(self.granularity_option) if self.granularity_option else None
        return parse_duration(value) if isinstance(value, str) else self.granularity

    def witnesses(self, spec: SourceSpec) -> bool:
        """Whether a drill can judge this source without a writer's record."""
        return self.witnessed and bool(not self.witness_option or spec.options.get(self.witness_option))

    def pack_every(self, spec: SourceSpec) -> timedelta:
        """How often the change log is packed."""
        return parse_duration(str(spec.options.get(self.pack_option, "1d")))


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
KUBERNETES = CaptureMode(
    "kubernetes",
    "config-pack",
    "change log",
    log="config-log",
    pack_option="packEvery",
    promise="mode watch follows each write: 0 lost is kept, not guaranteed",
)
PUBSUB = CaptureMode(
    "pubsub",
    "audit-pack",
    "log of entries",
    log="audit-log",
    pack_option="packEvery",
    witness_option="sink",
    only_added=True,
    # Pub/Sub keeps what is not acknowledged, and nothing is acknowledged before it is durable; what is under way dies with the
    # subscription (the source), with its project, and nobody promises that it outlives its region
    guaranteed=frozenset({FailureDomain.LOGICAL, FailureDomain.CLUSTER}),
    promise="mode pull acknowledges an entry only when it is durable in the vault: 0 lost is guaranteed while Pub/Sub stands",
)
MODES: Mapping[str, CaptureMode] = {mode.kind: mode for mode in (VELERO, FIRESTORE, KUBERNETES, PUBSUB)}
