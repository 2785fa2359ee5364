"""Volumes of a backup: captured, or named as skipped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dr.components.cluster.contents import Item
from dr.vendors.kubernetes_objects import mapping, text

_METHODS = ("NativeSnapshot", "PodVolumeBackup", "CSISnapshot")
_INFO = {
    "NativeSnapshot": "nativeSnapshotInfo",
    "PodVolumeBackup": "pvbInfo",
    "CSISnapshot": "snapshotDataMovementInfo",
}
_DONE = ("", "completed")


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume as Velero's volume information tells it. `claim`: `namespace/pvc`, empty for a volume without one."""

    claim: str
    volume: str
    method: str
    """Velero's method; empty when nothing captured it."""
    moved: bool
    """Whether the data left the snapshot for Velero's bucket."""
    reason: str
    """Why it is not captured; empty when it is."""
    reclaim: str = ""

    @property
    def name(self) -> str:
        return self.claim or f"persistentvolume/{self.volume}"

    @property
    def captured(self) -> bool:
        return not self.reason

    def excluded(self, patterns: Iterable[str]) -> bool:
        """Whether the strategy leaves it out: patterns of `namespace/pvc` with `*` and `?`."""
        return any(fnmatchcase(self.name, pattern) for pattern in patterns)

    def record(self) -> dict[str, object]:
        """For a manifest's details."""
        return {"claim": self.claim, "volume": self.volume, "method": self.method, "moved": self.moved,
                "reason": self.reason, "reclaim": self.reclaim}  # fmt: skip


def read_volumes(info: Sequence[object]) -> tuple[Volume, ...]:
    """From the decoded `<backup>-volumeinfo.json.gz`, one entry for each volume that the backup met."""
    return tuple(_volume(entry) for entry in info)


def uncaptured(volumes: Iterable[Volume], excluded: Sequence[str]) -> tuple[Volume, ...]:
    """Those that fail the point: neither captured nor left out by the strategy."""
    return tuple(volume for volume in volumes if not volume.captured and not volume.excluded(excluded))


def bound_claims(items: Iterable[Item]) -> dict[str, str]:
    """Claims of the backup that are bound to a volume: `namespace/pvc` -> volume."""
    claims = (item for item in items if item.resource == "persistentvolumeclaims")
    bound = {item.entry: text(item.body, "spec", "volumeName") for item in claims}
    return {claim: volume for claim, volume in bound.items() if volume}


def _volume(entry: object) -> Volume:
    claim, volume = text(entry, "pvcName"), text(entry, "pvName")
    namespace = text(entry, "pvcNamespace")
    method = text(entry, "backupMethod")
    return Volume(
        claim=f"{namespace}/{claim}" if claim else "",
        volume=volume,
        method=method,
        moved=mapping(entry).get("snapshotDataMoved") is True,
        reason=_reason(entry, method),
        reclaim=text(entry, "pvInfo", "reclaimPolicy"),
    )


def _reason(entry: object, method: str) -> str:
    """Why the data of a volume is not in the backup, or an empty text."""
    if mapping(entry).get("skipped") is True:
        return text(entry, "skippedReason").strip(" ;") or "skipped by Velero"
    if method not in _METHODS:
        return f"no capture method ({method or 'none'})"
    result, phase = text(entry, "result"), text(entry, _INFO[method], "Phase")
    if result not in ("", "succeeded"):
        return f"{method} {result}"
    return "" if phase.lower() in _DONE else f"{method} ended {phase}"
