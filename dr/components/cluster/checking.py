"""What `dr check` looks at before a backup of the cluster can work."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dr.components.cluster.access import ClusterOptions, Velero
from dr.components.cluster.layout import BACKUPS
from dr.errors import DrError
from dr.model.points import Check
from dr.model.strategy import SourceSpec
from dr.plan.permissions import CAPTURE, Right, Scope, Where, permissions, rights_of, source_rules
from dr.vendors.kubernetes_objects import DEPLOYMENTS, NAMESPACES, Resource, mapping, sequence, text


def check_all(spec: SourceSpec, velero: Velero, options: ClusterOptions) -> tuple[Check, ...]:
    """One entry for each thing looked at; what cannot be asked is a failed check with the reason."""
    looks: tuple[tuple[str, Callable[[], tuple[bool, str]]], ...] = (
        ("kubernetes", lambda: (True, f"the API server answers: {velero.kube.version()}")),
        ("velero", lambda: _served(velero)),
        ("velero server", lambda: _server(velero)),
        (f"storage location {velero.location}", lambda: _location(velero)),
        ("rbac", lambda: _rbac(spec, velero)),
        ("velero bucket", lambda: _bucket(velero)),
        ("namespaces", lambda: _namespaces(velero, options)),
    )
    return tuple(_checked(looks))


def _checked(looks: tuple[tuple[str, Callable[[], tuple[bool, str]]], ...]) -> Iterator[Check]:
    for name, look in looks:
        try:
            passed, detail = look()
        except DrError as error:
            passed, detail = False, error.message
        yield Check(name, passed, detail)


def _served(velero: Velero) -> tuple[bool, str]:
    count = len(velero.kube.list(BACKUPS, velero.namespace, metadata_only=True).items)
    return True, f"{BACKUPS.group_version} is served; {count} backups in namespace {velero.namespace}"


def _server(velero: Velero) -> tuple[bool, str]:
    found = velero.kube.get(DEPLOYMENTS, "velero", velero.namespace)
    if found is None:
        return False, f"no Deployment velero in namespace {velero.namespace}: every restore would be PartiallyFailed"
    containers = sequence(found, "spec", "template", "spec", "containers")
    return True, ", ".join(text(container, "image") for container in containers) or "no container"


def _location(velero: Velero) -> tuple[bool, str]:
    location = velero.storage()
    phase, bucket = text(location, "status", "phase"), text(location, "spec", "objectStorage", "bucket")
    return (
        phase == "Available",
        f"{phase or 'not validated yet'}: gs://{bucket} {text(location, 'status', 'message')}".strip(),
    )


def _rbac(spec: SourceSpec, velero: Velero) -> tuple[bool, str]:
    needed = rights_of(source_rules(spec))
    missing = [str(right) for right in needed if not velero.kube.allowed(right.verb, *_asked(right, velero.namespace))]
    return not missing, f"not allowed: {', '.join(missing)}" if missing else f"{len(needed)} permissions held"


def _asked(right: Right, velero: str) -> tuple[Resource, str]:
    namespace = velero if right.scope is Scope.VELERO else ""
    return Resource(right.group, "v1", right.plural, namespaced=bool(namespace)), namespace


def _bucket(velero: Velero) -> tuple[bool, str]:
    bucket, _ = velero.bucket()
    missing = bucket.missing_permissions(permissions(CAPTURE, Where.VELERO))
    return not missing, f"{bucket.url}: " + (f"lacks {', '.join(missing)}" if missing else "readable")


def _namespaces(velero: Velero, options: ClusterOptions) -> tuple[bool, str]:
    missing = [name for name in options.namespaces if not mapping(velero.kube.get(NAMESPACES, name))]
    return not missing, f"missing: {', '.join(missing)}" if missing else f"{', '.join(options.namespaces)} found"
