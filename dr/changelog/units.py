"""What a log is made of in a vault: segments and packs, by their names and the metadata that a listing tells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from dr.changelog.entries import SegmentHead
from dr.model.ids import SourceId
from dr.model.timeline import format_instant, parse_instant
from dr.ports import Json, ObjectInfo

CHANGES = "changes.zst"
"""The log's part of a pack, under `data/<slot>/<attempt>/`."""
_SEGMENT = re.compile(r"(\d{12})\.zst")


@dataclass(frozen=True, slots=True)
class Unit:
    """A run of consecutive segments in one object: a single one, or a pack of them."""

    stored: ObjectInfo
    first_seq: int
    last_seq: int
    prev: str
    """Hash of the segment before the first one."""
    first_sha256: str
    sha256: str
    """Hashes of the first and of the last segment."""
    stored_sha256: str
    """Of the object's bytes; empty where it is not told."""
    start: datetime | None
    """Watermark of the first segment."""
    watermark: datetime | None
    first: datetime | None
    last: datetime | None
    entries: int

    @property
    def name(self) -> str:
        return self.stored.name

    def metadata(self) -> Mapping[str, str]:
        """What is stored beside the bytes."""
        told = {
            "dr-format": "1",
            "dr-seq": str(self.last_seq),
            "dr-first-seq": str(self.first_seq),
            "dr-prev": self.prev,
            "dr-first-sha256": self.first_sha256,
            "dr-sha256": self.sha256,
            "dr-stored-sha256": self.stored_sha256,
            "dr-start": _text(self.start),
            "dr-watermark": _text(self.watermark),
            "dr-first": _text(self.first),
            "dr-last": _text(self.last),
            "dr-entries": str(self.entries),
        }
        return {name: value for name, value in told.items() if value}

    def follows(self, before: Unit) -> bool:
        """Whether the chain goes on from `before` without a hole or a break."""
        return self.first_seq == before.last_seq + 1 and self.prev == before.sha256


def folder_of(source: SourceId) -> str:
    """Where the segments of a source stand in its vault."""
    return f"log/{source.kind}.{source.name}/"


def segment_name(source: SourceId, seq: int) -> str:
    return f"{folder_of(source)}{seq:012d}.zst"


def segment_seq(source: SourceId, name: str) -> int | None:
    """The number in a segment's name; None for anything else."""
    match = _SEGMENT.fullmatch(name.removeprefix(folder_of(source)))
    return int(match[1]) if match else None


def unit_of(stored: ObjectInfo) -> Unit | None:
    """From the metadata; None where there is none that can be read (then the object has to be)."""
    told = stored.metadata
    if told.get("dr-format") != "1":
        return None
    try:
        return Unit(
            stored=stored,
            first_seq=int(told["dr-first-seq"]),
            last_seq=int(told["dr-seq"]),
            prev=told.get("dr-prev", ""),
            first_sha256=told["dr-first-sha256"],
            sha256=told["dr-sha256"],
            stored_sha256=told.get("dr-stored-sha256", ""),
            start=_instant(told, "dr-start"),
            watermark=_instant(told, "dr-watermark"),
            first=_instant(told, "dr-first"),
            last=_instant(told, "dr-last"),
            entries=int(told["dr-entries"]),
        )
    except (KeyError, ValueError):
        return None


def unit_from(stored: ObjectInfo, head: SegmentHead, stored_sha256: str = "") -> Unit:
    """From a segment itself."""
    return Unit(
        stored=stored,
        first_seq=head.seq,
        last_seq=head.seq,
        prev=head.prev,
        first_sha256=head.sha256,
        sha256=head.sha256,
        stored_sha256=stored_sha256,
        start=head.watermark,
        watermark=head.watermark,
        first=head.first,
        last=head.last,
        entries=head.entries,
    )


def merged(before: Unit, after: Unit) -> Unit:
    """Both as one; `after` follows `before`. Stored nowhere."""
    return replace(
        before,
        stored_sha256="",
        last_seq=after.last_seq,
        sha256=after.sha256,
        start=before.start or after.start,
        watermark=after.watermark or before.watermark,
        first=min(filter(None, (before.first, after.first)), default=None),
        last=max(filter(None, (before.last, after.last)), default=None),
        entries=before.entries + after.entries,
    )


def details_of(unit: Unit) -> Json:
    """What the manifest of a pack tells of it."""
    return {
        "first_seq": unit.first_seq,
        "last_seq": unit.last_seq,
        "prev": unit.prev,
        "first_sha256": unit.first_sha256,
        "last_sha256": unit.sha256,
        "start": _text(unit.start) or None,
        "end": _text(unit.watermark) or None,
        "first": _text(unit.first) or None,
        "last": _text(unit.last) or None,
        "entries": unit.entries,
    }


def of_details(details: Json, stored: ObjectInfo) -> Unit:
    """Inverse of `details_of`. Raises KeyError, ValueError for what it did not write."""
    return Unit(
        stored=stored,
        first_seq=int(str(details["first_seq"])),
        last_seq=int(str(details["last_seq"])),
        prev=str(details["prev"]),
        first_sha256=str(details["first_sha256"]),
        sha256=str(details["last_sha256"]),
        stored_sha256="",
        start=_optional(details["start"]),
        watermark=_optional(details["end"]),
        first=_optional(details["first"]),
        last=_optional(details["last"]),
        entries=int(str(details["entries"])),
    )


def runs(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    """Split where a number is missing or the chain breaks."""
    run: list[Unit] = []
    for unit in units:
        if run and not unit.follows(run[-1]):
            yield run
            run = []
        run.append(unit)
    if run:
        yield run


def intervals(units: Iterable[Unit]) -> tuple[tuple[datetime, datetime], ...]:
    """What the units cover: from the first watermark of an unbroken run of them to its last."""
    found: list[tuple[datetime, datetime]] = []
    before: Unit | None = None
    for unit in units:
        start, end = unit.start or unit.watermark, unit.watermark
        if start and end:
            if before and found and unit.follows(before) and before.watermark:
                found[-1] = (found[-1][0], end)
            else:
                found.append((start, end))
        before = unit
    return tuple(found)


def _text(value: datetime | None) -> str:
    return format_instant(value) if value else ""


def _instant(told: Mapping[str, str], name: str) -> datetime | None:
    return parse_instant(told[name]) if name in told else None


def _optional(value: object) -> datetime | None:
    return parse_instant(str(value)) if value is not None else None
