"""Rolls the segments since the last pack into one object, the artefact of an ordinary recovery point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256

from dr.changelog.entries import build_text
from dr.changelog.frames import compressing
from dr.changelog.reader import LogReader, is_pack
from dr.changelog.units import CHANGES, Unit, details_of, merged, of_details
from dr.errors import BACKUP_FAILED, DAMAGED, DrError
from dr.model.ids import Slot, SourceId
from dr.model.points import Artefact
from dr.ports import Draft, Json, ObjectInfo, ObjectStore, Step, StepContext
from dr.record.layout import staging

CHOOSE, WRITE = "choose-segments", "pack"
ENTRIES, SEGMENTS = "entries", "segments"
"""Names of counts."""
NOWHERE = ObjectInfo("", 0, "", 0, datetime.min.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Packing:
    """The recipe of a pack: `steps` come behind a component's own catch-up, `draft` is made from their outcomes."""

    source: SourceId
    method: str

    def steps(self, slot: Slot, vault: ObjectStore) -> tuple[Step, ...]:
        return (Step(CHOOSE, partial(self._choose, vault)), Step(WRITE, partial(self._write, slot, vault)))

    def _choose(self, vault: ObjectStore, context: StepContext) -> Json:
        """Journalled first, so that a takeover packs the same segments."""
        whole: Unit | None = None
        for unit in LogReader(vault, self.source).units():
            if is_pack(unit):
                whole = None
                continue
            # never over a hole: what is before it stays readable as it is, packs go on behind it
            whole = merged(whole, unit) if whole and unit.follows(whole) else unit
        if whole is None or whole.watermark is None:
            raise DrError(BACKUP_FAILED, f"the log of {self.source} has no segment that is not packed yet")
        return details_of(whole)

    def _write(self, slot: Slot, vault: ObjectStore, context: StepContext) -> Json:
        chosen = of_details(context.outcome(CHOOSE), NOWHERE)
        name = changes_name(slot, context.attempt)
        stored = vault.stat(name)
        if stored is None:
            texts = _texts(LogReader(vault, self.source), chosen, context)
            stored = vault.put_stream(name, compressing(texts), metadata=chosen.metadata()).info
        return {"name": name, "size": stored.size, "crc32c": stored.crc32c, "generation": stored.generation}

    def draft(self, outcomes: Mapping[str, Json]) -> Draft:
        """Of the changes alone; a component adds its own artefacts and counts."""
        chosen, wrote = of_details(outcomes[CHOOSE], NOWHERE), outcomes[WRITE]
        assert chosen.watermark is not None
        artefact = Artefact(
            name=str(wrote["name"]),
            role=changes_role(self.method),
            size=int(str(wrote["size"])),
            crc32c=str(wrote["crc32c"]),
            sha256="",
            generation=int(str(wrote["generation"])),
            records=chosen.entries,
        )
        counts = {ENTRIES: chosen.entries, SEGMENTS: _count(chosen)}
        return Draft(self.method, chosen.watermark, (artefact,), counts, outcomes[CHOOSE])


def changes_name(slot: Slot, attempt: int) -> str:
    """Where an attempt's changes stand in the vault."""
    return f"{staging(slot, attempt)}{CHANGES}"


def changes_role(method: str) -> str:
    return f"{method}/changes"


def _count(unit: Unit) -> int:
    return unit.last_seq - unit.first_seq + 1


def _texts(reader: LogReader, chosen: Unit, context: StepContext) -> Iterator[bytes]:
    """The texts of the segments, verified as they are copied: byte for byte what was hashed when it was written."""
    whole: Unit | None = None
    units = reader.segments(chosen.first_seq - 1, chosen.last_seq + 1)
    for unit, (head, body) in reader.read_all(units):
        whole = merged(whole, unit) if whole and unit.follows(whole) else unit
        text = build_text(head, body)
        if sha256(text).hexdigest() != head.sha256:
            raise DrError(DAMAGED, f"{reader.vault.url}/{unit.name} cannot be copied as it was written")
        context.progress(unit.last_seq - chosen.first_seq + 1, _count(chosen), "segments")
        yield text
    if whole is None or details_of(whole) != details_of(replace(chosen, stored=whole.stored)):
        raise DrError(DAMAGED, f"{reader.vault.url}: the segments to pack are not those that were chosen")
