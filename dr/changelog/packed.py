"""Which packs of a log are committed, from two listings: the manifests, and the change files with their metadata."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from dr.changelog.entries import damaged
from dr.changelog.units import CHANGES, Unit, of_details, unit_of
from dr.model.ids import SourceId
from dr.model.points import PointManifest
from dr.ports import ObjectInfo, ObjectStore
from dr.record.catalogue import find_point
from dr.record.layout import POINTS, point_slot


def committed_packs(vault: ObjectStore, source: SourceId) -> tuple[Unit, ...]:
    """In order of their segments. Raises DrError DAMAGED naming a manifest that has to be read and cannot be."""
    manifests = {
        slot.id: info.name
        for info in vault.list(POINTS)
        if (slot := point_slot(info.name)) is not None and slot.source == source
    }
    staged = _by_slot(vault.list(f"data/{source.slug}@"))
    found = [_pack(vault, name, staged.get(slot, [])) for slot, name in manifests.items()]
    return tuple(sorted((unit for unit in found if unit), key=lambda unit: unit.first_seq))


def _by_slot(objects: Iterable[ObjectInfo]) -> dict[str, list[ObjectInfo]]:
    found: dict[str, list[ObjectInfo]] = {}
    for info, slot in _changes(objects):
        found.setdefault(slot, []).append(info)
    return found


def _changes(objects: Iterable[ObjectInfo]) -> Iterator[tuple[ObjectInfo, str]]:
    for info in objects:
        parts = info.name.split("/")
        if len(parts) == 4 and parts[3] == CHANGES:
            yield info, parts[1]


def _pack(vault: ObjectStore, manifest: str, attempts: list[ObjectInfo]) -> Unit | None:
    """Of several attempts, the one that the manifest names."""
    told = [unit for info in attempts if (unit := unit_of(info))]
    if len(attempts) == 1 and told:
        return told[0]
    return from_manifest(vault, find_point(vault, manifest).manifest)


def from_manifest(vault: ObjectStore, manifest: PointManifest) -> Unit | None:
    """The unit that a manifest describes; None when it is a point of another kind. Its object may be gone: reading it says so."""
    change = next((one for one in manifest.artefacts if one.name.endswith(f"/{CHANGES}")), None)
    if change is None:
        return None
    stored = ObjectInfo(change.name, change.size, change.crc32c, change.generation, manifest.committed)
    try:
        return replace(of_details(manifest.details, stored), stored_sha256=change.sha256)
    except (KeyError, ValueError) as error:
        raise damaged(f"{vault.url}/{manifest.name}", f"its details do not describe a pack ({error})") from error
