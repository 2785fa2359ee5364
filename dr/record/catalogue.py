"""The catalogue of recovery points. The buckets are the database; nothing else needs to survive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from dr.errors import DAMAGED, NOT_FOUND, DrError
from dr.model.plans import PointRef
from dr.model.points import PointManifest, PointSummary
from dr.ports import ObjectInfo, ObjectStore
from dr.record.codec import crc32c, decode, sha256
from dr.record.layout import POINTS, point_slot
from dr.record.summary import differences, of_listing, of_manifest

READERS = 16
"""Threads that read manifests when many are needed."""


@dataclass(frozen=True, slots=True)
class ReadPoint:
    """A manifest with the pin that a plan refers to it by, and its true summary."""

    manifest: PointManifest
    ref: PointRef
    summary: PointSummary


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The catalogue from the manifests themselves, and where the listing told otherwise (each names its manifest)."""

    points: tuple[PointSummary, ...]
    differences: tuple[str, ...]
    damaged: tuple[str, ...]


def list_points(vault: ObjectStore, *, prefix: str = "", since: datetime | None = None) -> tuple[PointSummary, ...]:
    """Every point of a vault in order of due instant, from a listing; a manifest is read only where the listing tells nothing.

    `prefix` narrows it: `2025/05/`; so does `since`, to slots due on its day or later. Raises DrError DAMAGED or NEWER_FORMAT
    naming the manifest.
    """
    after = f"{POINTS}{since:%Y/%m/%d}/" if since else ""
    objects = [info for info in vault.list(POINTS + prefix, start_after=after) if point_slot(info.name)]
    told = {info.name: summary for info in objects if (summary := of_listing(info))}
    unknown = [info for info in objects if info.name not in told]
    with ThreadPoolExecutor(READERS, thread_name_prefix="catalogue") as pool:
        read = {point.summary.name: point.summary for point in pool.map(lambda info: _read(vault, info), unknown)}
    return in_order((told | read).values())


def rebuild(vault: ObjectStore) -> Rebuilt:
    """Read every manifest and compare. A manifest that cannot be read is named, the others still count."""
    objects = [info for info in vault.list(POINTS) if info.name.endswith(".json")]
    with ThreadPoolExecutor(READERS, thread_name_prefix="rebuild") as pool:
        results = list(pool.map(lambda info: _try_read(vault, info), objects))
    points = [result for result in results if isinstance(result, ReadPoint)]
    damaged = tuple(result for result in results if isinstance(result, str))
    told = {info.name: of_listing(info) for info in objects}
    return Rebuilt(in_order(point.summary for point in points), tuple(_disagreements(told, points)), damaged)


def read_point(vault: ObjectStore, summary: PointSummary) -> ReadPoint:
    """The manifest behind a row, at the generation that was listed: what was committed, and what the listing tells of it.
    Raises DrError NOT_FOUND, DAMAGED, NEWER_FORMAT."""
    data = vault.get(summary.name, generation=summary.generation)
    point = _parse(vault, summary.name, summary.generation, data)
    if summary.sha256 and summary.sha256 != point.ref.sha256:
        raise DrError(DAMAGED, f"{vault.url}/{summary.name} is damaged: its bytes are not those that were committed")
    if wrong := differences(summary, point.summary):
        raise DrError(DAMAGED, f"{vault.url}/{summary.name} is not what a listing tells of it: {'; '.join(wrong)}")
    return point


def find_point(vault: ObjectStore, name: str) -> ReadPoint:
    """By manifest name, without a listing. Raises DrError NOT_FOUND, DAMAGED, NEWER_FORMAT."""
    info = vault.stat(name)
    if info is None:
        raise DrError(NOT_FOUND, f"there is no recovery point {vault.url}/{name}")
    return _read(vault, info)


def load_pinned(vault: ObjectStore, ref: PointRef) -> PointManifest:
    """Exactly the manifest that was reviewed: same generation, same bytes. Raises DrError NOT_FOUND, DAMAGED."""
    data = vault.get(ref.name, generation=ref.generation)
    if sha256(data) != ref.sha256:
        raise DrError(DAMAGED, f"{vault.url}/{ref.name} is not the manifest that was reviewed: its hash differs")
    return _parse(vault, ref.name, ref.generation, data).manifest


def in_order(points: Iterable[PointSummary]) -> tuple[PointSummary, ...]:
    """By due instant, then by name."""
    return tuple(sorted(points, key=lambda point: (point.slot.due, point.name)))


def _read(vault: ObjectStore, info: ObjectInfo) -> ReadPoint:
    return _parse(vault, info.name, info.generation, vault.get(info.name, generation=info.generation))


def _parse(vault: ObjectStore, name: str, generation: int, data: bytes) -> ReadPoint:
    where = f"{vault.url}/{name}"
    manifest = decode(data, PointManifest, where)
    if manifest.name != name:
        raise DrError(DAMAGED, f"{where} is damaged: it holds the manifest of {manifest.slot}")
    summary = of_manifest(manifest, name, generation, crc32c(data))
    return ReadPoint(manifest, PointRef(name, generation, sha256(data)), summary)


def _disagreements(told: Mapping[str, PointSummary | None], points: Iterable[ReadPoint]) -> Iterator[str]:
    for point in points:
        listed = told[point.summary.name]
        if listed is not None:
            yield from differences(listed, point.summary)


def _try_read(vault: ObjectStore, info: ObjectInfo) -> ReadPoint | str:
    try:
        return _read(vault, info)
    except DrError as error:
        # unreachable is no finding about the manifest: it must not look like one
        if error.temporary:
            raise
        return error.message
