"""A pack of a config log: the changes, and beside them the state that they begin with, so that a pack needs no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from dr.changelog import LogReader
from dr.changelog.inspecting import BAD, Tee, inspect_changes
from dr.changelog.packs import CHOOSE, WRITE, Packing, changes_role
from dr.components.config.access import PACK
from dr.components.config.reading import WHOLE, base_of, parsed_base, state_before, written_base
from dr.components.config.state import State
from dr.errors import NOT_FOUND, DrError
from dr.model.ids import Slot, SourceId
from dr.model.points import Artefact, Check
from dr.model.timeline import parse_instant
from dr.ports import Draft, Inspection, Json, ObjectStore, Step, StepContext
from dr.vendors.kubernetes_objects import number, sequence, text

BASE_STEP = "base"
BASE_ROLE = f"{PACK}/base"
OBJECTS = "objects"
"""Count: objects of the base."""


@dataclass(frozen=True, slots=True)
class ConfigPacking:
    """The steps behind the catch-up, and the draft of them."""

    source: SourceId

    @property
    def _packing(self) -> Packing:
        return Packing(self.source, PACK)

    def steps(self, slot: Slot, vault: ObjectStore) -> Sequence[Step]:
        return (*self._packing.steps(slot, vault), Step(BASE_STEP, partial(self._base, vault)))

    def _base(self, vault: ObjectStore, context: StepContext) -> Json:
        first = number(context.outcome(CHOOSE), "first_seq")
        state = state_before(LogReader(vault, self.source), first)
        name = base_of(text(context.outcome(WRITE), "name"))
        stored = vault.stat(name)
        if stored is None:
            told = {"dr-format": "1", WHOLE: "yes" if state.whole else "no"}
            stored = vault.put_stream(name, written_base(self.source, state), metadata=told).info
        return {
            "name": name,
            "size": stored.size,
            "crc32c": stored.crc32c,
            "generation": stored.generation,
            "objects": len(state.objects),
            "records": sum(1 for _ in state.entries()),
            "namespaces": list(state.namespaces()),
        }

    def draft(self, outcomes: Mapping[str, Json]) -> Draft:
        changes, base = self._packing.draft(outcomes), outcomes[BASE_STEP]
        artefact = Artefact(
            name=text(base, "name"),
            role=BASE_ROLE,
            size=number(base, "size"),
            crc32c=text(base, "crc32c"),
            sha256="",
            generation=number(base, "generation"),
            records=number(base, "records"),
        )
        return replace(
            changes,
            as_of=newest(changes),
            artefacts=(*changes.artefacts, artefact),
            counts={**changes.counts, OBJECTS: number(base, "objects")},
            details={**changes.details, "source": str(self.source), "namespaces": list(sequence(base, "namespaces"))},
        )


def newest(changes: Draft) -> datetime:
    """The instant of a pack's data. Entries are taken as they come, also those after the watermark, as the log's coverage has it."""
    last = changes.details.get("last")
    return max(changes.as_of, parse_instant(last)) if isinstance(last, str) else changes.as_of


@dataclass(frozen=True, slots=True)
class ConfigPackInspector:
    """`ports.Inspector`: both artefacts read back whole."""

    method: str = PACK

    def inspect(self, vault: ObjectStore, artefacts: Sequence[Artefact], details: Json) -> Inspection:
        found: list[Artefact] = []
        counts: dict[str, int] = {}
        checks: list[Check] = []
        for artefact in artefacts:
            if artefact.role == changes_role(self.method):
                changes = inspect_changes(vault, artefact, details)
                found += [changes.artefact] if changes.artefact else []
                counts |= changes.counts
                checks += changes.checks
            elif artefact.role == BASE_ROLE:
                self._base(vault, artefact, details, found, counts, checks)
        return Inspection(tuple(found), counts, tuple(checks))

    def _base(
        self,
        vault: ObjectStore,
        artefact: Artefact,
        details: Json,
        found: list[Artefact],
        counts: dict[str, int],
        checks: list[Check],
    ) -> None:
        try:
            read, state = _read_base(vault, artefact, SourceId.parse(text(details, "source")))
        except DrError as error:
            if error.kind not in BAD:
                raise
            checks.append(Check(artefact.name, False, error.message))
            return
        found.append(read)
        counts[OBJECTS] = len(state.objects)
        checks.append(Check("state at the start", True, f"{len(state.objects)} objects, every entry decoded"))


def _read_base(vault: ObjectStore, artefact: Artefact, source: SourceId) -> tuple[Artefact, State]:
    where = f"{vault.url}/{artefact.name}"
    stored = vault.stat(artefact.name)
    if stored is None:
        raise DrError(NOT_FOUND, f"{where} does not exist")
    tee = Tee()
    state = parsed_base(tee.passing(vault.stream(artefact.name)), where, source)
    records = sum(1 for _ in state.entries())
    read = Artefact(artefact.name, BASE_ROLE, tee.size, tee.crc32c, tee.sha256, stored.generation, records)
    return read, state
