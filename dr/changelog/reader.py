"""Reads a change log from its vault alone, packs first, then the segments after them, and believes nothing unverified."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import islice, pairwise

from dr.changelog.entries import Entry, Head, SegmentHead, damaged, read_entry, read_segments
from dr.changelog.frames import decompressing, lines
from dr.changelog.packed import committed_packs
from dr.changelog.units import Unit, folder_of, intervals, runs, segment_name, segment_seq, unit_from, unit_of
from dr.errors import DAMAGED, NEWER_FORMAT, NOT_FOUND, DrError
from dr.model.ids import SourceId
from dr.model.points import Check
from dr.model.timeline import format_instant
from dr.ports import ObjectInfo, ObjectStore

AHEAD = 16
"""Segments fetched at the same time; they are given in order."""
_BAD = (DAMAGED, NOT_FOUND, NEWER_FORMAT)
Segment = tuple[SegmentHead, list[bytes]]


@dataclass(frozen=True, slots=True)
class LogReader:
    """The log of one source. Each call looks anew."""

    vault: ObjectStore
    source: SourceId

    def head(self) -> Head:
        """Where the log ends, from listings. Raises DrError."""
        units = self.units()
        return Head(units[-1].last_seq, units[-1].sha256, units[-1].watermark) if units else Head(0, "", None)

    def coverage(self) -> tuple[tuple[datetime, datetime], ...]:
        """Intervals in which nothing is missing; a hole or a broken link ends one."""
        return intervals(self.units())

    def units(self) -> tuple[Unit, ...]:
        """Packs, and the segments that no pack holds, in order of their numbers."""
        packs = committed_packs(self.vault, self.source)
        found: list[Unit] = []
        after = 0
        for pack in packs:
            if found and pack.first_seq > after + 1:
                found += self.segments(after, pack.first_seq)
            found.append(pack)
            after = pack.last_seq
        return (*found, *self.segments(after))

    def segments(self, after: int, before: int | None = None) -> Iterator[Unit]:
        """Those with a number between, by a listing."""
        start = segment_name(self.source, after) if after else ""
        for info in self.vault.list(folder_of(self.source), start_after=start):
            seq = segment_seq(self.source, info.name)
            if seq is None:
                continue
            if before is not None and seq >= before:
                return
            yield unit_of(info) or self._unit_by_reading(info)

    def _unit_by_reading(self, info: ObjectInfo) -> Unit:
        data = self.vault.get(info.name, generation=info.generation)
        heads = [head for head, _ in read_segments(lines(decompressing([data], info.name)), info.name)]
        if len(heads) != 1:
            raise damaged(info.name, f"it holds {len(heads)} segments, not one")
        return unit_from(info, heads, sha256(data).hexdigest())

    # --- entries

    def entries(self, *, since: datetime | None = None, until: datetime | None = None) -> Iterator[Entry]:
        """In the order of the log, those with `since <= at <= until`. Only what can hold some is read, and every link between is
        checked. Raises DrError DAMAGED naming the object, also for a hole."""
        for where, line in self.entry_lines(since=since, until=until):
            entry = read_entry(line, where)
            if (since is None or entry.at >= since) and (until is None or entry.at <= until):
                yield entry

    def entry_lines(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[tuple[str, bytes]]:
        """(object, line of JSON) of everything in the objects that can hold entries of that time; not filtered further."""
        units = self.units()
        wanted = [index for index, unit in enumerate(units) if _overlaps(unit, since, until)]
        if not wanted:
            return
        span = units[wanted[0] : wanted[-1] + 1]
        self._require_links(span)
        reading = [unit for unit in span if _overlaps(unit, since, until)]
        for unit, segment in self._read_all(reading):
            for line in segment[1]:
                yield unit.name, line

    def _require_links(self, units: Sequence[Unit]) -> None:
        pieces = list(runs(units))
        for before, after in pairwise(pieces):
            raise self.break_between(before[-1], after[0])

    def break_between(self, before: Unit, after: Unit) -> DrError:
        """What is wrong where the chain does not go on."""
        if after.first_seq == before.last_seq + 1:
            return damaged(f"{self.vault.url}/{after.name}", f"it does not continue segment {before.last_seq}")
        if after.first_seq <= before.last_seq:
            return damaged(f"{self.vault.url}/{after.name}", f"it overlaps {before.name}")
        name = segment_name(self.source, before.last_seq + 1)
        return damaged(f"{self.vault.url}/{name}", f"it is missing; {after.name} comes after it")

    # --- reading objects

    def _read_all(self, units: Sequence[Unit]) -> Iterator[tuple[Unit, Segment]]:
        """Segments fetched ahead, packs streamed."""
        with ThreadPoolExecutor(AHEAD, thread_name_prefix="changelog") as pool:
            stream = iter(units)
            while block := list(islice(stream, AHEAD)):
                fetched = {unit.name: pool.submit(self._fetch, unit) for unit in block if not _is_pack(unit)}
                for unit in block:
                    chunks = [fetched[unit.name].result()] if unit.name in fetched else None
                    for segment in self.read_unit(unit, chunks):
                        yield unit, segment

    def _fetch(self, unit: Unit) -> bytes:
        return self.vault.get(unit.name, generation=unit.stored.generation)

    def read_unit(self, unit: Unit, chunks: Iterable[bytes] | None = None) -> Iterator[Segment]:
        """Every segment of one object, hashed, linked, and compared with what the listing told. Raises DrError DAMAGED."""
        where = f"{self.vault.url}/{unit.name}"
        digest = sha256()
        raw = self.vault.stream(unit.name, generation=unit.stored.generation) if chunks is None else chunks
        seq, prev = unit.first_seq - 1, unit.prev
        for head, body in read_segments(lines(decompressing(_hashing(raw, digest.update), where)), where):
            if (head.source, head.seq, head.prev) != (str(self.source), seq + 1, prev):
                raise damaged(where, f"segment {head.seq} of {head.source} stands where {seq + 1} should")
            seq, prev = head.seq, head.sha256
            yield head, body
        if (seq, prev) != (unit.last_seq, unit.sha256):
            raise damaged(where, f"it ends at segment {seq}, or with another hash than its metadata tells")
        if unit.stored_sha256 and digest.hexdigest() != unit.stored_sha256:
            raise damaged(where, "its bytes are not those that were stored")

    # --- verifying

    def verify(self) -> tuple[Check, ...]:
        """Read everything: one check for each pack and each broken thing, one for all sound segments, one for the chain."""
        units = self.units()
        checks: list[Check] = []
        sound: list[Unit] = []
        with ThreadPoolExecutor(AHEAD, thread_name_prefix="changelog") as pool:
            for unit, check in zip(units, pool.map(self._verify_unit, units), strict=True):
                if check.passed and not _is_pack(unit):
                    sound.append(unit)
                else:
                    checks.append(check)
        if sound:
            entries = sum(unit.entries for unit in sound)
            checks.append(Check("segments", True, f"{len(sound)} read, {entries} entries"))
        return (*checks, *self._verify_chain(units))

    def _verify_unit(self, unit: Unit) -> Check:
        try:
            count = 0
            for _, body in self.read_unit(unit):
                for line in body:
                    read_entry(line, f"{self.vault.url}/{unit.name}")
                count += len(body)
            if count != unit.entries:
                raise damaged(f"{self.vault.url}/{unit.name}", f"{count} entries, {unit.entries} were told")
        except DrError as error:
            if error.kind not in _BAD:
                raise
            return Check(unit.name, False, error.message)
        return Check(unit.name, True, f"segments {unit.first_seq} to {unit.last_seq}, {count} entries")

    def _verify_chain(self, units: Sequence[Unit]) -> tuple[Check, ...]:
        pieces = list(runs(units))
        breaks = [
            Check("chain", False, self.break_between(before[-1], after[0]).message)
            for before, after in pairwise(pieces)
        ]
        return tuple(breaks) or (Check("chain", True, _chain_words(units)),)


def _chain_words(units: Sequence[Unit]) -> str:
    if not units:
        return "the log is empty"
    end = units[-1].watermark
    until = f", complete up to {format_instant(end)}" if end else ""
    return f"segments {units[0].first_seq} to {units[-1].last_seq} without a hole{until}"


def _hashing(chunks: Iterable[bytes], update: Callable[[bytes], object]) -> Iterator[bytes]:
    for chunk in chunks:
        update(chunk)
        yield chunk


def _is_pack(unit: Unit) -> bool:
    return not unit.name.startswith("log/")


def _overlaps(unit: Unit, since: datetime | None, until: datetime | None) -> bool:
    if unit.first is None or unit.last is None:
        return False
    return (since is None or unit.last >= since) and (until is None or unit.first <= until)
