"""Faults for copies of an export: documents that are others, while every sum and count fits."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from dr.components.appdata.entity import decode_document
from dr.components.appdata.exportfile import ExportLayout
from dr.components.appdata.leveldb import BLOCK, FIRST, FULL, HEADER_SIZE, LAST, MIDDLE, masked_crc, read_records
from dr.components.appdata.schema import Entity, Overall
from dr.components.planting import CLAIM, Forgery, Subject, Unsuitable, by_role, swapped
from dr.model.mutations import Edit


def parts(subject: Subject) -> Mapping[str, str]:
    """One object of each role."""
    found = {role: one.name for role, one in by_role(subject.point).items()}
    return found | {_OUTPUT: _Export.of(subject).output}


def forgeries(subject: Subject) -> Sequence[Forgery]:
    return (
        Forgery("value-changed", "one field of one document has another value", _changed),
        Forgery("field-dropped", "one field of one document is gone", _field_dropped),
        Forgery("document-missing", "one document is gone, and the export counts one less", _missing),
        Forgery("document-added", "one document more, which nobody wrote, is there and counted", _added),
        Forgery("document-replaced", "one document is there twice and another is not: the counts are right", _replaced),
        Forgery("document-twice", "one document is there twice, and counted twice", _twice),
        Forgery("tenants-swapped", "two documents have each other's fields", _tenants),
        Forgery("other-database", "one document is of another database", _elsewhere),
        Forgery("no-documents", "a whole export of nothing: an empty list that is counted rightly", _emptied),
        Forgery("stale-date", "the manifest says that the data are as new as now", _stale),
        Forgery("points-swapped", "the artefacts are those of the point before", _other_point),
    )


_OUTPUT = "firestore/output"
Payloads = list[bytes]


@dataclass(frozen=True, slots=True)
class _Export:
    """The records of the fullest output of one export."""

    subject: Subject
    layout: ExportLayout
    output: str
    payloads: Payloads

    @classmethod
    def of(cls, subject: Subject) -> _Export:
        layout = ExportLayout.of(one.name for one in subject.point.artefacts)
        read = {name: [body for _, body in read_records(name, [subject.read(name)])] for name in layout.outputs}
        output = max(read, key=lambda name: len(read[name]), default="")
        if not output or len(read[output]) < 2:
            raise Unsuitable("the export holds fewer than two documents")
        return cls(subject, layout, output, read[output])

    def settled(self) -> list[int]:
        """Places of the documents that did not change since. Raises Unsuitable when there are less than two."""
        found = [at for at, body in enumerate(self.payloads) if self.subject.unchanged(_path(body))]
        if len(found) < 2:
            raise Unsuitable("fewer than two documents of the export did not change since")
        return found

    def edit(self, payloads: Payloads, hit: Iterable[str]) -> Edit:
        """This output holds other records, and the export counts them."""
        more = len(payloads) - len(self.payloads)
        files: dict[str, bytes | None] = {self.output: framed(payloads)}
        if more:
            files[self.layout.overall] = self._counting(lambda count: count + more)
        return Edit(files, tuple(hit))

    def _counting(self, change: Callable[[int], int]) -> bytes:
        """The export's own count, of the first listing."""
        name = self.layout.overall
        version, *records = [body for _, body in read_records(name, [self.subject.read(name)])]
        overall = Overall.FromString(records[0])
        overall.pointer[0].entities = change(overall.pointer[0].entities)
        return framed([version, overall.SerializeToString(), *records[1:]])

    def empty(self) -> Edit:
        nothing: dict[str, bytes | None] = dict.fromkeys(self.layout.outputs, framed([]))
        names = [_path(body) for body in self.payloads]
        return Edit({**nothing, self.layout.overall: self._counting(lambda _: 0)}, tuple(names))


def framed(payloads: Iterable[bytes]) -> bytes:
    """LevelDB's log framing of records: the inverse of `read_records`."""
    out = bytearray()
    for payload in payloads:
        rest, begun = payload, False
        while rest or not begun:
            room = BLOCK - len(out) % BLOCK - HEADER_SIZE
            if room < 0:
                out += bytes(room + HEADER_SIZE)
                continue
            part, rest = rest[:room], rest[room:]
            kind = {(False, False): FULL, (False, True): FIRST, (True, True): MIDDLE, (True, False): LAST}[
                begun, bool(rest)
            ]
            data = bytes([kind]) + part
            out += struct.pack("<IH", masked_crc(data), len(part)) + data
            begun = True
    return bytes(out)


def _path(payload: bytes) -> str:
    return decode_document(payload).path


def _edited(
    subject: Subject, rng: Random, change: Callable[[Any, Random], None], fit: Callable[[Any], bool] = bool
) -> Edit:
    """One document of those that fit, changed."""
    export = _Export.of(subject)
    fitting = [at for at in export.settled() if fit(Entity.FromString(export.payloads[at]))]
    if not fitting:
        raise Unsuitable("no document has a field that can be changed so")
    at = rng.choice(fitting)
    entity = Entity.FromString(export.payloads[at])
    change(entity, rng)
    payloads = [*export.payloads]
    payloads[at] = entity.SerializeToString()
    return export.edit(payloads, [_path(export.payloads[at])])


def _fields(entity: Any) -> list[Any]:
    return [*entity.property, *entity.raw_property]


def _plain(field: Any) -> bool:
    """A value that may be any other one of its kind."""
    return not field.meaning and not field.multiple and field.value.WhichOneof("kind") in ("string", "int", "double")


