"""The configuration as it was at an instant, from the vault alone: the newest base before it, and the changes since."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.changelog import Entry, LogReader
from dr.changelog.entries import read_entry, read_segments, refuse_newer
from dr.changelog.frames import compressing, decompressing, lines
from dr.changelog.inspecting import CHAIN
from dr.changelog.reader import is_pack
from dr.changelog.units import CHANGES, Unit
from dr.components.config.access import LOG
from dr.components.config.state import DELETE, PUT, State, fold
from dr.errors import DAMAGED, INSTANT_UNREACHABLE, DrError
from dr.model.ids import SourceId
from dr.model.points import Check, Coverage
from dr.model.strategy import FailureDomain, SourceSpec
from dr.model.timeline import format_instant, parse_instant
from dr.ports import Json, ObjectStore
from dr.vendors.kubernetes_objects import text

BASE = "base.zst"
"""The state at the start of a pack, beside its `changes.zst`."""
BASE_KIND = "config-base"
WHOLE = "dr-whole"
"""Metadata of a base: whether it is all that there was."""


# --- a base


def base_of(changes: str) -> str:
    """Name of the base beside a pack's changes."""
    return changes.removesuffix(CHANGES) + BASE


def written_base(source: SourceId, state: State) -> Iterator[bytes]:
    """A base in chunks: a header line, then one line for each entry."""
    entries = tuple(state.entries())
    last = format_instant(state.last) if state.last else None
    header: Json = {
        "format": 1,
        "kind": BASE_KIND,
        "source": str(source),
        "entries": len(entries),
        "last": last,
        "whole": state.whole,
    }
    told = ({"at": format_instant(entry.at), "key": entry.key, "data": entry.data} for entry in entries)
    return compressing(_line(body) for body in (header, *told))


def _line(body: Json) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode() + b"\n"


def read_base(vault: ObjectStore, name: str, source: SourceId, generation: int | None = None) -> State:
    """Raises DrError DAMAGED naming the object, NOT_FOUND, NEWER_FORMAT."""
    where = f"{vault.url}/{name}"
    return parsed_base(vault.stream(name, generation=generation), where, source)


