"""Reads a change log from its vault alone, packs first, then the segments after them, and believes nothing unverified."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from hashlib import sha256
from itertools import islice

from dr.changelog.entries import Entry, Head, SegmentHead, damaged, read_entry, read_segments
from dr.changelog.frames import decompressing, lines
from dr.changelog.packed import committed_packs
from dr.changelog.units import Unit, folder_of, intervals, segment_name, segment_seq, unit_from, unit_of
from dr.errors import DAMAGED, NEWER_FORMAT, NOT_FOUND, DrError
from dr.model.ids import SourceId
from dr.model.points import Check
from dr.model.timeline import format_instant
from dr.ports import ObjectInfo, ObjectStore

AHEAD = 16
"""Segments fetched at the same time; they are given in order."""
_BAD = (DAMAGED, NOT_FOUND, NEWER_FORMAT)
Segment = tuple[SegmentHead, list[bytes]]
EachLine = Callable[[str, bytes], None]
"""Gets an object's URL and one entry's line."""


@dataclass(frozen=True, slots=True)
class LogReader:
    """The log of one source. Each call looks anew."""

    vault: ObjectStore
    source: SourceId

    def head(self) -> Head:
        """Where the log ends, from listings. Raises DrError."""
        return head_of(self.last())

    def last(self) -> Unit | None:
        """The unit that the log ends with; None when it is empty. Raises DrError."""
        return next(iter(deque(self.units(), maxlen=1)), None)

    def last_after(self, seq: int) -> Unit | None:
        """The last segment behind a known one; None when nothing was added."""
        return next(iter(deque(self.segments(seq), maxlen=1)), None)

    def coverage(self) -> tuple[tuple[datetime, datetime], ...]:
        """Intervals in which nothing is missing; a hole or a broken link ends one."""
        return intervals(self.units())

    def units(self) -> Iterator[Unit]:
        """Packs, and the segments that no pack holds, in order of their numbers; listed on demand, there may be very many."""
        after = 0
        for pack in committed_packs(self.vault, self.source):
            if after and pack.first_seq > after + 1:
                yield from self.segments(after, pack.first_seq)
            yield pack
            after = pack.last_seq
        yield from self.segments(after)

    def segments(self, after: int, before: int | None = None) -> Iterator[Unit]:
        """Those with a number between, by a listing."""
        start = segment_name(self.source, after) if after else ""
        for info in self.vault.list(folder_of(self.source), start_after=start):
            seq = segment_seq(self.source, info.name)
            if seq is None:
                continue
            if before is not None and seq >= before:
                return
            yield self._unit(info, seq)

    def _unit(self, info: ObjectInfo, seq: int) -> Unit:
        """The name says which number it must have. One that tells another, or cannot be read, is found out by who reads it:
        a listing goes on, so that capturing does."""
        try:
            unit = unit_of(info) or self._unit_by_reading(info)
        except DrError as error:
            if error.kind not in _BAD:
                raise
            return Unit(info, seq, seq, "", "", "", "", None, None, None, None, 0)
        return replace(unit, first_seq=seq, last_seq=seq)

    def _unit_by_reading(self, info: ObjectInfo) -> Unit:
        data = self.vault.get(info.name, generation=info.generation)
        heads = [head for head, _ in read_segments(lines(decompressing([data], info.name)), info.name)]
        if len(heads) != 1:
            raise damaged(info.name, f"it holds {len(heads)} segments, not one")
        return unit_from(info, heads[0], sha256(data).hexdigest())

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
        for unit, segment in self.read_all(self._wanted(since, until)):
            for line in segment[1]:
                yield unit.name, line

    def _wanted(self, since: datetime | None, until: datetime | None) -> Iterator[Unit]:
        """Units that can hold entries of that time; from the first to the last of them every link is checked."""
        link: Unit | None = None
        broken: DrError | None = None
        for unit in self.units():
            if link and not unit.follows(link):
                broken = broken or self.break_between(link, unit)
            wanted = _overlaps(unit, since, until)
            if wanted and broken:
                raise broken
            link = unit if wanted or link else None
            if wanted:
                yield unit

    def break_between(self, before: Unit, after: Unit) -> DrError:
        """What is wrong where the chain does not go on."""
        if after.first_seq == before.last_seq + 1:
            return damaged(f"{self.vault.url}/{after.name}", f"it does not continue segment {before.last_seq}")
        if after.first_seq <= before.last_seq:
            return damaged(f"{self.vault.url}/{after.name}", f"it overlaps {before.name}")
        name = segment_name(self.source, before.last_seq + 1)
        return damaged(f"{self.vault.url}/{name}", f"it is missing; {after.name} comes after it")

    # --- reading objects

    def read_all(self, units: Iterable[Unit]) -> Iterator[tuple[Unit, Segment]]:
        """Segments fetched ahead, packs streamed."""
        with ThreadPoolExecutor(AHEAD, thread_name_prefix="changelog") as pool:
            stream = iter(units)
            while block := list(islice(stream, AHEAD)):
                fetched = {unit.name: pool.submit(self._fetch, unit) for unit in block if not is_pack(unit)}
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
        return self.survey().checks()

    def survey(self, *, packs: bool = True, each: EachLine | None = None) -> Survey:
        """Read everything (without `packs`: their links only), and say what is there. `each` is called on several threads."""
        found, look = Survey(self), partial(self.verify_unit, each=each)
        with ThreadPoolExecutor(AHEAD, thread_name_prefix="changelog") as pool:
            stream = iter(self.units())
            while block := list(islice(stream, AHEAD)):
                wanted = [unit for unit in block if packs or not is_pack(unit)]
                checks = {unit.name: check for unit, check in zip(wanted, pool.map(look, wanted), strict=True)}
                for unit in block:
                    found.add(unit, checks.get(unit.name))
        return found

    def verify_unit(self, unit: Unit, each: EachLine | None = None) -> Check:
        """Read one object whole."""
        where = f"{self.vault.url}/{unit.name}"
        try:
            count = 0
            for _, body in self.read_unit(unit):
                for line in body:
                    read_entry(line, where)
                    if each:
                        each(where, line)
                count += len(body)
            if count != unit.entries:
                raise damaged(where, f"{count} entries, {unit.entries} were told")
        except DrError as error:
            if error.kind not in _BAD:
                raise
            return Check(unit.name, False, error.message)
        return Check(unit.name, True, f"segments {unit.first_seq} to {unit.last_seq}, {count} entries")


@dataclass
class Survey:
    """What a log holds, and what is wrong with it."""

    reader: LogReader
    packs: int = 0
    segments: int = 0
    """That no pack holds."""
    entries: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    first: Unit | None = None
    last: Unit | None = None
    _found: list[Check] = field(default_factory=list)
    _breaks: list[Check] = field(default_factory=list)
    _sound: int = 0

    def add(self, unit: Unit, check: Check | None) -> None:
        if self.last and not unit.follows(self.last):
            self._breaks.append(Check("chain", False, self.reader.break_between(self.last, unit).message))
        self.first, self.last = self.first or unit, unit
        self.packs += is_pack(unit)
        self.segments += not is_pack(unit)
        self.entries += unit.entries
        self.oldest = min(filter(None, (self.oldest, unit.first)), default=None)
        self.newest = max(filter(None, (self.newest, unit.last)), default=None)
        self._sound += bool(check and check.passed and not is_pack(unit))
        if check and (is_pack(unit) or not check.passed):
            self._found.append(check)

    def checks(self) -> tuple[Check, ...]:
        """Failed ones name their object."""
        read = [Check("segments", True, f"{self._sound} read")] if self._sound else []
        return (*self._found, *read, *(self._breaks or [Check("chain", True, self._words())]))

    def _words(self) -> str:
        if not self.first or not self.last:
            return "the log is empty"
        end = self.last.watermark
        until = f", complete up to {format_instant(end)}" if end else ""
        return f"segments {self.first.first_seq} to {self.last.last_seq} without a hole{until}"


def head_of(last: Unit | None) -> Head:
    """Where a log ends that ends with this unit."""
    return Head(last.last_seq, last.sha256, last.watermark) if last else Head(0, "", None)


def _hashing(chunks: Iterable[bytes], update: Callable[[bytes], object]) -> Iterator[bytes]:
    for chunk in chunks:
        update(chunk)
        yield chunk


def is_pack(unit: Unit) -> bool:
    return not unit.name.startswith("log/")


def _overlaps(unit: Unit, since: datetime | None, until: datetime | None) -> bool:
    if not unit.sha256:  # nothing is known of it
        return True
    if unit.first is None or unit.last is None:
        return False
    return (since is None or unit.last >= since) and (until is None or unit.first <= until)
