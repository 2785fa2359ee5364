"""What one restore brings back: the state at its instant, Secrets opened, from a log or from one pack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from dr.changelog.packs import changes_role
from dr.changelog.seal import Sealer
from dr.components.config.access import PACK
from dr.components.config.normal import Plain
from dr.components.config.packing import BASE_ROLE
from dr.components.config.reading import state_at, state_of_pack
from dr.components.config.sealing import opened
from dr.components.config.session import no_key
from dr.components.config.state import ObjectKey, State
from dr.errors import DAMAGED, DrError
from dr.model.ids import SourceId
from dr.model.plans import PlannedRestore
from dr.model.points import PointManifest
from dr.ports import ObjectStore
from dr.vendors.kubernetes_objects import mapping, sequence

Wanted = Mapping[ObjectKey, Plain]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a state is read from. `manifest` None: the log itself."""

    vault: ObjectStore
    source: SourceId
    manifest: PointManifest | None
    instant: datetime

    def state(self) -> State:
        """Raises DrError DAMAGED naming the object, INSTANT_UNREACHABLE."""
        if self.manifest is None:
            return state_at(self.vault, self.source, self.instant)
        base, changes = self._artefact(BASE_ROLE), self._artefact(changes_role(PACK))
        state = state_of_pack(self.vault, self.source, base, changes, self.instant)
        if not state.whole:
            raise DrError(DAMAGED, f"{self.manifest.name} begins with a state that is not whole")
        return state

    def _artefact(self, role: str) -> str:
        assert self.manifest is not None
        found = next((one.name for one in self.manifest.artefacts if one.role == role), None)
        if found is None:
            raise DrError(DAMAGED, f"{self.manifest.name} has no artefact {role}")
        return found


def part_of(wanted: Wanted, item: PlannedRestore) -> Wanted:
    """What is in the plan's namespaces, when a person named a part; nothing that belongs to the whole cluster then. Nothing of
    an erased tenant."""
    erased = {str(name) for name in sequence(item.details, "erased")}
    if erased:
        wanted = {key: body for key, body in wanted.items() if key.space not in erased}
    if not item.target.scope:
        return wanted
    spaces = mapping(item.details, "namespaces")
    return {key: body for key, body in wanted.items() if key.space in spaces}


def unsealed(sealer: Sealer | None, source: SourceId, state: State) -> Wanted:
    """Every object whole. Raises DrError CONFIGURATION without keys, and as `Sealer.open`."""
    if sealer is None:
        if any(held.sealed is not None for held in state.objects.values()):
            raise no_key(source)
        return {key: dict(held.object) for key, held in state.objects.items()}
    return {key: opened(sealer, source, key, held) for key, held in state.objects.items()}
