"""Brings the audit log back as of an instant, from the vault alone, as an archive that any tool can read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

from dr.changelog import LogReader
from dr.changelog.entries import read_entry
from dr.changelog.units import Unit
from dr.components.audit.archive import INDEX, ArchiveWriter, files_of, read_file, read_index
from dr.components.audit.entry import fingerprint, key_of
from dr.errors import DAMAGED, INSTANT_UNREACHABLE, NOT_FOUND, TARGET_EXISTS, DrError
from dr.model.graph import StepKind
from dr.model.ids import SourceId
from dr.model.plans import PlannedRestore, Target
from dr.model.points import Check, Coverage, PointManifest
from dr.model.review import ABSENT, Review
from dr.model.strategy import FailureDomain, SourceSpec
from dr.model.timeline import compact_instant, format_instant, parse_instant
from dr.ports import Json, ObjectInfo, ObjectStore, RestoredItem, RestoreWork, Step, StepContext

ARCHIVE = "archive"
"""Key of the archive's place in `Target.names`."""
BUILD = "build"
_BAD = (DAMAGED, NOT_FOUND)
OpenStore = Callable[[str], ObjectStore]


@dataclass(frozen=True, slots=True)
class AuditRestorer:
    """`ports.Restorer` of the methods `audit-log` and `audit-pack`. The target is a new folder: `folder` of this machine
    unless the plan names another place. Nothing that exists is ever written."""

    method: str
    open_store: OpenStore
    folder: Path

    def outline(
        self,
        spec: SourceSpec,
        origin: PointManifest | Coverage,
        requested: datetime,
        domain: FailureDomain,
        target: Target,
    ) -> PlannedRestore:
        """Raises DrError TARGET_EXISTS when something stands at the target."""
        until, last_seq = _bounds(origin, requested)
        named = self._named(spec.id, target, requested)
        where = named.names[ARCHIVE]
        if held(self.open_store(where)):
            raise DrError(TARGET_EXISTS, f"{where} is not empty; a restore goes into a new place")
        size = origin.size if isinstance(origin, PointManifest) else _number(origin.details, "size")
        return PlannedRestore(
            source=spec.id,
            domain=domain,
            method=self.method,
            point=None,
            instant=requested,
            target=named,
            size=size,
            predicted=None,
            cost_usd=0.0,
            creates=(f"an archive of the log until {format_instant(until)} in {where}",),
            reasons=("read from the vault alone: no subscription, topic or cache is asked",),
            details={"until": format_instant(until), "last_seq": last_seq, **_since(origin)},
        )

    def _named(self, source: SourceId, target: Target, instant: datetime) -> Target:
        """Isolated: under the drill's own prefix."""
        own = f"{target.prefix}{source.name}-{compact_instant(instant)}"
        where = target.names.get(ARCHIVE) or f"file://{self.folder.absolute() / own}"
        return replace(target, names={**target.names, ARCHIVE: where})

    def steps(self, work: RestoreWork) -> Sequence[Step]:
        size = work.item.size
        return (
            Step(BUILD, partial(self._build, work), kind=StepKind.COPY, size=size),
            Step("read-back", partial(self._read_back, work), kind=StepKind.CHECK, size=size),
        )

    def _build(self, work: RestoreWork, context: StepContext) -> Json:
        """Every object is verified as it is read; the log must be whole from its first segment to the last one wanted."""
        reader, until = LogReader(work.vault, work.item.source), parse_instant(str(work.item.details["until"]))
        span = _Span(reader, until, work.item.details["last_seq"])
        writer = ArchiveWriter(self._target(work))
        for unit, (_, body) in reader.read_all(span.units()):
            for line in body:
                entry = read_entry(line, unit.name)
                if entry.at <= until:
                    writer.add(entry)
            context.progress(writer.entries, None, "entries")
        if not span.seen:
            raise DrError(
                INSTANT_UNREACHABLE, f"the log of {work.item.source} holds nothing until {format_instant(until)}"
            )
        about = {"source": str(work.item.source), "until": format_instant(until), "segments": span.told()}
        index = writer.finish(about)
        return {
            "archive": work.item.target.names[ARCHIVE],
            "entries": index["entries"],
            "quarantined": index["quarantined"],
            "segments": span.told(),
            "broken": span.broken,
        }

    def _read_back(self, work: RestoreWork, context: StepContext) -> Json:
        """The archive can be read and holds what was written."""
        store = self._target(work)
        index = read_index(store)
        count = 0
        for file in files_of(index):
            count += sum(1 for _ in read_file(store, file))
            context.progress(count, None, "entries")
        return {"lines": count}

    def _target(self, work: RestoreWork) -> ObjectStore:
        return self.open_store(work.item.target.names[ARCHIVE])

    def review(self, work: RestoreWork) -> Review:
        where = work.item.target.names[ARCHIVE]
        stands = held(self._target(work))
        return Review(creates={"archive": 1}, world={where: f"{len(stands)} objects" if stands else ABSENT})

    # --- after the restore

    def contents(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> Iterator[RestoredItem]:
        """Each entry under what identifies it, with the hash of its canonical content."""
        store = self._target(work)
        for file in files_of(read_index(store)):
            if not file.quarantine:
                for body in read_file(store, file):
                    yield RestoredItem(key_of(body), fingerprint(body))

    def checks(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        """Counts of archive and log, and whether the log was whole."""
        built, back = outcomes[BUILD], outcomes["read-back"]
        wanted = int(str(built["entries"])) + int(str(built["quarantined"]))
        broken = built["broken"]
        return (
            Check("entries read back", back["lines"] == wanted, f"{back['lines']} of {wanted}"),
            Check("chain of segments", not broken, str(broken or f"{built['segments']} without a hole")),
            self._quarantine(work, built),
        )

    def _quarantine(self, work: RestoreWork, built: Json) -> Check:
        """Each quarantined message is still in the vault as the log describes it."""
        store, missing, count = self._target(work), list[str](), 0
        for file in files_of(read_index(store)):
            for told in read_file(store, file) if file.quarantine else ():
                count += 1
                if not _kept(work.vault, told):
                    missing.append(str(told["object"]))
        words = f"missing or different: {', '.join(missing[:3])}" if missing else f"{count} kept in the vault"
        return Check("quarantined messages", not missing and count == built["quarantined"], words)

    def teardown(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        """Of an isolated restore: everything in its place, which was empty when it was planned."""
        where, store = work.item.target.names[ARCHIVE], self._target(work)
        title = f"archive {where}"
        if not work.item.target.isolated:
            return (Check(title, True, "kept: it was made by a real restore"),)
        if not work.item.target.prefix or work.item.target.prefix not in where:
            return (Check(title, False, f"left alone: its name does not carry {work.item.target.prefix!r}"),)
        for info in _listed(store):
            if info.name == INDEX or info.name.endswith(".jsonl.zst"):
                store.delete(info.name, generation=info.generation)
        left = held(store)
        return (Check(title, not left, f"left: {', '.join(left[:3])}" if left else "deleted, and gone"),)


class _Span:
    """The units to read, in order, and what was noticed on the way."""

    def __init__(self, reader: LogReader, until: datetime, last_seq: object) -> None:
        self._reader, self._until = reader, until
        self._last_seq = int(str(last_seq)) if last_seq is not None else None
        self.first: int | None = None
        self.last = 0
        self.broken = ""

    @property
    def seen(self) -> bool:
        return self.first is not None

    def told(self) -> str:
        return f"segments {self.first} to {self.last}"

    def units(self) -> Iterator[Unit]:
        """A hole is no reason to withhold the rest; it is said."""
        before: Unit | None = None
        for unit in self._reader.units():
            if self._last_seq is not None and unit.first_seq > self._last_seq:
                return
            if before and not unit.follows(before) and not self.broken:
                self.broken = self._reader.break_between(before, unit).message
            before = unit
            self.first = self.first or unit.first_seq
            self.last = unit.last_seq
            if unit.first is not None and unit.first <= self._until:
                yield unit


def _bounds(origin: PointManifest | Coverage, requested: datetime) -> tuple[datetime, int | None]:
    """Until when entries are wanted, and the last segment; at the end of what is there, all that arrived is wanted."""
    if isinstance(origin, PointManifest):
        last = origin.details.get("last")
        latest = parse_instant(last) if isinstance(last, str) else requested
        return max(requested, latest), int(str(origin.details["last_seq"]))
    arrived = origin.details.get("arrived")
    if requested >= origin.end and isinstance(arrived, str):
        return max(requested, parse_instant(arrived)), _number(origin.details, "last_seq") or None
    return requested, None


def _since(origin: PointManifest | Coverage) -> Json:
    """From when on the log is known to be whole: a witness asks for nothing older."""
    start = origin.details.get("start") if isinstance(origin, PointManifest) else format_instant(origin.start)
    return {"since": start} if isinstance(start, str) else {}


def _number(details: Json, name: str) -> int:
    value = details.get(name)
    return value if isinstance(value, int) else 0


def _kept(vault: ObjectStore, told: Mapping[str, object]) -> bool:
    try:
        return sha256(vault.get(str(told["object"]))).hexdigest() == told["sha256"]
    except DrError as error:
        if error.kind not in _BAD:
            raise
        return False


def _listed(store: ObjectStore) -> list[ObjectInfo]:
    """A folder that does not exist holds nothing."""
    try:
        return list(store.list())
    except DrError as error:
        if error.kind is not NOT_FOUND:
            raise
        return []


def held(store: ObjectStore) -> list[str]:
    """Names of what stands there."""
    return [info.name for info in _listed(store)]
