"""Reads the changes of a pack back: every byte, every link, every entry."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import google_crc32c

from dr.changelog.entries import SegmentHead, damaged, read_entry, read_segments
from dr.changelog.frames import decompressing, lines
from dr.changelog.packs import ENTRIES, NOWHERE, SEGMENTS
from dr.changelog.units import Unit, details_of, merged, unit_from
from dr.errors import DAMAGED, NEWER_FORMAT, NOT_FOUND, DrError
from dr.model.points import Artefact, Check
from dr.ports import Json, ObjectInfo, ObjectStore

BAD = (DAMAGED, NEWER_FORMAT, NOT_FOUND)
"""What says something about the object; other errors say something about the way to it."""
CHAIN = "chain of segments"


@dataclass(frozen=True, slots=True)
class Changes:
    """What a fresh reader found. `artefact` None: it could not be read, and a failed check says why."""

    artefact: Artefact | None
    counts: Mapping[str, int]
    checks: tuple[Check, ...]


def inspect_changes(
    vault: ObjectStore, artefact: Artefact, details: Json, each: Callable[[str, bytes], None] | None = None
) -> Changes:
    """Hash every byte, compute every segment's hash and link anew, decode and count every entry (`each` gets its object and
    line), and compare with the pack's details. Raises DrError only for what says nothing about the pack (UNREACHABLE...)."""
    try:
        return _inspected(vault, artefact, details, each)
    except DrError as error:
        if error.kind not in BAD:
            raise
        return Changes(None, {}, (Check(artefact.name, False, error.message),))


def _inspected(
    vault: ObjectStore, artefact: Artefact, details: Json, each: Callable[[str, bytes], None] | None
) -> Changes:
    where = f"{vault.url}/{artefact.name}"
    stored = vault.stat(artefact.name)
    if stored is None:
        raise DrError(NOT_FOUND, f"{where} does not exist")
    tee = Tee()
    whole, count = _read(lines(decompressing(tee.passing(vault.stream(artefact.name)), where)), where, each)
    read = Artefact(artefact.name, artefact.role, tee.size, tee.crc32c, tee.sha256, stored.generation, whole.entries)
    checks = (_against(whole, details), _metadata(whole, stored))
    return Changes(read, {ENTRIES: whole.entries, SEGMENTS: count}, checks)


def _read(text: Iterator[bytes], where: str, each: Callable[[str, bytes], None] | None) -> tuple[Unit, int]:
    whole: Unit | None = None
    count = 0
    for head, body in read_segments(text, where):
        whole = _linked(whole, head, where)
        count += 1
        for line in body:
            read_entry(line, where)
            if each:
                each(where, line)
    if whole is None:
        raise damaged(where, "it holds no segment")
    return whole, count


def _linked(before: Unit | None, head: SegmentHead, where: str) -> Unit:
    unit = unit_from(NOWHERE, head)
    if before is None:
        return unit
    if not unit.follows(before):
        raise damaged(where, f"segment {head.seq} does not continue segment {before.last_seq}")
    return merged(before, unit)


def _against(found: Unit, details: Json) -> Check:
    """What was read against what the manifest pins."""
    wanted = details_of(found)
    differences = [
        f"{name} is {value}, promised {details.get(name)}"
        for name, value in wanted.items()
        if details.get(name) != value
    ]
    good = f"segments {found.first_seq} to {found.last_seq}, each hash and link computed anew"
    return Check(CHAIN, not differences, "; ".join(differences) or good)


def _metadata(found: Unit, stored: ObjectInfo) -> Check:
    """What a listing tells of it."""
    told, true = stored.metadata, found.metadata()
    wrong = [name for name, value in true.items() if told.get(name, value) != value]
    return Check("what a listing tells", not wrong, f"wrong: {', '.join(wrong)}" if wrong else "as it was read")


class Tee:
    """Passes chunks on, hashed and counted."""

    def __init__(self) -> None:
        self.size = 0
        self._sha: Any = sha256()
        self._crc: Any = google_crc32c.Checksum()

    def passing(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.size += len(chunk)
            self._sha.update(chunk)
            self._crc.update(chunk)
            yield chunk

    @property
    def sha256(self) -> str:
        return str(self._sha.hexdigest())

    @property
    def crc32c(self) -> str:
        return base64.b64encode(self._crc.digest()).decode()