def _changeable(entity: Any) -> bool:
    return any(_plain(field) for field in _fields(entity))


def _changed(subject: Subject, rng: Random) -> Edit:
    def change(entity: Any, rng: Random) -> None:
        value = rng.choice([field for field in _fields(entity) if _plain(field)]).value
        kind = value.WhichOneof("kind")
        # not by adding one: NaN, infinities and large doubles stay what they are, the largest integer has no next
        others = {
            "string": lambda was: was + b"!",
            "int": lambda was: was ^ 1,
            "double": lambda was: 1.0 + (was == 1.0),
        }
        setattr(value, kind, others[kind](getattr(value, kind)))

    return _edited(subject, rng, change, _changeable)


def _field_dropped(subject: Subject, rng: Random) -> Edit:
    def change(entity: Any, rng: Random) -> None:
        fields = entity.property if entity.property else entity.raw_property
        name = fields[0].name
        kept = [field for field in fields if field.name != name]
        del fields[:]
        fields.extend(kept)

    return _edited(subject, rng, change, lambda entity: bool(_fields(entity)))


def _elsewhere(subject: Subject, rng: Random) -> Edit:
    def change(entity: Any, _: Random) -> None:
        entity.key.database = "another"

    return _edited(subject, rng, change)


def _missing(subject: Subject, rng: Random) -> Edit:
    export = _Export.of(subject)
    at = rng.choice(export.settled())
    return export.edit([*export.payloads[:at], *export.payloads[at + 1 :]], [_path(export.payloads[at])])


def _added(subject: Subject, rng: Random) -> Edit:
    export = _Export.of(subject)
    named = [body for body in export.payloads if Entity.FromString(body).key.path.element[-1].HasField("name")]
    if not named:
        raise Unsuitable("no document has a name of its own")
    entity = Entity.FromString(rng.choice(named))
    entity.key.path.element[-1].name += "-nobody-wrote-this"
    added = entity.SerializeToString()
    if not subject.recall(_path(added), subject.point.as_of):
        raise Unsuitable(
            "the database's history reaches back no more to the point: it looks like one that was deleted since"
        )
    return export.edit([*export.payloads, added], [_path(added)])


def _replaced(subject: Subject, rng: Random) -> Edit:
    export = _Export.of(subject)
    one, other = rng.sample(export.settled(), 2)
    payloads = [*export.payloads]
    payloads[other] = payloads[one]
    return export.edit(payloads, [_path(export.payloads[other]), _path(export.payloads[one])])


def _twice(subject: Subject, rng: Random) -> Edit:
    export = _Export.of(subject)
    one = rng.choice(export.payloads)
    return export.edit([*export.payloads, one], [_path(one)])


def _tenants(subject: Subject, rng: Random) -> Edit:
    """Of two tenants, where the export has them."""
    export = _Export.of(subject)
    pairs = _pairs(export.payloads, export.settled())
    if not pairs:
        raise Unsuitable("no two documents of one kind differ")
    first, second = rng.choice(pairs)
    one, other = Entity.FromString(export.payloads[first]), Entity.FromString(export.payloads[second])
    one.key.CopyFrom(Entity.FromString(export.payloads[second]).key)
    other.key.CopyFrom(Entity.FromString(export.payloads[first]).key)
    payloads = [*export.payloads]
    payloads[first], payloads[second] = other.SerializeToString(), one.SerializeToString()
    return export.edit(payloads, [_path(export.payloads[first]), _path(export.payloads[second])])


def _pairs(payloads: Payloads, settled: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbours of one depth and collection that hold different fields, of different parents where there are any."""
    shelves: dict[tuple[int, str], list[int]] = {}
    documents = {at: decode_document(payloads[at]) for at in settled}
    for at, document in documents.items():
        names = document.path.split("/")
        shelves.setdefault((len(names), names[-2]), []).append(at)
    pairs = [(shelf[0], at) for shelf in shelves.values() for at in shelf[1:]]
    different = [(a, b) for a, b in pairs if documents[a].fields != documents[b].fields]
    apart = [(a, b) for a, b in different if _parent(documents[a].path) != _parent(documents[b].path)]
    return apart or different


def _parent(path: str) -> str:
    return path.rpartition("/")[0].rpartition("/")[0]


def _emptied(subject: Subject, rng: Random) -> Edit:
    return _Export.of(subject).empty()


def _stale(subject: Subject, rng: Random) -> Edit:
    return Edit({}, (subject.point.name, *CLAIM), as_of=subject.now)


def _other_point(subject: Subject, rng: Random) -> Edit:
    """Named is whatever differs between both and did not change since: documents, by their paths."""
    files = swapped(subject)
    mine, theirs = _documents(subject, {}), _documents(subject, files)
    differing = {path for path in mine.keys() | theirs.keys() if mine.get(path) != theirs.get(path)}
    differing = {path for path in differing if subject.unchanged(path)}
    if not differing:
        raise Unsuitable("both points hold the same documents, but for those that changed since")
    return Edit(files, (subject.point.name, *sorted(differing)))


def _documents(subject: Subject, files: Mapping[str, bytes | None]) -> dict[str, object]:
    layout = ExportLayout.of(one.name for one in subject.point.artefacts)
    found: dict[str, object] = {}
    for name in layout.outputs:
        for _, body in read_records(name, [files.get(name) or subject.read(name)]):
            document = decode_document(body)
            found[document.path] = document.fields
    return found
