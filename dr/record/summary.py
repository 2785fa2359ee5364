"""A point's summary rides on its manifest as object metadata, so that a listing alone gives the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from dr.model.points import PointManifest, PointSummary
from dr.model.strategy import FailureDomain
from dr.model.timeline import format_instant, parse_instant
from dr.ports import ObjectInfo
from dr.record.codec import encode, sha256
from dr.record.layout import point_slot

_FORMAT = "1"
_LONGEST = 4096
"""Characters of parents' names in the metadata, of which stores take 8 KiB."""


def metadata_of(manifest: PointManifest) -> Mapping[str, str]:
    """What is stored beside the manifest's bytes."""
    return {
        "dr-format": _FORMAT,
        "dr-method": manifest.method,
        "dr-as-of": format_instant(manifest.as_of),
        "dr-started": format_instant(manifest.started),
        "dr-committed": format_instant(manifest.committed),
        "dr-size": str(manifest.size),
        "dr-survives": ",".join(manifest.survives),
        "dr-retain-until": format_instant(manifest.retain_until),
        "dr-sha256": sha256(encode(manifest)),
        **_told_parents(manifest.parents),
    }


def _told_parents(parents: tuple[str, ...]) -> Mapping[str, str]:
    """Too many to be told stay untold: then the manifest is read."""
    told = ",".join(parents)
    return {"dr-parents": told} if len(told) <= _LONGEST else {}


def _parents_of(told: Mapping[str, str]) -> tuple[str, ...] | None:
    return tuple(filter(None, told["dr-parents"].split(","))) if "dr-parents" in told else None


def of_manifest(manifest: PointManifest, name: str, generation: int, crc32c: str) -> PointSummary:
    """The true summary of a manifest that was read."""
    return PointSummary(
        slot=manifest.slot,
        method=manifest.method,
        as_of=manifest.as_of,
        started=manifest.started,
        committed=manifest.committed,
        size=manifest.size,
        survives=manifest.survives,
        retain_until=manifest.retain_until,
        name=name,
        generation=generation,
        crc32c=crc32c,
        parents=manifest.parents,
    )


def of_listing(stored: ObjectInfo) -> PointSummary | None:
    """The summary that the metadata tells; None when there is none or it cannot be read (then read the manifest)."""
    slot, told = point_slot(stored.name), stored.metadata
    if slot is None or told.get("dr-format") != _FORMAT:
        return None
    try:
        return PointSummary(
            slot=slot,
            method=told["dr-method"],
            as_of=parse_instant(told["dr-as-of"]),
            started=parse_instant(told["dr-started"]),
            committed=parse_instant(told["dr-committed"]),
            size=int(told["dr-size"]),
            survives=tuple(FailureDomain(word) for word in told["dr-survives"].split(",") if word),
            retain_until=parse_instant(told["dr-retain-until"]),
            name=stored.name,
            generation=stored.generation,
            crc32c=stored.crc32c,
            parents=_parents_of(told),
            sha256=told.get("dr-sha256", ""),
        )
    except (KeyError, ValueError):
        return None


def differences(told: PointSummary, true: PointSummary) -> tuple[str, ...]:
    """Where the listing and the manifest disagree, field by field."""
    fields: tuple[str, ...] = (
        "slot",
        "method",
        "as_of",
        "started",
        "committed",
        "size",
        "survives",
        "retain_until",
        "generation",
        "crc32c",
    )
    fields += ("parents",) if told.parents is not None else ()
    return tuple(
        f"{true.name}: listed {field} is {getattr(told, field)}, the manifest says {getattr(true, field)}"
        for field in fields
        if getattr(told, field) != getattr(true, field)
    )


def retained_long_enough(stored: ObjectInfo, manifest: PointManifest) -> bool:
    """Whether the manifest's own lock lasts as it says (to the second, which is what stores keep)."""
    held = stored.retain_until
    return held is not None and held >= manifest.retain_until - timedelta(seconds=1)


def held_until(stored: ObjectInfo | None) -> str:
    """For a sentence: `2025-08-26T10:00:00Z`, or that there is no lock."""
    return format_instant(stored.retain_until) if stored and stored.retain_until else "never: there is no lock"
