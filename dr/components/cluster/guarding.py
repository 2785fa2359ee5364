"""A restore over living namespaces: who writes in them, and what was written since (`ports.LiveGuard`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.components.cluster.access import KubeApi, Velero
from dr.components.cluster.comparing import MADE_BY_CLUSTER, fingerprint
from dr.components.cluster.contents import Item, read_items
from dr.components.cluster.fencing import Fence, replicas_of, suspended_of, workloads
from dr.components.cluster.holding import excluded_kinds, not_restored
from dr.errors import NOT_AUTHORISED, NOT_FOUND, RESTORE_FAILED, DrError
from dr.model.plans import PlannedRestore
from dr.model.points import PointManifest
from dr.model.strategy import SourceSpec
from dr.ports import Json, ObjectStore, RestoreWork, Salvaged, Step, StepContext
from dr.vendors.kubernetes_objects import NAMESPACES, KubeObject, Resource, labels_of, mapping, sequence, text, uid_of

UNDO_OF = "undo_of"
WORDS = "before anything is changed: its workloads are stopped, and an undo point is taken, verified and held"
_SECOND = timedelta(seconds=1)
_NAMED = 10
Place = tuple[str, str, str]
"""Resource, namespace, name."""


def spaces_of(work: RestoreWork) -> tuple[str, ...]:
    """Target namespaces, as the plan names them."""
    return tuple(str(name) for name in mapping(work.item.details, "namespaces").values())


@dataclass(frozen=True, slots=True)
class ClusterGuard:
    """Of restores by Velero."""

    velero: Velero

    def _fence(self, work: RestoreWork) -> Fence:
        return Fence(self.velero.kube, work.plan_id, spaces_of(work))

    def prepare(self, spec: SourceSpec, planned: PlannedRestore) -> tuple[Json, tuple[str, ...]]:
        return {}, (WORDS,)

    def survey(self, work: RestoreWork) -> Json:
        found = [name for name in spaces_of(work) if self.velero.kube.get(NAMESPACES, name) is not None]
        spaces = frozenset(mapping(work.item.details, "namespaces"))
        kinds = kinds_of(work.vault, work.manifest, spaces) if work.manifest else []
        return {"living": found, "writers": self._fence(work).survey(), "kinds": kinds}

    def fence(self, work: RestoreWork, context: StepContext) -> Json:
        return self._fence(work).close(workloads(context.outcome("survey")), context)

    def settled(self, work: RestoreWork, fenced: datetime) -> datetime:
        """Velero tells a backup's start in whole seconds."""
        return fenced.replace(microsecond=0) + _SECOND

    def around(self, work: RestoreWork, apply: Sequence[Step], keep: Step, prove: Step) -> Sequence[Step]:
        """What is replaced is listed before it is."""
        undoes = str(work.item.details.get(UNDO_OF, ""))
        removal = [Step("remove-added", lambda ctx: self._remove_added(work, undoes, ctx))] if undoes else []
        return (keep, *removal, *apply, prove)

    def salvage(self, work: RestoreWork, undo: PointManifest | None) -> Iterator[Salvaged]:
        """What the undo point holds otherwise than the point that is restored."""
        if undo is None or work.manifest is None:
            return
        spaces = frozenset(mapping(work.item.details, "namespaces"))
        wanted = digests(work.vault, work.manifest, spaces)
        for place, found in sorted(digests(work.vault, undo, spaces).items()):
            before = wanted.pop(place, None)
            if before != found:
                yield Salvaged("/".join(place), "newer" if before is None else "changed", found)
        for place in sorted(wanted):
            yield Salvaged("/".join(place), "deleted", "")

    def release(self, work: RestoreWork, context: StepContext) -> Json:
        return self._fence(work).open((work.plan_id, str(work.item.details.get(UNDO_OF, ""))))

    # --- undo

    def _remove_added(self, work: RestoreWork, undone: str, context: StepContext) -> Json:
        """What the undone restore made, and only that: it carries that Restore's label, and the undo point does not know it.
        Velero itself never deletes. Raises DrError RESTORE_FAILED naming what could not be removed."""
        assert work.manifest is not None
        restores = [str(name) for name in sequence(work.item.details, "restores")]
        known = set(digests(work.vault, work.manifest, frozenset(mapping(work.item.details, "namespaces"))))
        removed: list[str] = []
        left: list[str] = []
        for resource in self._kinds(work):
            for body in _made_by(self.velero.kube, resource, spaces_of(work), restores):
                place = (str(resource), text(body, "metadata", "namespace"), text(body, "metadata", "name"))
                if place not in known:
                    (removed if self._removed(resource, body) else left).append("/".join(place))
                context.progress(len(removed), None, "objects")
        if left:
            raise DrError(RESTORE_FAILED, f"what {undone} made could not be removed: {', '.join(left[:_NAMED])}")
        return {"removed": removed}

    def _kinds(self, work: RestoreWork) -> tuple[Resource, ...]:
        """Of namespaced objects, as the undone restore's point had them."""
        return tuple(
            Resource(text(one, "group"), text(one, "version"), text(one, "plural"))
            for one in sequence(work.item.details, "kinds")
        )

    def _removed(self, resource: Resource, body: KubeObject) -> bool:
        name, namespace = text(body, "metadata", "name"), text(body, "metadata", "namespace")
        try:
            self.velero.kube.delete(resource, name, namespace, uid=uid_of(body))
        except DrError as error:
            if error.kind is not NOT_AUTHORISED:
                raise
            return False
        return True


