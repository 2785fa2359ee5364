"""What a Velero restore does to what lives, and what Velero would leave out without a word: its Restore ends as Completed all
the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dr.components.cluster.access import KubeApi
from dr.components.cluster.comparing import Place, listed, wanted_of
from dr.components.cluster.living import last_change
from dr.components.cluster.names import Names
from dr.model.points import PointManifest
from dr.model.review import ABSENT, Review
from dr.model.timeline import format_instant
from dr.ports import ObjectStore
from dr.vendors.kubernetes_objects import (
    KubeObject,
    Resource,
    mapping,
    name_of,
    namespace_of,
    number,
    sequence,
    text,
    uid_of,
)

_FIXED = {
    "persistentvolumeclaims": "its data stays as it lives: Velero never restores a volume under a claim that exists",
    "persistentvolumes": "Velero leaves a volume that exists as it is",
    "jobs.batch": "a Job cannot be changed",
    "pods": "a Pod cannot be changed",
}
"""Kinds of which Velero's update changes nothing that counts."""
_KEPT = "exists, and Velero skips what exists"


@dataclass(frozen=True, slots=True)
class ClusterReview:
    """One restore's reading of point and cluster. `over`: living objects are updated, because a person named the target."""

    kube: KubeApi
    names: Names
    manifest: PointManifest
    vault: ObjectStore
    native: bool
    over: bool

    def review(self) -> Review:
        """Raises DrError DAMAGED when the point's archive cannot be read; and as the API does."""
        wanted = wanted_of(self.names, self.manifest, self.vault, self.native)
        living = {resource: self._living(resource) for resource in wanted.there}
        there = {
            (resource, place): living[resource][place]
            for resource, places in wanted.there.items()
            for place in sorted(places & living[resource].keys())
        }
        return Review(
            creates=_created(wanted.there, living),
            changes=tuple(_words(resource, place) for (resource, place) in there if self._is_changed(resource)),
            lost=tuple(self._lost(there)),
            conflicts=tuple(self._conflicts(there)),
            skipped=(*self._skipped(there), *_left_out(wanted.out), *self._volumes()),
            world={
                _words(resource, place): _version(living[resource].get(place))
                for resource, places in wanted.there.items()
                for place in sorted(places)
            },
        )

    def _living(self, resource: Resource) -> Mapping[Place, KubeObject]:
        return {(namespace_of(found), name_of(found)): found for found in listed(self.kube, resource)}

    def _is_changed(self, resource: Resource) -> bool:
        return self.over and str(resource) not in _FIXED

    def _lost(self, there: Mapping[tuple[Resource, Place], KubeObject]) -> Iterator[str]:
        """What was changed after the point was made goes with the update."""
        since = self.manifest.as_of
        for (resource, place), found in there.items():
            changed = last_change(found)
            if self._is_changed(resource) and changed and changed > since:
                yield f"{_words(resource, place)}, changed at {format_instant(changed)}, after the point"

    def _conflicts(self, there: Mapping[tuple[Resource, Place], KubeObject]) -> Iterator[str]:
        for (resource, place), found in there.items():
            if mapping(found, "metadata").get("deletionTimestamp"):
                yield f"{_words(resource, place)} is being deleted"
            elif self.over and any(mapping(one).get("controller") is True for one in _owners(found)):
                yield f"{_words(resource, place)} belongs to a controller, which may change it back"

    def _skipped(self, there: Mapping[tuple[Resource, Place], KubeObject]) -> Iterator[str]:
        for resource, place in there:
            if not self._is_changed(resource):
                yield f"{_words(resource, place)}: {_FIXED.get(str(resource), _KEPT) if self.over else _KEPT}"

    def _volumes(self) -> Iterator[str]:
        for volume in sequence(self.manifest.details, "volumes"):
            if reason := text(volume, "reason"):
                yield f"the data of volume {text(volume, 'claim') or text(volume, 'volume')} is not in the point: {reason}"


def _created(
    wanted: Mapping[Resource, set[Place]], living: Mapping[Resource, Mapping[Place, KubeObject]]
) -> dict[str, int]:
    found = {str(resource): len(places - living[resource].keys()) for resource, places in wanted.items()}
    return {kind: count for kind, count in sorted(found.items()) if count}


def _left_out(out: Mapping[str, Counter[str]]) -> Iterator[str]:
    yield from (
        f"{count} x {kind}: {why}" for why, kinds in sorted(out.items()) for kind, count in sorted(kinds.items())
    )


def _owners(found: KubeObject) -> list[object]:
    return list(sequence(found, "metadata", "ownerReferences"))


def _words(resource: Resource, place: Place) -> str:
    namespace, name = place
    return f"{resource} {namespace}/{name}" if namespace else f"{resource} {name}"


def _version(found: KubeObject | None) -> str:
    """A generation moves with what people write, not with what controllers report; kinds without one have nothing else to report."""
    if found is None:
        return ABSENT
    generation = number(found, "metadata", "generation")
    return f"{uid_of(found)}/{generation or text(mapping(found, 'metadata'), 'resourceVersion')}"
