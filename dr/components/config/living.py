"""The configuration that lives now: of a target, and of the source as a witness (`ports.LivingWitness`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from dr.components.cluster.living import NOW
from dr.components.config.access import NAMESPACE_KIND, ConfigApi
from dr.components.config.normal import Plain, content_of, digest, normalised, skipped
from dr.components.config.source import ConfigSource
from dr.components.config.state import ObjectKey
from dr.components.config.tracking import changed_by
from dr.errors import NOT_FOUND, REJECTED, DrError
from dr.model.strategy import SourceSpec
from dr.model.timeline import format_instant
from dr.ports import Clock, RestoredItem
from dr.vendors.kubernetes_objects import KubeObject, Resource, mapping, name_of, namespace_of


@dataclass(frozen=True, slots=True)
class Living:
    """What stands in some namespaces of a cluster, and beside them what belongs to the whole of it."""

    api: ConfigApi
    namespaces: frozenset[str]
    cluster_wide: bool
    """Whether kinds without a namespace are meant."""

    def of(self, resource: Resource) -> dict[ObjectKey, KubeObject]:
        """Raw objects of one kind; none when the cluster does not serve it."""
        try:
            items = self.api.list(resource).items
        except DrError as error:
            if error.kind is not NOT_FOUND:
                raise
            return {}
        kind = str(resource)
        keyed = {
            ObjectKey(namespace_of(body) if resource.namespaced else "", kind, name_of(body)): body for body in items
        }
        return {key: body for key, body in keyed.items() if self._means(key, resource) and not skipped(kind, body)}

    def _means(self, key: ObjectKey, resource: Resource) -> bool:
        if resource.namespaced:
            return key.namespace in self.namespaces
        return key.name in self.namespaces if key.kind == NAMESPACE_KIND else self.cluster_wide

    def normal(self, resources: Iterable[Resource]) -> dict[ObjectKey, Plain]:
        """Of several kinds, normalised."""
        return {key: normalised(key.kind, body) for resource in resources for key, body in self.of(resource).items()}


def resources_of(
    wanted: Mapping[ObjectKey, KubeObject], served: Mapping[str, Resource], kinds: Collection[str] = ()
) -> dict[str, Resource]:
    """Where each kind lives: at the version that it was captured in, else at the one that is served."""
    found = {kind: served[kind] for kind in kinds if kind in served}
    return {**found, **{key.kind: key.resource(body) for key, body in wanted.items()}}


@dataclass(frozen=True, slots=True)
class LivingConfig:
    """Reads the living source. Its Secrets' contents are hashed here and go nowhere."""

    source: Callable[[SourceSpec], ConfigSource]
    clock: Clock

    def read(self, spec: SourceSpec, at: datetime) -> Iterator[RestoredItem]:
        """Raises DrError REJECTED for an instant in the past. What changed after `at` says so by its time."""
        if self.clock.now() - at > NOW:
            text = (
                f"{spec.id} cannot be read as it was at {format_instant(at)}: a living cluster shows the present only"
            )
            raise DrError(REJECTED, text, hint="give a writer's record: --witness FILE")
        source = self.source(spec)
        api, served = source.follower.api, source.follower.api.served()
        living = Living(api, frozenset(source.namespaces()), True)
        for kind in (NAMESPACE_KIND, *source.options.wanted):
            if kind in served:
                for key, body in living.of(served[kind]).items():
                    yield RestoredItem(str(key), content_digest(normalised(kind, body)), changed_by(body))


def content_digest(plain: KubeObject) -> str:
    """What a witness compares: the hash of an object without what names it; with its labels and annotations if it has any."""
    told = {part: found for part in ("labels", "annotations") if (found := mapping(plain, "metadata", part))}
    return digest({**content_of(plain), **({"metadata": told} if told else {})})
