"""Faults for copies of a change log: entries that are others under a chain that was computed anew, segments that are gone or
change places. Nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256

from dr.changelog.entries import SegmentHead, build_text, dump
from dr.changelog.frames import compress
from dr.changelog.packs import NOWHERE
from dr.changelog.reader import LogReader, is_pack
from dr.changelog.units import Unit, details_of, merged, segment_name, unit_from
from dr.model.ids import Slot, SourceId
from dr.model.mutations import Edit
from dr.model.points import PointManifest
from dr.model.timeline import parse_instant
from dr.ports import ObjectStore
from dr.record.catalogue import find_point, list_points
from dr.record.codec import crc32c, encode
from dr.record.codec import sha256 as hexdigest
from dr.record.summary import metadata_of

Line = dict[str, object]
"""One entry as it stands in the log: `at`, `key`, `data`."""


@dataclass(slots=True)
class Segment:
    """One segment of the log, opened."""

    unit: Unit
    """The object that it is in."""
    head: SegmentHead
    lines: list[Line]
    watermark: datetime | None = None
    """Another one than the head's."""


@dataclass
class Log:
    """A whole log in memory."""

    vault: ObjectStore
    source: SourceId
    segments: list[Segment]
    touched: list[Segment] = field(default_factory=list)

    @classmethod
    def read(cls, vault: ObjectStore, source: SourceId) -> Log:
        """Raises DrError."""
        reader = LogReader(vault, source)
        found = [
            Segment(unit, head, [json.loads(line) for line in body])
            for unit, (head, body) in reader.read_all(reader.units())
        ]
        return cls(vault, source, found)

    @property
    def units(self) -> list[Unit]:
        """Objects, in order."""
        return list({segment.unit.name: segment.unit for segment in self.segments}.values())

    @property
    def last_pack(self) -> Unit | None:
        packs = [unit for unit in self.units if is_pack(unit)]
        return packs[-1] if packs else None

    @property
    def loose(self) -> list[Segment]:
        """Segments behind the last pack."""
        return [segment for segment in self.segments if not is_pack(segment.unit)]

    def since(self, unit: Unit | None) -> list[Segment]:
        """From that object on; None: all."""
        first = unit.first_seq if unit else 0
        return [segment for segment in self.segments if segment.head.seq >= first]

    # --- a log that is another, with a chain that fits

    def forged(self, hit: Sequence[str]) -> Edit:
        """Every segment written anew, each naming the hash of the one before; packs and their manifests follow."""
        copies: dict[str, list[tuple[SegmentHead, bytes]]] = {}
        prev = self.segments[0].head.prev if self.segments else ""
        for segment in self.segments:
            head = _head(segment, prev)
            text = build_text(head, [dump(line) for line in segment.lines])
            prev = sha256(text).hexdigest()
            copies.setdefault(segment.unit.name, []).append((replace(head, sha256=prev), text))
        files: dict[str, bytes | None] = {}
        metadata: dict[str, Mapping[str, str]] = {}
        for unit in self.units:
            self._write(unit, copies[unit.name], files, metadata)
        return Edit(files, tuple(hit), metadata)

    def _write(
        self,
        unit: Unit,
        texts: Sequence[tuple[SegmentHead, bytes]],
        files: dict[str, bytes | None],
        metadata: dict[str, Mapping[str, str]],
    ) -> None:
        """Only what differs from what stands there."""
        whole = unit_from(NOWHERE, texts[0][0])
        for head, _ in texts[1:]:
            whole = merged(whole, unit_from(NOWHERE, head))
        if whole.sha256 == unit.sha256:
            return
        data = compress(b"".join(text for _, text in texts))
        told = replace(whole, stored_sha256=hexdigest(data))
        files[unit.name], metadata[unit.name] = data, told.metadata()
        if is_pack(unit):
            manifest = _packed(find_point(self.vault, manifest_of(unit.name)).manifest, unit.name, data, whole)
            files[manifest.name], metadata[manifest.name] = encode(manifest), metadata_of(manifest)