def _made_by(
    kube: KubeApi, resource: Resource, namespaces: Sequence[str], restores: Sequence[str]
) -> Iterator[KubeObject]:
    for namespace in namespaces:
        for restore in restores:
            try:
                found = kube.list(resource, namespace, labels=f"velero.io/restore-name={restore}").items
            except DrError as error:
                if error.kind is not NOT_FOUND:
                    raise
                continue
            yield from (one for one in found if labels_of(one).get("velero.io/restore-name") == restore)


def digests(vault: ObjectStore, manifest: PointManifest, spaces: frozenset[str]) -> dict[Place, str]:
    """Hash of every object of a point in these namespaces that a restore brings back: what the fence changed reads as it was."""
    found = next(one for one in manifest.artefacts if one.role == "velero/contents")
    excluded = excluded_kinds(False, False)
    return {
        (item.resource, item.namespace, item.name): fingerprint(_unfenced(item))
        for item in read_items(vault.stream(found.name, generation=found.generation or None))
        if item.namespace in spaces and item.name != MADE_BY_CLUSTER and not not_restored(item, excluded, frozenset())
    }


def kinds_of(vault: ObjectStore, manifest: PointManifest, spaces: frozenset[str]) -> list[Mapping[str, object]]:
    """Kinds of the namespaced objects of a point, for the plan of its undoing."""
    found = next(one for one in manifest.artefacts if one.role == "velero/contents")
    items = read_items(vault.stream(found.name, generation=found.generation or None))
    kinds = {
        item.api for item in items if item.namespace in spaces and item.resource not in excluded_kinds(False, False)
    }
    return [
        {"group": kind.group, "version": kind.version, "plural": kind.plural}
        for kind in sorted(kinds, key=lambda kind: (kind.group, kind.plural, kind.version))
    ]


def _unfenced(item: Item) -> KubeObject:
    spec = mapping(item.body, "spec")
    if item.resource in ("deployments.apps", "statefulsets.apps"):
        return {**item.body, "spec": {**spec, "replicas": replicas_of(item.body)}}
    if item.resource in ("cronjobs.batch", "jobs.batch"):
        return {**item.body, "spec": {**spec, "suspend": suspended_of(item.body)}}
    return item.body
