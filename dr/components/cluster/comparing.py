"""The restored copy against the backup: every object that should be there, and what the objects hold."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dr.components.cluster.access import KubeApi
from dr.components.cluster.contents import Item, read_items
from dr.components.cluster.holding import excluded_kinds, not_restored
from dr.components.cluster.names import Names
from dr.errors import NOT_FOUND, DrError
from dr.model.listing import first
from dr.model.points import Check, PointManifest
from dr.ports import Json, ObjectStore, RestoredItem
from dr.vendors.kubernetes_objects import (
    CONFIG_MAPS,
    KubeObject,
    Resource,
    instant,
    mapping,
    name_of,
    namespace_of,
    sequence,
    text,
)

_NAMED = 10
MADE_BY_CLUSTER = "kube-root-ca.crt"
"""The ConfigMap that every namespace gets from its own cluster."""
Place = tuple[str, str]
"""Namespace (empty: none) and name."""
_ENVELOPE = frozenset({"apiVersion", "kind", "metadata", "status"})


@dataclass(slots=True)
class Wanted:
    """What the target must hold: resource -> (target namespace, name); and what stays out: reason -> items."""

    there: dict[Resource, set[Place]] = field(default_factory=lambda: defaultdict(set))
    out: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


def compare(
    kube: KubeApi, names: Names, manifest: PointManifest, vault: ObjectStore, native: bool
) -> tuple[Check, ...]:
    """One check on what must exist, one that lists what by design does not, with the reasons."""
    wanted = wanted_of(names, manifest, vault, native)
    missing = [f"{kind} {where}" for kind, where in _missing(kube, wanted)]
    total = sum(map(len, wanted.there.values()))
    lacking = f"; missing: {first(missing, _NAMED)}" if missing else ""
    detail = f"{total - len(missing)} of {total} objects are in the target{lacking}"
    out = [f"{sum(kinds.values())} ({', '.join(kinds)}): {why}" for why, kinds in sorted(wanted.out.items())]
    return (
        Check("restored objects", not missing, detail),
        Check("not restored by design", True, "; ".join(out) or "nothing"),
    )


def wanted_of(names: Names, manifest: PointManifest, vault: ObjectStore, native: bool) -> Wanted:
    """From the point's own archive, read whole. Raises DrError DAMAGED."""
    wanted = Wanted()
    excluded = excluded_kinds(names.isolated, native)
    volumes = sequence(manifest.details, "volumes")
    dynamic = frozenset(text(one, "volume") for one in volumes if _provisioned(one))
    found = next(one for one in manifest.artefacts if one.role == "velero/contents")
    for item in read_items(vault.stream(found.name, generation=found.generation or None)):
        if names.partial and (item.namespace or item.name) not in names.namespaces:
            continue
        if (item.name if item.resource == "namespaces" else item.namespace) in names.erased:
            continue
        why = not_restored(item, excluded, dynamic)
        if why:
            wanted.out[why][item.resource] += 1
        else:
            wanted.there[item.api].add(_place(item, names))
    return wanted


def _provisioned(volume: object) -> bool:
    """Velero restores no PersistentVolume where the data moves to a new disk, or where the old one went with its claim."""
    method = text(volume, "method")
    return method in ("CSISnapshot", "PodVolumeBackup") or (not method and text(volume, "reclaim") == "Delete")


def _place(item: Item, names: Names) -> tuple[str, str]:
    if item.resource == "namespaces":
        return "", names.namespaces.get(item.name, item.name)
    return names.namespaces.get(item.namespace, item.namespace), item.name


def _missing(kube: KubeApi, wanted: Wanted) -> Iterator[tuple[Resource, str]]:
    for resource, places in wanted.there.items():
        there = {(namespace_of(found), name_of(found)) for found in listed(kube, resource)}
        for namespace, name in sorted(places - there):
            yield resource, f"{namespace}/{name}" if namespace else name


def listed(kube: KubeApi, resource: Resource) -> list[KubeObject]:
    """Every object of a kind; none when the cluster does not know the kind."""
    try:
        return list(kube.list(resource, metadata_only=True).items)
    except DrError as error:
        if error.kind is NOT_FOUND:
            return []
        raise


def contents(kube: KubeApi, names: Names, rewired: Json) -> Iterator[RestoredItem]:
    """ConfigMaps of the target namespaces under their source-side names.

    The one key that the cut-over changed is read as it was before, if it still holds what the cut-over wrote.
    """
    for source, target in names.namespaces.items():
        for found in kube.list(CONFIG_MAPS, target).items:
            if name_of(found) != MADE_BY_CLUSTER:
                path = f"{source}/ConfigMap/{name_of(found)}"
                yield RestoredItem(
                    path, fingerprint(_undone(found, rewired)), instant(found, "metadata", "creationTimestamp")
                )


def _undone(found: KubeObject, rewired: Json) -> KubeObject:
    ours = (namespace_of(found), name_of(found)) == (text(rewired, "namespace"), text(rewired, "configMap"))
    key = text(rewired, "key")
    if not ours or text(found, "data", key) != text(rewired, "now"):
        return found
    return {**found, "data": {**mapping(found, "data"), key: text(rewired, "was")}}


def fingerprint(found: Mapping[str, object]) -> str:
    """SHA-256 (hex) of the canonical JSON of an object without what names it and what the cluster adds."""
    content = {key: value for key, value in found.items() if key not in _ENVELOPE}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
