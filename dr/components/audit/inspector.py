"""Reads an audit pack back from the vault: every byte, link, entry and quarantined message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dr.changelog.inspecting import BAD, Tee, inspect_changes
from dr.changelog.packs import changes_role
from dr.components.audit.access import PACK, QUARANTINED
from dr.components.audit.entry import quarantined
from dr.errors import NOT_FOUND, DrError
from dr.model.points import Artefact, Check
from dr.ports import Inspection, Json, ObjectStore


class AuditPackInspector:
    """`ports.Inspector` of the method `audit-pack`."""

    method = PACK

    def inspect(self, vault: ObjectStore, artefacts: Sequence[Artefact], details: Json) -> Inspection:
        """Raises DrError only for what says nothing about the pack (UNREACHABLE, NOT_AUTHORISED...)."""
        return _Reading(vault).inspection(artefacts, details)


@dataclass
class _Reading:
    """One inspection under way."""

    vault: ObjectStore
    promised: dict[str, str] = field(default_factory=dict)
    """What the log says of quarantined messages: object -> SHA-256."""

    def inspection(self, artefacts: Sequence[Artefact], details: Json) -> Inspection:
        found: list[Artefact] = []
        checks: list[Check] = []
        counts: dict[str, int] = {}
        for artefact in artefacts:
            if artefact.role == changes_role(PACK):
                changes = inspect_changes(self.vault, artefact, details, self._note)
                found += [changes.artefact] if changes.artefact else []
                checks += changes.checks
                counts |= changes.counts
        others = [one for one in artefacts if one.role != changes_role(PACK)]
        for artefact in others:
            self._one(artefact, found, checks)
        checks += self._missing(others)
        return Inspection(tuple(found), {**counts, QUARANTINED: len(self.promised)}, tuple(checks))

    def _note(self, where: str, line: bytes) -> None:
        if told := quarantined(where, line):
            self.promised[str(told["object"])] = str(told["sha256"])

    def _one(self, artefact: Artefact, found: list[Artefact], checks: list[Check]) -> None:
        try:
            read = self._read(artefact)
        except DrError as error:
            if error.kind not in BAD:
                raise
            checks.append(Check(artefact.name, False, error.message))
            return
        found.append(read)
        if self.promised.get(artefact.name) != read.sha256:
            checks.append(Check(artefact.name, False, "it is not what the log says that was quarantined"))

    def _read(self, artefact: Artefact) -> Artefact:
        stored = self.vault.stat(artefact.name)
        if stored is None:
            raise DrError(NOT_FOUND, f"{self.vault.url}/{artefact.name} does not exist")
        tee = Tee()
        for _ in tee.passing(self.vault.stream(artefact.name)):
            pass
        return Artefact(artefact.name, artefact.role, tee.size, tee.crc32c, tee.sha256, stored.generation)

    def _missing(self, artefacts: Sequence[Artefact]) -> list[Check]:
        names = {artefact.name for artefact in artefacts}
        return [
            Check(name, False, "the log says that it was quarantined, and the point does not hold it")
            for name in sorted(set(self.promised) - names)
        ]
