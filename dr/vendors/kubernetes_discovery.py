"""What an API server serves: every kind by its resource name, at the version it prefers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from dr.vendors.kubernetes_objects import KubeObject, Resource, name_of, sequence, text

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
"""Aggregated discovery: two answers instead of one for each group and version (Kubernetes 1.30 and later)."""


def served(read: Callable[[str, str], KubeObject]) -> Mapping[str, Resource]:
    """`deployments.apps` -> its Resource. `read(path, accept)` gets one document."""
    found: dict[str, Resource] = {}
    for path in ("/api", "/apis"):
        for group in sequence(read(path, ACCEPT), "items"):
            for resource in _of_group(group):
                found.setdefault(str(resource), resource)
    return found


def _of_group(group: object) -> Iterator[Resource]:
    """The preferred version comes first."""
    for version in sequence(group, "versions"):
        for entry in sequence(version, "resources"):
            plural, namespaced = text(entry, "resource"), text(entry, "scope") == "Namespaced"
            kind = text(entry, "responseKind", "kind")
            yield Resource(name_of(group), text(version, "version"), plural, namespaced, kind)