def _head(segment: Segment, prev: str) -> SegmentHead:
    instants = [parse_instant(str(line["at"])) for line in segment.lines]
    return replace(
        segment.head,
        prev=prev,
        watermark=segment.watermark or segment.head.watermark,
        entries=len(segment.lines),
        first=min(instants, default=None),
        last=max(instants, default=None),
    )


def _packed(manifest: PointManifest, name: str, data: bytes, whole: Unit) -> PointManifest:
    artefacts = tuple(
        replace(one, size=len(data), crc32c=crc32c(data), sha256=hexdigest(data), records=whole.entries)
        if one.name == name
        else one
        for one in manifest.artefacts
    )
    counts = {**manifest.counts, "entries": whole.entries}
    return replace(manifest, artefacts=artefacts, counts=counts, details={**manifest.details, **details_of(whole)})


def with_artefact(edit: Edit, vault: ObjectStore, pack: Unit, name: str, data: bytes) -> Edit:
    """Another artefact of that pack is `data`, and the pack's manifest fits."""
    at = manifest_of(pack.name)
    standing = edit.files.get(at)
    manifest = _decoded(standing, at) if standing else find_point(vault, at).manifest
    artefacts = tuple(
        replace(one, size=len(data), crc32c=crc32c(data), sha256=hexdigest(data)) if one.name == name else one
        for one in manifest.artefacts
    )
    manifest = replace(manifest, artefacts=artefacts)
    return replace(
        edit,
        files={**edit.files, name: data, at: encode(manifest)},
        metadata={**edit.metadata, at: metadata_of(manifest)},
    )


def _decoded(data: bytes, where: str) -> PointManifest:
    from dr.record.codec import decode

    return decode(data, PointManifest, where)


def manifest_of(changes: str) -> str:
    """Name of the manifest of a pack's `data/<slot>/<attempt>/changes.zst`."""
    slot = Slot.parse(changes.split("/")[1])
    return f"points/{slot.due:%Y/%m/%d}/{slot.id}.json"


def newest_manifest(vault: ObjectStore, source: SourceId) -> str:
    """Of the newest pack of a log; empty when there is none."""
    names = [point.name for point in list_points(vault) if point.source == source]
    return names[-1] if names else ""


# --- faults that a chain alone tells


def dropped(log: Log, segment: Segment) -> Edit:
    """One segment is gone; what comes after it is whole."""
    return Edit({segment.unit.name: None}, (segment.unit.name,))


def exchanged(log: Log, one: Segment, other: Segment) -> Edit:
    """Two segments stand under each other's name, with all that a listing tells of them."""
    names = (one.unit.name, other.unit.name)
    files = {names[0]: log.vault.get(names[1]), names[1]: log.vault.get(names[0])}
    metadata = {names[0]: other.unit.stored.metadata, names[1]: one.unit.stored.metadata}
    return Edit(files, names, metadata)


def closed_up(log: Log, gone: Segment, hit: Sequence[str]) -> Edit:
    """One segment is gone, and those after it are numbered and chained anew, as if it had never been."""
    at = next(index for index, segment in enumerate(log.segments) if segment is gone)
    moved = [
        replace(segment, unit=before.unit, head=replace(segment.head, seq=before.head.seq))
        for before, segment in zip(log.segments[at:], log.segments[at + 1 :], strict=False)
    ]
    last = log.segments[-1].unit.name
    edit = Log(log.vault, log.source, [*log.segments[:at], *moved]).forged(hit)
    return replace(edit, files={**edit.files, last: None})


def keys_of(segments: Sequence[Segment], fits: Callable[[Line], bool]) -> Iterator[tuple[Segment, int]]:
    """Places of the entries that fit."""
    for segment in segments:
        yield from ((segment, at) for at, line in enumerate(segment.lines) if fits(line))


def name_of_segment(source: SourceId, seq: int) -> str:
    return segment_name(source, seq)
