"""Is what the target holds what the log says? Exactly, but for what the server adds by itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dr.components.config.normal import Plain, content_of
from dr.vendors.kubernetes_objects import KubeObject, annotations_of, labels_of, mapping

_EXACT = frozenset({"ConfigMap", "Secret", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"})
"""Kinds that the server fills nothing into: what is there and not in the log is somebody's."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One place at which two objects differ; None: it is not there."""

    path: str
    wanted: object
    found: object


def differences(wanted: KubeObject, found: KubeObject, *, lenient: bool = False) -> tuple[str, ...]:
    """Paths at which a normalised object is not as wanted; never a value. `lenient`: fields that another version of the
    server fills in by itself are no difference."""
    return tuple(one.path for one in compared(wanted, found, lenient=lenient))


def compared(wanted: KubeObject, found: KubeObject, *, lenient: bool = False) -> tuple[Difference, ...]:
    """The same with both values: not for Secrets."""
    exact = not lenient or str(wanted.get("kind")) in _EXACT
    return (
        *_differ(labels_of(wanted), labels_of(found), "metadata.labels", True),
        *_differ(annotations_of(wanted), annotations_of(found), "metadata.annotations", True),
        *_differ(content_of(wanted), content_of(found), "", exact),
    )


def _differ(wanted: object, found: object, path: str, exact: bool) -> Iterator[Difference]:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key in sorted(wanted.keys() | (found.keys() if exact else set())):
            where = f"{path}.{key}".lstrip(".")
            if key not in wanted or key not in found:
                yield Difference(where, wanted.get(key), found.get(key))
            else:
                yield from _differ(wanted[key], found[key], where, exact)
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for index, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from _differ(one, other, f"{path}[{index}]", exact)
    elif wanted != found:
        yield Difference(path, wanted, found)


def patch_between(found: KubeObject, wanted: KubeObject) -> Plain:
    """A JSON merge patch that makes normalised `found` into `wanted`: what server-side apply leaves of other managers."""
    kept = {key: value for key, value in wanted.items() if key not in ("apiVersion", "kind", "metadata")}
    there = {key: value for key, value in found.items() if key not in ("apiVersion", "kind", "metadata")}
    return {**_patch(there, kept), **_metadata_patch(found, wanted)}


def _metadata_patch(found: KubeObject, wanted: KubeObject) -> Plain:
    parts = {
        part: _patch(mapping(found, "metadata", part), mapping(wanted, "metadata", part))
        for part in ("labels", "annotations")
    }
    changed = {part: patch for part, patch in parts.items() if patch}
    return {"metadata": changed} if changed else {}


def _patch(found: Mapping[str, object], wanted: Mapping[str, object]) -> Plain:
    patch: Plain = {key: None for key in found if key not in wanted}
    for key, value in wanted.items():
        old = found.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            if inner := _patch(old, value):
                patch[key] = inner
        elif old != value or key not in found:
            patch[key] = value
    return patch
