"""A restore over living configuration: Flux writes it, and is suspended meanwhile (`ports.LiveGuard`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dr.changelog.seal import Sealer
from dr.components.cluster.fencing import NOTE, Fence, suspended_of, workloads
from dr.components.cluster.guarding import UNDO_OF, spaces_of
from dr.components.config.access import ConfigApi
from dr.components.config.applying import Applying
from dr.components.config.comparing import differences
from dr.components.config.living import content_digest
from dr.components.config.normal import Plain
from dr.components.config.state import ObjectKey
from dr.components.config.wanted import Wanted
from dr.model.plans import PlannedRestore
from dr.model.points import PointManifest
from dr.model.strategy import SourceSpec
from dr.ports import Json, RestoreWork, Salvaged, Step, StepContext
from dr.vendors.kubernetes_objects import NAMESPACES, Resource, mapping, sequence

WORDS = "before anything is changed: Flux is suspended, and an undo point is taken, verified and held"
_FLUX = ".toolkit.fluxcd.io"


@dataclass(frozen=True, slots=True)
class ConfigGuard:
    """Of restores of configuration. People who write by hand are not stopped: the log has what they wrote."""

    api: ConfigApi
    sealer: Callable[[], Sealer | None]

    def _fence(self, work: RestoreWork) -> Fence:
        return Fence(self.api, work.plan_id, spaces_of(work), kinds=self._flux(work))

    def _flux(self, work: RestoreWork) -> tuple[Resource, ...]:
        served = self.api.served()
        kinds = [str(kind) for kind in sequence(work.item.details, "kinds")]
        return tuple(served[kind] for kind in kinds if kind.endswith(_FLUX) and kind in served)

    def prepare(self, spec: SourceSpec, planned: PlannedRestore) -> tuple[Json, tuple[str, ...]]:
        return {}, (WORDS,)

    def survey(self, work: RestoreWork) -> Json:
        found = [name for name in spaces_of(work) if self.api.get(NAMESPACES, name) is not None]
        return {"living": found, "writers": self._fence(work).survey()}

    def fence(self, work: RestoreWork, context: StepContext) -> Json:
        return self._fence(work).close(workloads(context.outcome("survey")), context)

    def settled(self, work: RestoreWork, fenced: datetime) -> datetime:
        """The log is caught up before it is packed."""
        return fenced

    def around(self, work: RestoreWork, apply: Sequence[Step], keep: Step, prove: Step) -> Sequence[Step]:
        """What is replaced is listed before it is; the restorer's own last step compares the result."""
        return (keep, *apply)

    def salvage(self, work: RestoreWork, undo: PointManifest | None) -> Iterator[Salvaged]:
        """What the log has at the undo point otherwise than at the restored instant."""
        if undo is None:
            return
        wanted, found = self._state(work), self._state(_of_undo(work, undo))
        for key, body in sorted(found.items()):
            before = wanted.get(key)
            if before is None or differences(_unfenced(key, before), _unfenced(key, body)):
                yield Salvaged(str(key), "newer" if before is None else "changed", content_digest(dict(body)))
        for key in sorted(set(wanted) - set(found)):
            yield Salvaged(str(key), "deleted", "")

    def _state(self, work: RestoreWork) -> Wanted:
        return Applying(self.api, self.sealer(), work).wanted

    def release(self, work: RestoreWork, context: StepContext) -> Json:
        return self._fence(work).open((work.plan_id, str(work.item.details.get(UNDO_OF, ""))))


def _of_undo(work: RestoreWork, undo: PointManifest) -> RestoreWork:
    return replace(work, manifest=undo, item=replace(work.item, instant=undo.as_of))


def _unfenced(key: ObjectKey, body: Mapping[str, object]) -> Plain:
    """As it was before the fence."""
    if not key.kind.endswith(_FLUX):
        return dict(body)
    metadata = dict(mapping(body, "metadata"))
    notes = {name: value for name, value in mapping(metadata, "annotations").items() if name != NOTE}
    kept = {name: value for name, value in metadata.items() if name != "annotations"}
    spec = {name: value for name, value in mapping(body, "spec").items() if name != "suspend"}
    suspended = {"suspend": True} if suspended_of(body) else {}
    return {
        **body,
        "metadata": {**kept, **({"annotations": notes} if notes else {})},
        "spec": {**spec, **suspended},
    }
