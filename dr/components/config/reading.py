"""The configuration as it was at an instant, from the vault alone: the newest base before it, and the changes since."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from dr.changelog import Entry, LogReader
from dr.changelog.entries import read_entry, read_segments, refuse_newer
from dr.changelog.frames import compressing, decompressing, lines
from dr.changelog.units import CHANGES, Unit
from dr.components.config.access import LOG
from dr.components.config.state import State, fold
from dr.errors import DAMAGED, INSTANT_UNREACHABLE, DrError
from dr.model.ids import SourceId
from dr.model.points import Coverage
from dr.model.strategy import FailureDomain, SourceSpec
from dr.model.timeline import format_instant, parse_instant
from dr.ports import Json, ObjectStore
from dr.vendors.kubernetes_objects import text

BASE = "base.zst"
"""The state at the start of a pack, beside its `changes.zst`."""
BASE_KIND = "config-base"
_AHEAD = 16


# --- a base


def base_of(changes: str) -> str:
    """Name of the base beside a pack's changes."""
    return changes.removesuffix(CHANGES) + BASE


def written_base(source: SourceId, state: State) -> Iterator[bytes]:
    """A base in chunks: a header line, then one line for each entry."""
    entries = tuple(state.entries())
    last = format_instant(state.last) if state.last else None
    header: Json = {"format": 1, "kind": BASE_KIND, "source": str(source), "entries": len(entries), "last": last}
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
        count, last = int(header["entries"]), header["last"]
        if (header["kind"], header["source"]) != (BASE_KIND, str(source)):
            raise ValueError(f"it is of {header['source']}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DrError(DAMAGED, f"{where} is damaged: it has no header of a base ({error})") from error
    entries = [read_entry(line, where) for line in stream]
    if len(entries) != count:
        raise DrError(DAMAGED, f"{where} is damaged: it has {len(entries)} of {count} entries")
    state = fold(entries)
    state.last = parse_instant(last) if last else None
    return state


# --- a state


def state_at(vault: ObjectStore, source: SourceId, instant: datetime | None = None) -> State:
    """The fold of everything seen until the instant (None: until the end of the log). Raises DrError DAMAGED naming the
    object, INSTANT_UNREACHABLE where the log holds no base to begin from."""
    reader = LogReader(vault, source)
    run = _run_of(list(runs(reader.units())), source, instant)
    if not run:
        return State()
    for index in reversed(range(len(run))):
        if (state := _begun(reader, run, index, instant)) is not None:
            return state
    asked = format_instant(instant) if instant else "its end"
    raise DrError(INSTANT_UNREACHABLE, f"the log of {source} holds no base to restore {asked} from")


def _run_of(pieces: Sequence[list[Unit]], source: SourceId, instant: datetime | None) -> list[Unit]:
    """The unbroken piece of the log that the instant falls into, or the last one before it."""
    if instant is None or not pieces:
        return pieces[-1] if pieces else []
    before = [piece for piece in pieces if (start := _start(piece)) and start <= instant]
    if not before:
        raise DrError(INSTANT_UNREACHABLE, f"the log of {source} begins after {format_instant(instant)}")
    return before[-1]


def _start(units: Iterable[Unit]) -> datetime | None:
    return next((unit.start for unit in units if unit.start), None)


def _begun(reader: LogReader, run: Sequence[Unit], index: int, instant: datetime | None) -> State | None:
    """The state, begun with the base of one unit; None when that cannot be, or is later than the instant."""
    unit = run[index]
    if unit.first_seq == 1:
        return fold(_entries(reader, run[index:], instant))
    if not is_pack(unit) or (instant and unit.start and unit.start > instant):
        return None
    state = read_base(reader.vault, base_of(unit.name), reader.source)
    if instant and state.last and state.last > instant:
        return None
    return fold(_entries(reader, run[index:], instant), state)


def _entries(reader: LogReader, units: Sequence[Unit], instant: datetime | None) -> Iterator[Entry]:
    """Segments are fetched ahead, packs streamed; what is empty is not read at all."""
    where = reader.vault.url
    with ThreadPoolExecutor(_AHEAD, thread_name_prefix="config-log") as pool:
        stream = iter([unit for unit in units if unit.entries and _holds(unit, instant)])
        while block := list(islice(stream, _AHEAD)):
            fetched = [None if is_pack(unit) else pool.submit(_fetched, reader, unit) for unit in block]
            for unit, chunks in zip(block, fetched, strict=True):
                for _, body in reader.read_unit(unit, chunks.result() if chunks else None):
                    found = (read_entry(line, f"{where}/{unit.name}") for line in body)
                    yield from (entry for entry in found if instant is None or entry.at <= instant)


def _holds(unit: Unit, instant: datetime | None) -> bool:
    return instant is None or unit.first is None or unit.first <= instant


def _fetched(reader: LogReader, unit: Unit) -> list[bytes]:
    return [reader.vault.get(unit.name, generation=unit.stored.generation)]


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


def is_pack(unit: Unit) -> bool:
    return unit.name.endswith(f"/{CHANGES}")


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


def covered(units: Iterable[Unit]) -> tuple[Covered, ...]:
    """Each unbroken piece from the first place that a state can be built from. Pure."""
    found = [_covered(piece) for piece in runs(units)]
    return tuple(one for one in found if one)


def _covered(piece: Sequence[Unit]) -> Covered | None:
    index = next((at for at, unit in enumerate(piece) if unit.first_seq == 1 or is_pack(unit)), None)
    if index is None or (start := _start(piece[index:])) is None:
        return None
    # until the last entry of the first listing, only part of what there was had been written down
    if piece[index].first_seq == 1:
        opening = next(unit for unit in piece[index:] if unit.start)
        start = max(start, opening.last or start) if not is_pack(opening) else start
    watermark = piece[-1].watermark or start
    last = max((unit.last for unit in piece if unit.last), default=watermark)
    return Covered(start, max(watermark, last, start), watermark)


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
        for one in covered(units)
    )


def history(vault: ObjectStore, source: SourceId, since: datetime | None, until: datetime | None) -> Iterator[Entry]:
    """Puts and deletes in the order of the log. Raises DrError DAMAGED."""
    for entry in LogReader(vault, source).entries(since=since, until=until):
        if text(entry.data, "op") != "key":
            yield entry