def parsed_base(chunks: Iterable[bytes], where: str, source: SourceId) -> State:
    """Raises DrError DAMAGED, NEWER_FORMAT naming `where`."""
    stream = lines(decompressing(chunks, where))
    try:
        header = json.loads(next(stream, b""))
        refuse_newer(header, where)
        count, last, whole = int(header["entries"]), header["last"], header["whole"] is True
        if (header["kind"], header["source"]) != (BASE_KIND, str(source)):
            raise ValueError(f"it is of {header['source']}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DrError(DAMAGED, f"{where} is damaged: it has no header of a base ({error})") from error
    entries = [read_entry(line, where) for line in stream]
    if len(entries) != count:
        raise DrError(DAMAGED, f"{where} is damaged: it has {len(entries)} of {count} entries")
    state = fold(entries)
    state.last, state.whole = parse_instant(last) if last else None, whole
    return state


# --- a state


def state_at(vault: ObjectStore, source: SourceId, instant: datetime | None = None) -> State:
    """The fold of everything seen until the instant (None: until the end of the log). Raises DrError DAMAGED naming the
    object, INSTANT_UNREACHABLE where the log holds nothing to begin from."""
    reader = LogReader(vault, source)
    pieces = _pieces_for(list(runs(reader.units())), source, instant)
    for piece in reversed(pieces):
        # behind a hole a piece may begin before the one before it ends, and have nothing to begin from
        if (state := _built(reader, piece, instant)).whole:
            return state
    if pieces:
        asked = format_instant(instant) if instant else "its end"
        raise DrError(INSTANT_UNREACHABLE, f"the log of {source} holds no base to restore {asked} from")
    return State(whole=True)


def state_before(reader: LogReader, seq: int) -> State:
    """The state at the end of the segment before `seq`; not whole where that cannot be known."""
    if seq == 1:
        return State(whole=True)
    pieces = list(runs(unit for unit in reader.units() if unit.last_seq < seq))
    if not pieces or pieces[-1][-1].last_seq != seq - 1:
        return State()
    return _built(reader, pieces[-1], None)


def _pieces_for(pieces: Sequence[list[Unit]], source: SourceId, instant: datetime | None) -> Sequence[list[Unit]]:
    """The unbroken pieces of the log that begin until the instant; without one the last."""
    if instant is None or not pieces:
        return pieces[-1:]
    before = [piece for piece in pieces if (start := _start(piece)) and start <= instant]
    if not before:
        raise DrError(INSTANT_UNREACHABLE, f"the log of {source} begins after {format_instant(instant)}")
    return before


def _start(units: Iterable[Unit]) -> datetime | None:
    return next((unit.start for unit in units if unit.start), None)


def _built(reader: LogReader, run: Sequence[Unit], instant: datetime | None) -> State:
    """From the newest base that is not after the instant, else from the first unit of the piece."""
    for index in reversed(range(len(run))):
        if is_pack(run[index]) and (base := _base(reader, run[index], instant)) is not None:
            return fold(_entries(reader, run[index:], instant), base)
    return fold(_entries(reader, run, instant), State(whole=run[0].first_seq == 1))


def _base(reader: LogReader, unit: Unit, instant: datetime | None) -> State | None:
    """None when it is later than the instant, or not whole itself."""
    if instant and unit.start and unit.start > instant:
        return None
    state = read_base(reader.vault, base_of(unit.name), reader.source)
    late = instant is not None and state.last is not None and state.last > instant
    return None if late or not state.whole else state


def _entries(reader: LogReader, units: Sequence[Unit], instant: datetime | None) -> Iterator[Entry]:
    """What is empty is not read at all."""
    for unit, (_, body) in reader.read_all(unit for unit in units if unit.entries and _holds(unit, instant)):
        for line in body:
            entry = read_entry(line, f"{reader.vault.url}/{unit.name}")
            if instant is None or entry.at <= instant:
                yield entry


def _holds(unit: Unit, instant: datetime | None) -> bool:
    return instant is None or unit.first is None or unit.first <= instant


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


def state_of_pack(vault: ObjectStore, source: SourceId, base: str, changes: str, instant: datetime) -> State:
    """From the artefacts of one pack alone. Raises DrError DAMAGED naming the object."""
    where = f"{vault.url}/{changes}"
    found = read_segments(lines(decompressing(vault.stream(changes), where)), where)
    entries = (read_entry(line, where) for _, body in found for line in body)
    return fold((entry for entry in entries if entry.at <= instant), read_base(vault, base, source))


# --- what is covered


@dataclass(frozen=True, slots=True)
class Covered:
    """One interval of a log; `watermark`: nothing is missing up to it, later entries were taken as they came."""

    start: datetime
    end: datetime
    watermark: datetime


def covered(units: Iterable[Unit], based: Callable[[Unit], bool]) -> tuple[Covered, ...]:
    """Each unbroken piece from the first place that a state can be built from; `based` says whether a pack has a whole base."""
    found = [_covered(piece, based) for piece in runs(units)]
    return tuple(one for one in found if one)


def _covered(piece: Sequence[Unit], based: Callable[[Unit], bool]) -> Covered | None:
    firsts = (at for at, unit in enumerate(piece) if unit.first_seq == 1 or (is_pack(unit) and based(unit)))
    if (index := next(firsts, None)) is None or (start := _start(piece[index:])) is None:
        return None
    opening = next(unit for unit in piece[index:] if unit.start)
    if opening.first_seq == 1 and (not is_pack(opening) or opening.last_seq == 1):
        # until the last entry of the first listing, only part of what there was had been written down
        start = max(start, opening.last or start)
    watermark = piece[-1].watermark or start
    last = max((unit.last for unit in piece if unit.last), default=watermark)
    return Covered(start, max(watermark, last, start), watermark)


def cut_short(reader: LogReader, instant: datetime) -> Check:
    """Whether a hole behind the instant is why it is that instant: what was seen later lies there and cannot be used. A hole
    behind which everything was written down anew is healed. Raises DrError."""
    pieces = list(runs(reader.units()))
    usable = [_covered(piece, lambda unit: has_whole_base(reader.vault, unit)) for piece in pieces]
    if len(pieces) < 2 or usable[-1] is not None:
        return Check(CHAIN, True, f"{len(pieces)} unbroken pieces, the last one can be used" if pieces else "empty")
    hole = max((at for at, one in enumerate(usable) if one), default=0)
    end = usable[hole]
    late = end is None or instant >= end.end
    words = reader.break_between(pieces[hole][-1], pieces[hole + 1][0]).message
    return Check(CHAIN, not late, words if late else f"broken behind the instant: {words}")


def has_whole_base(vault: ObjectStore, unit: Unit) -> bool:
    """By the metadata of the pack's base."""
    found = vault.stat(base_of(unit.name))
    return found is not None and found.metadata.get(WHOLE) == "yes"


def coverage(spec: SourceSpec, vault: ObjectStore, survives: tuple[FailureDomain, ...]) -> tuple[Coverage, ...]:
    """For `Kit.coverage`."""
    units = tuple(LogReader(vault, spec.id).units())
    return tuple(
        Coverage(
            source=spec.id,
            method=LOG,
            start=one.start,
            end=one.end,
            granularity=timedelta(0),
            survives=survives,
            details={"watermark": format_instant(one.watermark), "size": sum(unit.stored.size for unit in units)},
        )
        for one in covered(units, lambda unit: has_whole_base(vault, unit))
    )


def history(vault: ObjectStore, source: SourceId, since: datetime | None, until: datetime | None) -> Iterator[Entry]:
    """Puts and deletes in the order of the log. Raises DrError DAMAGED."""
    for entry in LogReader(vault, source).entries(since=since, until=until):
        if text(entry.data, "op") in (PUT, DELETE):
            yield entry
