"""The state that a restore of now reads, opened to be changed: the newest pack's base, its changes, and what came after."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from dr.changelog import Entry
from dr.changelog.mutating import Line, Log, with_artefact
from dr.components.config.reading import base_of, read_base, written_base
from dr.components.config.state import PUT, ObjectKey, State
from dr.components.planting import Subject, Unsuitable
from dr.components.planting_objects import Body
from dr.model.mutations import Edit
from dr.model.timeline import parse_instant

MOMENTS = timedelta(seconds=2)


@dataclass
class Opened:
    """Log and base, to be changed and written anew."""

    subject: Subject
    log: Log
    base: State | None
    lines: list[Line]
    """Of the base."""
    end: datetime
    """The instant that a restore of now reaches: of the last entry, or up to where the log says that nothing is missing."""

    @classmethod
    def of(cls, subject: Subject) -> Opened:
        log = Log.read(subject.vault, subject.spec.id)
        pack = log.last_pack
        base = read_base(subject.vault, base_of(pack.name), subject.spec.id) if pack else None
        entries = base.entries() if base else ()
        lines: list[Line] = [{"at": one.at, "key": one.key, "data": copy.deepcopy(dict(one.data))} for one in entries]
        marks = [segment.head.watermark for segment in log.segments if segment.head.watermark]
        instants = [_instant(line["at"]) for segment in log.segments for line in segment.lines]
        return cls(subject, log, base, lines, max([*marks, *instants], default=subject.now))

    def puts(self, kind: str) -> dict[ObjectKey, Body]:
        """The newest put of each object of a kind that lives and can be dated: its data, to be changed where it stands."""
        found: dict[ObjectKey, Line] = {}
        for line in self._lines():
            key = ObjectKey.parse(str(line["key"]))
            if key.kind == kind and self.datable(line):
                found[key] = line
            elif key.kind == kind:
                found.pop(key, None)
        if not found:
            raise Unsuitable(f"the log holds no {kind}, or none but those that have just changed")
        return {key: cast(Body, line["data"]) for key, line in found.items()}

    def datable(self, line: Line) -> bool:
        """Whether it puts an object, before the last moments of the log. An object tells the second of its change only: of one
        that changed in the last, nobody can say whether the log lies or was not handed it yet."""
        return cast(Body, line["data"])["op"] == PUT and _instant(line["at"]) <= self.end - MOMENTS

    def _lines(self) -> list[Line]:
        return [*self.lines, *(line for one in self.log.since(self.log.last_pack) for line in one.lines)]

    def drop(self, fits: Callable[[ObjectKey], bool]) -> None:
        """Every entry of those objects, in base and changes."""

        def kept(line: Line) -> bool:
            return not fits(ObjectKey.parse(str(line["key"])))

        self.lines[:] = [line for line in self.lines if kept(line)]
        for segment in self.log.segments:
            segment.lines[:] = [line for line in segment.lines if kept(line)]

    def edit(self, hit: Sequence[str]) -> Edit:
        """Chain, base and manifests anew."""
        forged, pack = self.log.forged(hit), self.log.last_pack
        if pack is None or self.base is None:
            return forged
        state = State(last=self.base.last, whole=self.base.whole)
        for line in self.lines:
            _take(state, line)
        name = base_of(pack.name)
        data = b"".join(written_base(self.subject.spec.id, state))
        if data == self.subject.vault.get(name):
            return forged
        return with_artefact(forged, self.subject.vault, pack, name, data)


def _instant(at: object) -> datetime:
    """Of a base it is one, of a segment its text."""
    return at if isinstance(at, datetime) else parse_instant(str(at))


def _take(state: State, line: Line) -> None:
    last = state.last
    state.take(Entry(cast(Any, line["at"]), str(line["key"]), cast(Body, line["data"])))
    state.last = last
