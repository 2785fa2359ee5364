"""What `dr check` looks at before a backup of the cluster can work."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from dr.components.cluster.access import ClusterOptions, Velero
from dr.components.cluster.layout import BACKUPS, RESTORES
from dr.errors import DrError
from dr.model.points import Check
from dr.model.strategy import SourceSpec
from dr.model.timeline import format_instant
from dr.plan.permissions import (
    CAPTURE,
    RESTORE,
    Right,
    Rule,
    Scope,
    Where,
    kubernetes_rules,
    permissions,
    rights_of,
    source_rules,
)
from dr.ports import Described
from dr.vendors.kubernetes_objects import DEPLOYMENTS, NAMESPACES, Resource, instant, mapping, number, sequence, text

OLDEST_KUBERNETES = (1, 27)
SILENT = timedelta(minutes=4)
"""A storage location is validated once a minute, unless its spec says otherwise."""
OLDEST_VELERO, TESTED_VELERO = (1, 14), (1, 18)


def check_all(spec: SourceSpec, velero: Velero, options: ClusterOptions, now: datetime) -> tuple[Check, ...]:
    """One entry for each thing looked at; what cannot be asked is a failed check with the reason."""
    looks: tuple[tuple[str, Callable[[], tuple[bool, str]]], ...] = (
        ("kubernetes", lambda: _kubernetes(velero)),
        ("velero", lambda: _served(velero)),
        ("velero server", lambda: _server(velero)),
        (f"storage location {velero.location}", lambda: _location(velero, now)),
        ("rbac", lambda: _rbac(spec, velero)),
        ("velero bucket", lambda: _bucket(velero)),
        ("namespaces", lambda: _namespaces(velero, options)),
    )
    return tuple(_checked(looks))


def check_ready(spec: SourceSpec, velero: Velero, now: datetime) -> tuple[Check, ...]:
    """What a restore needs of the cluster that it goes to: whoever restores asks."""
    looks: tuple[tuple[str, Callable[[], tuple[bool, str]]], ...] = (
        ("kubernetes", lambda: _kubernetes(velero)),
        ("velero", lambda: _restores(velero)),
        ("velero server", lambda: _server(velero)),
        (f"storage location {velero.location}", lambda: _location(velero, now)),
        ("rbac of restore", lambda: _rights(velero, kubernetes_rules(RESTORE, [spec]))),
        ("permissions on the velero bucket", lambda: _bucket(velero, RESTORE)),
    )
    return tuple(_checked(looks))


def _checked(looks: tuple[tuple[str, Callable[[], tuple[bool, str]]], ...]) -> Iterator[Check]:
    for name, look in looks:
        try:
            passed, detail = look()
        except DrError as error:
            passed, detail = False, error.message
        yield Check(name, passed, detail)


def _kubernetes(velero: Velero) -> tuple[bool, str]:
    version = velero.kube.version()
    return _minor(version) >= OLDEST_KUBERNETES, f"the API server answers: {version}"


def _minor(version: str) -> tuple[int, int]:
    """`v1.35.4` -> (1, 35); what is no version is older than all."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _restores(velero: Velero) -> tuple[bool, str]:
    count = len(velero.kube.list(RESTORES, velero.namespace, metadata_only=True).items)
    return True, f"{RESTORES.group_version} is served; {count} restores in namespace {velero.namespace}"


def _served(velero: Velero) -> tuple[bool, str]:
    count = len(velero.kube.list(BACKUPS, velero.namespace, metadata_only=True).items)
    return True, f"{BACKUPS.group_version} is served; {count} backups in namespace {velero.namespace}"


def _server(velero: Velero) -> tuple[bool, str]:
    found = velero.kube.get(DEPLOYMENTS, "velero", velero.namespace)
    if found is None:
        return False, f"no Deployment velero in namespace {velero.namespace}: every restore would be PartiallyFailed"
    wanted, there = number(found, "spec", "replicas"), number(found, "status", "availableReplicas")
    if there < wanted:
        return False, f"{there} of {wanted} replicas of Deployment velero are available"
    pod = mapping(found, "spec", "template", "spec")
    images = [text(one, "image") for kind in ("containers", "initContainers") for one in sequence(pod, kind)]
    return _known(images[0] if images else "", ", ".join(images) or "no container")


def _known(image: str, images: str) -> tuple[bool, str]:
    """By the server's image; an image without a version tells none."""
    tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    version = _minor(tag)
    if version == (0, 0):
        return True, f"{images}: the image does not tell its version"
    if version < OLDEST_VELERO:
        return False, f"{images}: older than {OLDEST_VELERO[0]}.{OLDEST_VELERO[1]}, whose formats this dr does not know"
    newer = version > TESTED_VELERO
    return True, f"{images}: newer than {TESTED_VELERO[0]}.{TESTED_VELERO[1]}, which was tested" if newer else images


def _location(velero: Velero, now: datetime) -> tuple[bool, str]:
    """Available tells only how it was when Velero last looked, which it does once a minute while it lives."""
    location = velero.storage()
    phase, bucket = text(location, "status", "phase"), text(location, "spec", "objectStorage", "bucket")
    looked = instant(location, "status", "lastValidationTime")
    if looked and now - looked > SILENT:
        since = format_instant(looked)
        return False, f"{phase}: gs://{bucket}, but Velero has not looked at it since {since}: its server does not run"
    said = f"{phase or 'not validated yet'}: gs://{bucket} {text(location, 'status', 'message')}"
    return phase == "Available", said.strip()


def _rbac(spec: SourceSpec, velero: Velero) -> tuple[bool, str]:
    return _rights(velero, source_rules(spec))


def _rights(velero: Velero, rules: Sequence[Rule]) -> tuple[bool, str]:
    """Each right is a question to the API server, so they are asked side by side."""
    needed = rights_of(rules)
    with ThreadPoolExecutor(8, thread_name_prefix="rights") as pool:
        held = list(pool.map(lambda right: velero.kube.allowed(right.verb, *_asked(right, velero.namespace)), needed))
    missing = [str(right) for right, allowed in zip(needed, held, strict=True) if not allowed]
    return not missing, f"not allowed: {', '.join(missing)}" if missing else f"{len(needed)} permissions held"


def _asked(right: Right, velero: str) -> tuple[Resource, str]:
    namespace = velero if right.scope is Scope.VELERO else ""
    return Resource(right.group, "v1", right.plural, namespaced=bool(namespace)), namespace


def _bucket(velero: Velero, identity: str = CAPTURE) -> tuple[bool, str]:
    bucket, _ = velero.bucket()
    if isinstance(bucket, Described) and (kept := bucket.describe().retention_s):
        return (
            False,
            f"{bucket.url} keeps every object for {kept} s: Velero rewrites what it wrote, so it must not be locked",
        )
    missing = bucket.missing_permissions(permissions(identity, Where.VELERO))
    return not missing, f"{bucket.url}: " + (f"lacks {', '.join(missing)}" if missing else "readable")


def _namespaces(velero: Velero, options: ClusterOptions) -> tuple[bool, str]:
    missing = [name for name in options.namespaces if not mapping(velero.kube.get(NAMESPACES, name))]
    return not missing, f"missing: {', '.join(missing)}" if missing else f"{', '.join(options.namespaces)} found"
