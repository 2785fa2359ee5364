"""Is what the target holds what the log says? Exactly, but for what the server adds by itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dr.components.config.normal import Plain, content_of
from dr.vendors.kubernetes_objects import KubeObject, annotations_of, labels_of, mapping

_EXACT = frozenset({"ConfigMap", "Secret", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"})
"""Kinds that the server fills nothing into: what is there and not in the log is somebody's."""


def differences(wanted: KubeObject, found: KubeObject, *, lenient: bool = False) -> tuple[str, ...]:
    """Paths at which a normalised object is not as wanted; never a value. `lenient`: fields that another version of the
    server fills in by itself are no difference."""
    exact = not lenient or str(wanted.get("kind")) in _EXACT
    paths = [
        *_maps(labels_of(wanted), labels_of(found), "metadata.labels"),
        *_maps(annotations_of(wanted), annotations_of(found), "metadata.annotations"),
        *_differ(content_of(wanted), content_of(found), "", exact),
    ]
    return tuple(paths)


def _maps(wanted: Mapping[str, object], found: Mapping[str, object], path: str) -> Iterator[str]:
    return _differ(wanted, found, path, True)


def _differ(wanted: object, found: object, path: str, exact: bool) -> Iterator[str]:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key in sorted(wanted.keys() | (found.keys() if exact else set())):
            where = f"{path}.{key}".lstrip(".")
            if key not in wanted or key not in found:
                yield where
            else:
                yield from _differ(wanted[key], found[key], where, exact)
    elif _is_list(wanted) and _is_list(found):
        yield from _lists(wanted, found, path, exact)
    elif wanted != found:
        yield path


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _lists(wanted: object, found: object, path: str, exact: bool) -> Iterator[str]:
    assert isinstance(wanted, Sequence)
    assert isinstance(found, Sequence)
    if len(wanted) != len(found):
        yield path
        return
    for index, (one, other) in enumerate(zip(wanted, found, strict=True)):
        yield from _differ(one, other, f"{path}[{index}]", exact)


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
